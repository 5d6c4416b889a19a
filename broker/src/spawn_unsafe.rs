//! Starting the launcher so that the embedding program never notices.
//!
//! An embedder may wait for any child (waitpid(-1)) and count SIGCHLD. The launcher is therefore no child of ours: it is
//! started through an intermediate process that raises no signal when it ends (clone(2) with exit signal 0, which waitpid(-1)
//! does not see) and is gone before this function returns. Both run on stacks of their own in our memory while this thread
//! waits (CLONE_VM | CLONE_VFORK), as posix_spawn(3) does: nothing is forked, no page table is copied.

use nix::errno::Errno;
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    ptr,
};

/// The launcher's descriptors: /dev/null at 0, 1 and 2, then these two at 3 and 4.
pub struct Descriptors<'a> {
    /// Open for reading and writing.
    pub null: BorrowedFd<'a>,
    /// At 3.
    pub socket: BorrowedFd<'a>,
    /// At 4.
    pub broker: BorrowedFd<'a>,
}

/// What the two processes read and write. Lives on the stack of the caller, who waits for both.
struct Plan {
    program: RawFd,
    null: RawFd,
    socket: RawFd,
    broker: RawFd,
    argv: *const *const c_char,
    envp: *const *const c_char,
    stack: *mut c_void,
    errno: c_int,
}

const STACK: usize = 64 * 1024;
/// Where the descriptors stand before each is put at its number.
const LIFTED: c_int = 64;

/// Executes `program` with these arguments, this environment and these descriptors, and no others.
pub fn spawn_detached(
    program: BorrowedFd<'_>,
    args: &[&CStr],
    environment: &[&CStr],
    with: &Descriptors<'_>,
) -> Result<(), Errno> {
    let pointers = |strings: &[&CStr]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(environment));
    // u128 for the alignment that the ABI wants of a stack.
    let mut outer = vec![0u128; STACK / size_of::<u128>()];
    let mut inner = vec![0u128; STACK / size_of::<u128>()];
    let mut plan = Plan {
        program: program.as_raw_fd(),
        null: with.null.as_raw_fd(),
        socket: with.socket.as_raw_fd(),
        broker: with.broker.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        stack: inner.as_mut_ptr_range().end.cast(),
        errno: 0,
    };

    // SAFETY: sigset_t is plain data; the calls write only to `all` and `before`. With every signal blocked no handler of the
    // embedder runs in the new processes, which share our memory until execve.
    let before = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    };
    // SAFETY: `intermediate` runs on `outer`, which nothing else uses; CLONE_VFORK keeps this thread suspended until it has
    // ended, so `plan`, both stacks and everything that `plan` points to outlive it. It uses no allocator and takes no lock.
    let pid = unsafe {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK;
        let top = outer.as_mut_ptr_range().end.cast();
        libc::clone(intermediate, top, flags, (&raw mut plan).cast())
    };
    let cloned = Errno::result(pid);
    // SAFETY: restores the mask that was read above; reaps a child that has already ended. ECHILD is possible where the embedder
    // waits for clone children too, and means the same.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        if cloned.is_ok() {
            while libc::waitpid(pid, ptr::null_mut(), libc::__WALL) == -1 && Errno::last() == Errno::EINTR {}
        }
    }
    cloned?;
    match plan.errno {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// Starts the launcher as its own child and ends, which makes the launcher an orphan.
extern "C" fn intermediate(plan: *mut c_void) -> c_int {
    let plan = plan.cast::<Plan>();
    // SAFETY: `plan` is the caller's, who is suspended: nobody else touches it. The stack is its own; CLONE_VFORK suspends this
    // process until the launcher has called execve or ended.
    unsafe {
        let pid = libc::clone(launcher, (*plan).stack, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, plan.cast());
        if pid == -1 {
            (*plan).errno = Errno::last_raw();
        }
    }
    0
}

/// Puts the descriptors at their numbers, closes all others, and turns into the program.
extern "C" fn launcher(plan: *mut c_void) -> c_int {
    let plan = plan.cast::<Plan>();
    // SAFETY: `plan` is the caller's, suspended two processes up. The descriptor table is this process's own copy (no
    // CLONE_FILES). Only system calls: no allocator, no lock.
    unsafe {
        let lift = |fd: RawFd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, LIFTED);
        let lifted = [lift((*plan).null), lift((*plan).socket), lift((*plan).broker), lift((*plan).program)];
        let [null, socket, broker, program] = lifted;
        let ok = lifted.iter().all(|fd| *fd >= 0)
            && [(null, 0), (null, 1), (null, 2), (socket, 3), (broker, 4)]
                .iter()
                .all(|(fd, at)| libc::dup2(*fd, *at) == *at)
            && libc::dup3(program, 5, libc::O_CLOEXEC) == 5
            && libc::syscall(libc::SYS_close_range, 6, libc::c_uint::MAX, 0) == 0;
        if ok {
            libc::syscall(libc::SYS_execveat, 5, c"".as_ptr(), (*plan).argv, (*plan).envp, libc::AT_EMPTY_PATH);
        }
        (*plan).errno = Errno::last_raw();
        libc::_exit(127)
    }
}
