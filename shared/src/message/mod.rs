//! Everything that one process of Bulkhead says to another.
//!
//! | module | between | carried by |
//! |---|---|---|
//! | [`launcher`] | broker and launcher, which trust each other | ipc-channel's byte channel, descriptors beside it |
//! | [`setup`] | broker and a worker or compiler that has seen no hostile byte yet | one SOCK_SEQPACKET socket |
//! | [`worker`] | broker and a hostile worker | sealed rings |
//! | [`hot`] | one of its messages, borrowed | |
//! | [`compiler`] | broker and a hostile compiler | sealed rings |
//! | [`probe`] | broker and what stands in for a worker in `bulkhead policy test` | sealed rings |

pub mod attack;
pub mod compiler;
pub mod hot;
pub mod launcher;
pub mod probe;
pub mod setup;
pub mod worker;
