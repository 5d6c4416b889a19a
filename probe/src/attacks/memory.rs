//! Memory that can be executed, in every way that there is to it.

use super::{
    Attack, attack,
    code_unsafe::{CODE, PAGE, map, own_code, own_code_says, run, write_code},
    sys_unsafe::{NO_FD, PLAIN, at, descriptor, fd, number, sys, text},
};
use crate::{Came, memory_unsafe};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

const R: i32 = libc::PROT_READ;
const W: i32 = libc::PROT_WRITE;
const X: i32 = libc::PROT_EXEC;
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// A page with code in it, that can be written.
fn written() -> nix::Result<u64> {
    let page = map(R | W, ANONYMOUS, NO_FD)?;
    write_code(page);
    Ok(page)
}

fn protect(page: u64, protection: i32) -> Came {
    sys(libc::SYS_mprotect, [page, PAGE, protection as u64])
}

/// A file in memory with code in it.
fn file(flags: u32) -> nix::Result<std::os::fd::OwnedFd> {
    let file = descriptor(libc::SYS_memfd_create, [text("code").at(), flags.into()])?;
    sys(libc::SYS_write, [fd(&file), at(CODE), CODE.len() as u64])?;
    sys(libc::SYS_ftruncate, [fd(&file), PAGE])?;
    Ok(file)
}

