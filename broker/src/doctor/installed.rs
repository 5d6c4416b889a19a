//! The programs that the broker starts: whether they are there, can be executed, and are of this version.

use super::{Finding, Status, examine::answer_of};
use crate::{
    error::Error,
    programs::{NAMES, open_program, place},
};
use bulkhead_shared::VERSION;
use std::{path::Path, process::Command};

const INSTALL: &str =
    "install launcher, worker and compiler of this version together, or build them: `cargo xtask build`";

/// One line for each program, in `directory` or where the broker looks without one.
pub(super) fn programs(directory: Option<&Path>) -> Vec<Finding> {
    match place(directory) {
        Ok(place) => NAMES.iter().map(|name| program(&place, name)).collect(),
        Err(error) => {
            let [launcher, others @ ..] = NAMES;
            let beside = format!("is looked for beside {launcher}, which is missing");
            let others = others.iter().map(|name| lacking(name, "not looked for", beside.clone(), INSTALL));
            [missing(launcher, &error)].into_iter().chain(others).collect()
        }
    }
}

fn program(place: &Path, name: &'static str) -> Finding {
    let path = place.join(name);
    let shown = path.display().to_string();
    match open_program(place, name) {
        Err(error @ Error::ProgramMissing { .. }) => return missing(name, &error),
        Err(error) => {
            let cure = format!("chmod 755 {shown}, or install it anew");
            return lacking(name, "cannot be executed", error.to_string(), &cure);
        }
        Ok(_) => {}
    }
    let said = match answer_of(Command::new(&path).arg("--version")) {
        Ok(said) => said,
        Err(cause) => {
            let cure = "look for a mount with noexec, or a program for another architecture; or install it anew";
            return lacking(name, "cannot be executed", cause, cure);
        }
    };
    let first = said.lines().next().unwrap_or_default();
    match first.split_once(' ') {
        Some((own, VERSION)) if own == name => Finding {
            what: name.to_owned(),
            status: Status::Ok,
            detail: format!("version {VERSION}, {shown}"),
            cause: None,
            cure: None,
            layer: None,
        },
        Some((own, version)) if own == name => {
            let cause = format!("{shown} is version {version}, this program is {VERSION}");
            lacking(name, "of another version", cause, INSTALL)
        }
        _ => {
            let cause = format!("{shown} does not say that it is {name}; with --version it says {first:?}");
            lacking(name, "another program", cause, INSTALL)
        }
    }
}

fn missing(name: &str, error: &Error) -> Finding {
    let cause = match error {
        Error::ProgramMissing { places, .. } => {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            format!("is not in {}", places.join(", "))
        }
        error => error.to_string(),
    };
    let cure = format!("{INSTALL}; or name their directory (--programs)");
    lacking(name, "missing", cause, &cure)
}

/// Nothing runs without it, whatever policy says.
fn lacking(name: &str, detail: &str, cause: String, cure: &str) -> Finding {
    Finding {
        what: name.to_owned(),
        status: Status::Lack,
        detail: detail.to_owned(),
        cause: Some(cause),
        cure: Some(cure.to_owned()),
        layer: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    /// A directory with three programs that answer as those of this version do.
    fn installation() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for name in NAMES {
            says(place.path(), name, &format!("{name} {VERSION}"));
        }
        place
    }

    fn says(place: &Path, name: &str, words: &str) -> PathBuf {
        let path = place.join(name);
        // By another program: what this one has open for writing, a process that another test starts just then has open too,
        // and nobody can execute it (ETXTBSY).
        let script = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let written = Command::new("sh").args(["-c", script, "sh", words]).arg(&path).status().unwrap();
        assert!(written.success());
        path
    }

    /// What is said of the worker, and that nothing is said of the others.
    fn worker(place: &Path) -> Finding {
        let [launcher, worker, compiler]: [Finding; 3] = programs(Some(place)).try_into().unwrap();
        assert_eq!((launcher.status, compiler.status), (Status::Ok, Status::Ok), "{launcher:?} {compiler:?}");
        worker
    }

    #[track_caller]
    fn assert_lacks(finding: &Finding, cause: &str) {
        assert_eq!(finding.status, Status::Lack, "{finding:?}");
        assert!(finding.cause.as_ref().is_some_and(|said| said.contains(cause)), "{finding:?}");
        assert!(finding.cure.is_some(), "{finding:?}");
    }

    #[test]
    fn programs_of_this_version_are_what_it_takes() {
        let place = installation();
        let worker = worker(place.path());
        assert_eq!((worker.status, &worker.cause), (Status::Ok, &None), "{worker:?}");
        assert!(worker.detail.contains(VERSION), "{worker:?}");
    }

    #[test]
    fn a_program_that_is_missing_is_said_to_be() {
        let place = installation();
        fs::remove_file(place.path().join("bulkhead-worker")).unwrap();
        assert_lacks(&worker(place.path()), "is not in");
    }

    #[test]
    fn without_a_launcher_there_is_no_installation() {
        let place = installation();
        fs::remove_file(place.path().join("bulkhead-launcher")).unwrap();
        let findings = programs(Some(place.path()));
        assert_lacks(&findings[0], "is not in");
        assert_lacks(&findings[1], "beside bulkhead-launcher");
        assert_lacks(&findings[2], "beside bulkhead-launcher");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_no_program() {
        let place = installation();
        let path = place.path().join("bulkhead-worker");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_lacks(&worker(place.path()), "no executable file");
        fs::write(&path, "neither a script nor a program").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_lacks(&worker(place.path()), "cannot start");
    }

    #[test]
    fn a_program_of_another_version_is_told_from_this_one() {
        let place = installation();
        says(place.path(), "bulkhead-worker", "bulkhead-worker 0.0.1");
        assert_lacks(&worker(place.path()), "is version 0.0.1");
    }

    #[test]
    fn a_program_of_somebody_elses_is_not_ours() {
        let place = installation();
        says(place.path(), "bulkhead-worker", "true (GNU coreutils) 9.1");
        assert_lacks(&worker(place.path()), "does not say that it is bulkhead-worker");
    }
}
