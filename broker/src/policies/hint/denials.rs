//! What would allow that which a plugin was refused while it ran.

use super::Offer;
use crate::denials::{Denial, Place};
use bulkhead_shared::{
    message::worker::Want,
    policy::{DirGrant, Grants, Policy},
};

/// What to set. There is always something to say.
pub(super) fn offer(denial: &Denial, policy: &Policy) -> Offer {
    let (below, path, want) = match denial {
        Denial::Network { .. } => return Offer::no("no policy line allows it: workers have no network"),
        Denial::Path { below, path, want } => (below, path, want),
    };
    if Denial::leads_out(path) {
        return Offer::no(
            "no policy line allows it: the path leads out of the directory that it was asked for in; if the plugin is to have \
             what it leads to, grant the directory that it is in (filesystem.dirs, or --dir)",
        );
    }
    match below {
        Place::Policy(dir) if !dir.writable && *want == Want::Write => by_policy(dir, policy),
        Place::Caller(dir) if !dir.writable && *want == Want::Write => by_caller(policy),
        _ => Offer::no(
            "the policy grants it: what refused it is on the host; the file's owner and mode, or a link that leads out of the \
             directory",
        ),
    }
}

fn by_policy(dir: &DirGrant, policy: &Policy) -> Offer {
    let mut more = policy.clone();
    let granted = more.filesystem.dirs.iter_mut().find(|own| own.host == dir.host && own.guest == dir.guest);
    match granted {
        Some(own) => {
            own.writable = true;
            Offer::set("filesystem.dirs", more.text("filesystem.dirs").unwrap_or_default())
        }
        // A policy that was changed since.
        None => Offer::no("the policy no longer grants this directory"),
    }
}

fn by_caller(policy: &Policy) -> Offer {
    let again = "the caller granted it for reading: grant it for writing, too (--dir without :ro)";
    match policy.filesystem.grants {
        Grants::ReadWrite => Offer::no(again),
        _ => Offer::set("filesystem.grants", "\"read-write\"").noted(again),
    }
}
