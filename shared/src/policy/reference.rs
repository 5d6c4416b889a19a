//! What people are told of a key beside its meaning: what it takes, in words, and who holds a plugin to it.

use super::{
    schema::{Key, Kind},
    unit::{size_text, time_text},
};
use std::fmt;

/// What a key takes, in words: "a size, 64KiB to 1TiB".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = |min, max| format!("a size, {} to {}", size_text(min), size_text(max));
        f.write_str(&match *self {
            Kind::Size { min, max } => sizes(min, max),
            Kind::SizeOrNone { min, max } => format!("{}, or `\"none\"`", sizes(min, max)),
            Kind::SizeOrUnlimited { min, max } => format!("{}, or `\"unlimited\"`", sizes(min, max)),
            Kind::Time { min, max } => format!("a time, {} to {}", time_text(min), time_text(max)),
            // As far as TOML's integers go.
            Kind::Count { min, max } if max == i64::MAX as u64 => format!("a number, {min} or more"),
            Kind::Count { min, max } => format!("a number, {min} to {max}"),
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                words.join(", ")
            }
            Kind::Syscalls => "a list of names of system calls".to_owned(),
            Kind::AddedSyscalls => "a list of `{ name, comment }`".to_owned(),
            Kind::Dirs => "a list of `{ host, guest, writable }`, and `quota` where writable".to_owned(),
            Kind::Reserved => "a list of names, each of which may end in `*`".to_owned(),
        })
    }
}

/// Who holds a plugin to a key where it is no layer.
pub const HOLDERS: [&str; 3] = ["the broker", "the runtime", "the file system"];

impl Key {
    /// Who holds a plugin to this key: layers by their names, and [`HOLDERS`].
    pub fn held_by(&self) -> &'static [&'static str] {
        match (self.section, self.name) {
            ("wasm", "engine") => &["seccomp.main", "seccomp.closing", "mdwe"],
            ("wasm", _) => &["wasm.limits"],
            ("invocation", "fuel" | "instance") => &["the runtime"],
            ("invocation", "max_message" | "spin") => &["the broker"],
            ("invocation", _) => &["invocation.interrupt"],
            ("process", "memory") => &["cgroup.memory", "cgroup.swap", "rlimits"],
            ("process", "cpu_millis") => &["cgroup.cpu"],
            ("process", "pids") => &["cgroup.pids", "rlimits", "seccomp.main"],
            ("process", "io_bytes_per_second") => &["cgroup.io"],
            ("process", "idle_cpu" | "start") => &["the broker"],
            ("process", "net_namespace") => &["namespace.net", "landlock.scope", "seccomp.main"],
            ("process", _) => &["rlimits"],
            ("filesystem", "dirs") => &["namespace.mount", "landlock.fs", "the file system"],
            ("filesystem", "tmp") => &["namespace.mount", "landlock.fs", "cgroup.memory"],
            ("host", "clock") => &["the runtime", "seccomp.main"],
            ("host", "stdio" | "random") => &["the runtime"],
            ("syscalls", _) => &["seccomp.main", "seccomp.closing"],
            ("compiler", "memory") => &["cgroup.memory", "rlimits"],
            ("compiler", "max_code") => &["rlimits", "the broker"],
            _ => &["the broker"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layer::Layer, policy::schema::KEYS};

    #[test]
    fn whoever_holds_a_key_is_a_layer_or_known() {
        for key in KEYS {
            assert!(!key.held_by().is_empty(), "{}", key.path());
            for holder in key.held_by() {
                assert!(Layer::from_name(holder).is_some() || HOLDERS.contains(holder), "{}: {holder}", key.path());
            }
        }
    }

    #[test]
    fn what_a_key_takes_is_said_with_its_unit_and_bounds() {
        let says = |path: &str| Key::find(path).unwrap().kind.to_string();

        assert_eq!(says("wasm.memory"), "a size, 64KiB to 1TiB");
        assert_eq!(says("filesystem.tmp"), "a size, 4KiB to 1TiB, or `\"none\"`");
        assert_eq!(says("process.io_bytes_per_second"), "a size, 4KiB to 1TiB, or `\"unlimited\"`");
        assert_eq!(says("invocation.timeout"), "a time, 1ms to 720h");
        assert_eq!(says("invocation.fuel"), "a number, 1 or more");
        assert_eq!(says("host.clock"), "`\"none\"`, `\"deterministic\"`, `\"real\"`");
    }
}
