//! Messages that a fuzzer makes: those of a worker and of a compiler, with the fields that the broker looks at most often near
//! what it expects.

use crate::value::{AnyType, AnyValue};
use arbitrary::{Arbitrary, Result, Unstructured};
use bulkhead_shared::{
    describe::{Command, Description, Function, Item, ItemKind, Kind},
    message::{
        compiler::FromCompiler,
        worker::{Asked, Denied, FromWorker, Got, GuestEnd, LoadFailure, Network, Stream, Used, Want},
    },
    outcome::{Frame, MemoryLimit, Refusal, Trap},
    value::Values,
};

/// What a worker says. The number of the invocation is relative to that of the present one.
#[derive(Debug, Arbitrary)]
pub enum Said {
    Ready,
    LoadFailed(Failure),
    Output(bool, u16),
    Done(i8, End),
    Panicked(String),
    DeniedPath(u8, Text, u8),
    DeniedNetwork(u8),
    Asked(u8, Text, u8, u8),
    Used(u64, u64, u32, bool, u64),
}

/// A text that may be long.
#[derive(Debug, Arbitrary)]
pub struct Text(u16, String);

impl Text {
    fn text(self) -> String {
        self.1 + &"x".repeat(usize::from(self.0 % 700))
    }
}

/// Why a load failed.
#[derive(Debug, Arbitrary)]
pub enum Failure {
    Stale(String),
    Imports(Vec<String>),
    Withheld(String, bool),
    Trap(AnyTrap),
    OutOfMemory(AnyLimit),
    Closing(String),
    Other(String),
}

/// How a guest ended.
#[derive(Debug, Arbitrary)]
pub enum End {
    Returned(Vec<AnyValue>),
    Exited(i32),
    Trapped(AnyTrap),
    OutOfMemory(AnyLimit),
    Interrupted,
    OutOfFuel,
    Refused(String),
}

/// A trap.
#[derive(Debug, Arbitrary)]
pub struct AnyTrap(String, Vec<(u32, Option<String>, Option<u64>)>);

/// A limit.
#[derive(Debug, Arbitrary)]
pub enum AnyLimit {
    Wasm(u8, u64, u64, Option<AnyTrap>),
    Kernel(u64),
}

impl AnyTrap {
    pub fn trap(self) -> Trap {
        let frame = |(function, name, offset)| Frame { function, name, offset };
        Trap { message: self.0, frames: self.1.into_iter().map(frame).collect() }
    }
}

impl AnyLimit {
    pub fn limit(self) -> MemoryLimit {
        match self {
            AnyLimit::Wasm(key, limit, wanted, trap) => {
                let keys = ["wasm.memory", "wasm.table_elements", "wasm.instances", "\u{1b}[2J", ""];
                let key = keys[usize::from(key) % keys.len()].to_owned();
                MemoryLimit::Wasm { key, limit, wanted, trap: trap.map(AnyTrap::trap) }
            }
            AnyLimit::Kernel(limit) => MemoryLimit::Kernel { limit },
        }
    }
}

