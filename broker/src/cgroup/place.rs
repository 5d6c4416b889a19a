//! Where in the unified hierarchy cgroups of ours may be made.
//!
//! Limits can be set on a child only when its parent hands the controllers down (`cgroup.subtree_control`), and a parent that
//! does may hold no process itself: the "no internal processes" rule of cgroups(7). And below a cgroup that systemd manages
//! only a delegated subtree is ours to change (systemd's CGROUP_DELEGATION). So a broker that starts alone in a delegated
//! cgroup moves itself into a leaf of it, [`BROKER`], and makes its workers' cgroups beside that leaf.

use super::{Controller, Trouble, file, xattr};
use nix::{errno::Errno, unistd::geteuid};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// The leaf that a broker moves itself to.
pub(super) const BROKER: &str = "broker";

/// What decides whether a cgroup can be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub path: PathBuf,
    /// systemd marked it as delegated.
    pub marked: bool,
    /// It belongs to our user, who is not root.
    pub owned: bool,
    /// Whether processes can be moved into it and controllers be handed down.
    pub writable: Option<Errno>,
    /// The root of the hierarchy, to which the rule about processes does not apply.
    pub root: bool,
    pub processes: Vec<i32>,
    pub controllers: BTreeSet<Controller>,
}

impl Facts {
    pub fn of(path: &Path) -> Result<Facts, Errno> {
        let directory = file::open_path(path)?;
        let owner = nix::sys::stat::fstat(&directory)?.st_uid;
        let writable = ["cgroup.procs", "cgroup.subtree_control"]
            .into_iter()
            .find_map(|name| file::open_for_writing(&directory, name).err());
        Ok(Facts {
            path: path.to_owned(),
            // A user's systemd cannot set a trusted attribute; older versions set only that one.
            marked: [c"trusted.delegate", c"user.delegate"]
                .into_iter()
                .any(|name| xattr::has_attribute(&directory, name, b"1").unwrap_or(false)),
            owned: owner == geteuid().as_raw() && owner != 0,
            writable,
            root: matches!(file::read(&directory, "cgroup.type"), Err(Errno::ENOENT)),
            processes: file::processes(&directory)?,
            controllers: Controller::listed(&file::read(&directory, "cgroup.controllers")?),
        })
    }
}

/// The process that wants to make cgroups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub pid: i32,
    pub root: bool,
    /// systemd runs this host.
    pub systemd: bool,
    /// Whether other processes in our cgroup may be moved.
    pub move_others: bool,
    /// The controllers are in v1 hierarchies: only the kill switch is wanted here.
    pub hybrid: bool,
}

/// Where cgroups may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In our own cgroup, once these processes have been moved out of it.
    Own(Vec<i32>),
    /// Beside our own cgroup.
    Parent,
}

/// Decides; changes nothing.
pub(super) fn decide(own: &Facts, parent: Option<&Facts>, asker: &Asker) -> Result<Place, Trouble> {
    let delegated = |facts: &Facts| facts.marked || facts.owned || (asker.root && !asker.systemd);
    // Beside our own cgroup only where that is certain to be meant for us: marked, or made by a broker.
    if let Some(parent) = parent.filter(|_| !own.marked) {
        let in_leaf = own.path.file_name().is_some_and(|name| name == BROKER);
        let meant = parent.marked || (in_leaf && delegated(parent));
        if meant && parent.writable.is_none() && parent.processes.is_empty() {
            return Ok(Place::Parent);
        }
    }
    let path = own.path.display();
    match own.writable {
        Some(Errno::EROFS) => {
            return Err(Trouble::new(
                format!("{path} is mounted read-only, as containers do"),
                "run the container with a writable cgroup of its own (private cgroup namespace, delegated)",
            ));
        }
        Some(errno) => {
            let cause = format!("this process's cgroup {path} is not delegated to this user ({errno})");
            return Err(Trouble::new(cause, delegation(asker)));
        }
        None => {}
    }
    if (asker.hybrid && own.controllers.is_empty()) || own.root {
        return Ok(Place::Own(vec![]));
    }
    if !delegated(own) {
        let cause = format!("this process's cgroup {path} belongs to systemd and is not delegated");
        return Err(Trouble::new(cause, delegation(asker)));
    }
    if own.processes.contains(&0) {
        let cause = format!("this process's cgroup {path} also holds processes of another pid namespace");
        return Err(Trouble::new(cause, delegation(asker)));
    }
    if let Some(other) = own.processes.iter().find(|pid| **pid != asker.pid && !asker.move_others) {
        let others = own.processes.len().saturating_sub(1);
        let cause = format!(
            "this process's cgroup {path} holds {others} other process(es), for instance {other}, and a cgroup with processes \
             cannot hand controllers down"
        );
        return Err(Trouble::new(cause, delegation(asker)));
    }
    Ok(Place::Own(own.processes.clone()))
}

