//! `inherited_state`: nothing of the broker's or launcher's is left on the process.

use crate::{
    fault::{Fault, Step},
    proc::Proc,
    sys_unsafe,
};
use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        personality::{self, Persona},
        stat::{Mode, umask},
    },
    unistd::{Pid, getpid, getsid, setsid},
};

/// Resets what fork and execve hand down. Runs while /proc is still reachable.
pub fn apply(proc: &Proc) -> Result<(), Fault> {
    // A child in a new user namespace could read the keys of the broker's session otherwise.
    match sys_unsafe::join_fresh_session_keyring() {
        // A kernel without keyrings has none to inherit.
        Ok(()) | Err(Errno::ENOSYS) => {}
        Err(e) => {
            let fault = Fault::new("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", e);
            return Err(match e {
                Errno::EDQUOT => fault.with_cure(
                    "each worker has one key, and without root all are one user's: raise sysctl kernel.keys.maxkeys and \
                     kernel.keys.maxbytes, or kernel.keys.root_maxkeys where the broker is root",
                ),
                _ => fault,
            });
        }
    }
    // When the host runs out of memory, a worker goes first. Raising the score needs no privilege.
    proc.write("self/oom_score_adj", "1000").step("write /proc/self/oom_score_adj")?;
    // READ_IMPLIES_EXEC or a fixed address layout would survive execve.
    personality::set(Persona::empty()).step("personality(0)")?;
    sys_unsafe::ordinary_scheduling().step("sched_setscheduler(SCHED_OTHER)")?;
    let mut every = CpuSet::new();
    for cpu in 0..CpuSet::count() {
        every.set(cpu).step("cpu set")?;
    }
    sched_setaffinity(Pid::from_raw(0), &every).step("sched_setaffinity")?;
    sys_unsafe::default_signals().step("default signals")?;
    umask(Mode::from_bits_truncate(0o077));
    match setsid() {
        // Already a leader: the launcher's child of an exec start may be one.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(e) => Err(Fault::new("setsid", e)),
    }
}

/// Reads it all back.
pub fn probe(proc: &Proc) -> Result<String, Fault> {
    if std::env::vars_os().next().is_some() {
        return Err(Fault::new("environment", "is not empty"));
    }
    let score = proc.read("self/oom_score_adj").step("read /proc/self/oom_score_adj")?;
    if score.trim() != "1000" {
        return Err(Fault::new("oom_score_adj", format!("is {}", score.trim())));
    }
    // Setting it answers with what it was. Asking alone is what a service manager's filter may forbid
    // (LockPersonality= of systemd.exec(5)).
    if personality::set(Persona::empty()).step("personality(0)")? != Persona::empty() {
        return Err(Fault::new("personality", "is not 0"));
    }
    if !sys_unsafe::signals_are_default().step("sigaction")? {
        return Err(Fault::new("signals", "one is ignored, caught or blocked"));
    }
    let mask = umask(Mode::from_bits_truncate(0o077));
    if mask != Mode::from_bits_truncate(0o077) {
        return Err(Fault::new("umask", format!("is {:o}", mask.bits())));
    }
    if getsid(None).step("getsid")? != getpid() {
        return Err(Fault::new("getsid", "not the leader of a session of its own"));
    }
    sched_getaffinity(Pid::from_raw(0)).step("sched_getaffinity")?;
    Ok("read back: session keyring joined, environment empty, oom_score_adj 1000, personality 0, signals default, \
        umask 077, own session"
        .to_owned())
}
