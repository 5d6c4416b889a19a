//! Files of the host through /proc and /sys.

use super::{
    Attack, attack,
    code_unsafe::{self, CODE},
    sys_unsafe::{PLAIN, is_secret, mentions, reads, writable},
};
use crate::files;
use bulkhead_shared::message::attack::SECRET_VARIABLE;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::{
        stat::Mode,
        uio::{pread, pwrite},
    },
};

pub const ATTACKS: &[Attack] = &[
    attack("proc-self-root", "reads the file through /proc/self/root", |t| {
        reads(&format!("/proc/self/root{}/secret", t.folder), t)
    }),
    attack("proc-other-root", "reads it through the root of the target's process", |t| {
        reads(&format!("/proc/{}/root{}/secret", t.pid, t.folder), t)
    }),
    attack("proc-init-root", "reads it through the root of process 1", |t| {
        reads(&format!("/proc/1/root{}/secret", t.folder), t)
    }),
    attack("proc-self-cwd", "goes up from /proc/self/cwd", |t| {
        reads(&format!("/proc/self/cwd/../../../../../..{}/secret", t.folder), t)
    }),
    attack("proc-other-fd", "opens a file again that the target's process has open", |t| {
        reads(&format!("/proc/{}/fd/{}", t.pid, t.secret_fd), t)
    }),
    attack("proc-other-memory", "reads the target's memory through /proc/PID/mem", |t| {
        let memory = open(format!("/proc/{}/mem", t.pid).as_str(), OFlag::O_RDONLY | PLAIN, Mode::empty())?;
        let mut bytes = [0; 16];
        pread(&memory, &mut bytes, t.secret_at.cast_signed())?;
        is_secret(&bytes, t)
    }),
    attack("proc-other-environment", "reads the target's environment", |t| {
        mentions(&format!("/proc/{}/environ", t.pid), |bytes| holds(bytes, SECRET_VARIABLE.as_bytes()))
    }),
    attack("proc-other-command", "reads the target's command line", |t| {
        mentions(&format!("/proc/{}/cmdline", t.pid), |bytes| !bytes.is_empty())
    }),
    attack("proc-list", "lists the processes of the host", |_| files::list("/proc")),
    attack("proc-own-code", "writes over its own code through /proc/self/mem, which heeds no protection", |_| {
        let memory = open("/proc/self/mem", OFlag::O_RDWR | PLAIN, Mode::empty())?;
        pwrite(&memory, CODE, code_unsafe::own_code().cast_signed())?;
        if code_unsafe::own_code_says() == 42 { Ok(()) } else { Err(Errno::ENOEXEC) }
    }),
    attack("proc-own-program", "opens its own program through /proc/self/exe", |_| files::read("/proc/self/exe")),
    attack("proc-sysctl", "opens /proc/sys/kernel/core_pattern for writing", |_| {
        writable("/proc/sys/kernel/core_pattern")
    }),
    attack("proc-sysrq", "opens /proc/sysrq-trigger for writing", |_| writable("/proc/sysrq-trigger")),
    attack("proc-uid-map", "opens its own uid map for writing", |_| writable("/proc/self/uid_map")),
    attack("sys-setting", "opens /sys/kernel/mm/transparent_hugepage/enabled for writing", |_| {
        writable("/sys/kernel/mm/transparent_hugepage/enabled")
    }),
    attack("sys-list", "lists /sys/class", |_| files::list("/sys/class")),
];

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