/// How this process would get a cgroup of its own.
fn delegation(asker: &Asker) -> &'static str {
    match (asker.systemd, asker.root) {
        (true, false) => {
            "start it as: systemd-run --user --scope -p Delegate=yes COMMAND (as a service: Delegate=yes in its unit)"
        }
        (true, true) => {
            "start it as: systemd-run --scope -p Delegate=yes COMMAND (as a service: Delegate=yes in its unit)"
        }
        (false, false) => {
            "let root make a cgroup, chown it and its cgroup.procs, cgroup.subtree_control and cgroup.threads to this user, \
             and start the broker alone in it"
        }
        (false, true) => {
            "start the broker alone in a cgroup of its own, or let it move the others (Options::move_others)"
        }
    }
}

/// Moves processes into the leaf and hands the controllers down. Answers with the directory, the controllers that its children
/// have, and what is the matter with the others.
#[allow(clippy::type_complexity, reason = "three answers to one question, taken apart at once by the one caller")]
pub(super) fn prepare(
    base: &Path,
    moved: &[i32],
) -> Result<(OwnedFd, BTreeSet<Controller>, BTreeMap<Controller, Trouble>), Trouble> {
    let failed = |what: &str, errno: Errno| Trouble::plain(format!("{what} {}: {errno}", base.display()));
    let directory = file::open_path(base).map_err(|e| failed("cannot open", e))?;
    if !moved.is_empty() {
        match nix::sys::stat::mkdirat(&directory, BROKER, nix::sys::stat::Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("cannot make a leaf in", errno)),
        }
        let leaf = file::open_directory(&directory, BROKER).map_err(|e| failed("cannot open the leaf in", e))?;
        for pid in moved {
            match file::write(&leaf, "cgroup.procs", &pid.to_string()) {
                // ESRCH: it has ended.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(failed(&format!("cannot move process {pid} into the leaf of"), errno)),
            }
        }
    }
    let listed = |name: &str| file::read(&directory, name).map(|text| Controller::listed(&text)).unwrap_or_default();
    let (available, mut enabled) = (listed("cgroup.controllers"), listed("cgroup.subtree_control"));
    let mut troubles = BTreeMap::new();
    for controller in Controller::ALL {
        if enabled.contains(&controller) {
            continue;
        }
        let name = controller.v2_name();
        if !available.contains(&controller) {
            let cause = format!("the {name} controller is not handed down to {}", base.display());
            let cure = format!(
                "name it in Delegate= of the unit; for user sessions: systemctl edit user@.service, [Service] \
                 Delegate=cpu io memory pids, and log in again (the kernel must have the {name} controller)"
            );
            troubles.insert(controller, Trouble::new(cause, cure));
            continue;
        }
        // One at a time, so that one that cannot be had does not take the others with it.
        match file::write(&directory, "cgroup.subtree_control", &format!("+{name}")) {
            Ok(()) => drop(enabled.insert(controller)),
            Err(errno) => {
                let cause = format!("cannot hand the {name} controller down from {}: {errno}", base.display());
                troubles.insert(controller, Trouble::plain(cause));
            }
        }
    }
    Ok((directory, enabled, troubles))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: i32 = 100;

    fn own() -> Facts {
        let controllers = [Controller::Memory, Controller::Cpu, Controller::Pids].into();
        Facts { path: "/c/own.scope".into(), processes: vec![US], controllers, ..Facts::default() }
    }

    fn user() -> Asker {
        Asker { pid: US, root: false, systemd: true, move_others: false, hybrid: false }
    }

    #[test]
    fn alone_in_a_delegated_cgroup_moves_itself() {
        let facts = Facts { marked: true, ..own() };

        assert_eq!(decide(&facts, None, &user()), Ok(Place::Own(vec![US])));
        assert_eq!(decide(&Facts { owned: true, ..own() }, None, &user()), Ok(Place::Own(vec![US])));
    }

    #[test]
    fn others_are_moved_only_when_allowed() {
        let facts = Facts { marked: true, processes: vec![7, US], ..own() };

        let trouble = decide(&facts, None, &user()).unwrap_err().to_string();

        assert!(trouble.contains("1 other process(es), for instance 7"), "{trouble}");
        assert!(trouble.contains("systemd-run --user --scope -p Delegate=yes"), "{trouble}");
        let allowed = Asker { move_others: true, ..user() };
        assert_eq!(decide(&facts, None, &allowed), Ok(Place::Own(vec![7, US])));
        let foreign = Facts { processes: vec![0, US], ..facts };
        assert!(decide(&foreign, None, &allowed).unwrap_err().to_string().contains("another pid namespace"));
    }

    #[test]
    fn undelegated_cgroup_is_left_alone_and_the_cure_fits_the_host() {
        let closed = Facts { writable: Some(Errno::EACCES), ..own() };
        let root = Asker { root: true, ..user() };
        let bare_user = Asker { systemd: false, ..user() };
        let cure = |facts: &Facts, asker: &Asker| decide(facts, None, asker).unwrap_err().to_string();

        assert!(cure(&closed, &user()).contains("systemd-run --user"));
        assert!(cure(&own(), &root).contains("systemd-run --scope"));
        assert!(cure(&closed, &bare_user).contains("chown"));
        let read_only = Facts { writable: Some(Errno::EROFS), ..own() };
        assert!(cure(&read_only, &root).contains("read-only"));
    }

    #[test]
    fn root_without_systemd_may_use_its_own_cgroup() {
        let root = Asker { root: true, systemd: false, ..user() };

        assert_eq!(decide(&own(), None, &root), Ok(Place::Own(vec![US])));
        let top = Facts { root: true, processes: vec![1, US], ..own() };
        assert_eq!(decide(&top, None, &root), Ok(Place::Own(vec![])));
    }

    #[test]
    fn broker_in_a_leaf_uses_the_cgroup_above_it() {
        let parent = Facts { path: "/c/own.scope".into(), marked: true, processes: vec![], ..own() };
        let leaf = Facts { path: "/c/own.scope/broker".into(), owned: true, ..own() };
        let subgroup = Facts { path: "/c/own.scope/main".into(), owned: true, ..own() };

        assert_eq!(decide(&leaf, Some(&parent), &user()), Ok(Place::Parent));
        // systemd's DelegateSubgroup=
        assert_eq!(decide(&subgroup, Some(&parent), &user()), Ok(Place::Parent));
        let owned = Facts { marked: false, owned: true, ..parent.clone() };
        assert_eq!(decide(&leaf, Some(&owned), &user()), Ok(Place::Parent));
    }

    #[test]
    fn slice_of_the_users_systemd_is_not_mistaken_for_a_delegated_parent() {
        let slice = Facts { path: "/c/app.slice".into(), owned: true, processes: vec![], ..own() };
        let scope = Facts { path: "/c/app.slice/run.scope".into(), owned: true, ..own() };

        assert_eq!(decide(&scope, Some(&slice), &user()), Ok(Place::Own(vec![US])));
    }

    #[test]
    fn hybrid_host_needs_no_delegation_for_the_kill_switch() {
        let bare = Facts { controllers: [].into(), processes: vec![1, 7, US], ..own() };
        let root = Asker { root: true, hybrid: true, ..user() };

        assert_eq!(decide(&bare, None, &root), Ok(Place::Own(vec![])));
        assert!(decide(&bare, None, &Asker { hybrid: false, ..root }).is_err());
    }
}
