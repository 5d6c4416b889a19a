//! The battery: attacks of native code that has taken a worker over, one small behaviour each, by what they are after.
//!
//! The same function is run twice: unconfined, as the control (does it work on this host at all?), and in a locked-down
//! process. So every one is written to do no harm where it works: it goes for files, sockets and memory of a target that was
//! made for it ([`Targets`]), undoes what it makes, and where the real thing would harm the host (a module, a reboot, another
//! kernel) it asks for nonsense, which the kernel looks at only behind its check of rights. The errors by which that is seen are
//! part of the table ([`Attack::reaching`]).

mod code_unsafe;
mod entry_unsafe;
mod files;
mod inherited;
mod kernel;
mod leaks;
mod legacy;
mod memory;
mod mounts;
mod network;
mod privilege;
mod proc;
mod processes;
mod resources;
pub mod state;
mod sys_unsafe;
pub mod target;

use crate::Came;
use bulkhead_shared::message::attack::{Listed, Targets};
use nix::errno::Errno;

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    name: &'static str,
    what: &'static str,
    harmless: bool,
    reached: &'static [Errno],
    run: fn(&Targets) -> Came,
}

/// An attack that does what the sentence says, and succeeds where the function does.
const fn attack(name: &'static str, what: &'static str, run: fn(&Targets) -> Came) -> Attack {
    Attack { name, what, harmless: true, reached: &[], run }
}

impl Attack {
    /// With these errors it is through, too: the kernel gives them behind its check of rights.
    const fn reaching(mut self, errors: &'static [Errno]) -> Attack {
        self.reached = errors;
        self
    }

    /// It uses much memory or time for a moment.
    const fn costly(mut self) -> Attack {
        self.harmless = false;
        self
    }
}

/// Every attack, by what it is after.
const AIMS: &[(&str, &[&[Attack]])] = &[
    ("files", &[files::ATTACKS, proc::ATTACKS, mounts::ATTACKS]),
    ("network", &[network::ATTACKS]),
    ("processes", &[processes::ATTACKS]),
    ("privilege", &[privilege::ATTACKS]),
    ("kernel", &[kernel::ATTACKS, legacy::ATTACKS]),
    ("memory", &[memory::ATTACKS]),
    ("resources", &[resources::ATTACKS]),
    ("inherited", &[inherited::ATTACKS]),
    ("leaks", &[leaks::ATTACKS]),
];

/// The list of them all, in order.
pub fn list() -> Vec<Listed> {
    let every = AIMS.iter().flat_map(|(aim, groups)| groups.iter().flat_map(|g| g.iter()).map(|a| (*aim, *a)));
    every
        .map(|(aim, attack)| Listed {
            name: attack.name.to_owned(),
            aim: aim.to_owned(),
            what: attack.what.to_owned(),
            harmless: attack.harmless,
            reached: attack.reached.iter().map(|errno| *errno as i32).collect(),
        })
        .collect()
}

/// Makes the attack of this name; `None` where there is none.
pub fn make(name: &str, targets: &Targets) -> Option<Came> {
    let mut every = AIMS.iter().flat_map(|(_, groups)| groups.iter().flat_map(|group| group.iter()));
    every.find(|attack| attack.name == name).map(|attack| (attack.run)(targets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_attacks_have_one_name() {
        let list = list();
        let names: BTreeSet<_> = list.iter().map(|attack| attack.name.as_str()).collect();

        assert_eq!(names.len(), list.len());
    }

    #[test]
    fn there_are_enough_of_them_and_each_aim_has_some() {
        let list = list();

        assert!(list.len() >= 150, "{}", list.len());
        for (aim, _) in AIMS {
            assert!(list.iter().filter(|attack| attack.aim == *aim).count() >= 5, "{aim}");
        }
    }

    #[test]
    fn a_refusal_is_never_taken_for_a_success() {
        let refusals = [Errno::EPERM, Errno::EACCES, Errno::ENOSYS].map(|errno| errno as i32);
        for attack in list() {
            assert!(attack.reached.iter().all(|errno| !refusals.contains(errno)), "{}", attack.name);
        }
    }
}
