//! Calls of x86-64 that have been replaced, and that a list of calls may have forgotten.

use super::Attack;
#[cfg(target_arch = "x86_64")]
use super::{
    attack,
    sys_unsafe::{at, descriptor, into, sys, sys_fork, text, zeros},
};

/// There are none here.
#[cfg(not(target_arch = "x86_64"))]
pub const ATTACKS: &[Attack] = &[];

#[cfg(target_arch = "x86_64")]
pub const ATTACKS: &[Attack] = &[
    attack("old-open", "opens a file by open(2)", |t| {
        descriptor(libc::SYS_open, [text(&format!("{}/secret", t.folder)).at(), 0, 0]).map(drop)
    }),
    attack("old-create", "makes a file by creat(2), where one is", |t| {
        descriptor(libc::SYS_creat, [text(&format!("{}/writable", t.folder)).at(), 0o600]).map(drop)
    }),
    attack("old-stat", "asks for a file by stat(2)", |t| {
        sys(libc::SYS_stat, [text(&t.folder).at(), into(&mut zeros::<32>())])
    }),
    attack("old-access", "asks for a file by access(2)", |t| sys(libc::SYS_access, [text(&t.folder).at(), 4])),
    attack("old-readlink", "reads a link by readlink(2)", |t| {
        sys(libc::SYS_readlink, [text(&format!("{}/link", t.folder)).at(), into(&mut zeros::<32>()), 256])
    }),
    attack("old-chmod", "changes a mode by chmod(2)", |t| {
        sys(libc::SYS_chmod, [text(&format!("{}/writable", t.folder)).at(), 0o666])
    }),
    attack("old-mkdir", "makes a directory by mkdir(2), and removes it by rmdir(2)", |t| {
        let path = text(&format!("{}/old", t.folder));
        sys(libc::SYS_mkdir, [path.at(), 0o700])?;
        sys(libc::SYS_rmdir, [path.at()])
    }),
    attack("old-fork", "makes a process by fork(2)", |_| sys_fork(libc::SYS_fork, [])),
    attack("old-pipe", "makes a pipe by pipe(2)", |_| sys(libc::SYS_pipe, [into(&mut [0i32; 2])])),
    attack("old-file-system", "asks which file systems the kernel has (sysfs)", |_| sys(libc::SYS_sysfs, [3])),
    attack("old-disk", "asks for the free space of a disk (ustat)", |_| {
        sys(libc::SYS_ustat, [0, into(&mut zeros::<8>())])
    })
    .reaching(&[nix::errno::Errno::EINVAL]),
    attack("ports", "gets at the machine's ports (ioperm)", |_| sys(libc::SYS_ioperm, [0x80, 1, 1])),
    attack("all-ports", "gets at all ports (iopl)", |_| sys(libc::SYS_iopl, [3])),
    attack("segments", "makes a segment of code of its own (modify_ldt)", |_| {
        // struct user_desc: entry 0, base 0, limit 0, seg_32bit, useable.
        let entry = [0u32, 0, 0, 1 | 1 << 6];
        sys(libc::SYS_modify_ldt, [1, at(&entry), 16])
    }),
    attack("segment-base", "moves the base of a segment (arch_prctl)", |_| {
        const ARCH_SET_GS: u64 = 0x1001;
        sys(libc::SYS_arch_prctl, [ARCH_SET_GS, 0])
    }),
    attack("old-time", "asks for the time by time(2)", |_| sys(libc::SYS_time, [0])),
    attack("old-alarm", "sets an alarm", |_| sys(libc::SYS_alarm, [0])),
];
