//! Other processes, and what this one could become.

use crate::args::{Args, Came};
use bulkhead_attacks::{BECAME_ROOT, STAYED_ITSELF, WHO};
use bulkhead_lockdown::sys_unsafe::{clone_process, exit_now};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill as send},
        utsname::uname,
        wait::waitpid,
    },
    time::{ClockId, clock_gettime},
    unistd::{Pid, execve, geteuid, getpid, sethostname},
};
use std::ffi::CString;

/// The own process id, as this process sees it.
pub fn own_pid(_: &Args) -> Came {
    Ok(getpid().as_raw())
}

/// Finds out whether there is a process of that id: any answer but ESRCH says so.
pub fn see(args: &Args) -> Came {
    match send(pid(args), None) {
        Ok(()) | Err(Errno::EPERM) => Ok(0),
        Err(errno) => Err(errno),
    }
}

/// Kills the process of that id.
pub fn kill(args: &Args) -> Came {
    bulkhead_probe::processes::signal(args.number(0) as i32, Signal::SIGKILL).map(|()| 0)
}

/// Makes a process.
pub fn fork(_: &Args) -> Came {
    let (child, _) = clone_process(0, None)?;
    if child == 0 {
        exit_now(0);
    }
    waitpid(Pid::from_raw(child), None).map(|_| 0)
}

/// Finds out whether the host's name is this.
pub fn read_host_name(args: &Args) -> Came {
    if uname()?.nodename() == args.text(0) { Ok(0) } else { Err(Errno::ENODATA) }
}

/// Finds out whether the host was booted so many seconds ago, give or take five.
pub fn read_boot_time(args: &Args) -> Came {
    let since = clock_gettime(ClockId::CLOCK_BOOTTIME)?.tv_sec();
    if args.number(0).abs_diff(since as u64) <= 5 { Ok(0) } else { Err(Errno::ENODATA) }
}

/// Sets the host's name.
pub fn set_host_name(args: &Args) -> Came {
    sethostname(args.text(0)).map(|()| 0)
}

/// Executes a copy of this program that belongs to root and has the set-user-id bit: its path. Returns only where it could
/// not; the exit code of what it became says the rest.
pub fn become_root(args: &Args) -> Came {
    let program = CString::new(args.text(0)).map_err(|_| Errno::EINVAL)?;
    let who = CString::new(WHO).map_err(|_| Errno::EINVAL)?;
    let nothing: [CString; 0] = [];
    execve(&program, &[program.clone(), who], &nothing).map(|never| match never {})
}

/// What this program does when it was executed by [`become_root`].
pub fn say_who() -> i32 {
    if geteuid().is_root() { BECAME_ROOT } else { STAYED_ITSELF }
}

fn pid(args: &Args) -> Pid {
    Pid::from_raw(args.number(0) as i32)
}
