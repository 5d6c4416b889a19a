//! Types of components, written out.

use super::budget::Budget;
use crate::Refused;
use bulkhead_shared::value::Type;
use std::collections::HashMap;
use wasmparser::{
    PrimitiveValType,
    component_types::{AliasableResourceId, ComponentDefinedType, ComponentValType, ResourceId},
    names::KebabString,
    types::TypesRef,
};

/// Names of resources, by which handles to them are shown.
#[derive(Default)]
pub struct Resources(HashMap<ResourceId, String>);

impl Resources {
    /// The first name that a resource is known by is its name.
    pub fn name(&mut self, resource: &AliasableResourceId, name: &str) {
        self.0.entry(resource.resource()).or_insert_with(|| name.to_owned());
    }

    fn handle(&self, form: &str, resource: &AliasableResourceId, budget: &mut Budget) -> Result<Type, Refused> {
        let name = self.0.get(&resource.resource()).map_or("without a name", String::as_str);
        opaque(format!("{form} {name}"), budget)
    }
}

/// A type written out, at this depth, the outermost at 1.
pub fn value_type(
    types: TypesRef<'_>,
    ty: &ComponentValType,
    depth: u32,
    resources: &Resources,
    budget: &mut Budget,
) -> Result<Type, Refused> {
    budget.node(depth)?;
    let id = match ty {
        ComponentValType::Primitive(ty) => return primitive(*ty, budget),
        ComponentValType::Type(id) => *id,
    };
    let inner = |ty: &ComponentValType, budget: &mut Budget| value_type(types, ty, depth + 1, resources, budget);
    Ok(match &types[id] {
        ComponentDefinedType::Primitive(ty) => primitive(*ty, budget)?,
        ComponentDefinedType::List { element, .. } => Type::List(Box::new(inner(element, budget)?)),
        ComponentDefinedType::Tuple(tuple) => {
            Type::Tuple(tuple.types.iter().map(|ty| inner(ty, budget)).collect::<Result<_, _>>()?)
        }
        ComponentDefinedType::Record(record) => {
            let field = |(name, ty): (&KebabString, &ComponentValType)| {
                budget.label(name)?;
                Ok((name.to_string(), inner(ty, budget)?))
            };
            Type::Record(record.fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        ComponentDefinedType::Variant(variant) => {
            let mut cases = Vec::new();
            for (name, case) in &variant.cases {
                budget.label(name)?;
                cases.push((name.to_string(), case.ty.as_ref().map(|ty| inner(ty, budget)).transpose()?));
            }
            Type::Variant(cases)
        }
        ComponentDefinedType::Flags(names) => Type::Flags(labels(names, budget)?),
        ComponentDefinedType::Enum(names) => Type::Enum(labels(names, budget)?),
        ComponentDefinedType::Option { ty, .. } => Type::Option(Box::new(inner(ty, budget)?)),
        ComponentDefinedType::Result { ok, err, .. } => {
            let mut side = |ty: &Option<ComponentValType>| -> Result<Option<Box<Type>>, Refused> {
                ty.as_ref().map(|ty| Ok(Box::new(inner(ty, budget)?))).transpose()
            };
            Type::Result(side(ok)?, side(err)?)
        }
        ComponentDefinedType::Own(resource) => resources.handle("resource", resource, budget)?,
        ComponentDefinedType::Borrow(resource) => resources.handle("borrowed resource", resource, budget)?,
        // The validator refuses these with Bulkhead's proposals; listed so that a new one is not taken for a resource.
        ComponentDefinedType::Future { .. } => opaque("future".to_owned(), budget)?,
        ComponentDefinedType::Stream { .. } => opaque("stream".to_owned(), budget)?,
        ComponentDefinedType::Map { .. } => opaque("map".to_owned(), budget)?,
        ComponentDefinedType::FixedLengthList { .. } => opaque("fixed-length list".to_owned(), budget)?,
    })
}

fn primitive(ty: PrimitiveValType, budget: &mut Budget) -> Result<Type, Refused> {
    Ok(match ty {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => opaque("error-context".to_owned(), budget)?,
    })
}

fn labels<'a>(names: impl IntoIterator<Item = &'a KebabString>, budget: &mut Budget) -> Result<Vec<String>, Refused> {
    let label = |name: &KebabString| {
        budget.label(name)?;
        Ok(name.to_string())
    };
    names.into_iter().map(label).collect()
}

fn opaque(name: String, budget: &mut Budget) -> Result<Type, Refused> {
    budget.label(&name)?;
    Ok(Type::Opaque(name))
}