pub const ATTACKS: &[Attack] = &[
    attack("write-then-execute", "writes code, makes it executable, runs it", |_| memory_unsafe::run_written_code()),
    attack("write-and-execute", "maps memory that is both, and runs code there", |_| memory_unsafe::map_written_code()),
    attack("map-executable", "maps a page that can be executed", |_| map(R | X, ANONYMOUS, NO_FD).map(drop)),
    attack("map-execute-only", "maps a page that can be executed and not read", |_| map(X, ANONYMOUS, NO_FD).map(drop)),
    attack("map-shared-executable", "maps a shared page that can be executed", |_| {
        map(R | X, libc::MAP_SHARED | libc::MAP_ANONYMOUS, NO_FD).map(drop)
    }),
    attack("protect-all", "makes a page readable, writable and executable", |_| {
        let page = written()?;
        protect(page, R | W | X)?;
        run(page)
    }),
    attack("protect-execute-only", "makes a page executable only", |_| protect(written()?, X)),
    attack("protect-high-bits", "makes a page executable, with bits set that the kernel may cut off", |_| {
        let page = written()?;
        sys(libc::SYS_mprotect, [page, PAGE, (R | X) as u64 | 1 << 32])?;
        run(page)
    }),
    attack("protect-in-steps", "makes a page unreadable first, then executable", |_| {
        let page = written()?;
        protect(page, 0)?;
        protect(page, R | X)?;
        run(page)
    }),
    attack("protect-growing", "makes a page executable down to the begin of its mapping (PROT_GROWSDOWN)", |_| {
        let page =
            number(libc::SYS_mmap, [0, PAGE, (R | W) as u64, (ANONYMOUS | libc::MAP_GROWSDOWN) as u64, NO_FD, 0])?;
        write_code(page);
        protect(page, R | X | libc::PROT_GROWSDOWN)?;
        run(page)
    }),
    attack("protection-key", "makes a page executable by pkey_mprotect", |_| {
        let page = written()?;
        sys(libc::SYS_pkey_mprotect, [page, PAGE, (R | X) as u64, NO_FD])?;
        run(page)
    }),
    attack("protection-key-alloc", "takes a protection key", |_| sys(libc::SYS_pkey_alloc, [0, 0])),
    attack("protection-key-free", "gives one back that it does not have", |_| sys(libc::SYS_pkey_free, [15]))
        .reaching(&[Errno::EINVAL]),
    attack("change-own-code", "makes its own code writable, changes it, and runs it", |_| {
        let page = own_code() & !(PAGE - 1);
        // Both pages: a function may lie across a border.
        sys(libc::SYS_mprotect, [page, 2 * PAGE, (R | W | X) as u64])?;
        write_code(own_code());
        if own_code_says() == 42 { Ok(()) } else { Err(Errno::ENOEXEC) }
    }),
    attack("memory-file", "writes code to a file in memory, and maps it executable", |_| {
        run(map(R | X, libc::MAP_SHARED, fd(&file(0)?))?)
    }),
    attack("memory-file-private", "the same, as a private copy", |_| {
        run(map(R | X, libc::MAP_PRIVATE, fd(&file(0)?))?)
    }),
    attack("memory-file-twice", "maps one file in memory twice: to write, and to execute", |_| {
        let file = file(0)?;
        let (write, execute) = (map(R | W, libc::MAP_SHARED, fd(&file))?, map(R | X, libc::MAP_SHARED, fd(&file))?);
        write_code(write);
        run(execute)
    }),
    attack("memory-file-executable", "makes a file in memory that may be executed (MFD_EXEC)", |_| {
        file(0x10).map(drop)
    }),
    attack("memory-file-run", "executes a file in memory that is no program", |_| {
        let file = file(0)?;
        let (empty, none) = (text(""), [0u64]);
        let flags = libc::AT_EMPTY_PATH as u64;
        sys(libc::SYS_execveat, [fd(&file), empty.at(), at(&none), at(&none), flags])
    })
    .reaching(&[Errno::ENOEXEC]),
    attack("memory-secret", "makes memory that not even the kernel sees (memfd_secret)", |_| {
        descriptor(libc::SYS_memfd_secret, [0]).map(drop)
    }),
    attack("shared-segment-executable", "attaches shared memory that can be executed (SHM_EXEC)", |_| {
        let segment = number(libc::SYS_shmget, [0, PAGE, 0o600])?;
        let came = sys(libc::SYS_shmat, [segment, 0, libc::SHM_EXEC as u64]);
        sys(libc::SYS_shmctl, [segment, libc::IPC_RMID as u64, 0])?;
        came
    }),
    attack("own-program-executable", "maps its own program's file executable once more", |_| {
        let file = open("/proc/self/exe", OFlag::O_RDONLY | PLAIN, Mode::empty())?;
        map(R | X, libc::MAP_PRIVATE, fd(&file)).map(drop)
    }),
    attack("library-executable", "maps a library of the host's executable", |_| {
        let file = open("/etc/passwd", OFlag::O_RDONLY | PLAIN, Mode::empty())?;
        map(R | X, libc::MAP_PRIVATE, fd(&file)).map(drop)
    }),
    attack("read-implies-execute", "has readable memory made executable (personality), and runs code", |_| {
        sys(libc::SYS_personality, [libc::READ_IMPLIES_EXEC as u64])?;
        run(written()?)
    }),
    attack("page-zero", "maps the page at address 0, where the kernel's null pointers lead", |_| {
        let fixed = (ANONYMOUS | libc::MAP_FIXED) as u64;
        sys(libc::SYS_mmap, [0, PAGE, (R | W) as u64, fixed, NO_FD, 0])
    }),
    attack("huge-pages", "maps memory in huge pages of the host's pool", |_| {
        map(R | W, ANONYMOUS | libc::MAP_HUGETLB, NO_FD).map(drop)
    })
    .reaching(&[Errno::ENOMEM, Errno::EINVAL]),
    attack("shadow-stack", "makes a shadow stack, which returns are checked against", |_| {
        const MAP_SHADOW_STACK: libc::c_long = 453;
        sys(MAP_SHADOW_STACK, [0, PAGE, 0])
    }),
    attack("share-memory", "maps memory that is shared with what it makes", |_| {
        map(R | W, libc::MAP_SHARED | libc::MAP_ANONYMOUS, NO_FD).map(drop)
    }),
    attack("advise-merge", "has its memory merged with equal pages of others (MADV_MERGEABLE)", |_| {
        sys(libc::SYS_madvise, [written()?, PAGE, libc::MADV_MERGEABLE as u64])
    }),
    attack("advise-fork", "changes what a fork of it has of its memory", |_| {
        sys(libc::SYS_madvise, [written()?, PAGE, libc::MADV_WIPEONFORK as u64])
    }),
];
