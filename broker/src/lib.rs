//! Runs untrusted WebAssembly plugins on Linux, each in a small, locked-down process of its own.
//!
//! A crash, a hang, or a full escape out of the WebAssembly runtime stays inside that process. The broker, which is this
//! library, is the trusted side: it reads policy, has workers launched, routes calls, and holds deadlines. It never parses or
//! compiles WebAssembly.
//!
//! ```no_run
//! use bulkhead::{Broker, Outcome, PluginOptions, Source, Value, policies};
//!
//! let broker = Broker::builder().build()?;
//! let policy = policies::find("standard", &[])?;
//! let mut plugin = match broker.load(Source::Path("add.wasm".as_ref()), PluginOptions::new(policy)) {
//!     Ok(plugin) => plugin,
//!     Err(outcome) => panic!("not loaded: {outcome:?}"),
//! };
//! match plugin.call("add", &[Value::S32(2), Value::S32(3)]) {
//!     Outcome::Returned(results) => println!("{results:?}"),
//!     other => println!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Many callers
//!
//! A [`Plugin`] has one caller. [`Plugin::replicas`] makes it a [`Replicas`], which many threads call at the same time, and whose calls can
//! be awaited, under any executor:
//!
//! ```no_run
//! # use bulkhead::{Plugin, Outcome, Value};
//! # async fn example(plugin: Plugin) {
//! let plugin = plugin.replicas();
//! match plugin.call_async("add", vec![Value::S32(2), Value::S32(3)]).await {
//!     Outcome::Returned(results) => println!("{results:?}"),
//!     other => println!("{other:?}"),
//! }
//! # }
//! ```
//!
//! # What it needs
//!
//! Linux 5.13 or newer on x86_64 or aarch64, with user namespaces; `bulkhead doctor` says what a host lacks and how to get it.
//! The programs `bulkhead-launcher`, `bulkhead-worker` and `bulkhead-compiler` of the same version stand beside the embedding
//! program, or where [`BrokerBuilder::programs`] says.
//!
//! # What it does to the embedding program
//!
//! Nothing that shows: the launcher is no child of that program (no SIGCHLD, nothing for waitpid(-1) to find), no signal handler
//! is installed, no thread is needed but one for each broker, a second where cells are made, a third where calls are awaited, one for each
//! stream of a running command, and for a moment one for each replica that is started, or ended with a call that was awaited.
//! When the program ends, by whatever means, every worker ends with it.
//!
//! # Ends
//!
//! Whatever becomes of a call is one [`Outcome`], with a [`Class`](outcome::Class) that says who is to blame. A worker is taken
//! to be hostile from the moment it loads native code: nothing it says can bring about an *internal* end.

pub mod bench;
pub mod cache;
pub mod cgroup;
pub mod doctor;
pub mod filter;
pub mod learn;
pub mod memfd;
pub mod policies;
pub mod probe;
pub mod report;
pub mod wave;

mod ahead;
mod broker;
mod cells;
mod class;
mod compile;
pub mod denials;
mod error;
mod exhausted;
mod export;
#[cfg(fuzzing)]
pub mod fuzzing;
mod graveyard;
mod heap_unsafe;
mod idle;
mod invocation;
mod kept;
mod launcher;
mod limits;
mod loading;
mod neighbours;
mod plugin;
mod process;
mod programs;
mod reactor;
mod replicas;
#[cfg(test)]
mod skip;
mod spawn_unsafe;
mod spec;
mod stdio;
mod sys_unsafe;
mod table;
mod terms;
mod verify;

pub use broker::{Broker, BrokerBuilder, Source};
pub use bulkhead_shared::{VERSION, describe, layer, outcome, outcome::Outcome, policy, text, value, value::Value};
pub use denials::Denial;
pub use error::Error;
pub use export::Export;
pub use plugin::{Command, Finished, Plugin, PluginOptions};
pub use replicas::{Calling, Replicas};
pub use report::Report;
pub use stdio::{COLLECT, Input, Output};
