//! The same wishes as a guest has them that has no fault to use, in the worker as it ships: the runtime is the first wall.

use crate::{
    lab::{Lab, standard},
    record::leave,
};
use bulkhead::{Outcome, PluginOptions, Source, Value, policy::DirGrant};
use bulkhead_tests::guest::assemble;
use std::{fmt::Write as _, time::Duration};

/// One wish: an export `try` without arguments.
struct Wish {
    aim: &'static str,
    what: &'static str,
    /// What is in the guest's module, or the whole text of a component.
    text: &'static str,
    answer: Answer,
}

/// What it must come to.
enum Answer {
    /// One of WASI's errors: its number and its name.
    Errno(i32, &'static str),
    /// The error of WASI's preview 2 that it has for this.
    Denied,
    /// A number: what an instruction gives where it fails, or how many there are.
    Number(i32),
    /// A trap with these words in it.
    Trap(&'static str),
    /// The deadline.
    Late,
    /// The plugin is not loaded, for a reason with these words in it.
    NotLoaded(&'static str),
}

use Answer::{Denied, Errno, Late, NotLoaded, Number, Trap};

/// A component that makes a TCP socket: 0 where it gets one, 256 and an error where it does not.
const SOCKETS: &str = r#"(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable"
      "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large"
      "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $codes)))
    (type $families (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $families)))))
  (alias export $network "error-code" (type $error))
  (alias export $network "ip-address-family" (type $family))
  (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
  (alias export $tcp "tcp-socket" (type $socket))
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
    (alias outer 1 $error (type $e)) (alias outer 1 $family (type $f)) (alias outer 1 $socket (type $s))
    (export "create-tcp-socket" (func (param "address-family" $f) (result (result (own $s) (error $e)))))))
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (core func $create (canon lower (func $create "create-tcp-socket") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "sockets" "create" (func $create (param i32 i32)))
    (func (export "try") (result i32)
      (call $create (i32.const 0) (i32.const 64))
      (if (i32.eqz (i32.load8_u (i32.const 64))) (then (return (i32.const 0))))
      (i32.add (i32.const 256) (i32.load8_u (i32.const 68)))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "sockets" (instance (export "create" (func $create))))))
  (func (export "try") (result u32) (canon lift (core func $i "try"))))"#;
/// What it answers for access-denied.
const ACCESS_DENIED: u32 = 257;

const WISHES: &[Wish] = &[
    Wish {
        aim: "files",
        what: "opens `../secret` from its directory",
        text: r#"(import "wasi_snapshot_preview1" "path_open"
              (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 100) "../secret")
            (func (export "try") (result i32)
              (call $open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0)
                (i32.const 0) (i32.const 0)))"#,
        answer: Errno(63, "perm"),
    },
    Wish {
        aim: "files",
        what: "opens a link in its directory that ends in a slash and leads to `/`",
        text: r#"(import "wasi_snapshot_preview1" "path_open"
              (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 100) "root/")
            (func (export "try") (result i32)
              (call $open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 5) (i32.const 2) (i64.const 2) (i64.const 0)
                (i32.const 0) (i32.const 0)))"#,
        answer: Errno(63, "perm"),
    },
    Wish {
        aim: "network",
        what: "accepts a connection on its directory (preview 1 makes no socket)",
        text: r#"(import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "try") (result i32) (call $accept (i32.const 3) (i32.const 0) (i32.const 0)))"#,
        answer: Errno(57, "notsock"),
    },
    Wish { aim: "network", what: "makes a TCP socket (preview 2, `create-tcp-socket`)", text: SOCKETS, answer: Denied },
    Wish {
        aim: "processes",
        what: "sends itself SIGKILL (`proc_raise`)",
        text: r#"(import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "try") (result i32) (call $raise (i32.const 9)))"#,
        answer: Errno(58, "notsup"),
    },
    Wish {
        aim: "privilege",
        what: "imports a function of the C library",
        text: r#"(import "env" "setuid" (func $setuid (param i32) (result i32)))
            (func (export "try") (result i32) (call $setuid (i32.const 0)))"#,
        answer: NotLoaded("env::setuid: nobody provides it"),
    },
    Wish {
        aim: "kernel",
        what: "imports a system call",
        text: r#"(import "env" "syscall" (func $syscall (param i32) (result i32)))
            (func (export "try") (result i32) (call $syscall (i32.const 39)))"#,
        answer: NotLoaded("env::syscall: nobody provides it"),
    },
    Wish {
        aim: "memory",
        what: "loads from beyond its memory",
        text: r#"(memory 1) (func (export "try") (result i32) (i32.load (i32.const 0x7fffffff)))"#,
        answer: Trap("out of bounds memory access"),
    },
    Wish {
        aim: "memory",
        what: "fills memory from its last byte on",
        text: r#"(memory 1) (func (export "try") (result i32)
            (memory.fill (i32.const 65535) (i32.const 1) (i32.const 2)) (i32.const 0))"#,
        answer: Trap("out of bounds memory access"),
    },
    Wish {
        aim: "memory",
        what: "calls a function by another type than its own",
        text: r#"(type $other (func (param i64) (result i32))) (table 1 funcref) (elem (i32.const 0) $f)
            (func $f) (func (export "try") (result i32) (call_indirect (type $other) (i64.const 0) (i32.const 0)))"#,
        answer: Trap("indirect call type mismatch"),
    },
    Wish {
        aim: "resources",
        what: "grows its memory to 4 GiB",
        text: r#"(memory 1) (func (export "try") (result i32) (memory.grow (i32.const 65535)))"#,
        answer: Number(-1),
    },
    Wish {
        aim: "resources",
        what: "grows a table to a thousand million elements",
        text: r#"(table 0 funcref) (func (export "try") (result i32) (table.grow (ref.null func) (i32.const 1000000000)))"#,
        answer: Number(-1),
    },
    Wish {
        aim: "resources",
        what: "calls itself for ever",
        text: r#"(func $f (export "try") (result i32) (i32.add (call $f) (i32.const 1)))"#,
        answer: Trap("call stack exhausted"),
    },
    Wish {
        aim: "resources",
        what: "loops for ever",
        text: r#"(func (export "try") (result i32) (loop $again (br $again)) (i32.const 0))"#,
        answer: Late,
    },
    Wish {
        aim: "inherited",
        what: "counts the variables of its environment",
        text: r#"(import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "try") (result i32) (drop (call $sizes (i32.const 0) (i32.const 8))) (i32.load (i32.const 0)))"#,
        answer: Number(0),
    },
    Wish {
        aim: "inherited",
        what: "asks for a directory beside its own (`fd_prestat_get`)",
        text: r#"(import "wasi_snapshot_preview1" "fd_prestat_get" (func $get (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "try") (result i32) (call $get (i32.const 4) (i32.const 0)))"#,
        answer: Errno(8, "badf"),
    },
    Wish {
        aim: "leaks",
        what: "lists `/proc/self` by an absolute name",
        text: r#"(import "wasi_snapshot_preview1" "path_open"
              (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 100) "/proc/self")
            (func (export "try") (result i32)
              (call $open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 10) (i32.const 2) (i64.const 2) (i64.const 0)
                (i32.const 0) (i32.const 0)))"#,
        answer: Errno(63, "perm"),
    },
];

