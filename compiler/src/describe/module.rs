//! Core modules.

use super::budget::Budget;
use crate::{Refused, validate::Valid};
use bulkhead_shared::{
    describe::{Command, Description, Function, Item, ItemKind, Kind},
    value::Type,
};
use wasmparser::{
    HeapType, ValType,
    types::{CoreTypeId, EntityType, TypesRef},
};

/// Describes a core module.
pub fn describe(valid: &Valid<'_>, budget: &mut Budget) -> Result<Description, Refused> {
    let types = valid.types.as_ref();
    let mut imports = Vec::new();
    for (module, name, what) in types.core_imports().into_iter().flatten() {
        imports.push(item(types, module, name, &what, budget)?);
    }
    let mut exports = Vec::new();
    for (name, what) in types.core_exports().into_iter().flatten() {
        exports.push(item(types, "", name, &what, budget)?);
    }
    let runs = |item: &Item| {
        item.name == "_start"
            && matches!(&item.what, ItemKind::Function(f) if f.params.is_empty() && f.results.is_empty())
    };
    let command = exports.iter().any(runs).then_some(Command::Preview1);
    Ok(Description { kind: Kind::Module, command, imports, exports })
}

fn item(
    types: TypesRef<'_>,
    module: &str,
    name: &str,
    what: &EntityType,
    budget: &mut Budget,
) -> Result<Item, Refused> {
    budget.entry()?;
    budget.item(module, name)?;
    let what = match *what {
        EntityType::Func(id) | EntityType::FuncExact(id) => ItemKind::Function(function(types, id, budget)?),
        EntityType::Table(_) => ItemKind::Other("table".to_owned()),
        EntityType::Memory(_) => ItemKind::Other("memory".to_owned()),
        EntityType::Global(_) => ItemKind::Other("global".to_owned()),
        EntityType::Tag(_) => ItemKind::Other("tag".to_owned()),
    };
    Ok(Item { module: module.to_owned(), name: name.to_owned(), what })
}

fn function(types: TypesRef<'_>, id: CoreTypeId, budget: &mut Budget) -> Result<Function, Refused> {
    let signature = types[id].unwrap_func();
    let mut function = Function::default();
    for &ty in signature.params() {
        budget.label("")?;
        function.params.push((String::new(), value_type(ty, budget)?));
    }
    for &ty in signature.results() {
        function.results.push(value_type(ty, budget)?);
    }
    Ok(function)
}

fn value_type(ty: ValType, budget: &mut Budget) -> Result<Type, Refused> {
    budget.node(1)?;
    Ok(match ty {
        ValType::I32 => Type::S32,
        ValType::I64 => Type::S64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::Opaque("v128".to_owned()),
        ValType::Ref(reference) => {
            let name = match reference.heap_type() {
                HeapType::FUNC => "funcref",
                _ => "reference",
            };
            budget.label(name)?;
            Type::Opaque(name.to_owned())
        }
    })
}
