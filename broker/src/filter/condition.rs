//! What a rule asks of one argument.

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// How much of an argument the kernel looks at. To compare more of it than the kernel does is a hole: it takes the low 32
/// bits of an `ioctl` command, say, and a filter that compared all 64 would let `TIOCSTI | 1 << 32` pass a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The low half: `int`, `unsigned`, descriptors.
    Low32,
    /// All of it: `long`, `size_t`, addresses.
    Full64,
}

impl Width {
    /// Largest value of this width.
    pub const fn max(self) -> u64 {
        match self {
            Width::Low32 => u32::MAX as u64,
            Width::Full64 => u64::MAX,
        }
    }
}

/// A comparison, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as the comparisons are")]
pub enum Test {
    Equal(u64),
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    /// The bits of the mask have this value.
    Masked {
        mask: u64,
        value: u64,
    },
}

/// What a rule asks of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// How much of it.
    pub width: Width,
    /// The comparison.
    pub test: Test,
}

impl Condition {
    /// Whether these arguments meet it. This is the model: it shares nothing with what is compiled.
    pub fn holds(&self, arguments: &[u64; 6]) -> bool {
        let Some(argument) = arguments.get(usize::from(self.argument)) else { return false };
        let argument = argument & self.width.max();
        match self.test {
            Test::Equal(value) => argument == value,
            Test::NotEqual(value) => argument != value,
            Test::Less(value) => argument < value,
            Test::LessOrEqual(value) => argument <= value,
            Test::Greater(value) => argument > value,
            Test::GreaterOrEqual(value) => argument >= value,
            Test::Masked { mask, value } => argument & mask == value,
        }
    }

    /// Why no argument, or every one, meets it: a rule that nobody can have meant.
    pub fn pointless(&self) -> Option<&'static str> {
        let max = self.width.max();
        let (values, never, always) = match self.test {
            Test::Equal(v) => (v, false, false),
            Test::NotEqual(v) => (v, false, false),
            Test::Less(v) => (v, v == 0, false),
            Test::LessOrEqual(v) => (v, false, v == max),
            Test::Greater(v) => (v, v == max, false),
            Test::GreaterOrEqual(v) => (v, false, v == 0),
            Test::Masked { mask, value } => (mask | value, value & !mask != 0, mask == 0),
        };
        match () {
            () if values > max => Some("the value does not fit the width"),
            () if never => Some("no argument can meet it"),
            () if always => Some("every argument meets it"),
            () => None,
        }
    }

    fn compiled(&self) -> Result<SeccompCondition, BackendError> {
        let length = match (self.width, self.test) {
            (Width::Low32, _) => SeccompCmpArgLen::Dword,
            // A mask of no bit of the upper half looks at the lower one alone.
            (Width::Full64, Test::Masked { mask, value }) if mask | value <= u64::from(u32::MAX) => {
                SeccompCmpArgLen::Dword
            }
            (Width::Full64, _) => SeccompCmpArgLen::Qword,
        };
        let (operator, value) = match self.test {
            Test::Equal(v) => (SeccompCmpOp::Eq, v),
            Test::NotEqual(v) => (SeccompCmpOp::Ne, v),
            Test::Less(v) => (SeccompCmpOp::Lt, v),
            Test::LessOrEqual(v) => (SeccompCmpOp::Le, v),
            Test::Greater(v) => (SeccompCmpOp::Gt, v),
            Test::GreaterOrEqual(v) => (SeccompCmpOp::Ge, v),
            Test::Masked { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
        };
        SeccompCondition::new(self.argument, length, operator, value)
    }
}

/// The conditions of one rule, all of which must hold, in seccompiler's type. There must be at least one.
pub(super) fn rule(conditions: &[Condition]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.iter().map(Condition::compiled).collect::<Result<_, _>>()?)
}
