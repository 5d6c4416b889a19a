//! More than its share: memory, processors, processes, descriptors, disk; and the limits themselves.

use super::{
    Attack, attack, code_unsafe,
    sys_unsafe::{at, descriptor, fd, into, number, pipe, sys, sys_fork, text, writable, zeros},
};
use crate::{Came, calls_unsafe, cpu, files, memory_unsafe};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::{signal::Signal, stat::Mode},
};
use std::time::Duration;

/// More memory than this is not touched, whatever the limit: it would be the host's.
const MOST_TOUCHED: u64 = 1 << 30;
/// Processes of a bomb.
const BOMB: usize = 8;
/// Longer than the battery lets an attack run.
const LONG: Duration = Duration::from_secs(5);

/// Sets a limit of its own to the most there is, in soft and hard.
fn raise(resource: u32) -> Came {
    let mut now = zeros::<2>();
    sys(libc::SYS_prlimit64, [0, resource.into(), 0, into(&mut now)])?;
    // One more than the hard limit; where that has no end, it has none.
    let wanted = now[1].saturating_add(1);
    sys(libc::SYS_prlimit64, [0, resource.into(), at(&[wanted, wanted]), 0])
}

/// Descriptors of one kind, more than policy allows altogether; they go with the process.
fn many(count: u64, make: impl Fn() -> nix::Result<std::os::fd::OwnedFd>) -> Came {
    let held = (0..count).map(|_| make()).collect::<Result<Vec<_>, _>>()?;
    drop(held);
    Ok(())
}

