//! The text of a `[[test]]` into what it says.

use super::{Assertion, Attempt, By, Expectation, FORMS, Family, MAX_TESTS, OF_THE_RUNTIME};
use crate::{
    layer::Layer,
    policy::{
        diagnostic::Rule,
        read as document, suggest,
        text::{Reader, Value as Text},
        unit,
    },
};
use std::ops::Range;

/// Longest attempt, in bytes.
const MAX_ATTEMPT: usize = 4096;

/// What is wrong with a text, where in it, and what would be right.
#[derive(Debug, PartialEq)]
struct Wrong {
    at: Range<usize>,
    what: String,
    help: Option<String>,
}

/// Every `[[test]]` of a file; what is wrong is reported to the reader.
pub(in crate::policy) fn read<'s>(reader: &mut Reader<'s>, value: &Text<'s>, syscalls: &[&str]) -> Vec<Assertion> {
    let Some(entries) = value.get_ref().as_array() else {
        let help = "each test is a table of its own, in double brackets: [[test]]".to_string();
        reader.expected(value, "a list of tables [[test]]", Some(help));
        return Vec::new();
    };
    if entries.len() > MAX_TESTS {
        let message = format!("{} tests; at most {MAX_TESTS} are taken", entries.len());
        reader.report(Rule::OutOfRange, value.span(), message, None);
        return Vec::new();
    }
    // Not `collect` on `Option`: each wrong test is to be reported.
    entries.iter().filter_map(|entry| test(reader, entry, syscalls)).collect()
}

fn test<'s>(reader: &mut Reader<'s>, entry: &Text<'s>, syscalls: &[&str]) -> Option<Assertion> {
    let wanted = "attempt = \"read /etc/passwd\" and expect = \"denied\"";
    let ([attempt, expect], []) = document::fields(reader, entry, wanted, ["attempt", "expect"], [])?;
    let line = reader.position(attempt.span().start).0;
    let attempt = said(reader, attempt, |text| self::attempt(text, syscalls));
    let expect = said(reader, expect, expectation);
    Some(Assertion { attempt: attempt?, expect: expect?, line })
}

/// Reads a string; what is wrong in it is reported at its place.
fn said<'s, T>(reader: &mut Reader<'s>, value: &Text<'s>, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
    let text = reader.string(value, "a string")?.to_string();
    match read(&text) {
        Ok(read) => Some(read),
        Err(Wrong { at, what, help }) => {
            let (whole, quoted) = (value.span(), format!("\"{text}\""));
            // Where the string stands in the file as it is read, the mark is put under the very word.
            let span = match reader.source().text.get(whole.clone()) {
                Some(written) if written == quoted => whole.start + 1 + at.start..whole.start + 1 + at.end,
                _ => whole,
            };
            reader.report(Rule::Assertion, span, what, help);
            None
        }
    }
}

fn expectation(text: &str) -> Result<Expectation, Wrong> {
    const WORDS: [&str; 5] = ["allowed", "denied", "denied by LAYER", "killed", "violation"];
    match text {
        "allowed" => return Ok(Expectation::Allowed),
        "denied" => return Ok(Expectation::Denied),
        "killed" => return Ok(Expectation::Killed),
        "violation" => return Ok(Expectation::Violation),
        _ => {}
    }
    let Some(name) = text.strip_prefix("denied by ") else {
        let help = suggest::help(text, "expectation", WORDS);
        return Err(Wrong { at: 0..text.len(), what: format!("`{text}` cannot be expected"), help });
    };
    By::named(name).map(Expectation::DeniedBy).ok_or_else(|| {
        let help = match OF_THE_RUNTIME.contains(&name) {
            true => Some("the runtime's own limits are no layer of the process that tries this".to_string()),
            false => {
                let layers = Layer::ALL.iter().map(|layer| layer.name());
                let families = ["cgroup", "landlock", "namespace", "seccomp"];
                suggest::nearest(name, layers.chain(families)).map_or_else(
                    || Some("a layer (`bulkhead run --report` lists them), or a family of layers: landlock".into()),
                    |near| Some(format!("did you mean `{near}`?")),
                )
            }
        };
        Wrong { at: text.len() - name.len()..text.len(), what: format!("unknown layer `{name}`"), help }
    })
}

/// The words of an attempt, and where they stand.
struct Words<'t> {
    text: &'t str,
}

impl<'t> Words<'t> {
    fn at(&self, part: &str) -> Range<usize> {
        // `part` is a piece of `text`: what is left behind it says where it begins.
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        start..start + part.len()
    }

    fn wrong<T>(&self, part: &str, what: String, help: impl Into<Option<String>>) -> Result<T, Wrong> {
        let at = if part.is_empty() { 0..self.text.len() } else { self.at(part) };
        Err(Wrong { at, what, help: help.into() })
    }