/// The time of a call that is to be late.
const TIME: Duration = Duration::from_millis(500);

/// What a wish comes to, or why its guest is not loaded.
fn outcome(lab: &Lab, wish: &Wish) -> Outcome {
    let mut options = PluginOptions::new(standard());
    let host = lab.scratch.path().join("granted").display().to_string();
    options.dirs = vec![DirGrant { host, guest: "/".to_owned(), writable: true, quota: None }];
    let whole = wish.text.starts_with("(component");
    let guest = assemble(&if whole { wish.text.to_owned() } else { format!("(module {})", wish.text) });
    match lab.broker.load(Source::Bytes(&guest), options) {
        Ok(mut plugin) => plugin.call_within("try", &[], matches!(wish.answer, Late).then_some(TIME)),
        Err(outcome) => outcome,
    }
}

/// The answer in words, where it is the right one.
fn said(outcome: &Outcome, answer: &Answer) -> Option<String> {
    match (outcome, answer) {
        (Outcome::Returned(values), Number(number)) if values.0 == [Value::S32(*number)] => {
            Some(format!("the guest gets {number}, and goes on"))
        }
        (Outcome::Returned(values), Errno(number, name)) if values.0 == [Value::S32(*number)] => {
            Some(format!("WASI's error `{name}`; the guest goes on"))
        }
        (Outcome::Returned(values), Denied) if values.0 == [Value::U32(ACCESS_DENIED)] => {
            Some("WASI's error `access-denied`; the guest goes on".to_owned())
        }
        (Outcome::Trapped(trap), Trap(words)) if trap.message.contains(words) => Some(format!("trap: {words}")),
        (Outcome::TimedOut { .. }, Late) => Some("killed at its deadline".to_owned()),
        (Outcome::Refused(refusal), NotLoaded(words)) if refusal.message.contains(words) => {
            Some(format!("not loaded: {words}"))
        }
        _ => None,
    }
}

#[test]
fn what_a_guest_wishes_without_a_fault_to_use_the_runtime_refuses() {
    let mut lab = Lab::sound();
    std::os::unix::fs::symlink("/", lab.scratch.folder("granted").join("root")).unwrap();
    lab.scratch.file("secret", "secret");
    let mut rows = String::new();
    for (index, wish) in WISHES.iter().enumerate() {
        let Wish { aim, what, answer, .. } = wish;

        let outcome = outcome(&lab, wish);

        let said = said(&outcome, answer).unwrap_or_else(|| panic!("{what}: {outcome:?}"));
        lab.assert_neighbour_goes_on(index as i32 + 1);
        let _ = writeln!(rows, "| {aim} | {what} | {said} |");
    }
    leave("guests.md", &rows);
}
