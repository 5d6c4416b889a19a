//! The program `bulkhead-probe-worker`: locks itself down as a worker does, by the same code, then makes the one attempt that
//! it is asked for.
//!
//! It is started by `bulkhead policy test` and `bulkhead probe` only. It loads no plugin, and has no runtime to load one with.
//! With an argument it is not locked down, and is what the attacks of `bulkhead probe` are compared with ([`unconfined`]).

mod unconfined;

use bulkhead_lockdown::Locked;
use bulkhead_probe::{Came, attacks, calls_unsafe, cpu, files, memory_unsafe, network, processes};
use bulkhead_shared::{
    message::{
        probe::{FromProbe, MAP_ONLY, ToProbe},
        setup::{Load, Role},
    },
    policy::Attempt,
};
use nix::{errno::Errno, sys::signal::Signal};

/// A signal whose default is to be ignored.
const HARMLESS: Signal = Signal::SIGURG;

fn main() {
    // The launcher starts it with no argument but its name.
    if let Some(mode) = std::env::args().nth(1) {
        unconfined::run(&mode);
    }
    let Locked { load, mut link, closing, .. } = bulkhead_lockdown::enter(&[Role::Worker]);
    let ready = match load {
        Load::Probe => {
            calls_unsafe::survive_file_size_limit().map_err(|e| e.to_string()).and_then(|()| closing.apply())
        }
        _ => Err("a probe runs no plugin".to_owned()),
    };
    let (ready, code) = match ready {
        Ok(()) => (FromProbe::Ready { pid: std::process::id().cast_signed() }, 0),
        Err(cause) => (FromProbe::NotReady(cause), 1),
    };
    if link.send(&ready).is_err() || code != 0 {
        std::process::exit(1);
    }
    // A broker that is gone has ended this process, too.
    while let Ok(asked) = link.receive::<ToProbe>() {
        let came = match asked {
            ToProbe::Attempt { attempt, number } => make(attempt, number),
            ToProbe::Attack { name, targets } => match attacks::make(&name, &targets) {
                Some(came) => FromProbe::Came(came.map_err(|errno| errno as i32)),
                None => FromProbe::CannotTry(format!("there is no attack {name}")),
            },
        };
        if link.send(&came).is_err() {
            break;
        }
    }
    std::process::exit(1)
}

fn make(attempt: Attempt, number: i64) -> FromProbe {
    let came: Came = match attempt {
        Attempt::Read(path) => files::read(&path),
        Attempt::Write(path) => files::write(&path),
        Attempt::Create(path) => files::create(&path),
        Attempt::List(path) => files::list(&path),
        Attempt::Execute(path) => match calls_unsafe::execute(&path) {
            Some(came) => came,
            None => {
                let what = "to try this without doing it takes AT_EXECVE_CHECK, Linux 6.14";
                return FromProbe::CannotTry(what.to_owned());
            }
        },
        Attempt::Grow { bytes, folder } => {
            files::grow(&format!("{folder}/.bulkhead-probe-{:x}", number.cast_unsigned()), bytes)
        }
        Attempt::OpenFiles(count) => files::open_many(count),
        Attempt::ConnectTcp(address) => network::connect_tcp(address),
        Attempt::BindTcp(port) => network::bind_tcp(port),
        Attempt::ConnectUnix(name) => network::connect_unix(&name),
        Attempt::Socket(family) => network::make(family),
        // A process that has this very number itself has found nobody else.
        Attempt::SignalBroker | Attempt::SignalWorker if number == i64::from(std::process::id()) => Err(Errno::ESRCH),
        Attempt::SignalBroker | Attempt::SignalWorker => match i32::try_from(number) {
            Ok(pid) if pid > 0 => processes::signal(pid, HARMLESS),
            _ => Err(Errno::ESRCH),
        },
        Attempt::Fork => calls_unsafe::fork(),
        Attempt::Thread => calls_unsafe::thread(),
        Attempt::Allocate(bytes) if number == MAP_ONLY => memory_unsafe::reserve(bytes),
        Attempt::Allocate(bytes) => memory_unsafe::touch(bytes),
        Attempt::Spin(time) => {
            cpu::burn(time);
            Ok(())
        }
        Attempt::ExecutableMemory => memory_unsafe::run_written_code(),
        Attempt::WritableCode => memory_unsafe::map_written_code(),
        Attempt::Ptrace => calls_unsafe::trace_me(),
        Attempt::Mount => processes::change_mount(),
        Attempt::IoUring => calls_unsafe::make_io_uring(),
        Attempt::UserNamespace => processes::user_namespace(),
        Attempt::Syscall { args, .. } => calls_unsafe::reach(number, args),
    };
    FromProbe::Came(came.map_err(|errno| errno as i32))
}
