//! Broker and compiler, over the rings. The compiler has read hostile bytes and is hostile.
//!
//! The compiler says [`FromCompiler::Described`] once it has validated the input, then [`FromCompiler::Compiled`]; or
//! [`FromCompiler::Refused`] at any time; then it exits. The broker says nothing.

use super::worker::Engine;
use crate::describe::Description;
use serde::{Deserialize, Serialize};

/// What to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Bytes of the sealed input.
    pub input_bytes: u64,
    /// Largest native code that the broker takes, in bytes.
    pub max_code_bytes: u64,
    /// Compiled-in knobs.
    pub engine: Engine,
}

/// From the compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCompiler {
    /// The input is valid, and this is what it is.
    Described(Box<Description>),
    /// Native code of this many bytes stands in the output.
    Compiled {
        /// Bytes.
        code_bytes: u64,
    },
    /// The input cannot be used.
    Refused {
        /// Why, in words for the plugin's author, with the offset where there is one.
        reason: String,
    },
    /// The compiler's own code panicked; it exits.
    Panicked(String),
}
