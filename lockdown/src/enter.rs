//! The ordered list: what a fresh process does between its first instruction and the first hostile byte.

use crate::{
    control::Control,
    fault::{Fault, Step},
    fork_parent::{self, PARENT_FD, Surroundings},
    layers::{
        capabilities, core_scheduling, descriptors, hostname, inherited_state, landlock_fs, landlock_scope,
        landlock_tcp, mdwe, nested, net_namespace, no_new_privs, not_dumpable, pid_namespace, rlimits, root, seccomp,
        speculation,
    },
    ledger::Ledger,
    link::Link,
    sacrifice, sys_unsafe,
};
use bulkhead_shared::{
    VERSION,
    filter::Program,
    layer::{Layer, Requirement},
    message::setup::{Assignment, BELL_FD, CONTROL_FD, DOORBELL_FD, FIRST_TREE_FD, FromSetup, Load, Prepare, Role},
    outcome::SetupFailure,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// Exit code of a process that could not be set up and has said why on the control socket.
const EXIT_SETUP_FAILED: i32 = 70;

/// Descriptors that are still to be placed stand from this number up.
const LIFTED: i32 = 64;

/// A process that is locked down and knows what to do. From here on it sees hostile bytes.
pub struct Locked {
    /// What to do.
    pub load: Load,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Our end of the rings.
    pub link: Link,
    /// The last step.
    pub closing: Closing,
}

/// Locks the process down for one of these roles, reports, and waits for its load.
///
/// Must be the first thing that `main` does (but for [`crate::version::answer`]), in a process that the launcher started. Where a required layer fails, the broker
/// is told the step, the layer, the cause and the cure, and the process exits: this function never returns unlocked. A
/// [`Role::Sacrifice`] exits after its report.
pub fn enter(roles: &[Role]) -> Locked {
    enter_and_prepare(roles, |_| (), |_, ()| ()).0
}

/// As [`enter`]; `prepare` is run after the report and before the load, behind every layer but the closing filter. It makes
/// ready what does not depend on the plugin, of which it has seen nothing: in a cell that is time which nobody waits for.
/// `unfiltered` is run before, in front of the main filter: for what asks the kernel once and early what no worker may ask.
pub fn enter_and_prepare<U, T>(
    roles: &[Role],
    unfiltered: impl FnOnce(&Prepare) -> U,
    prepare: impl FnOnce(Prepare, U) -> T,
) -> (Locked, Option<T>) {
    // A fork parent has no control socket. Its children have, and go on here.
    let forked = match sys_unsafe::is_open(CONTROL_FD) {
        false => sys_unsafe::adopt(PARENT_FD).ok().map(fork_parent::serve),
        true => None,
    };
    let control = match Control::adopt() {
        Ok(control) => control,
        Err(_) => {
            eprintln!("This program is started by bulkhead's launcher, and does nothing on its own.");
            std::process::exit(2);
        }
    };
    // Not before the control socket has its owner: what is opened now could stand at its number.
    let around = forked.map_or_else(Surroundings::of_the_host, Ok);
    match lock_down(&control, roles, around, unfiltered) {
        Ok((link, closing, ahead)) => {
            let prepared = ahead.map(|(what, unfiltered)| prepare(what, unfiltered));
            match control.load() {
                Ok((load, descriptors)) => (Locked { load, descriptors, link, closing }, prepared),
                // The broker is gone or has changed its mind.
                Err(_) => std::process::exit(0),
            }
        }
        Err(failure) => {
            // Where even this fails the broker sees the socket close and says "lost".
            let _ = control.say(&FromSetup::Failed(failure), None);
            std::process::exit(EXIT_SETUP_FAILED);
        }
    }
}

/// What is to be made ready, if anything is, and what of it was in front of the main filter.
type Ahead<U> = Option<(Prepare, U)>;

fn lock_down<U>(
    control: &Control,
    roles: &[Role],
    around: nix::Result<Surroundings>,
    unfiltered: impl FnOnce(&Prepare) -> U,
) -> Result<(Link, Closing, Ahead<U>), SetupFailure> {
    // 1. Everything that this process will ever know, in one message.
    let (a, ends) = control.assignment().map_err(|f| f.into_failure(None))?;
    check(&a, roles).map_err(|f| f.into_failure(None))?;
    let mut ledger = Ledger::new(a.layers.clone());
    ledger.time("receive the assignment");
    let trees = a.root.mounts.iter().enumerate().map(|(index, _)| sys_unsafe::adopt(FIRST_TREE_FD + index as i32));
    let trees = trees.collect::<Result<Vec<_>, _>>().step("granted mounts").map_err(|f| f.into_failure(None))?;

    // 2. What fork and execve handed down; while /proc can still be reached.
    let Surroundings { proc, root: old_root } = around.step("open(\"/proc\")").map_err(|f| f.into_failure(None))?;
    ledger.layer(Layer::InheritedState, || inherited_state::apply(&proc), || inherited_state::probe(&proc))?;

    // 3. The namespaces' contents; while we still have capabilities in them. The broker compares the namespaces from outside.
    let own = ledger.wants(Layer::NamespaceUser);
    ledger.layer(Layer::NamespaceNested, || nested::apply(own, &proc), || nested::probe(&proc))?;
    drop(proc);
    ledger.layer(Layer::NamespaceUts, || hostname::apply(&a.host_name), || hostname::probe(&a.host_name))?;
    ledger.layer(Layer::NamespaceMount, || root::apply(&a.root, trees, old_root), || root::probe(&a.root))?;
    ledger.layer(Layer::NamespacePid, || Ok(()), pid_namespace::probe)?;

    // 4. The rings, then every descriptor at its listed number and nothing else open.
    let link = connect(&a, ends).map_err(|f| f.into_failure(None))?;
    ledger.time("map the rings");
    ledger.layer(Layer::Descriptors, descriptors::apply, descriptors::probe)?;

    // 5. Speculation before no_new_privs, which seccomp would otherwise couple it to; privileges before the sandboxes that
    //    rely on them being gone.
    ledger.layer(Layer::Speculation, speculation::apply, speculation::probe)?;
    ledger.layer(Layer::CoreScheduling, core_scheduling::apply, core_scheduling::probe)?;
    ledger.layer(Layer::Capabilities, capabilities::apply, capabilities::probe)?;
    // Without the rights of the set-up, and before Landlock would refuse what the probe tries.
    ledger.layer(Layer::NamespaceNet, || Ok(()), net_namespace::probe)?;
    ledger.layer(Layer::NoNewPrivs, no_new_privs::apply, no_new_privs::probe)?;
    ledger.layer(Layer::NotDumpable, not_dumpable::apply, not_dumpable::probe)?;

    // 6. Landlock: three layers, each looked at before and after. TCP and scopes first, their probes need no file.
    ledger.layer(Layer::LandlockTcp, landlock_tcp::apply, landlock_tcp::probe)?;
    if let Some(outside) = ledger.apply(Layer::LandlockScope, landlock_scope::apply)? {
        ledger.probe(Layer::LandlockScope, || landlock_scope::probe(outside))?;
    }
    let landlock_fs = || {
        landlock_fs::open_root().step("open(\"/\") before Landlock")?;
        landlock_fs::apply(&a.root)
    };
    ledger.layer(Layer::LandlockFs, landlock_fs, landlock_fs::probe)?;

    // 7. Kernel limits after the steps that open things, and after the capability to raise them is gone.
    ledger.layer(Layer::ResourceLimits, || rlimits::apply(&a.rlimits), || rlimits::probe(&a.rlimits))?;

    // 8. What the program makes ready by calls that the filter refuses. Within the limits, and in a world without files.
    let ahead = a.prepare.map(|what| (what, unfiltered(&what)));
    if ahead.as_ref().is_some_and(|(what, _)| what.pool.is_some()) {
        ledger.time("make room for instances");
    }

    // 9. The main filter. Its listener goes to the broker and nowhere else; only then can a refused call be answered.
    let listener = ledger.apply(Layer::SeccompMain, || seccomp::apply_main(&a.main_filter))?;
    let filtered = listener.is_some();
    if let Some(listener) = listener {
        control.say(&FromSetup::Listener, Some(&listener)).map_err(|f| f.into_failure(Some(Layer::SeccompMain)))?;
        drop(listener);
        ledger.probe(Layer::SeccompMain, || seccomp::probe_main(a.nonce))?;
    }

    // 10. Where this process is the sacrifice of its class: the whole battery of forbidden acts. Not where policy does without
    //    the filter that refuses them: they would be done.
    let attempts = if a.role == Role::Sacrifice && filtered { sacrifice::battery() } else { Vec::new() };

    // 11. Report. Nothing hostile has been seen: this is the last word of ours that the broker may believe.
    let closing = Closing {
        filter: a.closing_filter,
        seccomp: ledger.requirement(Layer::SeccompClosing),
        mdwe: ledger.requirement(Layer::Mdwe),
    };
    if a.role == Role::Sacrifice {
        ledger.layer(Layer::Mdwe, mdwe::apply, mdwe::probe)?;
    }
    let (layers, steps) = ledger.close();
    control.say(&FromSetup::Locked { layers, attempts, steps }, None).map_err(|f| f.into_failure(None))?;
    if a.role == Role::Sacrifice {
        // Whoever has the closing filter cannot say what it did. The broker looks at how this process ends.
        sacrifice::die_by_closing_filter(&closing.filter, !filtered);
        std::process::exit(1);
    }
    Ok((link, closing, ahead))
}

/// Refuses an assignment of another version, or for another program.
fn check(a: &Assignment, roles: &[Role]) -> Result<(), Fault> {
    if a.version != VERSION {
        return Err(Fault::new("compare versions", format!("broker {} and this program {VERSION} differ", a.version))
            .with_cure("install broker, launcher, worker and compiler of one version"));
    }
    if !roles.contains(&a.role) {
        return Err(Fault::new("compare roles", format!("{:?} is no role of this program", a.role)));
    }
    Ok(())
}

/// Maps the rings and puts bell and doorbell where the filters expect them.
fn connect(a: &Assignment, ends: Vec<OwnedFd>) -> Result<Link, Fault> {
    let step = "map the rings";
    let Ok([requests, replies, bell, doorbell]) = <[OwnedFd; 4]>::try_from(ends) else {
        return Err(Fault::new(step, "wrong number of descriptors"));
    };
    // All of them out of the way first: one may stand at the number that another is to have.
    let requests = sys_unsafe::lift(requests, LIFTED).step(step)?;
    let replies = sys_unsafe::lift(replies, LIFTED).step(step)?;
    let bell = sys_unsafe::lift(bell, LIFTED).step(step)?;
    let doorbell = sys_unsafe::lift(doorbell, LIFTED).step(step)?;
    let bell = sys_unsafe::place(bell, BELL_FD).step(step)?;
    let doorbell = sys_unsafe::place(doorbell, DOORBELL_FD).step(step)?;
    debug_assert_eq!((bell.as_raw_fd(), doorbell.as_raw_fd()), (BELL_FD, DOORBELL_FD));
    Link::new(requests, replies, bell, doorbell, a.ring_bytes, a.max_message).step(step)
}

/// The last step, after the native code is mapped and before the guest's first instruction.
pub struct Closing {
    filter: Program,
    seccomp: Requirement,
    mdwe: Requirement,
}

impl Closing {
    /// Closes the process in. A required layer that fails is an error, and the guest must not run.
    pub fn apply(self) -> Result<(), String> {
        self.apply_and(|| ())
    }

    /// As [`Closing::apply`]; `before_last` is done in front of the last layer.
    pub fn apply_and(self, before_last: impl FnOnce()) -> Result<(), String> {
        let mut ledger = Ledger::new(vec![(Layer::SeccompClosing, self.seccomp), (Layer::Mdwe, self.mdwe)]);
        // PR_SET_MDWE first: the closing filter knows no prctl. What is said here nobody hears, since the process may be
        // hostile by now: the broker counts the filters from outside, and has seen a process of this class die by this one.
        let said = || Ok(String::new());
        ledger
            .layer(Layer::Mdwe, mdwe::apply, mdwe::probe)
            .and_then(|()| {
                before_last();
                ledger.layer(Layer::SeccompClosing, || seccomp::apply_closing(&self.filter), said)
            })
            .map_err(|failure| failure.to_string())
    }
}