pub const ATTACKS: &[Attack] = &[
    attack("memory", "uses more memory than policy allows, page by page", |t| {
        let bytes = t.memory + t.memory / 2;
        match bytes <= MOST_TOUCHED {
            true => memory_unsafe::touch(bytes),
            false => Err(Errno::EOVERFLOW),
        }
    })
    .costly(),
    attack("memory-reserved", "maps twice the memory that policy allows, and uses none", |t| {
        memory_unsafe::reserve(t.memory * 2)
    }),
    attack("memory-in-file", "puts more memory than policy allows into a file in memory", |t| {
        let file = descriptor(libc::SYS_memfd_create, [text("much").at(), 0])?;
        let bytes = t.memory + t.memory / 2;
        if bytes > MOST_TOUCHED {
            return Err(Errno::EOVERFLOW);
        }
        sys(libc::SYS_ftruncate, [fd(&file), bytes])?;
        let both = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let at = number(libc::SYS_mmap, [0, bytes, both, libc::MAP_SHARED as u64, fd(&file), 0])?;
        code_unsafe::touch(at, bytes);
        Ok(())
    })
    .costly(),
    attack("memory-locked", "locks a page into memory", |_| memory_unsafe::lock()),
    attack("memory-all-locked", "locks all that it will have into memory", |_| sys(libc::SYS_mlockall, [2])),
    attack("memory-shared", "makes shared memory that outlives it, and removes it", |_| {
        let segment = number(libc::SYS_shmget, [0, 4096, 0o600])?;
        sys(libc::SYS_shmctl, [segment, libc::IPC_RMID as u64, 0])
    }),
    attack("semaphores", "makes semaphores that outlive it, and removes them", |_| {
        let set = number(libc::SYS_semget, [0, 1, 0o600])?;
        sys(libc::SYS_semctl, [set, 0, libc::IPC_RMID as u64])
    }),
    attack("message-queue", "makes a queue that outlives it, and removes it", |_| {
        let queue = number(libc::SYS_msgget, [0, 0o600])?;
        sys(libc::SYS_msgctl, [queue, libc::IPC_RMID as u64, 0])
    }),
    attack("named-queue", "makes a queue with a name, and removes it", |_| {
        let name = text(&format!("bulkhead-probe-{}", std::process::id()));
        // struct mq_attr: no flags, one message of one byte.
        let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_RDWR) as u64;
        descriptor(libc::SYS_mq_open, [name.at(), flags, 0o600, at(&[0u64, 1, 1, 0, 0, 0, 0, 0])])?;
        sys(libc::SYS_mq_unlink, [name.at()])
    }),
    attack("descriptors", "holds more files open than policy allows", |t| files::open_many(t.open_files + 1)),
    attack("descriptors-events", "holds more eventfds than policy allows files", |t| {
        many(t.open_files + 1, || descriptor(libc::SYS_eventfd2, [0, 0]))
    }),
    attack("descriptors-epoll", "holds more epoll instances than policy allows files", |t| {
        many(t.open_files + 1, || descriptor(libc::SYS_epoll_create1, [0]))
    }),
    attack("pipe-size", "makes a pipe that holds a mebibyte of the kernel's memory", |_| {
        let [_from, to] = pipe()?;
        sys(libc::SYS_fcntl, [fd(&to), libc::F_SETPIPE_SZ as u64, 1 << 20])
    }),
    attack("file-size", "makes a file larger than policy allows, of one byte", |t| {
        calls_unsafe::survive_file_size_limit()?;
        files::grow(&format!("{}/large", t.folder), t.file_size + 1)
    }),
    attack("file-size-in-memory", "makes a file in memory that is larger than policy allows", |t| {
        calls_unsafe::survive_file_size_limit()?;
        let file = descriptor(libc::SYS_memfd_create, [text("large").at(), 0])?;
        sys(libc::SYS_ftruncate, [fd(&file), t.file_size + 1])
    }),
    attack("file-reserved", "reserves room on the disk", |t| {
        let path = format!("{}/writable", t.folder);
        let file = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        // KEEP_SIZE, and at once given back (PUNCH_HOLE).
        sys(libc::SYS_fallocate, [fd(&file), 1, 0, 4096])?;
        sys(libc::SYS_fallocate, [fd(&file), 3, 0, 4096])
    }),
    attack("file-lock", "locks a file of the host's", |t| {
        let path = format!("{}/secret", t.folder);
        let file = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        sys(libc::SYS_flock, [fd(&file), (libc::LOCK_EX | libc::LOCK_NB) as u64])
    }),
    attack("processor", "uses the processor for longer than it may", |_| {
        cpu::burn(LONG);
        Ok(())
    })
    .costly(),
    attack("sleep", "sleeps for longer than it may", |_| {
        let until = [LONG.as_secs(), 0];
        match sys(libc::SYS_nanosleep, [at(&until), 0]) {
            Err(Errno::EINTR) => Ok(()),
            came => came,
        }
    })
    .costly(),
    attack("processes", "makes some processes at once, which end at once", |_| {
        (0..BOMB).try_for_each(|_| sys_fork(libc::SYS_clone, [0; 5]))
    }),
    attack("threads", "makes some threads at once, which end at once", |_| {
        (0..BOMB).try_for_each(|_| calls_unsafe::thread())
    }),
    attack("priority", "takes precedence over everybody (nice -20)", |_| {
        sys(libc::SYS_setpriority, [0, 0, -20i64 as u64])
    }),
    attack("real-time", "is scheduled before everybody (SCHED_FIFO)", |_| {
        sys(libc::SYS_sched_setscheduler, [0, libc::SCHED_FIFO as u64, at(&1u64)])
    }),
    attack("deadline", "reserves processor time (SCHED_DEADLINE)", |_| {
        // struct sched_attr: size and policy, flags, nice and priority, runtime, deadline, period.
        let attributes = [48u64 | 6 << 32, 0, 0, 1_000_000, 10_000_000, 10_000_000];
        sys(libc::SYS_sched_setattr, [0, at(&attributes), 0])
    }),
    attack("disk-priority", "has its disk requests served first", |_| sys(libc::SYS_ioprio_set, [1, 0, 1 << 13])),
    attack("raise-open-files", "raises its limit of open files", |_| raise(libc::RLIMIT_NOFILE)),
    attack("raise-processes", "raises its limit of processes", |_| raise(libc::RLIMIT_NPROC)),
    attack("raise-data", "raises its limit of memory", |_| raise(libc::RLIMIT_DATA)),
    attack("raise-file-size", "raises its limit of file sizes", |_| raise(libc::RLIMIT_FSIZE)),
    attack("raise-core", "raises its limit of core files", |_| raise(libc::RLIMIT_CORE)),
    attack("raise-locked", "raises its limit of locked memory", |_| raise(libc::RLIMIT_MEMLOCK)),
    attack("raise-of-other", "changes a limit of the target's to what it is", |t| {
        if std::process::id().cast_signed() == t.pid {
            return Err(Errno::ESRCH);
        }
        let (target, resource) = (t.pid as u64, u64::from(libc::RLIMIT_CORE));
        let mut now = zeros::<2>();
        sys(libc::SYS_prlimit64, [target, resource, 0, into(&mut now)])?;
        sys(libc::SYS_prlimit64, [target, resource, at(&now), 0])
    }),
    attack("timers", "makes a timer in the kernel", |_| sys(libc::SYS_timer_create, [1, 0, into(&mut zeros::<1>())])),
    attack("queued-signals", "queues a signal with a value for itself", |_| {
        let signal = Signal::SIGURG as u64;
        sys(libc::SYS_rt_sigprocmask, [0, at(&[1u64 << (signal - 1)]), 0, 8])?;
        let mut info = [0i32; 32];
        info[..3].copy_from_slice(&[Signal::SIGURG as i32, 0, -1]);
        sys(libc::SYS_rt_sigqueueinfo, [std::process::id().into(), signal, at(&info)])
    }),
    attack("cgroup-leave", "opens the list of processes of the root cgroup for writing", |_| {
        ["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs"]
            .into_iter()
            .map(writable)
            .find(Result::is_ok)
            .unwrap_or(Err(Errno::ENOENT))
    }),
    attack("cgroup-leave-by-clone", "makes a process in another cgroup, of no descriptor", |_| {
        // struct clone_args: flags first, the cgroup last.
        let mut arguments = zeros::<11>();
        (arguments[0], arguments[10]) = (0x2_0000_0000, 9999);
        sys_fork(libc::SYS_clone3, [at(&arguments), 88])
    })
    .reaching(&[Errno::EBADF]),
    attack("survive-memory-shortage", "has others killed before it when the host's memory is used up", |_| {
        writable("/proc/self/oom_score_adj")
    }),
    attack("processors", "asks for other processors to run on", |_| {
        sys(libc::SYS_sched_setaffinity, [0, 128, at(&[u64::MAX; 16])])
    }),
    attack("core-size", "has a core file written when it dies (RLIMIT_CORE)", |_| {
        let wanted = [4096u64, 4096];
        sys(libc::SYS_prlimit64, [0, libc::RLIMIT_CORE.into(), at(&wanted), 0])
    }),
];
