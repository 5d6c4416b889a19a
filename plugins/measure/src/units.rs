//! Quantities: each unit is a factor and an offset away from the base unit of its kind.

use crate::{
    Measure,
    exports::bulkhead::measure::units::{Guest, Problem, Quantity, Unit},
};

#[derive(PartialEq)]
enum Kind {
    Length,
    Mass,
    Temperature,
}

/// Kind, factor and offset: base = value * factor + offset. The bases are metre, kilogram and kelvin.
fn base(unit: Unit) -> (Kind, f64, f64) {
    match unit {
        Unit::Metre => (Kind::Length, 1.0, 0.0),
        Unit::Kilometre => (Kind::Length, 1000.0, 0.0),
        Unit::Mile => (Kind::Length, 1609.344, 0.0),
        Unit::Gram => (Kind::Mass, 0.001, 0.0),
        Unit::Kilogram => (Kind::Mass, 1.0, 0.0),
        Unit::Pound => (Kind::Mass, 0.45359237, 0.0),
        Unit::Celsius => (Kind::Temperature, 1.0, 273.15),
        Unit::Kelvin => (Kind::Temperature, 1.0, 0.0),
        Unit::Fahrenheit => (Kind::Temperature, 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    }
}

fn convert(given: Quantity, to: Unit) -> Result<Quantity, Problem> {
    let (kind, factor, offset) = base(given.unit);
    let (target, target_factor, target_offset) = base(to);
    if kind != target {
        return Err(Problem::Incompatible((given.unit, to)));
    }
    if !given.value.is_finite() {
        return Err(Problem::NotFinite);
    }
    if kind == Kind::Temperature && given.value * factor + offset < 0.0 {
        return Err(Problem::TooCold(-offset / factor));
    }
    // What is in the right unit already must not change by rounding.
    let value = if given.unit == to { given.value } else { (given.value * factor + offset - target_offset) / target_factor };
    if value.is_finite() { Ok(Quantity { value, unit: to }) } else { Err(Problem::NotFinite) }
}

impl Guest for Measure {
    fn convert(given: Quantity, to: Unit) -> Result<Quantity, Problem> {
        convert(given, to)
    }

    fn total(parts: Vec<Quantity>) -> Result<Option<Quantity>, Problem> {
        let Some(unit) = parts.first().map(|q| q.unit) else { return Ok(None) };
        let mut value = 0.0;
        for part in parts {
            value += convert(part, unit)?.value;
        }
        if value.is_finite() { Ok(Some(Quantity { value, unit })) } else { Err(Problem::NotFinite) }
    }
}
