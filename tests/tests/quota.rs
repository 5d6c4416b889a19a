//! `quota` of a directory in `filesystem.dirs`: where the file system does not hold it, nothing is started. That it is held
//! where it can be is shown in quota_held.rs.

use bulkhead_tests::{Finished, Scratch, run, words};
use std::path::Path;

const REFUSED: i32 = 121;
const POLICY: i32 = 122;

fn under(scratch: &Scratch, dirs: &str) -> Finished {
    let text = format!("version = 1\nextends = \"standard\"\n[filesystem]\ndirs = [{dirs}]\n");
    let policy = scratch.file("mine.toml", text);
    run(words!["--policy", policy, scratch.plugin("command-p1"), "--", "args", "it ran"]).finish()
}

fn writable(host: &Path, quota: &str) -> String {
    format!("{{ host = \"{}\", guest = \"/out\", writable = true{quota} }}", host.display())
}

#[test]
fn a_quota_that_the_file_system_does_not_hold_is_refused_with_cause_and_cure() {
    let scratch = Scratch::new();
    let folder = scratch.folder("out");

    let without = under(&scratch, &writable(&folder, ""));
    let with = under(&scratch, &writable(&folder, ", quota = \"1GiB\""));

    without.assert_code(0).assert_out("it ran\n");
    with.assert_code(REFUSED)
        .assert_out("")
        .assert_says(["quota of grant", "/out", "project", "prjquota"])
        .assert_no_panic();
}

#[test]
fn a_quota_too_small_to_be_one_is_a_mistake_of_the_policy() {
    let scratch = Scratch::new();
    let folder = scratch.folder("out");

    let finished = under(&scratch, &writable(&folder, ", quota = \"1KiB\""));

    finished.assert_code(POLICY).assert_says(["mine.toml:4", "quota must lie between 4KiB and 1024TiB"]);
}
