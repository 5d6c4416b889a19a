//! `namespace.pid`: made by the launcher with clone3(2); probed here (pid_namespaces(7)).

use crate::fault::Fault;

/// Looks at the own id, and for any process but ourselves.
pub fn probe() -> Result<String, Fault> {
    let pid = nix::unistd::getpid();
    if pid.as_raw() != 1 {
        return Err(Fault::new("getpid", format!("is {pid}, not 1: no pid namespace of its own")));
    }
    // Signal 0 to every process we may signal: with nobody else there, and ourselves left out, ESRCH (kill(2)).
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), None) {
        Err(nix::errno::Errno::ESRCH) => Ok("getpid is 1; kill(-1, 0) gave ESRCH: nobody else is there".to_owned()),
        Err(e) => Err(Fault::new("kill(-1, 0)", format!("gave {e}, not ESRCH"))),
        Ok(()) => Err(Fault::new("kill(-1, 0)", "reached another process")),
    }
}
