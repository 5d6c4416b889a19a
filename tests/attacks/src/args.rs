//! Arguments and results of an attack.

use bulkhead_shared::value::Value;
use nix::errno::Errno;

/// What came of an attack: it worked, with a number that is 0 unless the attack says otherwise; or it was refused.
pub type Came = Result<i32, Errno>;

/// The arguments. A test that gives the wrong ones ends the attacker.
pub struct Args(pub Vec<Value>);

impl Args {
    /// A number.
    pub fn number(&self, index: usize) -> u64 {
        match self.0.get(index) {
            Some(Value::U64(number)) => *number,
            other => panic!("argument {index} is {other:?}, not a u64"),
        }
    }

    /// A text.
    pub fn text(&self, index: usize) -> &str {
        match self.0.get(index) {
            Some(Value::String(text)) => text,
            other => panic!("argument {index} is {other:?}, not a string"),
        }
    }
}

/// The result of a call that stands for what came of an attack.
pub fn value(came: Came) -> Value {
    Value::Result(match came {
        Ok(number) => Ok(Some(Box::new(Value::S32(number)))),
        Err(errno) => Err(Some(Box::new(Value::Enum(format!("{errno:?}"))))),
    })
}