impl Said {
    /// The message, where the present invocation has this number.
    pub fn message(self, invocation: u64) -> FromWorker {
        let want = |n: u8| [Want::Look, Want::Read, Want::Write][usize::from(n) % 3];
        match self {
            Said::Ready => FromWorker::Ready,
            Said::LoadFailed(failure) => FromWorker::LoadFailed(match failure {
                Failure::Stale(text) => LoadFailure::Stale(text),
                Failure::Imports(list) => LoadFailure::Imports(list),
                Failure::Withheld(import, clock) => {
                    let key = if clock { "host.clock" } else { "host.random" };
                    LoadFailure::Imports(vec![format!("{import}: the policy withholds it ({key})")])
                }
                Failure::Trap(trap) => LoadFailure::Trap(trap.trap()),
                Failure::OutOfMemory(limit) => LoadFailure::OutOfMemory(limit.limit()),
                Failure::Closing(text) => LoadFailure::Closing(text),
                Failure::Other(text) => LoadFailure::Other(text),
            }),
            Said::Output(err, bytes) => {
                let stream = if err { Stream::Stderr } else { Stream::Stdout };
                FromWorker::Output(stream, vec![b'x'; usize::from(bytes)])
            }
            Said::Done(id, end) => {
                let end = match end {
                    End::Returned(values) => GuestEnd::Returned(Values(values.into_iter().map(|v| v.0).collect())),
                    End::Exited(code) => GuestEnd::Exited(code),
                    End::Trapped(trap) => GuestEnd::Trapped(trap.trap()),
                    End::OutOfMemory(limit) => GuestEnd::OutOfMemory(limit.limit()),
                    End::Interrupted => GuestEnd::Interrupted,
                    End::OutOfFuel => GuestEnd::OutOfFuel,
                    End::Refused(message) => GuestEnd::Refused(Refusal { message }),
                };
                FromWorker::Done { id: invocation.wrapping_add_signed(id.max(0).into()), end }
            }
            Said::Panicked(text) => FromWorker::Panicked(text),
            Said::DeniedPath(dir, path, n) => {
                FromWorker::Denied(Denied::Path { dir: u32::from(dir % 8), path: path.text(), want: want(n) })
            }
            Said::DeniedNetwork(n) => {
                let network = [Network::Tcp, Network::Udp, Network::Lookup][usize::from(n) % 3];
                FromWorker::Denied(Denied::Network(network))
            }
            Said::Asked(dir, path, n, got) => {
                let got = [Got::Given, Got::Missing, Got::Refused, Got::Failed][usize::from(got) % 4];
                FromWorker::Asked(Asked { dir: u32::from(dir % 8), path: path.text(), want: want(n), got })
            }
            Said::Used(memory, table_elements, resources, stdin, left_out) => {
                // As small as what a policy gives, more often than not.
                let (memory, table_elements, resources) = (memory >> 40, table_elements >> 50, resources >> 24);
                FromWorker::Used(Used { memory, table_elements, resources, stdin, left_out })
            }
        }
    }
}

/// What a compiler says.
#[derive(Debug)]
pub struct FromAnyCompiler(pub FromCompiler);

impl<'a> Arbitrary<'a> for FromAnyCompiler {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(FromAnyCompiler(match u.int_in_range(0..=5)? {
            0..=2 => FromCompiler::Described(Box::new(description(u)?)),
            3 => FromCompiler::Compiled { code_bytes: u.arbitrary()? },
            4 => FromCompiler::Refused { reason: u.arbitrary()? },
            _ => FromCompiler::Panicked(u.arbitrary()?),
        }))
    }
}

/// What a plugin is said to be.
pub fn description(u: &mut Unstructured<'_>) -> Result<Description> {
    let kind = if u.arbitrary()? { Kind::Module } else { Kind::Component };
    let command = *u.choose(&[None, Some(Command::Preview1), Some(Command::Preview2)])?;
    Ok(Description { kind, command, imports: items(u)?, exports: items(u)? })
}

fn items(u: &mut Unstructured<'_>) -> Result<Vec<Item>> {
    let count = u.int_in_range(0..=6)?;
    let item = |u: &mut Unstructured<'_>| {
        let module = match u.int_in_range(0..=3)? {
            0 => String::new(),
            1 => "wasi_snapshot_preview1".to_owned(),
            2 => "wasi:cli/run@0.2.0".to_owned(),
            _ => u.arbitrary()?,
        };
        let what = match u.ratio(1, 5)? {
            true => ItemKind::Other(u.arbitrary()?),
            false => ItemKind::Function(function(u)?),
        };
        Ok(Item { module, name: u.arbitrary()?, what })
    };
    (0..count).map(|_| item(u)).collect()
}

/// A function of any types.
pub fn function(u: &mut Unstructured<'_>) -> Result<Function> {
    let params: Vec<(String, AnyType)> = {
        let count = u.int_in_range(0..=4)?;
        (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?
    };
    let results: Vec<AnyType> = {
        let count = u.int_in_range(0..=2)?;
        (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?
    };
    Ok(Function {
        params: params.into_iter().map(|(name, ty)| (name, ty.0)).collect(),
        results: results.into_iter().map(|ty| ty.0).collect(),
    })
}
