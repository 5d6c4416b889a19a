//! Directories: what is granted can be reached, and nothing else.

use bulkhead::{Broker, PluginOptions, Source, policies, policy::DirGrant};
use bulkhead_tests::{
    Scratch, bulkhead,
    guest::guest,
    programs::{lasting, programs},
    run, skip, words,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use std::{ffi::OsString, fs, os::unix::fs::symlink, path::Path};

const PREVIEWS: [&str; 2] = ["command-p1", "command-p2"];

/// `HOST::GUEST` and what may follow.
fn grant(host: &Path, guest: &str) -> OsString {
    OsString::from(format!("{}::{guest}", host.display()))
}

#[test]
fn a_granted_directory_is_read() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    fs::create_dir(folder.join("below")).unwrap();
    scratch.file("granted/below/file", "content\n");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let dir = grant(&folder, "/data:ro");
        let read = run(words!["--dir", &dir, &plugin, "--", "read", "/data/below/file"]).finish();
        let list = run(words!["--dir", &dir, &plugin, "--", "list", "/data"]).finish();
        read.assert_code(0).assert_out("content\n");
        list.assert_code(0).assert_out("/data/below/\n/data/below/file 8\n");
    }
}

#[test]
fn a_directory_granted_for_writing_is_written() {
    for preview in PREVIEWS {
        let scratch = Scratch::new();
        let folder = scratch.folder("granted");
        let dir = grant(&folder, "/data");
        let plugin = scratch.plugin(preview);
        let act = |args: &[&str]| {
            let args = args.iter().map(OsString::from);
            let words = words!["--dir", &dir, &plugin, "--"].into_iter().chain(args);
            run(words).finish().assert_code(0);
        };
        act(&["write", "/data/new", "one"]);
        act(&["append", "/data/new", " two"]);
        act(&["mkdir", "/data/below"]);
        act(&["rename", "/data/new", "/data/below/newer"]);
        assert_eq!(scratch.read("granted/below/newer"), b"one two");
        act(&["remove", "/data/below/newer"]);
        assert!(!folder.join("below/newer").exists());
    }
}

#[test]
fn a_directory_granted_for_reading_is_not_written() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "old");
    scratch.set_mode("granted/file", 0o666);
    let dir = grant(&folder, "/data:ro");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        for args in [
            vec!["write", "/data/new", "x"],
            vec!["write", "/data/file", "x"],
            vec!["append", "/data/file", "x"],
            vec!["remove", "/data/file"],
            vec!["rename", "/data/file", "/data/other"],
            vec!["mkdir", "/data/below"],
        ] {
            let act = words!["--dir", &dir, &plugin, "--"].into_iter().chain(args.iter().map(OsString::from));
            run(act).finish().assert_code(1);
        }
    }
    assert_eq!(scratch.read("granted/file"), b"old");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn without_a_grant_there_is_no_directory() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        for path in ["/etc/passwd", "etc/passwd", "/", "."] {
            let finished = run(words![scratch.plugin(preview), "--", "list", path]).finish();
            finished.assert_code(1).assert_out("");
        }
    }
    // 8 is EBADF: the first preopened directory is not there.
    run(words![scratch.guest("read-file"), "f"]).finish().assert_code(8).assert_out("");
}

#[test]
fn no_path_leads_out_of_a_granted_directory() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    fs::create_dir(folder.join("below")).unwrap();
    let secret = scratch.file("secret", "not for guests");
    symlink(&secret, folder.join("absolute")).unwrap();
    symlink("../secret", folder.join("relative")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    symlink("/", folder.join("root")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    let dir = grant(&folder, "/data");
    let inside = format!("root{}", secret.display());
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        for path in [
            "../secret",
            "below/../../secret",
            "absolute",
            "relative",
            "up/secret",
            "loop",
            &inside,
            "below/../../granted/../secret",
            "./../secret",
            "//../secret",
            "../secret/",
            "up/",
        ] {
            let path = format!("/data/{path}");
            let finished = run(words!["--dir", &dir, &plugin, "--", "read", path]).finish();
            finished.assert_code(1).assert_out("");
        }
    }
}

#[test]
fn a_link_that_a_guest_could_follow_outside_cannot_be_written_through() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let outside = scratch.file("outside", "old");
    scratch.set_mode("outside", 0o666);
    symlink(&outside, folder.join("link")).unwrap();
    let dir = grant(&folder, "/data");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let finished = run(words!["--dir", &dir, &plugin, "--", "write", "/data/link", "new"]).finish();
        finished.assert_code(1);
    }
    assert_eq!(scratch.read("outside"), b"old");
}

