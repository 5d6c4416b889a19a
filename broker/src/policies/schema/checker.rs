//! A checker of JSON against the few words of JSON Schema that ours uses. Any other word is a panic, so that none is
//! passed over. Patterns are matched by a reader of the few shapes that stand in the schema.
//!
//! The crates that do this in full bring some seventy others, one under a licence that is not among ours.

use serde_json::Value;

/// Everything in `value` that the schema forbids, each with its place.
pub fn check(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let at = |why: String| format!("{place}: {why}");
    let schema = schema.as_object().expect("a schema is an object");
    for (word, rule) in schema {
        match word.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                return check(root, root.pointer(pointer).expect("what is referred to"), value, place);
            }
            "type" => {
                let is = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("type {other}"),
                };
                if !is {
                    wrong.push(at(format!("is no {rule}")));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    wrong.push(at(format!("{value} is none of those known")));
                }
            }
            "pattern" => {
                if value.as_str().is_some_and(|text| !matches(rule.as_str().unwrap(), text)) {
                    wrong.push(at(format!("{value} is not like {rule}")));
                }
            }
            "minLength" | "maxLength" => {
                let bound = rule.as_u64().unwrap();
                let length = value.as_str().map_or(bound, |text| text.chars().count() as u64);
                if (word == "minLength" && length < bound) || (word == "maxLength" && length > bound) {
                    wrong.push(at(format!("has {length} characters")));
                }
            }
            "minimum" | "maximum" => {
                let bound = rule.as_f64().unwrap();
                let number = value.as_f64().unwrap_or(bound);
                if (word == "minimum" && number < bound) || (word == "maximum" && number > bound) {
                    wrong.push(at(format!("{number} is out of bounds")));
                }
            }
            "maxItems" => {
                if value.as_array().is_some_and(|list| list.len() as u64 > rule.as_u64().unwrap()) {
                    wrong.push(at("has too many entries".into()));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(check(root, rule, item, &format!("{place}[{index}]")));
                }
            }
            "anyOf" => {
                if rule.as_array().unwrap().iter().all(|one| !check(root, one, value, place).is_empty()) {
                    wrong.push(at(format!("{value} is none of several")));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.as_object().is_some_and(|table| !table.contains_key(name.as_str().unwrap())) {
                        wrong.push(at(format!("lacks {name}")));
                    }
                }
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(schema) => wrong.extend(check(root, schema, value, &format!("{place}.{name}"))),
                        None => assert_eq!(schema["additionalProperties"], false),
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(rule, false);
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    if schema["properties"].get(name).is_none() {
                        wrong.push(at(format!("has no key {name}")));
                    }
                }
            }
            other => panic!("a word that this checker does not know: {other}"),
        }
    }
    wrong
}

fn matches(pattern: &str, text: &str) -> bool {
    if let Some(units) = pattern.strip_prefix("^[0-9]+(").and_then(|rest| rest.strip_suffix(")$")) {
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
        return unit.len() < text.len() && units.split('|').any(|known| known == unit);
    }
    match pattern {
        "^/" => text.starts_with('/'),
        "\\S" => text.chars().any(|c| !c.is_whitespace()),
        "^[a-z0-9_-]{1,64}$" => {
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
            (1..=64).contains(&text.len()) && text.bytes().all(good)
        }
        "^[!-)+-~]*[!-~]$" => {
            let start = text.get(..text.len().saturating_sub(1)).unwrap_or("*");
            let graphic = text.bytes().all(|b| b.is_ascii_graphic());
            !text.is_empty() && graphic && !start.contains('*')
        }
        other => panic!("a pattern that this checker does not know: {other}"),
    }
}
