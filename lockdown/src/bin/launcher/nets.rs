//! Empty net namespaces (network_namespaces(7)): the one that workers share, and some that are made ahead.
//!
//! To make one takes the kernel a third of a millisecond. So a child of the launcher makes some ahead, each for one worker, puts
//! them into a socket, and goes; a fork parent enters one, forks, and leaves. Nobody else has been in it but whoever made it, or ever
//! is. They belong to the launcher's user namespace: a worker has fewer rights over such a one than over one that it brought into
//! being.

use bulkhead_lockdown::{
    fault::{Fault, Step},
    fork_parent::{Forked, MAX_BYTES, PARENT_FD},
    sys_unsafe,
};
use bulkhead_shared::{codec, packet};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        stat::Mode,
    },
};
use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Namespaces that are ready at most: some 230 KiB of kernel memory each.
const READY: usize = 4;
/// Time after a start in which nobody asks for another, before the next ones are made. Until then its worker is mostly at work.
const SETTLE: Duration = Duration::from_millis(3);
/// Time to make one, in milliseconds.
const PATIENCE: u16 = 5000;
/// Name of the maker, as prctl(2) takes it: at most 15 bytes.
const NAME: &CStr = c"bulkhead-nets";

/// The namespaces that are ready.
#[derive(Default)]
pub struct Nets {
    /// The one that workers share: it is made once.
    shared: Option<OwnedFd>,
    queue: Option<Queue>,
    /// When one was taken last, where some are to be replaced.
    lacking: Option<Instant>,
    /// None could be made. Whoever wants one makes it, and learns why not.
    useless: bool,
}

impl Nets {
    /// The one that is shared.
    pub fn shared(&mut self) -> Result<BorrowedFd<'_>, Fault> {
        let made = match self.shared.take() {
            Some(made) => made,
            None => self.queue()?.one()?,
        };
        let made: &OwnedFd = self.shared.insert(made);
        Ok(made.as_fd())
    }

    /// One that nobody has been in, if one is ready; and has it replaced once nobody starts anything.
    pub fn own(&mut self) -> Option<OwnedFd> {
        if self.useless {
            return None;
        }
        self.lacking = Some(Instant::now());
        self.queue().and_then(|queue| queue.take(PollTimeout::ZERO)).unwrap_or_else(|_| self.give_up())
    }

    /// How long until [`Nets::refill`] has something to do.
    pub fn settle(&self) -> PollTimeout {
        let left = |since: Instant| SETTLE.saturating_sub(since.elapsed()).as_millis() + 1;
        self.lacking.map_or(PollTimeout::NONE, |since| left(since).try_into().unwrap_or(PollTimeout::MAX))
    }

    /// Has as many made as are to be ready. Not while a worker is being started: it needs the processor more.
    pub fn refill(&mut self) {
        if self.lacking.is_none_or(|since| since.elapsed() < SETTLE) {
            return;
        }
        self.lacking = None;
        if self.queue().and_then(|queue| queue.fill(READY)).is_err() {
            self.give_up();
        }
    }

    fn give_up(&mut self) -> Option<OwnedFd> {
        (self.useless, self.lacking, self.queue) = (true, None, None);
        None
    }

    fn queue(&mut self) -> Result<&mut Queue, Fault> {
        match &mut self.queue {
            Some(queue) => Ok(queue),
            none => Ok(none.insert(Queue::new()?)),
        }
    }
}

/// Where those wait that are ready: in a socket.
struct Queue {
    out: OwnedFd,
    into: OwnedFd,
    /// Put in, or about to be.
    waiting: usize,
}

impl Queue {
    fn new() -> Result<Queue, Fault> {
        let (out, into) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .step("socketpair for net namespaces")?;
        Ok(Queue { out, into, waiting: 0 })
    }

    /// Has a child make as many as are lacking.
    fn fill(&mut self, most: usize) -> Result<(), Fault> {
        let lacking = most.saturating_sub(self.waiting);
        if lacking > 0 {
            if let (0, _) = sys_unsafe::clone_process(0, None).step("start the maker of net namespaces")? {
                make(&self.into, lacking)
            }
            self.waiting += lacking;
        }
        Ok(())
    }

