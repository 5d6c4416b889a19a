//! What the compiler says of a plugin. The compiler has read hostile bytes, so this is hostile too: bounded on decoding,
//! escaped when shown, and never trusted to decide containment.

use crate::value::Type;
use serde::{Deserialize, Serialize};

/// What a `.wasm` file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// How a plugin is run when no export is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// WASI preview 1: a core module that exports `_start`.
    Preview1,
    /// WASI preview 2: a component that exports `wasi:cli/run`.
    Preview2,
}

/// An import or an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Module or interface, empty for an export that stands alone: `wasi_snapshot_preview1`, `wasi:cli/stdout@0.2.0`.
    pub module: String,
    /// Name inside it; empty where a component imports a whole interface of which no function is listed.
    pub name: String,
    /// What it is.
    pub what: ItemKind,
}

/// What an import or export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A function.
    Function(Function),
    /// Another item of a core module: `memory`, `table`, `global`, `tag`; of a component: `type`, `instance`, `resource`.
    Other(String),
}

/// A function's parameters and results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Names (empty in core modules) and types.
    pub params: Vec<(String, Type)>,
    /// Results: any number in a core module, at most one in a component.
    pub results: Vec<Type>,
}

/// What a plugin is, imports and exports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Module or component.
    pub kind: Kind,
    /// Whether, and how, it runs as a command.
    pub command: Option<Command>,
    /// What it wants from outside.
    pub imports: Vec<Item>,
    /// What it offers.
    pub exports: Vec<Item>,
}

impl Description {
    /// The signature of an export. `interface` is empty for one that stands alone.
    pub fn function(&self, interface: &str, name: &str) -> Option<&Function> {
        self.exports.iter().find_map(|item| match &item.what {
            ItemKind::Function(function) if item.module == interface && item.name == name => Some(function),
            _ => None,
        })
    }

    /// What `"interface#add"` means for it. A core module has no interfaces, and its names may have any character.
    pub fn interface_and_name<'a>(&self, export: &'a str) -> (&'a str, &'a str) {
        match self.kind {
            Kind::Component => export.rsplit_once('#').unwrap_or(("", export)),
            Kind::Module => ("", export),
        }
    }
}
