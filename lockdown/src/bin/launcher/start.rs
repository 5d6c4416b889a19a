//! Starting one process: cgroup, namespaces, ids, then its program by descriptor.

use super::{
    clocks::Clocks,
    grants,
    ids::{self, Ids},
    nets::{self, Nets},
    parents::{self, Home, Parents},
};
use bulkhead_lockdown::{
    child::{Child, LIFTED},
    fault::{Fault, Step},
    fork_parent::Order,
    sys_unsafe,
};
use bulkhead_shared::{
    layer::Layer,
    message::launcher::{Identity, Namespaces, Net, Start},
    outcome::SetupFailure,
};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    unistd::Pid,
};
use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

/// A process that runs.
pub struct Started {
    /// In the launcher's pid namespace.
    pub pid: Pid,
    /// For the broker.
    pub pidfd: OwnedFd,
    /// Its user id on the host.
    pub host_uid: u32,
    /// Where that comes from.
    pub identity: Identity,
    /// Microseconds of each step.
    pub steps: Vec<(String, u64)>,
}

/// What all starts have in common.
pub struct Host {
    /// Whether the launcher works without privilege of the host's.
    pub rootless: bool,
    pub clocks: Clocks,
    pub parents: Parents,
    pub nets: Nets,
}

/// Why there is none.
pub struct Failure {
    /// What the broker is told.
    pub failure: SetupFailure,
    /// Whether a grant is to blame.
    pub refused_grant: bool,
}

impl From<SetupFailure> for Failure {
    fn from(failure: SetupFailure) -> Failure {
        Failure { failure, refused_grant: false }
    }
}

