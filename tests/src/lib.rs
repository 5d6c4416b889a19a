//! What the end-to-end tests share: the built programs, the guests, and a way to run `bulkhead` that sees everything it
//! leaves behind.
//!
//! The tests see what a user sees: the command, its output, its exit code, and what is on the machine afterwards. They
//! need no file of the repository at run time, but for the programs beside them and what `cargo xtask fetch` gets, so
//! that the test binaries can be carried to another machine.

pub mod alone;
pub mod awaiting;
pub mod external;
pub mod finished;
pub mod guest;
pub mod hostile;
pub mod left;
pub mod module;
pub mod programs;
pub mod quota_unsafe;
pub mod reaping;
pub mod reference;
pub mod run;
pub mod running;
pub mod scratch;
pub mod shared_plugin;
pub mod skip;

pub use finished::Finished;
pub use guest::{guest, plugin};
pub use run::{Run, bulkhead, run, run_with_cache};
pub use running::Running;
pub use scratch::Scratch;
pub use skip::{not_here, skip};
