//! Other processes, and more of them.

use crate::Came;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Sends a process a signal.
pub fn signal(pid: i32, signal: Signal) -> Came {
    kill(Pid::from_raw(pid), signal)
}

/// Makes a user namespace, and has every capability in it.
pub fn user_namespace() -> Came {
    unshare(CloneFlags::CLONE_NEWUSER)
}

/// Changes a mount: takes `/` and all below it out of the sight of others, where it is already.
pub fn change_mount() -> Came {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
}
