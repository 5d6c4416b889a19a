//! A compiler that was taken over by its input: what it says, and what it leaves in its output.

use crate::{
    args::Args,
    calls_unsafe, deaths_unsafe,
    ring_unsafe::{LAST, Ring},
};
use bulkhead_attacks::TO_COMPILER;
use bulkhead_lockdown::{Closing, link::Link, sys_unsafe::raw};
use bulkhead_shared::{
    codec,
    describe::{Description, Function, Item, ItemKind, Kind},
    message::compiler::{FromCompiler, Job},
    value::Value,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use std::{
    num::NonZeroUsize,
    os::{fd::AsRawFd, fd::OwnedFd, unix::fs::FileExt},
};

/// Closes itself in, and does what its input says.
pub fn attack(link: Link, closing: Closing, job: &Job, descriptors: Vec<OwnedFd>) -> ! {
    let Ok([input, output]) = <[OwnedFd; 2]>::try_from(descriptors) else { std::process::exit(1) };
    let Some(length) = NonZeroUsize::new(job.input_bytes as usize) else { std::process::exit(1) };
    // SAFETY: a new mapping of a sealed file, at an address of the kernel's choice, for as long as this process lives; the broker has
    // copied as many bytes into it as the job says.
    let input = unsafe {
        let Ok(at) = mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &input, 0) else {
            std::process::exit(1)
        };
        std::slice::from_raw_parts(at.as_ptr().cast::<u8>().cast_const(), length.get())
    };
    if closing.apply().is_err() {
        std::process::exit(1);
    }
    let mut parts = input.strip_prefix(TO_COMPILER).unwrap_or_default().splitn(2, |byte| *byte == 0);
    let name = std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let mut compiler = Compiler { link, ring: Ring::find(), output: output.into() };
    compiler.does(name, parts.next().unwrap_or_default());
    // Silent, and awake.
    crate::cpu::burn(std::time::Duration::MAX);
    std::process::exit(1)
}

struct Compiler {
    link: Link,
    ring: Ring,
    output: std::fs::File,
}

impl Compiler {
    fn say(&mut self, message: &FromCompiler) {
        if self.link.send(message).is_err() {
            std::process::exit(1);
        }
    }

    /// A module with the one export that everybody calls.
    fn describe(&mut self) {
        let name = "add".to_owned();
        let add = Item { module: String::new(), name, what: ItemKind::Function(Function::default()) };
        let description = Description { kind: Kind::Module, command: None, imports: Vec::new(), exports: vec![add] };
        self.say(&FromCompiler::Described(Box::new(description)));
    }

    fn does(&mut self, name: &str, more: &[u8]) {
        let panicked = |words: &str| FromCompiler::Panicked(words.to_owned());
        match name {
            "compiler_describes_twice" => {
                self.describe();
                self.describe();
            }
            "compiler_compiles_first" => self.say(&FromCompiler::Compiled { code_bytes: 0 }),
            "compiler_garbage" => self.ring.send(64, LAST, &[0xff; 64]),
            "compiler_endless_message" => {
                let full = self.ring.full();
                loop {
                    self.ring.send(full, 0, &vec![0; full as usize]);
                }
            }
            "compiler_bell_storm" => loop {
                let _ = self.ring.strike();
            },
            "compiler_claims_length" => {
                self.describe();
                self.say(&FromCompiler::Compiled { code_bytes: u64::MAX });
            }
            "compiler_exits" => std::process::exit(7),
            "compiler_faults" => drop(deaths_unsafe::touch_nothing(&Args(Vec::new()))),
            "compiler_calls" => drop(calls_unsafe::call(&Args(vec![Value::U64(0)]))),
            "compiler_truncates" => {
                // SAFETY: two numbers.
                let _ = unsafe { raw(libc::SYS_ftruncate, [self.output.as_raw_fd() as u64, 0, 0, 0, 0, 0]) };
            }
            "compiler_panics" => self.say(&panicked("\x1b[2Jnot really")),
            "compiler_out_of_memory" => self.say(&panicked("out of memory, and not I am to blame")),
            "compiler_half_a_description" => {
                let full = self.ring.full();
                self.ring.send(full, 0, &vec![0; full as usize]);
                std::process::exit(7);
            }
            // Bytes that are no code.
            "compiler_lies" => {
                let _ = self.output.write_all_at(&[0xcc; 4096], 0);
                self.describe();
                self.say(&FromCompiler::Compiled { code_bytes: 4096 });
            }
            // Code that nobody has compiled: the description, and what is then said to be native code.
            "compiler_code" => {
                let (length, rest) = more.split_at(more.len().min(8));
                let length = length.try_into().map_or(0, u64::from_le_bytes) as usize;
                let (description, code) = rest.split_at(length.min(rest.len()));
                let Ok(description) = codec::decode(description) else { std::process::exit(1) };
                let _ = self.output.write_all_at(code, 0);
                self.say(&FromCompiler::Described(description));
                self.say(&FromCompiler::Compiled { code_bytes: code.len() as u64 });
            }
            _ => {}
        }
    }
}