    /// One, as soon as there is one.
    fn one(&mut self) -> Result<OwnedFd, Fault> {
        self.fill(1)?;
        let step = "make a net namespace";
        self.take(PollTimeout::from(PATIENCE))?.ok_or_else(|| Fault::new(step, "it takes too long"))
    }

    /// One that is there.
    fn take(&mut self, patience: PollTimeout) -> Result<Option<OwnedFd>, Fault> {
        let step = "make a net namespace";
        let mut answer = [PollFd::new(self.out.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut answer, patience) {
                Ok(0) => {
                    // Whoever was to make them may be gone.
                    self.waiting = 0;
                    return Ok(None);
                }
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(Fault::new(step, e)),
            }
        }
        let (said, made) = packet::receive(self.out.as_fd(), MAX_BYTES, 1).step(step)?;
        self.waiting = self.waiting.saturating_sub(1);
        match made.into_iter().next() {
            Some(made) => Ok(Some(made)),
            None => Err(Fault::new(step, String::from_utf8_lossy(&said))
                .with_cure("raise sysctl user.max_net_namespaces, or run a kernel with CONFIG_NET_NS")),
        }
    }
}

/// The maker's life.
fn make(queue: &OwnedFd, count: usize) -> ! {
    let _ = nix::sys::prctl::set_name(NAME);
    // Nothing of the launcher's stays open here: its broker would not see it die.
    let queue = sys_unsafe::inherit_at(queue.as_fd(), PARENT_FD)
        .and_then(|()| nix::unistd::close(super::DESCRIPTOR_SOCKET))
        .and_then(|()| sys_unsafe::close_from(PARENT_FD as u32 + 1))
        .and_then(|()| sys_unsafe::adopt(PARENT_FD));
    let Ok(queue) = queue else { sys_unsafe::exit_now(1) };
    for _ in 0..count {
        let sent = match new() {
            Ok(made) => packet::send(queue.as_fd(), &[0], &[made.as_fd()]),
            Err(errno) => packet::send(queue.as_fd(), errno.desc().as_bytes(), &[]),
        };
        if sent.is_err() {
            sys_unsafe::exit_now(1)
        }
    }
    sys_unsafe::exit_now(0)
}

/// Moves to a new one.
fn new() -> Result<OwnedFd, Errno> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    open("/proc/self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// clone3(2) from within this net namespace. The launcher cannot enter it and come back where it has no rights over the host's, so
/// a process in between does, and goes. Returns pid 0 in the new process, which is the launcher's child.
pub fn clone_within(
    net: BorrowedFd<'_>,
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<(libc::pid_t, Option<OwnedFd>), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    if let (0, _) = sys_unsafe::clone_process(0, None)? {
        drop(ours);
        let cloned = setns(net, CloneFlags::CLONE_NEWNET).and_then(|()| sys_unsafe::clone_sibling(flags, cgroup));
        let (forked, pidfd) = match cloned {
            Ok((0, _)) => return Ok((0, None)),
            Ok((pid, pidfd)) => (Forked::Child { pid }, pidfd),
            Err(errno) => (Forked::Failed { errno: errno as i32 }, None),
        };
        let pidfds: Vec<_> = pidfd.iter().map(AsFd::as_fd).collect();
        let _ = codec::encode(&forked).map(|bytes| packet::send(theirs.as_fd(), &bytes, &pidfds));
        sys_unsafe::exit_now(0)
    }
    drop(theirs);
    let lost = Errno::ECHILD;
    let (bytes, pidfds) = packet::receive(ours.as_fd(), MAX_BYTES, 1).map_err(|_| lost)?;
    match (codec::decode(&bytes).map_err(|_| lost)?, pidfds.into_iter().next()) {
        (Forked::Child { pid }, Some(pidfd)) => Ok((pid, Some(pidfd))),
        (Forked::Failed { errno }, _) => Err(Errno::from_raw(errno)),
        (Forked::Child { .. }, None) => Err(lost),
    }
}