    /// No form of an attempt begins like this, or goes on like this.
    fn unknown<T>(&self) -> Result<T, Wrong> {
        let verb = self.text.split(' ').next().unwrap_or_default();
        let like: Vec<&str> =
            FORMS.iter().map(|(form, _)| *form).filter(|f| f.split(' ').next() == Some(verb)).collect();
        let help = match like.is_empty() {
            false => Some(format!("write {}", like.join(" or "))),
            true => {
                let verbs = FORMS.iter().filter_map(|(form, _)| form.split(' ').next());
                let near = suggest::nearest(verb, verbs).map(|near| format!("did you mean `{near}`? "));
                let all = FORMS.iter().map(|(form, _)| *form).collect::<Vec<_>>().join(", ");
                Some(format!("{}attempts: {all}", near.unwrap_or_default()))
            }
        };
        self.wrong("", format!("`{}` cannot be tried", self.text), help)
    }

    fn path(&self, path: &'t str) -> Result<String, Wrong> {
        match path.starts_with('/') {
            true => Ok(path.to_string()),
            false => self.wrong(path, format!("`{path}` is no absolute path"), Some("begin it with `/`".to_string())),
        }
    }

    fn quantity<T>(&self, part: &'t str, read: fn(&str) -> Result<T, unit::Wrong>) -> Result<T, Wrong> {
        read(part).or_else(|(what, help)| self.wrong(part, what, help))
    }

    fn number<T: TryFrom<u64>>(&self, part: &'t str, what: &str) -> Result<T, Wrong> {
        let number = match part.strip_prefix("0x") {
            Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
            _ => part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten(),
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.wrong(part, format!("`{part}` is no {what}"), None),
        }
    }
}

fn attempt(text: &str, syscalls: &[&str]) -> Result<Attempt, Wrong> {
    let words = Words { text };
    if text.len() > MAX_ATTEMPT || text.chars().any(char::is_control) {
        return words.wrong("", format!("an attempt has at most {MAX_ATTEMPT} bytes, and no control characters"), None);
    }
    match text {
        "signal broker" => return Ok(Attempt::SignalBroker),
        "signal another worker" => return Ok(Attempt::SignalWorker),
        "fork" => return Ok(Attempt::Fork),
        "thread" => return Ok(Attempt::Thread),
        "executable memory" => return Ok(Attempt::ExecutableMemory),
        "writable code" => return Ok(Attempt::WritableCode),
        "ptrace" => return Ok(Attempt::Ptrace),
        "mount" => return Ok(Attempt::Mount),
        "io_uring" => return Ok(Attempt::IoUring),
        "unshare user" => return Ok(Attempt::UserNamespace),
        _ => {}
    }
    let Some((verb, rest)) = text.split_once(' ').filter(|(_, rest)| !rest.is_empty()) else { return words.unknown() };
    match (verb, rest.split_once(' ')) {
        ("read", _) => words.path(rest).map(Attempt::Read),
        ("write", _) => words.path(rest).map(Attempt::Write),
        ("create", _) => words.path(rest).map(Attempt::Create),
        ("list", _) => words.path(rest).map(Attempt::List),
        ("execute", _) => words.path(rest).map(Attempt::Execute),
        ("grow", Some((size, place))) => {
            let Some(folder) = place.strip_prefix("in ") else { return words.unknown() };
            let bytes = words.quantity(size, unit::size)?;
            if !(1..=i64::MAX.cast_unsigned()).contains(&bytes) {
                return words.wrong(size, format!("no file can have {size}"), None);
            }
            Ok(Attempt::Grow { bytes, folder: words.path(folder)? })
        }
        ("open", Some((count, "files"))) => words.number(count, "number of files").map(Attempt::OpenFiles),
        ("connect", Some(("tcp", address))) => match address.parse() {
            Ok(address) => Ok(Attempt::ConnectTcp(address)),
            Err(_) => {
                let help = "in numbers, with a port: 127.0.0.1:80, [::1]:80; names are not looked up".to_string();
                words.wrong(address, format!("`{address}` is no address"), help)
            }
        },
        ("connect", Some(("unix", name))) => match name.strip_prefix('@') {
            Some(rest) if !rest.is_empty() => Ok(Attempt::ConnectUnix(name.to_string())),
            _ => words.path(name).map(Attempt::ConnectUnix),
        },
        ("bind", Some(("tcp", port))) => words.number(port, "port").map(Attempt::BindTcp),
        ("socket", _) => match Family::ALL.iter().find(|(name, _)| *name == rest) {
            Some((_, family)) => Ok(Attempt::Socket(*family)),
            None => {
                let help = suggest::help(rest, "family", Family::ALL.iter().map(|(name, _)| *name));
                words.wrong(rest, format!("unknown family of sockets `{rest}`"), help)
            }
        },
        ("allocate", _) => words.quantity(rest, unit::size).map(Attempt::Allocate),
        ("spin", _) => words.quantity(rest, unit::time).map(Attempt::Spin),
        ("syscall", _) => syscall(&words, rest, syscalls),
        _ => words.unknown(),
    }
}

