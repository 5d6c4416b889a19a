//! `bulkhead-launcher`: starts and reaps the workers of one broker.
//!
//! Started by the broker with descriptor 3, a socket for descriptors, and 4, a pidfd of the broker; the one argument names
//! a directory of the broker's, in which it listens for it (an ipc-channel one-shot server, which takes TMPDIR). It is single-threaded, sees no untrusted byte, and is init of a pid namespace of
//! its own: when it dies, for whatever reason, the kernel kills every process below it.

mod clocks;
mod grants;
mod ids;
mod nets;
mod parents;
mod quota;
mod serve;
mod start;

use bulkhead_lockdown::{
    fault::{Fault, Step},
    sys_unsafe,
};
use bulkhead_shared::{
    VERSION, codec,
    message::launcher::{Event, LISTENS},
    packet,
};
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigSet, Signal},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::ExitCode,
};

/// The socket for descriptors.
const DESCRIPTOR_SOCKET: i32 = 3;
/// A pidfd of the broker.
const BROKER_PIDFD: i32 = 4;

/// What connects the launcher to its broker.
struct Broker {
    requests: IpcBytesReceiver,
    events: IpcBytesSender,
    descriptors: OwnedFd,
    alive: OwnedFd,
}

impl Broker {
    /// Tells the broker something, with the descriptor where there is one.
    fn tell(&self, event: &Event, descriptor: Option<&OwnedFd>) -> Result<(), Fault> {
        let step = "tell the broker";
        if let Some(descriptor) = descriptor {
            packet::send(self.descriptors.as_fd(), &0u64.to_ne_bytes(), &[descriptor.as_fd()]).step(step)?;
        }
        self.events.send(&codec::encode(event).step(step)?).step(step)
    }
}

fn main() -> ExitCode {
    bulkhead_lockdown::version::answer(env!("CARGO_BIN_NAME"));
    let Some(place) = std::env::args_os().nth(1) else {
        eprintln!("bulkhead-launcher {VERSION}: started by bulkhead's broker, and does nothing on its own.");
        return ExitCode::from(2);
    };
    let Ok(descriptors) = sys_unsafe::adopt(DESCRIPTOR_SOCKET) else { return ExitCode::from(2) };
    match run(Path::new(&place), &descriptors) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Where the broker has not heard of us yet, this is how it learns why it never will.
            let _ = packet::send(descriptors.as_fd(), fault.to_string().as_bytes(), &[]);
            ExitCode::FAILURE
        }
    }
}

fn run(place: &Path, descriptors: &OwnedFd) -> Result<(), Fault> {
    // The broker's signals, handlers and masks are not ours. SIGCHLD is read from a descriptor.
    sys_unsafe::default_signals().step("default signals")?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().step("block SIGCHLD")?;
    // Groups of the broker's user would follow a worker into its user namespace. Without privilege they cannot be dropped.
    let rootless = !ids::is_privileged()?;
    if !rootless {
        nix::unistd::setgroups(&[]).step("setgroups")?;
    }

    // Connected before any namespace is made: the server's name is a path of the host.
    let connected = connect(place, descriptors);
    // The broker removes it as well; but it may be gone.
    let _ = std::fs::remove_dir(place);
    let broker = connected?;

    // A pid namespace of our own; without privilege also the user namespace that owns it, and the mount namespace in which
    // directories are picked up. clone and not unshare: the init of the namespace is to be this program.
    let mut flags = libc::CLONE_NEWPID as u64;
    if rootless {
        flags |= (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
    }
    let (go, ready) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).step("pipe")?;
    match sys_unsafe::clone_process(flags, None) {
        Ok((0, _)) => {
            drop(ready);
            // End of file, or the byte: our ids are mapped.
            let _ = nix::unistd::read(&go, &mut [0; 1]);
            drop(go);
            serve::serve(&broker, rootless)
        }
        Ok((_, Some(pidfd))) => {
            if rootless {
                ids::map_self(pidfd.as_fd())?;
            }
            drop(ready);
            // Our last word. From here on the broker watches the new process by its pidfd.
            broker.tell(&Event::Up { version: VERSION.to_owned(), rootless }, Some(&pidfd))
        }
        Ok((_, None)) => Err(Fault::new("clone3", "gave no pidfd")),
        Err(errno) => {
            let fault = start::namespace_fault(errno, rootless);
            let failure = fault.clone().into_failure(Some(bulkhead_shared::layer::Layer::NamespacePid));
            broker.tell(&Event::Failed { failure }, None)?;
            Err(fault)
        }
    }
}

/// Listens for the broker, and has the two byte channels from it. Where the broker goes first, nothing is left of where we listened.
fn connect(place: &Path, descriptors: &OwnedFd) -> Result<Broker, Fault> {
    let step = "listen for the broker";
    // ipc-channel panics where it cannot make its own: a full disk is to be told in words.
    let trial = place.join("trial");
    std::fs::create_dir(&trial).and_then(|()| std::fs::remove_dir(&trial)).step("make a directory for a socket")?;
    let descriptors = descriptors.try_clone().step(step)?;
    let alive = sys_unsafe::adopt(BROKER_PIDFD).step(step)?;
    let (server, name) = IpcOneShotServer::<(IpcBytesReceiver, IpcBytesSender)>::new().step(step)?;
    packet::send(descriptors.as_fd(), &[LISTENS, name.as_bytes()].concat(), &[]).step(step)?;
    // To accept would be to wait for ever for a broker that has died; it says when it has connected.
    let mut polled =
        [PollFd::new(descriptors.as_fd(), PollFlags::POLLIN), PollFd::new(alive.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE).is_err_and(|errno| errno == Errno::EINTR) {}
    if polled[1].any().unwrap_or(true) {
        return Err(Fault::new(step, "it is gone"));
    }
    packet::receive(descriptors.as_fd(), 1, 0).step(step)?;
    let (_, (requests, events)) = server.accept().step(step)?;
    Ok(Broker { requests, events, descriptors, alive })
}