#[test]
fn several_directories_keep_apart() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.folder("one"), scratch.folder("two"));
    scratch.file("one/file", "1");
    scratch.file("two/file", "2");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let dirs = words!["--dir", grant(&one, "/a:ro"), "--dir", grant(&two, "/b")];
        let read = |path: &str| {
            run(dirs.iter().cloned().chain(words![&plugin, "--", "read", path])).finish().assert_code(0).out()
        };
        assert_eq!((read("/a/file"), read("/b/file")), ("1".to_owned(), "2".to_owned()));
        let write = dirs.iter().cloned().chain(words![&plugin, "--", "write", "/a/new", "x"]);
        run(write).finish().assert_code(1);
    }
}

#[test]
fn a_directory_may_be_the_guests_root() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "content\n");

    let finished = run(words!["--dir", grant(&folder, "/"), scratch.guest("read-file"), "file"]).finish();
    let written = run(words!["--dir", grant(&folder, "/"), scratch.guest("write-file"), "new"]).finish();

    finished.assert_code(0).assert_out("content\n");
    written.assert_code(0);
    assert_eq!(scratch.read("granted/new"), b"written by a guest\n");
}

#[test]
fn a_relative_host_path_starts_where_the_caller_stands() {
    let scratch = Scratch::new();
    scratch.folder("granted");
    scratch.file("granted/file", "content\n");
    let plugin = scratch.guest("read-file");

    let finished = run(words!["--dir", "granted::/", &plugin, "file"]).folder(scratch.path()).finish();

    finished.assert_code(0).assert_out("content\n");
}

#[test]
fn a_private_tmp_is_there_on_request_and_gone_afterwards() {
    let scratch = Scratch::new();
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let with = run(words!["--tmp", "4MiB", &plugin, "--", "write", "/tmp/file", "x"]).finish();
        let again = run(words!["--tmp", "4MiB", &plugin, "--", "read", "/tmp/file"]).finish();
        let without = run(words![&plugin, "--", "write", "/tmp/file", "x"]).finish();
        with.assert_code(0);
        again.assert_code(1);
        without.assert_code(1);
    }
}

#[test]
fn a_private_tmp_has_the_size_that_was_asked_for() {
    let scratch = Scratch::new();
    let plugin = scratch.guest("write-file");
    let large = scratch.plugin("tabulate");
    let table = "word,word\n".repeat(400_000);

    let small = run(words!["--tmp", "1MiB", &plugin, "file"]).finish();
    let full = run(words!["--tmp", "1MiB", &large, "--", "--to", "csv", "--output", "/tmp/file"]).stdin(table).finish();

    small.assert_code(0);
    full.assert_code(1).assert_says(["/tmp/file"]);
}

#[test]
fn the_strict_policy_grants_no_directory() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let policy = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"none\"\n");
    let plugin = scratch.plugin("command-p1");

    let finished =
        run(words!["--policy", &policy, "--dir", grant(&folder, "/data:ro"), &plugin, "--", "list", "/data"]).finish();

    finished.assert_code(121).assert_out("").assert_says(["filesystem.grants"]).assert_no_panic();
}

#[test]
fn reading_may_be_all_that_a_policy_lets_callers_grant() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let policy =
        scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n[filesystem]\ngrants = \"read-only\"\n");
    let plugin = scratch.plugin("command-p1");

    let writing = run(words!["--policy", &policy, "--dir", grant(&folder, "/d"), &plugin, "--", "list", "/d"]).finish();
    let reading =
        run(words!["--policy", &policy, "--dir", grant(&folder, "/d:ro"), &plugin, "--", "list", "/d"]).finish();

    writing.assert_code(121).assert_says(["filesystem.grants"]);
    reading.assert_code(0);
}

