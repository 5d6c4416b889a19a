//! What a plugin is refused while it runs, and lives on: what its caller is told, and what would allow it.

use bulkhead_tests::{Scratch, run, words};

const PREVIEWS: [&str; 2] = ["command-p1", "command-p2"];

#[test]
fn writing_where_the_caller_granted_reading_says_what_to_grant() {
    let scratch = Scratch::new();
    let dir = format!("{}::/data:ro", scratch.folder("granted").display());
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);

        let finished = run(words!["--dir", &dir, &plugin, "--", "write", "/data/new", "x"]).finish();

        finished.assert_code(1).assert_says([
            ": denied: write \"new\" in \"/data\"\n",
            "hint: the caller granted it for reading: grant it for writing, too (--dir without :ro)\n",
        ]);
    }
}

#[test]
fn writing_where_policy_grants_reading_says_the_line_and_the_verdict() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let dirs = format!("dirs = [{{ host = \"{}\", guest = \"/data\", writable = false }}]", folder.display());
    let text = format!("version = 1\nextends = \"standard\"\n[filesystem]\n{dirs}\n");
    let mine = scratch.file("mine.toml", text);
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let finished = run(words!["--policy", &mine, &plugin, "--", "mkdir", "/data/new"]).finish();
        let machine = run(words!["--policy", &mine, "--json", &plugin, "--", "mkdir", "/data/new"]).finish();

        let toml = format!(
            "  hint: in {}, this would allow it:\n      [filesystem]\n      dirs = [\n          {{ host = \"{}\", guest = \"/data\", \
             writable = true }},\n      ]\n    checked: it can be used, but:\n      warning: ",
            mine.display(),
            folder.display()
        );
        let err = finished.assert_code(1).err();
        assert!(err.contains(": denied: write \"new\" in \"/data\"\n"), "{finished}");
        assert!(err.contains(&toml), "{finished}\nwanted {toml}");
        let ended: serde_json::Value = serde_json::from_slice(&machine.assert_code(1).stdout).unwrap();
        let denials = ended["denials"].as_array().unwrap();
        assert_eq!(denials.len(), 1, "{denials:?}");
        assert_eq!(denials[0]["denial"]["path"]["path"], "new");
        assert_eq!(denials[0]["hint"]["line"]["key"], "filesystem.dirs");
        assert_eq!(denials[0]["hint"]["line"]["verdict"]["word"], "doubtful");
    }
}

#[test]
fn the_line_of_the_hint_allows_it() {
    let scratch = Scratch::new();
    let folder = scratch.folder("granted");
    let dirs = format!("[filesystem]\ndirs = [{{ host = {folder:?}, guest = \"/data\", writable = false }}]\n");
    let policy = |dirs: &str| scratch.file("mine.toml", format!("version = 1\nextends = \"standard\"\n{dirs}"));
    let plugin = scratch.plugin("command-p1");
    let write = |mine| run(words!["--policy", mine, "--json", &plugin, "--", "write", "/data/new", "x"]).finish();

    let denied = write(policy(&dirs));
    let denied: serde_json::Value = serde_json::from_slice(&denied.assert_code(1).stdout).unwrap();
    let allowed = write(policy(denied["denials"][0]["hint"]["line"]["toml"].as_str().unwrap()));

    let allowed: serde_json::Value = serde_json::from_slice(&allowed.assert_code(0).stdout).unwrap();
    assert_eq!(allowed.get("denials"), None, "{allowed}");
    assert_eq!(scratch.read("granted/new"), b"x");
}

#[test]
fn a_path_that_leads_out_is_said_to_need_a_grant() {
    let scratch = Scratch::new();
    let dir = format!("{}::/data", scratch.folder("granted").display());
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);

        let finished = run(words!["--dir", &dir, &plugin, "--", "read", "/data/../../etc/passwd"]).finish();

        finished.assert_code(1).assert_says([
            ": denied: read \"../../etc/passwd\" in \"/data\"\n",
            "hint: no policy line allows it: the path leads out of the directory",
        ]);
    }
}

#[test]
fn the_network_is_said_to_be_nobodys() {
    let scratch = Scratch::new();
    let plugin = scratch.plugin("command-p2");
    for (words, denied) in [
        (["connect", "127.0.0.1:80"], "a TCP socket"),
        (["bind", "127.0.0.1:0"], "a UDP socket"),
        (["connect", "localhost:80"], "the addresses of a name"),
    ] {
        let finished = run(words![&plugin, "--", words[0], words[1]]).finish();

        finished.assert_code(1).assert_says([
            format!(": denied: {denied}\n").as_str(),
            "hint: no policy line allows it: workers have no network\n",
        ]);
    }
}

#[test]
fn what_was_permitted_or_missing_is_no_denial() {
    let scratch = Scratch::new();
    let dir = format!("{}::/data:ro", scratch.folder("granted").display());
    scratch.file("granted/file", "content");
    for preview in PREVIEWS {
        let plugin = scratch.plugin(preview);
        let read = |name: &str| run(words!["--dir", &dir, &plugin, "--", "read", name]).finish();

        let (there, missing) = (read("/data/file"), read("/data/missing"));

        assert!(!there.assert_code(0).err().contains("denied"), "{there}");
        assert!(!missing.assert_code(1).err().contains("denied"), "{missing}");
    }
}
