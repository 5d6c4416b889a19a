//! Why a broker could not be made.

use std::path::PathBuf;
use thiserror::Error;

/// Why a broker could not be made, or not be used at all. What becomes of one plugin is an
/// [`Outcome`](bulkhead_shared::outcome::Outcome).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of Bulkhead's is not where it should be.
    #[error("{name} is not in {}; build it with `cargo xtask build`, or name its directory (--programs)", list(places))]
    ProgramMissing {
        /// Its name.
        name: &'static str,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// A program of Bulkhead's cannot be used.
    #[error("{}: {cause}", path.display())]
    ProgramUnusable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A program of another version.
    #[error(
        "{name} is version {found}, this broker is {}; install all programs of one version",
        bulkhead_shared::VERSION
    )]
    VersionMismatch {
        /// Its name.
        name: &'static str,
        /// Its version.
        found: String,
    },
    /// The launcher could not be started, or ended.
    #[error("launcher: {step}: {cause}")]
    Launcher {
        /// What was being done.
        step: String,
        /// What happened, and the cure where one is known.
        cause: String,
    },
    /// A directory of the broker's own cannot be used.
    #[error("{}: {cause}", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// Why not, and the cure.
        cause: String,
    },
    /// The site's ceiling cannot be used.
    #[error(transparent)]
    Policy(#[from] crate::policies::Error),
    /// A system call of the broker's own failed.
    #[error("{step}: {errno}")]
    System {
        /// What was being done.
        step: &'static str,
        /// The error.
        errno: nix::errno::Errno,
    },
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}
