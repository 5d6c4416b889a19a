//! `quota` of a directory in `filesystem.dirs`, on a file system that holds it: an ext4 in a file, mounted with prjquota.
//!
//! Wants root, a loop device, and a kernel with CONFIG_QFMT_V2, which not every machine has that builds Bulkhead: built with
//! the feature `vm`, and run by `cargo xtask vm`.

use bulkhead_tests::{Finished, Scratch, quota_unsafe::set_hard_limit, run, skip, words};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const REFUSED: i32 = 121;
const PROJECT: u32 = 7;
const QUOTA: u64 = 256 * 1024;

fn command(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), said.trim())) }
}

/// A mounted file system; taken off when the value goes.
struct Mounted(PathBuf);

impl Mounted {
    fn new(scratch: &Scratch) -> Result<Mounted, String> {
        let image = scratch.file("image", "");
        fs::File::options().write(true).open(&image).unwrap().set_len(32 << 20).unwrap();
        let (image, at) = (image.to_str().unwrap().to_owned(), scratch.folder("mounted"));
        command("mkfs.ext4", &["-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota", &image])?;
        command("mount", &["-o", "loop,prjquota", &image, at.to_str().unwrap()])?;
        Ok(Mounted(at))
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        fs::create_dir(&folder).unwrap();
        folder
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = command("umount", &[self.0.to_str().unwrap()]);
    }
}

fn give_project(folder: &Path, inherit: bool) {
    let flag = if inherit { "+P" } else { "-P" };
    command("chattr", &["-p", &PROJECT.to_string(), flag, folder.to_str().unwrap()]).unwrap();
}

fn write(scratch: &Scratch, folder: &Path, file: &str, bytes: usize) -> Finished {
    let dirs = format!("{{ host = \"{}\", guest = \"/out\", writable = true, quota = \"256KiB\" }}", folder.display());
    let text = format!("version = 1\nextends = \"standard\"\n[filesystem]\ndirs = [{dirs}]\n");
    let policy = scratch.file("mine.toml", text);
    let plugin = scratch.plugin("command-p1");
    run(words!["--policy", policy, plugin, "--", "write", format!("/out/{file}"), "x".repeat(bytes)]).finish()
}

#[test]
fn a_directory_is_granted_once_its_project_is_held_and_never_filled_beyond() {
    let scratch = Scratch::new();
    let mounted = match Mounted::new(&scratch) {
        Ok(mounted) => mounted,
        Err(cause) => {
            let test = "a_directory_is_granted_once_its_project_is_held_and_never_filled_beyond";
            return skip(test, &format!("no ext4 with quotas of projects can be mounted here: {cause}"));
        }
    };
    let folder = mounted.folder("out");
    let refused = |cause: &str| {
        let finished = write(&scratch, &folder, "never", 1);
        finished.assert_code(REFUSED).assert_says(["quota of grant", cause, "chattr -R -p", "setquota -P"]);
    };

    // Nothing is set up, and then one thing after the other.
    refused("it belongs to no project");
    give_project(&folder, false);
    refused("does not inherit its project 7");
    give_project(&folder, true);
    refused("its project 7 has no hard limit");
    set_hard_limit(&folder, PROJECT, QUOTA + 1024).unwrap();
    refused("its project 7 may take 263168 bytes, and the policy permits 262144");
    set_hard_limit(&folder, PROJECT, QUOTA).unwrap();

    // Held: whoever writes on is stopped by the file system.
    let ends: Vec<Option<i32>> =
        (0..4).map(|number| write(&scratch, &folder, &format!("file-{number}"), 100 * 1024).code).collect();
    assert_eq!(ends, [Some(0), Some(0), Some(1), Some(1)]);
    let taken: u64 = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(taken <= QUOTA, "{taken}");
}
