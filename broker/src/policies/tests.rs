//! Names, files and ceilings as a site meets them.

use super::*;
use crate::filter::{self, Arch, Class, Features};
use bulkhead_shared::{
    layer::{Layer, Requirement},
    message::worker::{Clock, Interrupt, Random},
    policy::{Engine, Grants, paths, text::MAX_FILE},
};
use std::fs;

fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn error(name: &str, dirs: &[PathBuf]) -> String {
    find(name, dirs).unwrap_err().to_string()
}

#[test]
fn every_shipped_policy_is_whole_and_gives_filters() {
    for (name, _) in BUILTIN {
        let policy = find(name, &[]).unwrap_or_else(|e| panic!("{e}"));

        assert_eq!(policy.name, *name);
        for arch in Arch::ALL {
            let class = Class::Worker(Features::most(&policy));
            filter::programs(&policy, class, arch).unwrap();
            filter::programs(&policy, Class::Compiler, arch).unwrap();
        }
    }
}

#[test]
fn shipped_policies_say_what_their_names_promise() {
    let [base, standard, strict, interpreted] = ["base", "standard", "strict", "interpreted"].map(shipped);

    assert_eq!(base.filesystem.grants, Grants::None);
    assert!(!(base.host.stdio || base.host.env));
    assert_eq!((base.host.clock, base.host.random), (Clock::None, Random::None));
    assert_eq!(standard.filesystem.grants, Grants::ReadWrite);
    assert_eq!(standard.require[&Layer::CgroupMemory], Requirement::BestEffort);
    assert_eq!(interpreted.wasm.engine, Engine::Interpreted);
    assert_eq!(strict.filesystem.grants, Grants::None);
    assert!(!strict.host.env);
    let weaker = [Layer::CgroupIo, Layer::CgroupSwap, Layer::Speculation, Layer::CoreScheduling];
    for (layer, requirement) in &strict.require {
        let expected = if weaker.contains(layer) { Requirement::BestEffort } else { Requirement::Required };
        assert_eq!(*requirement, expected, "{layer}");
    }
}

