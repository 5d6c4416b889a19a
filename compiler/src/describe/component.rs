//! Components: what stands alone, and what stands in interfaces.

use super::{
    budget::Budget,
    types::{Resources, value_type},
};
use crate::{Refused, validate::Valid};
use bulkhead_shared::describe::{Command, Description, Function, Item, ItemKind, Kind};
use wasmparser::{
    component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentFuncTypeId},
    types::TypesRef,
};

/// The interface that makes a component a command, in any 0.2 version.
const RUN: &str = "wasi:cli/run@0.2.";

/// Describes a component.
pub fn describe(valid: &Valid<'_>, budget: &mut Budget) -> Result<Description, Refused> {
    let types = valid.types.as_ref();
    let imports = || valid.imports.iter().filter_map(|name| Some((*name, types.component_item_for_import(name)?.ty)));
    let exports = || valid.exports.iter().filter_map(|name| Some((*name, types.component_item_for_export(name)?.ty)));
    let mut world = World { types, resources: Resources::default(), budget };
    for (name, entity) in imports().chain(exports()) {
        world.name_resources(name, &entity)?;
    }
    let mut description =
        Description { kind: Kind::Component, command: None, imports: Vec::new(), exports: Vec::new() };
    for (name, entity) in imports() {
        world.describe(name, &entity, &mut description.imports)?;
    }
    for (name, entity) in exports() {
        world.describe(name, &entity, &mut description.exports)?;
    }
    let runs = |item: &Item| item.module.starts_with(RUN) && item.name == "run" && is_function(item);
    description.command = description.exports.iter().any(runs).then_some(Command::Preview2);
    Ok(description)
}

fn is_function(item: &Item) -> bool {
    matches!(item.what, ItemKind::Function(_))
}

/// The outermost component while it is being described.
struct World<'a> {
    types: TypesRef<'a>,
    resources: Resources,
    budget: &'a mut Budget,
}

impl World<'_> {
    /// Learns the names of resources before types speak of them.
    fn name_resources(&mut self, name: &str, entity: &ComponentEntityType) -> Result<(), Refused> {
        self.budget.entry()?;
        match entity {
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(resource), .. } => {
                self.resources.name(resource, name);
            }
            ComponentEntityType::Instance(id) => {
                for (name, item) in &self.types[*id].exports {
                    self.budget.entry()?;
                    if let ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(resource), .. } = &item.ty
                    {
                        self.resources.name(resource, name);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the items that one import or export of the component makes: one, or for an interface its functions and
    /// resources. Plain types of an interface are left out: nobody provides them, and functions show them written out.
    fn describe(&mut self, name: &str, entity: &ComponentEntityType, items: &mut Vec<Item>) -> Result<(), Refused> {
        let ComponentEntityType::Instance(id) = entity else {
            let item = self.item("", name, entity)?;
            items.push(item);
            return Ok(());
        };
        let types = self.types;
        let before = items.len();
        for (inner, item) in &types[*id].exports {
            self.budget.entry()?;
            let is_plain_type = match &item.ty {
                ComponentEntityType::Type { created, .. } => !matches!(created, ComponentAnyTypeId::Resource(_)),
                _ => false,
            };
            if !is_plain_type {
                let item = self.item(name, inner, &item.ty)?;
                items.push(item);
            }
        }
        if items.len() == before {
            let item = self.item(name, "", entity)?;
            items.push(item);
        }
        Ok(())
    }

    fn item(&mut self, module: &str, name: &str, entity: &ComponentEntityType) -> Result<Item, Refused> {
        self.budget.item(module, name)?;
        let other = |what: &str| ItemKind::Other(what.to_owned());
        let what = match entity {
            ComponentEntityType::Func(id) => ItemKind::Function(self.function(*id)?),
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(_), .. } => other("resource"),
            ComponentEntityType::Type { .. } => other("type"),
            ComponentEntityType::Instance(_) => other("instance"),
            ComponentEntityType::Module(_) => other("core module"),
            ComponentEntityType::Component(_) => other("component"),
            ComponentEntityType::Value(_) => other("value"),
        };
        Ok(Item { module: module.to_owned(), name: name.to_owned(), what })
    }

    fn function(&mut self, id: ComponentFuncTypeId) -> Result<Function, Refused> {
        let signature = &self.types[id];
        let mut function = Function::default();
        for (name, ty) in &signature.params {
            self.budget.label(name)?;
            let ty = value_type(self.types, ty, 1, &self.resources, self.budget)?;
            function.params.push((name.to_string(), ty));
        }
        if let Some(ty) = &signature.result {
            function.results.push(value_type(self.types, ty, 1, &self.resources, self.budget)?);
        }
        Ok(function)
    }
}