/// Starts a process. `descriptors` are the request's: program, control socket, v2 cgroup directory, `tasks` of v1 cgroups.
pub fn start(request: &Start, descriptors: Vec<OwnedFd>, host: &mut Host) -> Result<Started, Failure> {
    let rootless = host.rootless;
    let mut clock = Clock { last: Instant::now(), steps: Vec::new() };
    let mut descriptors = descriptors.into_iter();
    let count = |f: Fault| Failure::from(f.into_failure(None));
    let mut next =
        || descriptors.next().ok_or_else(|| count(Fault::new("descriptors of the request", "one is missing")));
    let program = next()?;
    let control = next()?;
    let cgroup = if request.cgroup_v2 { Some(next()?) } else { None };
    let v1 = (0..request.cgroup_v1).map(|_| next()).collect::<Result<Vec<_>, _>>()?;

    let mut trees = Vec::new();
    for grant in &request.grants {
        let tree = grants::detach(grant, &request.protected)
            .map_err(|f| Failure { failure: f.into_failure(Some(Layer::NamespaceMount)), refused_grant: true })?;
        trees.push(tree);
    }
    clock.step("detach grants");

    host.clocks.set(request.namespaces.time);
    // The child waits on `go` until its ids are set; `failed` closes at its execve, or says what went wrong.
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).step("pipe").map_err(count);
    let (go_read, go_write) = pipe()?;
    let (failed_read, failed_write) = pipe()?;
    let refused = |e| namespace_fault(e, rootless).into_failure(Some(Layer::NamespaceUser));
    let wanted = request.namespaces;
    let cgroup_directory = cgroup.as_ref().map(AsFd::as_fd);
    // The children of a parent have clocks, a user namespace and a mount namespace of their own.
    let forks = wanted.user && wanted.time && wanted.mount && request.fork.is_some();
    // One that nobody has been in, if one is ready. Without privilege a parent cannot enter it.
    let ready = if wanted.net == Net::Own && forks && !rootless { host.nets.own() } else { None };
    let shared = match wanted.net {
        Net::Host => None,
        Net::Shared => Some(host.nets.shared().map_err(|f| Failure::from(f.into_failure(Some(Layer::NamespaceNet))))?),
        // As a home for parents; where there is none, theirs is the host's.
        Net::Own => {
            if forks {
                host.nets.shared().ok()
            } else {
                None
            }
        }
    };
    // A parent may have lost by its execve what makes namespaces without a user namespace around them. The clocks of its children
    // are its own, and the host's files are not to be seen where it is.
    let forked = request.fork.filter(|_| forks).and_then(|how| {
        let order = Order {
            flags: flags(wanted, ready.is_none()),
            cgroup: cgroup.is_some(),
            cgroups_v1: request.cgroup_v1,
            cgroup_namespace: wanted.cgroup,
            net: ready.is_some(),
        };
        let mut descriptors = vec![go_read.as_fd(), failed_write.as_fd(), control.as_fd()];
        descriptors.extend(cgroup_directory);
        descriptors.extend(ready.as_ref().map(AsFd::as_fd));
        descriptors.extend(v1.iter().map(AsFd::as_fd));
        descriptors.extend(trees.iter().map(AsFd::as_fd));
        let home = shared.map_or(Home::Host, Home::Empty);
        match host.parents.fork(&program, &request.name, how.fresh, home, order, &descriptors) {
            Ok(forked) => Some(Ok(forked)),
            Err(parents::Failure::Clone(e)) => Some(Err(refused(e))),
            // The slower way asks for less.
            Err(parents::Failure::NoParent) => None,
        }
    });
    drop(ready);
    let how = if forked.is_some() { "fork" } else { "execve" };
    let cloned = || match (wanted.net, shared) {
        (Net::Shared, Some(net)) => nets::clone_within(net, flags(wanted, false), cgroup_directory),
        _ => sys_unsafe::clone_process(flags(wanted, true), cgroup_directory),
    };
    let (pid, pidfd) = match forked {
        Some(forked) => forked?,
        None => match cloned().map_err(refused)? {
            (pid, Some(pidfd)) => (pid, pidfd),
            (_, None) => {
                drop(go_write);
                drop(failed_read);
                let child = Child { go: go_read, control, trees, cgroups: v1, cgroup_namespace: wanted.cgroup };
                let fault = become_program(request, &program, child);
                let _ = nix::unistd::write(&failed_write, fault.to_string().as_bytes());
                sys_unsafe::exit_now(1)
            }
        },
    };
    clock.step("clone3");

    let placed = place(request, pidfd.as_fd(), rootless, &trees);
    clock.step("ids");
    let (host_uid, identity) = match placed {
        Ok(ids) => ids,
        Err(failure) => {
            // The child sees the pipe close without a byte, and goes.
            drop(go_write);
            return Err(failure);
        }
    };
    let id = if request.namespaces.user { ids::INSIDE } else { host_uid };
    nix::unistd::write(&go_write, &id.to_ne_bytes()).step("let the child go").map_err(count)?;
    // The child's ends, among others: what it has to say ends with its own.
    drop((go_write, go_read, failed_write, control, program, v1, trees));
    let said = read_all(failed_read).map_err(count)?;
    clock.step(how);
    if !said.is_empty() {
        return Err(count(Fault::new("start the program", said)));
    }
    Ok(Started { pid: Pid::from_raw(pid), pidfd, host_uid, identity, steps: clock.steps })
}

/// Sets what only a process outside can set: its ids.
fn place(
    request: &Start,
    pidfd: std::os::fd::BorrowedFd<'_>,
    rootless: bool,
    trees: &[OwnedFd],
) -> Result<(u32, Identity), Failure> {
    let host_pid = ids::host_pid(pidfd).map_err(|f| f.into_failure(None))?;
    let (outside, identity) = if rootless || !request.distinct_id {
        let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        (Ids { user, group }, Identity::Shared)
    } else {
        let id = ids::distinct(host_pid);
        (Ids { user: id, group: id }, Identity::Distinct)
    };
    if request.namespaces.user {
        let inside = Ids { user: ids::INSIDE, group: ids::INSIDE };
        ids::map(host_pid, inside, outside).map_err(|f| f.into_failure(Some(Layer::NamespaceUser)))?;
    }
    if identity == Identity::Distinct {
        for (grant, tree) in request.grants.iter().zip(trees) {
            grants::give_to(grant, tree.as_fd(), outside)
                .map_err(|f| Failure { failure: f.into_failure(Some(Layer::Identity)), refused_grant: true })?;
        }
    }
    Ok((outside.user, identity))
}