fn shipped(name: &str) -> Policy {
    find(name, &[]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_policies_for_one_job_say_what_their_names_promise() {
    let [command, compute, service, migration] = ["command", "compute", "service", "migration"].map(shipped);

    assert_eq!((command.filesystem.grants, command.filesystem.tmp), (Grants::ReadWrite, Some(64 << 20)));
    assert!(command.host.stdio && command.host.env);
    assert_eq!((compute.host.clock, compute.host.random), (Clock::Deterministic, Random::Deterministic));
    assert_eq!((compute.filesystem.grants, compute.filesystem.tmp), (Grants::None, None));
    assert_eq!((compute.invocation.interrupt, compute.host.env), (Interrupt::Fuel, false));
    assert_eq!((service.filesystem.grants, service.host.env), (Grants::None, false));
    assert_eq!((service.host.clock, service.host.random), (Clock::Real, Random::Real));
    for layer in [Layer::CgroupMemory, Layer::CgroupCpu, Layer::CgroupPids] {
        assert_eq!(service.require[&layer], Requirement::Required, "{layer}");
    }
    // In everything but the one layer, the words of standard.
    let mut differing: Vec<String> =
        paths().filter(|path| migration.text(path) != shipped("standard").text(path)).collect();
    differing.sort();
    assert_eq!(differing, ["require.landlock.fs"]);
    assert_eq!(migration.require[&Layer::LandlockFs], Requirement::BestEffort);
}

#[test]
fn the_shipped_policies_stand_without_a_warning() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"));
    for (name, text) in BUILTIN {
        let file = dir.join(format!("{name}.toml"));

        let (_, found) = Site::new().for_review().check(&file).unwrap_or_else(|e| panic!("{e}"));

        assert_eq!(fs::read_to_string(&file).unwrap(), *text, "{name} is not the file that is built in");
        let warnings: Vec<String> = found
            .iter()
            .filter(|f| f.severity > Severity::Note && f.rule != Rule::FileAccess)
            .map(|f| f.to_string())
            .collect();
        assert_eq!(warnings, [""; 0], "{name}");
        assert!(!summary(text).is_empty(), "{name} does not say what it is for");
    }
}

#[test]
fn what_a_policy_is_for_stays_so_in_those_that_extend_it() {
    for (text, key) in [
        ("extends = \"compute\"\n[host]\nclock = \"real\"", "host.clock"),
        ("extends = \"compute\"\n[filesystem]\ngrants = \"read-only\"", "filesystem.grants"),
        ("extends = \"service\"\n[host]\nenv = true", "host.env"),
        ("extends = \"service\"\n[require]\n\"cgroup.memory\" = \"best-effort\"", "require.cgroup.memory"),
        ("extends = \"command\"\n[require]\n\"landlock.fs\" = \"off\"", "require.landlock.fs"),
        ("extends = \"migration\"\n[require]\n\"seccomp.main\" = \"off\"", "require.seccomp.main"),
    ] {
        let dir = dir(&[("mine.toml", &format!("version = 1\n{text}\n"))]);

        let error = error("mine", &[dir.path().to_path_buf()]);

        assert!(error.contains(&format!("{key} is looser than")), "{error}");
    }
}

#[test]
fn strict_grants_no_more_than_standard() {
    let [standard, strict] = ["standard", "strict"].map(shipped);

    assert!(strict.wasm.memory <= standard.wasm.memory && strict.process.memory <= standard.process.memory);
    assert!(strict.invocation.timeout <= standard.invocation.timeout);
    assert!(strict.filesystem.grants <= standard.filesystem.grants);
    for (layer, requirement) in &standard.require {
        assert!(strict.require[layer] >= *requirement, "{layer}");
    }
}

#[test]
fn a_file_of_the_site_is_found_by_name_and_by_path() {
    let dir =
        dir(&[("mine.toml", "# mine: for tests\nversion = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1MiB\"\n")]);
    let dirs = [dir.path().to_path_buf()];

    assert_eq!(find("mine", &dirs).unwrap().wasm.memory, 1 << 20);
    assert_eq!(find(dir.path().join("mine.toml").to_str().unwrap(), &[]).unwrap().name, "mine");
    let listed = Site::new().with_dirs(&dirs).list();
    assert!(listed.iter().any(|f| f.name == "mine" && f.summary == "for tests"));
    assert!(listed.iter().any(|f| f.name == "strict" && f.file.is_none()));
}

#[test]
fn an_unknown_name_says_which_one_was_meant() {
    assert!(error("strickt", &[]).contains("did you mean `strict`?"));
    assert!(error("../../etc/passwd", &[]).contains("cannot be used"));
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    let dir = dir(&[("standard.toml", "version = 1\nextends = \"base\"\n")]);

    let error = error("standard", &[dir.path().to_path_buf()]);

    assert!(error.contains("more than once (built in, "), "{error}");
}

#[test]
fn a_file_that_bears_the_name_of_its_parent_is_no_circle() {
    let dir = dir(&[("standard.toml", "version = 1\nextends = \"standard\"\n")]);

    let file = dir.path().join("standard.toml");

    assert!(Site::new().load_file(&file).is_ok());
}

#[test]
fn directories_fifos_large_and_binary_files_are_refused() {
    let dir = dir(&[("large.toml", &"#".repeat(MAX_FILE + 1))]);
    fs::write(dir.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    nix::unistd::mkfifo(&dir.path().join("fifo.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let dirs = [dir.path().to_path_buf()];

    assert!(error("large", &dirs).contains("larger than"));
    assert!(error("binary", &dirs).contains("not UTF-8"));
    assert!(error("fifo", &dirs).contains("not a regular file"));
    assert!(error("/tmp/", &[]).contains("not a regular file"));
    assert!(error("/nowhere.toml", &[]).contains("No such file"));
}

#[test]
fn a_policy_that_no_worker_can_live_under_is_refused_with_its_line() {
    let dir = dir(&[
        ("dead.toml", "version = 1\nextends = \"standard\"\n[syscalls]\ndeny = [\"futex\"]\n"),
        (
            "proof.toml",
            "version = 1\nextends = \"standard\"\n[syscalls]\n\
            danger_allow = [{ name = \"getppid\", comment = \"x\" }]\n",
        ),
    ]);
    let dirs = [dir.path().to_path_buf()];

    let dead = error("dead", &dirs);
    assert!(dead.contains("takes away `futex`") && dead.contains("dead.toml:4"), "{dead}");
    assert!(error("proof", &dirs).contains("proof.toml:4"));
}

/// A mode other than the umask's.
fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_others_may_write_is_refused_and_may_be_looked_at() {
    let dir = dir(&[("mine.toml", "version = 1\nextends = \"base\"\n")]);
    let file = dir.path().join("mine.toml");
    for mode in [0o664, 0o646] {
        chmod(&file, mode);

        let error = Site::new().load_file(&file).unwrap_err().to_string();

        assert!(error.contains(&format!("may be written by others (mode {mode:o}); chmod go-w it")), "{error}");
        let (_, found) = Site::new().for_review().check(&file).unwrap();
        assert_eq!((found.len(), found[0].rule), (1, Rule::FileAccess));
    }
}

#[test]
fn a_directory_that_others_may_write_is_refused_unless_it_is_sticky() {
    let dir = dir(&[("mine.toml", "version = 1\nextends = \"base\"\n")]);
    let file = dir.path().join("mine.toml");

    chmod(dir.path(), 0o777);
    let error = Site::new().with_dir(dir.path()).find("mine").unwrap_err().to_string();
    assert!(error.contains("may be written by others (mode 777)"), "{error}");

    chmod(dir.path(), 0o1777);
    assert!(Site::new().load_file(&file).is_ok());
}

#[test]
fn a_symbolic_link_is_refused_and_what_it_leads_to_is_not() {
    let dir = dir(&[("real.toml", "version = 1\nextends = \"base\"\n")]);
    std::os::unix::fs::symlink(dir.path().join("real.toml"), dir.path().join("link.toml")).unwrap();
    let site = Site::new().with_dir(dir.path());

    let error = site.find("link").unwrap_err().to_string();

    assert!(error.contains("link.toml: is a symbolic link; name the file that it leads to"), "{error}");
    assert!(site.find("real").is_ok());
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let dir = dir(&[("mine.toml", "version = 1\nextends = \"base\"\n")]);
    let file = dir.path().join("mine.toml");
    if crate::skip::without_root("a_file_of_somebody_else_is_refused") {
        return;
    }
    std::os::unix::fs::chown(&file, Some(12345), None).unwrap();

    let error = Site::new().load_file(&file).unwrap_err().to_string();

    assert!(error.contains("belongs to user 12345") && error.contains("chown it, or copy it"), "{error}");
}

#[test]
fn a_ceiling_holds_every_policy_and_its_line_is_named() {
    let dir = dir(&[
        ("ceiling.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"1MiB\"\n"),
        ("mine.toml", "version = 1\nextends = \"standard\"\n[wasm]\nmemory = \"2MiB\"\n"),
    ]);
    let site = Site::new().with_ceiling(dir.path().join("ceiling.toml"));

    let (resolved, found) = site.check(&dir.path().join("mine.toml")).unwrap();

    assert_eq!(resolved.policy.wasm.memory, 1 << 20);
    assert_eq!(site.find("base").unwrap().wasm.memory, 1 << 20);
    assert!(resolved.origin("wasm.memory").unwrap().file.ends_with("ceiling.toml"));
    assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::AboveCeiling]);
}

#[test]
fn a_ceiling_that_cannot_be_used_stops_everything() {
    let dir = dir(&[("ceiling.toml", "version = 1\nextends = \"base\"\n[wasm]\nmemroy = \"1MiB\"\n")]);

    for file in [dir.path().join("ceiling.toml"), dir.path().join("nowhere.toml")] {
        let error = Site::new().with_ceiling(&file).find("standard").unwrap_err().to_string();

        assert!(error.starts_with("the site's ceiling ") && error.contains("nothing is run"), "{error}");
    }
}

#[test]
fn calls_that_are_never_allowed_or_always_are_doubts() {
    for (text, rule, message) in [
        ("deny = [\"socket\"]", Rule::NeverMatches, "`socket` is not allowed anyway"),
        ("danger_allow = [{ name = \"munmap\", comment = \"x\" }]", Rule::Shadowed, "`munmap` is allowed already"),
    ] {
        let text = format!("version = 1\nextends = \"base\"\n[syscalls]\n{text}\n");
        let dir = dir(&[("mine.toml", &text)]);

        let (_, found) = Site::new().check(&dir.path().join("mine.toml")).unwrap();

        let found: Vec<_> = found.iter().filter(|f| f.rule == rule).collect();
        assert_eq!((found.len(), found[0].line), (1, 4), "{found:#?}");
        assert!(found[0].message.contains(message), "{}", found[0]);
    }
}

#[test]
fn shipped_policies_raise_no_doubt_worth_a_warning() {
    for (name, _) in BUILTIN {
        let found = findings(&Site::new().load(name).unwrap());

        // What base leaves open is for those above it to close, and it says so where it does.
        let found: Vec<_> = found
            .iter()
            .filter(|f| f.severity > Severity::Note)
            .filter(|f| *name != "base" || !matches!(f.rule, Rule::LayerOff | Rule::NeverMatches))
            .collect();
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}