fn syscall(words: &Words<'_>, rest: &str, known: &[&str]) -> Result<Attempt, Wrong> {
    let mut parts = rest.split(' ');
    let name = parts.next().unwrap_or_default();
    if name == "vfork" {
        return words.wrong(name, "`vfork` borrows its parent's stack".into(), Some("write `fork`".to_string()));
    }
    if !known.contains(&name) {
        let help = suggest::help(name, "system call", known.iter().copied());
        return words.wrong(name, format!("unknown system call `{name}`"), help);
    }
    let mut args = [0; 6];
    for (index, part) in parts.enumerate() {
        let Some(arg) = args.get_mut(index) else {
            return words.wrong(part, "a system call has at most six arguments".into(), None);
        };
        *arg = words.number(part, "number: arguments are decimal, or hexadecimal with `0x`")?;
    }
    Ok(Attempt::Syscall { name: name.to_string(), args })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SYSCALLS: [&str; 4] = ["ioctl", "openat", "socket", "vfork"];

    fn read(text: &str) -> Result<Attempt, Wrong> {
        attempt(text, &SYSCALLS)
    }

    #[test]
    fn every_form_that_is_documented_is_read() {
        let examples = [
            ("PATH|@NAME", "@name"),
            ("ADDRESS:PORT", "127.0.0.1:80"),
            ("NAME [ARGUMENT]...", "ioctl 0 0x5412"),
            ("PATH", "/etc/passwd"),
            ("SIZE", "1GiB"),
            ("DIR", "/tmp"),
            ("open N", "open 5000"),
            ("PORT", "8080"),
            ("FAMILY", "alg"),
            ("TIME", "10s"),
        ];
        for (form, _) in FORMS {
            let text = examples.iter().fold((*form).to_string(), |text, (word, value)| text.replace(word, value));
            let attempt = read(&text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!(read(&attempt.to_string()), Ok(attempt), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_tried_is_marked_at_its_place_with_what_would_be_right() {
        for (text, marked, what, help) in [
            ("raed /etc", "raed /etc", "`raed /etc` cannot be tried", "did you mean `read`?"),
            ("read", "read", "`read` cannot be tried", "write read PATH"),
            ("read etc", "etc", "`etc` is no absolute path", "begin it with `/`"),
            ("connect udp 1", "connect udp 1", "cannot be tried", "write connect tcp ADDRESS:PORT or connect unix"),
            ("connect tcp localhost:80", "localhost:80", "is no address", "names are not looked up"),
            ("connect unix @", "@", "is no absolute path", "begin it"),
            ("bind tcp 65536", "65536", "`65536` is no port", ""),
            ("bind tcp +1", "+1", "`+1` is no port", ""),
            ("socket inet4", "inet4", "unknown family of sockets `inet4`", "did you mean `inet"),
            ("allocate 1GB", "1GB", "`GB` is no unit of size", "did you mean \"1GiB\"?"),
            ("grow 1GiB at /tmp", "grow 1GiB at /tmp", "cannot be tried", "write grow SIZE in DIR"),
            ("grow 0B in /tmp", "0B", "no file can have 0B", ""),
            ("syscall opennat", "opennat", "unknown system call `opennat`", "did you mean `openat`?"),
            ("syscall vfork", "vfork", "borrows its parent's stack", "write `fork`"),
            ("syscall ioctl x", "x", "`x` is no number", ""),
            ("syscall ioctl 0x+1", "0x+1", "is no number", ""),
            ("syscall ioctl 1 2 3 4 5 6 7", "7", "at most six arguments", ""),
            ("read /a\u{1b}[2J", "read /a\u{1b}[2J", "no control characters", ""),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!(&text[wrong.at.clone()], marked, "{text}: {wrong:?}");
            assert!(wrong.what.contains(what), "{text}: {wrong:?}");
            assert!(wrong.help.unwrap_or_default().contains(help), "{text}");
        }
    }

    #[test]
    fn expectations_name_layers_and_families() {
        let by = |text: &str| match expectation(text) {
            Ok(Expectation::DeniedBy(by)) => by.layers().collect::<Vec<_>>(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(by("denied by landlock.fs"), [Layer::LandlockFs]);
        assert_eq!(by("denied by landlock"), [Layer::LandlockFs, Layer::LandlockTcp, Layer::LandlockScope]);
        assert_eq!(by("denied by invocation.interrupt"), [Layer::Interrupt]);
        for (text, what, help) in [
            ("denied by landlok", "unknown layer `landlok`", "did you mean `landlock`?"),
            ("denied by land", "unknown layer `land`", ""),
            ("denied by wasm.limits", "unknown layer `wasm.limits`", "the runtime's own limits"),
            ("refused", "`refused` cannot be expected", "known: allowed, denied, denied by LAYER, killed, violation"),
        ] {
            let wrong = expectation(text).unwrap_err();
            assert!(wrong.what.contains(what) && wrong.help.unwrap_or_default().contains(help), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_read_is_printed_so(text in "[a-z]{0,10} ?.{0,30}") {
            let _ = expectation(&text);
            if let Ok(attempt) = read(&text) {
                prop_assert_eq!(read(&attempt.to_string()), Ok(attempt));
            }
        }
    }
}
