//! Each shipped policy at the job that it is for. That they are well formed and say what their names promise is tested where
//! they are read (broker/src/policies/tests.rs).

use bulkhead_tests::{Finished, Scratch, programs::programs, run, skip, words};
use std::{ffi::OsString, fs};

const REFUSED: i32 = 121;
const SETUP_FAILED: i32 = 123;

/// The end of a run, if the host has what the policy requires; otherwise what it lacks.
fn unless_the_host_lacks(finished: Finished, test: &str) -> Option<Finished> {
    if finished.code != Some(SETUP_FAILED) {
        return Some(finished);
    }
    let lacks = finished.err().lines().find(|line| line.contains("layer:")).unwrap_or_default().trim().to_owned();
    assert!(lacks.contains("cgroup."), "{finished}");
    skip(test, &format!("the host lacks what the policy requires ({lacks}): `bulkhead doctor` says how to get it"));
    None
}

#[test]
fn command_works_on_the_files_that_its_caller_grants() {
    let scratch = Scratch::new();
    let (source, target) = (scratch.folder("source"), scratch.folder("target"));
    fs::write(source.join("file"), "text\n").unwrap();
    let (dirs, out): (OsString, OsString) =
        (format!("{}::/in:ro", source.display()).into(), format!("{}::/out", target.display()).into());
    for preview in ["command-p1", "command-p2"] {
        let plugin = scratch.plugin(preview);
        let command = |words: &[&str]| {
            let first = words!["--policy", "command", "--dir", &dirs, "--dir", &out, "--env", "A=1", &plugin, "--"];
            run(first.into_iter().chain(words.iter().map(OsString::from))).finish()
        };

        command(&["read", "/in/file"]).assert_code(0).assert_out("text\n");
        command(&["write", "/out/file", preview]).assert_code(0);
        command(&["write", "/tmp/file", "x"]).assert_code(0);
        command(&["write", "/in/file", "x"]).assert_code(1);
        command(&["env"]).assert_code(0).assert_out("A=1\n");
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), preview);
    }
}

#[test]
fn compute_gives_the_same_for_the_same_input_and_has_no_files_or_variables() {
    let scratch = Scratch::new();
    for preview in ["command-p1", "command-p2"] {
        let plugin = scratch.plugin(preview);
        let compute = |words: &[&str]| {
            let first = words!["--policy", "compute", &plugin, "--"];
            run(first.into_iter().chain(words.iter().map(OsString::from)))
        };

        compute(&["clock"]).finish().assert_code(0).assert_out("946684800\n");
        let [first, second] = [(); 2].map(|()| compute(&["random"]).finish().assert_code(0).out());
        assert_eq!(first, second);
        compute(&["count"]).stdin("a\nb\n").finish().assert_code(0).assert_out("4 bytes, 2 lines\n");
        compute(&["list", "/"]).finish().assert_code(1);
        compute(&["write", "/tmp/x", "y"]).finish().assert_code(1);
        let dir: OsString = format!("{}::/data:ro", scratch.path().display()).into();
        let granted = run(words!["--policy", "compute", "--dir", dir, &plugin]).finish();
        granted.assert_code(REFUSED).assert_says(["filesystem.grants"]);
        let variable = run(words!["--policy", "compute", "--env", "A=1", &plugin, "--", "env"]).finish();
        variable.assert_code(REFUSED).assert_says(["host.env"]);
    }
    let spins = run(words!["--policy", "compute", "--invoke", "spin", scratch.guest("spin")]).finish();
    spins.assert_code(124).assert_says(["out of fuel"]);
}

#[test]
fn service_holds_its_plugin_to_one_second_and_to_a_cgroup() {
    let test = "service_holds_its_plugin_to_one_second_and_to_a_cgroup";
    let scratch = Scratch::new();
    let finished = run(words!["--policy", "service", "--report", "--invoke", "spin", scratch.guest("spin")]).finish();
    let Some(finished) = unless_the_host_lacks(finished, test) else { return };
    finished.assert_code(124).assert_says(["out of time", "cgroup.memory", "cgroup.cpu", "cgroup.pids"]);
    let dir: OsString = format!("{}::/data:ro", scratch.path().display()).into();
    let granted = run(words!["--policy", "service", "--dir", dir, scratch.plugin("command-p1")]).finish();
    granted.assert_code(REFUSED).assert_says(["filesystem.grants"]);
}

#[test]
fn migration_runs_where_landlock_is_missing_and_the_report_says_so() {
    let scratch = Scratch::new();
    let without = || words![programs().join("bulkhead-tests-without"), "landlock_create_ruleset"];
    let add = |policy: &str| {
        let words = words!["--policy", policy, "--report", "--invoke", "add", scratch.guest("scalars"), "2", "3"];
        run(words).through(without()).finish()
    };

    let standard = add("standard");
    let migration = add("migration");

    standard.assert_code(SETUP_FAILED).assert_says(["layer: landlock.fs", "lsm="]);
    migration.assert_code(0).assert_out("5\n");
    for layer in ["landlock.fs", "landlock.tcp", "landlock.scope"] {
        let line = migration.err().lines().find(|line| line.contains(layer)).unwrap_or_default().to_owned();
        assert!(line.contains("best-effort") && line.contains("NO"), "{migration}");
    }
}
