//! The launcher's fork parents: one for each program, started when a worker is first to be forked.

use bulkhead_lockdown::{
    child::LIFTED,
    fault::{Fault, Step},
    fork_parent::{Forked, MAX_BYTES, Order, PARENT_FD},
    sys_unsafe,
};
use bulkhead_shared::{codec, packet};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        stat::fstat,
    },
    unistd::Pid,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A parent is replaced after so many children, and so is what they have in common.
const MOST_CHILDREN: u32 = 1000;
/// Time for a parent to fork, in milliseconds.
const PATIENCE: u16 = 5000;

/// Device and inode of a program.
type Identity = (u64, u64);

/// The net namespace that a parent lives in, and its children are born in.
#[derive(Clone, Copy)]
pub enum Home<'a> {
    /// The host's.
    Host,
    /// The empty one that workers share.
    Empty(BorrowedFd<'a>),
}

/// The parents that there are: by program, and whether they live in the host's net namespace.
#[derive(Default)]
pub struct Parents(HashMap<(Identity, bool), Parent>);

struct Parent {
    /// Until it is reaped.
    pid: Option<Pid>,
    socket: OwnedFd,
    children: u32,
}

/// Why no parent forked.
pub enum Failure {
    /// clone3(2) said no: another try, in another way, would find the same.
    Clone(Errno),
    /// There is no parent, or none that answers.
    NoParent,
}

impl Parents {
    /// Has the parent of this program fork. With `fresh` it is a new parent.
    pub fn fork(
        &mut self,
        program: &OwnedFd,
        name: &str,
        fresh: bool,
        home: Home<'_>,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(libc::pid_t, OwnedFd), Failure> {
        let stat = fstat(program).map_err(|_| Failure::NoParent)?;
        if fresh {
            // What was suspected is not known by where it lives.
            self.0.retain(|((device, inode), _), _| (*device, *inode) != (stat.st_dev, stat.st_ino));
        }
        let identity = ((stat.st_dev, stat.st_ino), matches!(home, Home::Host));
        if self.0.get(&identity).is_some_and(|parent| parent.children >= MOST_CHILDREN) {
            // Dropping its socket ends it.
            self.0.remove(&identity);
        }
        let parent = match self.0.entry(identity) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => free.insert(Parent::start(program, name, home).map_err(|_| Failure::NoParent)?),
        };
        match parent.fork(order, descriptors) {
            Ok(forked) => forked.map_err(Failure::Clone),
            Err(_) => {
                self.0.remove(&identity);
                Err(Failure::NoParent)
            }
        }
    }

    /// A child of the launcher has ended and is reaped: where it was a parent, the next worker gets a new one.
    pub fn ended(&mut self, pid: Pid) {
        self.0.retain(|_, parent| {
            let living = parent.pid != Some(pid);
            // The number may be another's from here on.
            parent.pid = parent.pid.filter(|_| living);
            living
        });
    }
}

impl Parent {
    /// Executes the program with nothing but a socket.
    fn start(program: &OwnedFd, name: &str, home: Home<'_>) -> Result<Parent, Fault> {
        let step = "start a fork parent";
        let name = CString::new(name).step(step)?;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).step(step)?;
        let (failed_read, failed_write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step(step)?;
        let (pid, _) = sys_unsafe::clone_process(0, None).step(step)?;
        if pid == 0 {
            let fault = become_parent(program, &name, theirs, home);
            let _ = nix::unistd::write(&failed_write, fault.to_string().as_bytes());
            sys_unsafe::exit_now(1)
        }
        drop((theirs, failed_write));
        let said = super::start::read_all(failed_read)?;
        let parent = Parent { pid: Some(Pid::from_raw(pid)), socket: ours, children: 0 };
        match said.is_empty() {
            true => Ok(parent),
            false => Err(Fault::new(step, said)),
        }
    }

    fn fork(
        &mut self,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Result<(libc::pid_t, OwnedFd), Errno>, Fault> {
        let step = "ask the fork parent";
        self.children += 1;
        packet::send(self.socket.as_fd(), &codec::encode(&order).step(step)?, descriptors).step(step)?;
        let mut answer = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut answer, PollTimeout::from(PATIENCE)) {
                Ok(0) => return Err(Fault::new(step, "it does not answer")),
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(Fault::new(step, e)),
            }
        }
        let (bytes, pidfds) = packet::receive(self.socket.as_fd(), MAX_BYTES, 1).step(step)?;
        match (codec::decode(&bytes).step(step)?, pidfds.into_iter().next()) {
            (Forked::Child { pid }, Some(pidfd)) => Ok(Ok((pid, pidfd))),
            (Forked::Failed { errno }, None) => Ok(Err(Errno::from_raw(errno))),
            (other, _) => Err(Fault::new(step, format!("unexpected {other:?}"))),
        }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // Our child, and not reaped: the number is still its own.
        if let Some(pid) = self.pid {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The new process: its socket, nothing else, and the program. Returns what went wrong.
fn become_parent(program: &OwnedFd, name: &CStr, socket: OwnedFd, home: Home<'_>) -> Fault {
    let placed = || -> Result<OwnedFd, Fault> {
        if let Home::Empty(net) = home {
            setns(net, CloneFlags::CLONE_NEWNET).step("setns to the empty net namespace")?;
        }
        let step = "place descriptors";
        let program = sys_unsafe::lift(program.try_clone().step(step)?, LIFTED).step(step)?;
        let socket = sys_unsafe::lift(socket, LIFTED).step(step)?;
        sys_unsafe::inherit_at(socket.as_fd(), PARENT_FD).step(step)?;
        // The launcher's own are here, and are not for a process that hands down what it has.
        nix::unistd::close(super::DESCRIPTOR_SOCKET).step(step)?;
        Ok(program)
    };
    let empty: [&CStr; 0] = [];
    match placed() {
        Err(fault) => fault,
        Ok(program) => match nix::unistd::execveat(&program, c"", &[name], &empty, AtFlags::AT_EMPTY_PATH) {
            Ok(never) => match never {},
            Err(e) => Fault::new("execveat of the program", e),
        },
    }
}
