//! Sizes and times as policy text has them: a whole number and its unit in one string, "64MiB", "100ms".

use std::time::Duration;

/// Units of size, largest first.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
/// Units of time in nanoseconds, largest first.
const TIMES: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// What people write and mean one of the above. None of them is taken: 64 MB is not 64 MiB.
const MEANT: [(&str, &str); 24] = [
    ("", ""),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("ki", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("mi", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("gi", "GiB"),
    ("t", "TiB"),
    ("tb", "TiB"),
    ("tib", "TiB"),
    ("bytes", "B"),
    ("b", "B"),
    ("sec", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("minutes", "min"),
    ("m", "min"),
    ("hours", "h"),
];

/// Why a text is no size or time: what is wrong, and a text that would be right where one can be guessed.
pub type Wrong = (String, Option<String>);

/// Bytes.
pub fn size(text: &str) -> Result<u64, Wrong> {
    quantity(text, &SIZES, "size", "64MiB")
}

/// A time.
pub fn time(text: &str) -> Result<Duration, Wrong> {
    quantity(text, &TIMES, "time", "100ms").map(Duration::from_nanos)
}

/// Bytes as text, in the largest unit that divides them.
pub fn size_text(bytes: u64) -> String {
    text(bytes, &SIZES)
}

/// A time as text, in the largest unit that divides it. Above 584 years it is cut.
pub fn time_text(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // "0h" is right and looks odd.
    if nanos == 0 { "0s".into() } else { text(nanos, &TIMES) }
}

fn quantity(given: &str, units: &[(&str, u64)], what: &str, example: &str) -> Result<u64, Wrong> {
    let digits = given.len() - given.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = given.split_at(digits);
    let names = || units.iter().rev().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let like = || Some(format!("write it like \"{example}\": a whole number, and {} without a space", names()));
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0) else {
        if let Some(near) = meant(unit.trim(), units).filter(|_| digits > 0) {
            let message = format!("`{}` is no unit of {what}", unit.trim());
            return Err((message, Some(format!("did you mean \"{number}{near}\"? Units: {}", names()))));
        }
        return Err((format!("`{given}` is no {what}"), like()));
    };
    let number: u64 = number.parse().map_err(|_| (format!("{number} is too large a number"), like()))?;
    number.checked_mul(*factor).ok_or_else(|| (format!("{given} is too large a {what}"), None))
}

/// The unit of this kind that was most likely meant.
fn meant<'u>(unit: &str, units: &[(&'u str, u64)]) -> Option<&'u str> {
    let unit = unit.to_lowercase();
    let candidates = MEANT.iter().filter(|(wrong, _)| *wrong == unit && !unit.is_empty());
    let exact = units.iter().map(|(name, _)| *name).find(|name| name.to_lowercase() == unit);
    exact.or_else(|| {
        candidates.flat_map(|(_, right)| units.iter().find(|(name, _)| name == right)).map(|(name, _)| *name).next()
    })
}

fn text(amount: u64, units: &[(&str, u64)]) -> String {
    for (name, factor) in units {
        if amount > 0 && amount.is_multiple_of(*factor) {
            return format!("{}{name}", amount / factor);
        }
    }
    // The smallest unit divides everything but the loop leaves zero out.
    format!("{amount}{}", units.last().map_or("", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_times_are_read_exactly() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(time("2min"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_nearly_a_size_is_an_error_that_says_what_was_meant() {
        for (wrong, right) in [("64MB", "\"64MiB\""), ("64M", "\"64MiB\""), ("64 MiB", "\"64MiB\""), ("1k", "\"1KiB\"")]
        {
            let (_, help) = size(wrong).unwrap_err();
            assert!(help.as_deref().unwrap_or("").contains(right), "{wrong}: {help:?}");
        }
        let (_, help) = time("5m").unwrap_err();
        assert!(help.unwrap().contains("\"5min\""));
    }

    #[test]
    fn numbers_without_unit_fractions_signs_and_nonsense_are_errors() {
        for wrong in ["", "64", "1.5GiB", "-1B", "+1B", "MiB", "0x10B", "1_000B", "\u{661}B", "100ms ", "1ms2"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "1.5s", "-1s", "s", "1S", "1d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_errors() {
        for wrong in ["16777216TiB", "18446744073709551616B", &format!("{}B", "9".repeat(100_000))] {
            assert!(size(wrong).is_err());
        }
        assert!(time("5124096h").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: u64, nanos: u64) {
            prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
            prop_assert_eq!(time(&time_text(Duration::from_nanos(nanos))), Ok(Duration::from_nanos(nanos)));
        }

        #[test]
        fn no_text_makes_it_panic(any: String) {
            let _ = (size(&any), time(&any));
        }
    }
}
