//! What plugins were refused while they ran, and went on: the denials, as their workers told them.
//!
//! A worker answers for the policy in WASI's place, so a denial is known from nobody but it, and it is hostile: it may keep
//! silent, which only hides what it was refused, and it may lie, which changes nothing but a hint. What cannot be is a
//! violation, and so is more than a worker tells.

use bulkhead_shared::{
    message::worker::{Asked, Denied, FromWorker, Network, Want},
    outcome::{Outcome, Violation},
    policy::DirGrant,
    text::Untrusted,
};
use serde::Serialize;
use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most denials that are kept until somebody takes them.
const MOST: usize = 2 * Denied::MOST;
/// Characters of a path that are shown.
const SHOWN: usize = 120;

/// Something that a plugin asked for and was refused; it lived on. Told by its worker, which is hostile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Denial {
    /// A path below a directory that was granted.
    Path {
        /// The directory.
        below: Place,
        /// The path in it, as the plugin has it: hostile text.
        path: String,
        /// What for.
        want: Want,
    },
    /// The network, which no worker has.
    Network {
        /// Which part of it.
        want: Network,
    },
}

/// A directory that a plugin has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Place {
    /// One that the policy itself grants (`filesystem.dirs`).
    Policy(DirGrant),
    /// One that the caller granted (`filesystem.grants`).
    Caller(DirGrant),
    /// The private `/tmp`.
    Tmp,
}

impl Place {
    /// The path by which the plugin knows it.
    pub fn guest(&self) -> &str {
        match self {
            Place::Policy(dir) | Place::Caller(dir) => &dir.guest,
            Place::Tmp => "/tmp",
        }
    }
}

impl Denial {
    /// Whether the path leads out of the directory that it was asked for in, by its own words: links are not followed.
    pub fn leads_out(path: &str) -> bool {
        let mut depth = 0i64;
        path.starts_with('/')
            || path.split('/').any(|part| {
                depth += match part {
                    "" | "." => 0,
                    ".." => -1,
                    _ => 1,
                };
                depth < 0
            })
    }
}

/// What was asked for, escaped: `write "a/b" in "/data"`.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::Path { below, path, want } => {
                let word = match want {
                    Want::Look => "look at",
                    Want::Read => "read",
                    Want::Write => "write",
                };
                let cut: String = path.chars().take(SHOWN).collect();
                let more = if cut.len() < path.len() { "…" } else { "" };
                let guest = format!("{:?}", below.guest());
                write!(f, "{word} {} in {}", Untrusted(&format!("{cut:?}{more}")), Untrusted(&guest))
            }
            Denial::Network { want: Network::Tcp } => f.write_str("a TCP socket"),
            Denial::Network { want: Network::Udp } => f.write_str("a UDP socket"),
            Denial::Network { want: Network::Lookup } => f.write_str("the addresses of a name"),
        }
    }
}

/// The denials of one plugin's workers, each once. A clone keeps them in the same place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<Denial>>>);

impl Kept {
    /// Those since the last time.
    pub fn take(&self) -> Vec<Denial> {
        std::mem::take(&mut *self.all())
    }

    fn all(&self) -> MutexGuard<'_, Vec<Denial>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one worker tells.
#[derive(Debug)]
pub(crate) struct Denials {
    /// The directories that it has, in the order in which it counts them.
    places: Vec<Place>,
    /// Messages from it.
    told: Cell<usize>,
    kept: Kept,
}

impl Denials {
    /// Of a worker with these directories, the first of them by the policy itself, and perhaps a `/tmp`.
    pub fn of(dirs: &[DirGrant], by_policy: usize, tmp: bool, kept: &Kept) -> Denials {
        let place = |(at, dir): (usize, &DirGrant)| match at < by_policy {
            true => Place::Policy(dir.clone()),
            false => Place::Caller(dir.clone()),
        };
        let places = dirs.iter().enumerate().map(place).chain(tmp.then_some(Place::Tmp)).collect();
        Denials { places, told: Cell::new(0), kept: kept.clone() }
    }