/// The child: settles, and turns into the program. Returns only what went wrong.
fn become_program(request: &Start, program: &OwnedFd, child: Child) -> Fault {
    match try_to_become_program(request, program, child) {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

fn try_to_become_program(request: &Start, program: &OwnedFd, child: Child) -> Result<std::convert::Infallible, Fault> {
    // Out of the way of what the child places.
    let program = sys_unsafe::lift(program.try_clone().step("place descriptors")?, LIFTED).step("place descriptors")?;
    child.settle()?;
    let name = CString::new(request.name.as_str()).step("name of the process")?;
    let empty: [&std::ffi::CStr; 0] = [];
    nix::unistd::execveat(&program, c"", &[name.as_c_str()], &empty, AtFlags::AT_EMPTY_PATH).map_err(|e| {
        let fault = Fault::new("execveat of the program", e);
        match e {
            Errno::EACCES => fault.with_cure("the program must be readable and executable for all (mode 0755)"),
            _ => fault,
        }
    })
}

/// All but the cgroup namespace, which comes once the process is in its cgroups; and a new net namespace where one is to be made.
fn flags(wanted: Namespaces, new_net: bool) -> u64 {
    let pairs = [
        (wanted.user, libc::CLONE_NEWUSER),
        (wanted.pid, libc::CLONE_NEWPID),
        (wanted.mount, libc::CLONE_NEWNS),
        (wanted.net == Net::Own && new_net, libc::CLONE_NEWNET),
        (wanted.ipc, libc::CLONE_NEWIPC),
        (wanted.uts, libc::CLONE_NEWUTS),
    ];
    pairs.iter().filter(|(wanted, _)| *wanted).fold(0, |flags, (_, flag)| flags | *flag as u64)
}

/// What clone3's error most often means, in words and with a cure.
pub fn namespace_fault(errno: Errno, rootless: bool) -> Fault {
    let fault = Fault::new("clone3 with new namespaces", errno);
    match errno {
        Errno::EPERM if rootless => fault.with_cure(
            "this host forbids user namespaces to unprivileged users (sysctl kernel.unprivileged_userns_clone or \
             kernel.apparmor_restrict_unprivileged_userns, or a container's seccomp profile): run `bulkhead doctor`",
        ),
        Errno::EPERM => {
            fault.with_cure("a container's seccomp profile or missing CAP_SYS_ADMIN: run `bulkhead doctor`")
        }
        Errno::ENOSPC | Errno::EUSERS => {
            fault.with_cure("raise sysctl user.max_user_namespaces and those beside it, or nest less deeply")
        }
        Errno::ENOSYS => fault.with_cure("run Linux 5.7 or newer; a container's seccomp profile may hide clone3"),
        Errno::EAGAIN => fault.with_cure("a limit on processes is reached (pids.max, RLIMIT_NPROC)"),
        _ => fault,
    }
}

pub fn read_all(pipe: OwnedFd) -> Result<String, Fault> {
    let mut said = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(pipe), &mut said).step("hear from the child")?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Times steps.
struct Clock {
    last: Instant,
    steps: Vec<(String, u64)>,
}

impl Clock {
    fn step(&mut self, name: &str) {
        let now = Instant::now();
        let micros = u64::try_from(now.duration_since(self.last).as_micros()).unwrap_or(u64::MAX);
        self.steps.push((name.to_owned(), micros));
        self.last = now;
    }
}