#[test]
fn directories_of_the_system_and_of_bulkhead_are_refused() {
    let scratch = Scratch::new();
    let cache = bulkhead_tests::programs::lasting("cache");
    let plugin = scratch.plugin("command-p1");
    let programs = bulkhead_tests::programs::programs();
    for host in ["/proc", "/proc/1", "/sys", "/sys/fs/cgroup", "/dev", "/dev/shm", "/"].map(Path::new) {
        let finished = run(words!["--dir", grant(host, "/d:ro"), &plugin, "--", "list", "/d"]).finish();
        finished.assert_code(121).assert_out("").assert_says([&host.display().to_string()]).assert_no_panic();
    }
    // A link is what it leads to.
    let finished = run(words!["--dir", grant(Path::new("/proc/self"), "/d:ro"), &plugin, "--", "list", "/d"]).finish();
    finished.assert_code(121).assert_out("").assert_says(["grant \"/proc/", "never granted"]);
    // The programs may be read, and not be written.
    for (host, guest) in [(cache.as_path(), "/d:ro"), (cache.parent().unwrap(), "/d:ro"), (programs, "/d")] {
        let finished = run(words!["--dir", grant(host, guest), &plugin, "--", "list", "/d"]).finish();
        finished.assert_code(121).assert_out("").assert_says([&host.display().to_string()]).assert_no_panic();
    }
}

#[test]
fn a_link_to_what_is_refused_is_refused() {
    let scratch = Scratch::new();
    symlink("/proc", scratch.path().join("proc")).unwrap();
    symlink(bulkhead_tests::programs::lasting("cache"), scratch.path().join("cache")).unwrap();
    let plugin = scratch.plugin("command-p1");
    for name in ["proc", "proc/self", "cache"] {
        let host = scratch.path().join(name);
        let finished = run(words!["--dir", grant(&host, "/d:ro"), &plugin, "--", "list", "/d"]).finish();
        finished.assert_code(121).assert_out("").assert_no_panic();
    }
}

#[test]
fn what_the_host_mounts_later_below_a_grant_is_not_seen() {
    if !nix::unistd::geteuid().is_root() {
        skip("what_the_host_mounts_later_below_a_grant_is_not_seen", "needs root, to mount a file system: sudo -E");
        return;
    }
    let scratch = Scratch::new();
    let granted = scratch.folder("granted");
    // A host of this thread's own, whose mounts tell each other what is mounted below them, as systemd has it.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let all = |how| mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | how, None::<&str>).unwrap();
    let disk = |path: &Path| mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    all(MsFlags::MS_PRIVATE);
    disk(&granted);
    fs::create_dir(granted.join("disk")).unwrap();
    all(MsFlags::MS_SHARED);
    let broker = Broker::builder().programs(programs()).cache(lasting("cache")).build().unwrap();
    let host = granted.to_str().unwrap().to_owned();
    let dirs = vec![DirGrant { host, guest: "/data".to_owned(), writable: false, quota: None }];
    let policy = policies::find("standard", &[]).unwrap();
    let options = PluginOptions { dirs, ..PluginOptions::new(policy) };
    let plugin = broker.load(Source::Bytes(&guest("scalars")), options).unwrap_or_else(|e| panic!("{e:?}"));

    disk(&granted.join("disk"));

    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", plugin.worker_pid().unwrap())).unwrap();
    let mut places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    places.sort_unstable();
    assert_eq!(places, ["/", "/grant/0"], "{mounts}");
}

#[test]
fn a_grant_that_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "x");
    let plugin = scratch.plugin("command-p1");
    for host in [file, scratch.path().join("missing"), scratch.path().join("missing/below")] {
        let finished = run(words!["--dir", grant(&host, "/d:ro"), &plugin, "--", "list", "/d"]).finish();
        finished.assert_code(121).assert_says([&host.display().to_string()]).assert_no_panic();
    }
}

#[test]
fn a_grant_that_is_not_understood_is_a_mistake_of_usage() {
    for text in ["::/data", "/srv::", ""] {
        bulkhead(words!["run", "--dir", text, "plugin.wasm"]).finish().assert_code(2).assert_says(["--dir"]);
    }
}

#[test]
fn policies_and_directories_are_opened_where_openat2_is_hidden() {
    // As systemd does with RestrictSUIDSGID=.
    let without = words![programs().join("bulkhead-tests-without"), "openat2"];
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    scratch.file("granted/file", "content\n");
    let policy = scratch.file("mine.toml", "version = 1\nextends = \"standard\"\n");
    let plugin = scratch.plugin("command-p1");

    let read = words!["--policy", policy, "--dir", grant(&folder, "/data:ro"), plugin, "--", "read", "/data/file"];
    let read = run(read).through(without).finish();

    read.assert_code(0).assert_out("content\n");
}
