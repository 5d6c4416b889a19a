//! Rules in words: conditions with the kernel's names for arguments and constants, and what becomes of a call.

use super::{
    Arch,
    condition::{Condition, Test, Width},
    decode,
    rules::Action,
};
use nix::errno::Errno;

/// What becomes of a call, in a few words.
pub fn action(action: Action) -> String {
    match action {
        Action::Allow => "allowed".into(),
        Action::Trace => "fails with ENOSYS, unless the other filter has a sterner answer".into(),
        Action::Notify => "refused, and the broker is told: a violation, the worker is ended".into(),
        Action::Fail(errno) => format!("fails with {}, as on a kernel that does not have it", errno_name(errno)),
        Action::Kill => "kills the process at once (SIGSYS)".into(),
    }
}

/// The name of an error number: "ENOSYS".
pub fn errno_name(errno: u16) -> String {
    format!("{:?}", Errno::from_raw(errno.into()))
}

/// What a rule asks of one argument of a call, in words: "flags has MAP_PRIVATE, and nothing beyond MAP_ANONYMOUS".
pub fn condition(arch: Arch, call: &str, condition: &Condition) -> String {
    let Condition { argument, width, test } = *condition;
    let label = decode::label(call, argument).map_or_else(|| format!("argument {argument}"), str::to_owned);
    // The kernel takes the low half; whoever reads a dump of registers wants to know.
    let half = if width == Width::Low32 && decode::label(call, argument).is_none() { " (low 32 bits)" } else { "" };
    let value = |value| decode::value(arch, call, argument, value);
    let bits = |bits| decode::bits_of(arch, call, argument, bits);
    format!(
        "{label}{half} {}",
        match test {
            Test::Equal(v) => format!("is {}", value(v)),
            Test::NotEqual(v) => format!("is not {}", value(v)),
            Test::Less(v) => format!("is less than {v}"),
            Test::LessOrEqual(v) => format!("is at most {v}"),
            Test::Greater(v) => format!("is more than {v}"),
            Test::GreaterOrEqual(v) => format!("is at least {v}"),
            Test::Masked { mask, value } => {
                let free = !mask & width.max();
                match (free.count_ones() < mask.count_ones(), value) {
                    (true, 0) if free == 0 => "is 0".into(),
                    (true, 0) => format!("has nothing beyond {}", bits(free)),
                    (true, must) if free == 0 => format!("is {}", bits(must)),
                    (true, must) => format!("has {}, and beyond it nothing but {}", bits(must), bits(free)),
                    (false, 0) => format!("has none of {}", bits(mask)),
                    (false, value) if value == mask => format!("has {}", bits(mask)),
                    (false, value) => format!("has, of {}, exactly {}", bits(mask), bits(value)),
                }
            }
        }
    )
}
