//! The nearest known name for one that nobody knows.

/// Longest name that is compared: the cost grows with its square, and the name may come from a hostile file.
const MAX_NAME: usize = 64;
/// Names that are listed in full.
const MAX_LIST: usize = 24;

/// The known name that was most likely meant, if one is near enough.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.chars().count() > MAX_NAME {
        return None;
    }
    let wanted = normal(name);
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&wanted, &normal(k)), k))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// "did you mean `x`?" where one is near; the list of all where it is short; the reason where the name has characters
/// that only look like those of a known one.
pub fn help<'k>(name: &str, what: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let mut lines = Vec::new();
    if let Some(c) = name.chars().find(|c| !c.is_ascii()) {
        lines.push(format!("the name contains U+{:04X}, which no {what} does", u32::from(c)));
    }
    if let Some(near) = nearest(name, known.iter().copied()) {
        lines.push(format!("did you mean `{near}`?"));
    }
    if !known.is_empty() && known.len() <= MAX_LIST {
        lines.push(format!("known: {}", known.join(", ")));
    }
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Spelling differences that nobody means.
fn normal(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_policy_name_is_found() {
        assert_eq!(nearest("memroy", ["memory", "resources", "stack"]), Some("memory"));
        assert_eq!(nearest("max-message", ["memory", "max_message"]), Some("max_message"));
    }

    #[test]
    fn nothing_near_is_no_suggestion() {
        assert_eq!(nearest("zzz", ["memory", "stack"]), None);
    }

    #[test]
    fn a_name_of_a_megabyte_is_not_compared() {
        assert_eq!(nearest(&"memory".repeat(200_000), ["memory"]), None);
    }

    #[test]
    fn look_alike_characters_are_named() {
        let help = help("m\u{435}mory", "key", ["memory"]).unwrap();
        assert!(help.contains("U+0435") && help.contains("did you mean `memory`?"), "{help}");
    }
}