    /// Takes a worker's word of a denial; all else is not for us.
    pub fn heard(&self, said: &FromWorker) -> Result<bool, Outcome> {
        let FromWorker::Denied(denied) = said else { return Ok(false) };
        let lie = |what: &str| Outcome::Violation(Violation::Protocol { what: what.to_owned() });
        self.told.set(self.told.get() + 1);
        if self.told.get() > Denied::MOST {
            return Err(lie("the worker told of more denials than a worker tells"));
        }
        let denial = match denied {
            Denied::Network(want) => Denial::Network { want: *want },
            Denied::Path { dir, path, want } => {
                let below = usize::try_from(*dir).ok().and_then(|dir| self.places.get(dir));
                let below = below.filter(|_| path.len() <= Asked::MAX_PATH);
                let below = below.ok_or_else(|| lie("the worker told of a path that cannot be"))?.clone();
                Denial::Path { below, path: path.clone(), want: *want }
            }
        };
        let mut kept = self.kept.all();
        if kept.len() < MOST && !kept.contains(&denial) {
            tracing::info!(%denial, "denied");
            kept.push(denial);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(guest: &str) -> DirGrant {
        DirGrant { host: format!("/srv{guest}"), guest: guest.into(), writable: false, quota: None }
    }

    fn denials(kept: &Kept) -> Denials {
        Denials::of(&[grant("/a"), grant("/b")], 1, true, kept)
    }

    fn path(dir: u32, path: &str) -> FromWorker {
        FromWorker::Denied(Denied::Path { dir, path: path.into(), want: Want::Write })
    }

    #[test]
    fn each_is_kept_once_with_the_directory_that_it_was_asked_for_in() {
        let kept = Kept::default();
        let denials = denials(&kept);

        for said in [path(0, "x"), path(1, "y"), path(2, "z"), path(0, "x")] {
            assert_eq!(denials.heard(&said), Ok(true));
        }

        let below = [Place::Policy(grant("/a")), Place::Caller(grant("/b")), Place::Tmp];
        let wanted = below.into_iter().zip(["x", "y", "z"]);
        let wanted = wanted.map(|(below, path)| Denial::Path { below, path: path.into(), want: Want::Write });
        assert_eq!(kept.take(), wanted.collect::<Vec<_>>());
        assert_eq!(kept.take(), []);
    }

    #[test]
    fn what_cannot_be_is_a_violation() {
        for said in [path(3, "x"), path(u32::MAX, "x"), path(0, &"x".repeat(Asked::MAX_PATH + 1))] {
            assert!(matches!(denials(&Kept::default()).heard(&said), Err(Outcome::Violation(_))), "{said:?}");
        }
        assert_eq!(denials(&Kept::default()).heard(&FromWorker::Ready), Ok(false));
    }

    #[test]
    fn a_worker_tells_so_often_and_the_next_one_again() {
        let kept = Kept::default();
        for _ in 0..3 {
            let denials = denials(&kept);
            (0..Denied::MOST).for_each(|n| assert_eq!(denials.heard(&path(0, &n.to_string())), Ok(true)));
            assert!(denials.heard(&path(0, "x")).is_err(), "one more than a worker tells");
        }
        let (denials, last) = (denials(&kept), denials(&kept));
        for n in 0..Denied::MOST {
            last.heard(&path(1, &n.to_string())).unwrap();
            denials.heard(&path(0, &format!("other {n}"))).unwrap();
        }
        assert_eq!(kept.take().len(), MOST, "what nobody takes is bounded");
    }

    #[test]
    fn what_is_shown_is_escaped_and_cut() {
        let denial = Denial::Path { below: Place::Tmp, path: "\u{1b}[2J\u{202e}".repeat(200), want: Want::Read };

        let shown = denial.to_string();

        assert!(shown.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{shown}");
        assert!(shown.len() < 2_000, "{}", shown.len());
    }

    #[test]
    fn a_path_that_leads_out_is_known_by_its_words() {
        for (path, out) in
            [("a/../b", false), ("..", true), ("a/../../b", true), ("/etc", true), ("", false), ("a/..", false)]
        {
            assert_eq!(Denial::leads_out(path), out, "{path}");
        }
    }
}
