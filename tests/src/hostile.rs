//! Brokers whose workers are attackers, and what is to become of each case of [`bulkhead_attacks::cases`].

mod ends;
mod stage;

pub use ends::{ended_as, recorded};
pub use stage::{Attackers, Stage, Way};
