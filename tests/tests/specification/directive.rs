//! Directives of the tests, and why one is left out.

use std::{fmt, sync::Arc};

/// What a directive asserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Module,
    Invoke,
    Return,
    Trap,
    Exhaustion,
    Exception,
    Invalid,
    Malformed,
    Unlinkable,
}

impl Class {
    pub const ALL: [Class; 9] = [
        Class::Module,
        Class::Invoke,
        Class::Return,
        Class::Trap,
        Class::Exhaustion,
        Class::Exception,
        Class::Invalid,
        Class::Malformed,
        Class::Unlinkable,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Module => "module",
            Class::Invoke => "invoke",
            Class::Return => "assert_return",
            Class::Trap => "assert_trap",
            Class::Exhaustion => "assert_exhaustion",
            Class::Exception => "assert_exception",
            Class::Invalid => "assert_invalid",
            Class::Malformed => "assert_malformed",
            Class::Unlinkable => "assert_unlinkable",
        })
    }
}

/// Why a directive is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It needs this part of WebAssembly 3.0; Bulkhead refused it, naming that.
    Proposal(&'static str),
    /// It is about text, which only an assembler sees.
    Text,
    /// Its module imports from another one.
    Imports,
    /// Its instance shares something with one of another module.
    Shared,
    /// It is about linking two modules.
    Linking,
    /// It passes or expects a reference that only a host can make.
    HostReference,
    /// It follows a call of the same instance that was left out.
    Follows,
    /// It holds no more in WebAssembly 3.0.
    Superseded,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Proposal(name) => write!(f, "needs {name}; the module was refused, and that named as the cause"),
            Reason::Text => f.write_str("about WebAssembly text, which Bulkhead does not read"),
            Reason::Imports => f.write_str("of a module that imports what only another module could provide"),
            Reason::Shared => f.write_str("after such a module would have changed the instance that is called"),
            Reason::Linking => f.write_str("about linking one module with another"),
            Reason::HostReference => f.write_str("passes or expects a reference that only a host could make"),
            Reason::Follows => f.write_str("after such a call to the same instance, which might have changed it"),
            Reason::Superseded => f.write_str("forbids what release 3.0 permits: more than one memory"),
        }
    }
}

/// A directive, and where it stands.
#[derive(Clone, Debug)]
pub struct Directive {
    pub class: Class,
    pub file: Arc<str>,
    pub line: usize,
    /// The line that it begins with.
    pub text: String,
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}
