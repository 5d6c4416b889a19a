use super::*;
use crate::policies::Site;
use bulkhead_shared::{
    message::worker::{Got, Want},
    outcome::MemoryLimit,
};
use std::{fs, path::PathBuf, time::Duration};

fn asked(dir: u32, path: &str, want: Want, got: Got) -> Asked {
    Asked { dir, path: path.to_owned(), want, got }
}

fn recorder(policy: &Policy) -> Recorder {
    let recorder = Recorder::new();
    recorder.begin(&policy.filesystem.dirs, policy);
    recorder
}

fn told(recorder: &Recorder, said: FromWorker) -> Result<bool, String> {
    heard(Some(recorder), &said).map_err(|outcome| match outcome {
        Outcome::Violation(Violation::Protocol { what }) => what,
        other => format!("{other:?}"),
    })
}

fn dir(host: &str, guest: &str, writable: bool) -> DirGrant {
    DirGrant { host: host.into(), guest: guest.into(), writable, quota: None }
}

#[test]
fn nothing_is_heard_where_nobody_learns() {
    let said = FromWorker::Used(Used::default());

    assert_eq!(heard(None, &said), Ok(false));
}

#[test]
fn a_flood_of_requests_is_kept_in_bounds_and_ends_the_worker() {
    let recorder = recorder(Start::nothing(Site::new()).unwrap().policy());
    // No directory: none can have been asked.
    let lie = told(&recorder, FromWorker::Asked(asked(0, "x", Want::Read, Got::Given)));
    assert_eq!(lie, Err("the worker told of a path that cannot be".to_owned()));

    let mut policy = Start::nothing(Site::new()).unwrap().policy().clone();
    policy.filesystem.dirs.push(dir("/srv", "/", false));
    let recorder = super::tests::recorder(&policy);
    let flood = (0..=Asked::MOST).map(|n| FromWorker::Asked(asked(0, &n.to_string(), Want::Read, Got::Missing)));
    let results: Vec<_> = flood.map(|said| told(&recorder, said)).collect();

    assert!(results[..Asked::MOST].iter().all(|result| *result == Ok(true)));
    assert_eq!(results[Asked::MOST], Err("the worker told of more requests for paths than a worker tells".to_owned()));
    assert_eq!(recorder.seen().asked.len(), Asked::MOST);
    recorder.new_worker();
    assert_eq!(told(&recorder, FromWorker::Asked(asked(0, "again", Want::Read, Got::Missing))), Ok(true));
    assert_eq!(recorder.seen().asked.len(), Asked::MOST);
}

#[test]
fn a_worker_cannot_have_used_more_than_it_was_given() {
    let recorder = recorder(Start::nothing(Site::new()).unwrap().policy());
    let used = Used { resources: 1_000, ..Used::default() };

    assert_eq!(told(&recorder, FromWorker::Used(used)), Ok(true));
    let lie = told(&recorder, FromWorker::Used(Used { resources: 1_001, ..used }));

    assert_eq!(lie, Err("the worker told that it has used more than it was given".to_owned()));
    assert_eq!(recorder.seen().used, Some(used));
}

#[test]
fn refused_calls_are_counted_by_kind_and_kinds_are_bounded() {
    let recorder = Recorder::new();
    for number in 0..200 {
        recorder.refused(0, 10_000 + number, [0; 6]);
        recorder.refused(crate::filter::Arch::HOST.audit(), 0, [0; 6]);
    }

    let seen = recorder.seen();
    assert_eq!((seen.calls.len(), seen.calls_left_out), (MOST_CALLS, 200 - (MOST_CALLS as u64 - 1)));
    assert_eq!(seen.calls[1].times, 200);
}

#[test]
fn only_the_two_keys_that_withhold_imports_are_taken_from_a_worker() {
    let recorder = Recorder::new();
    let withheld = |import: &str, key: &str| format!("{import}: the policy withholds it ({key})");
    let findings = vec![withheld("a", "host.clock"), withheld("b", "syscalls.danger_allow"), "c: nobody".to_owned()];

    not_loaded(Some(&recorder), &LoadFailure::Imports(findings));

    assert_eq!(recorder.seen().withheld, [Withheld { import: "a".into(), key: "host.clock".into() }]);
}

struct Etc(tempfile::TempDir);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Etc {
        let etc = Etc(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| fs::write(etc.file(name), text).unwrap());
        etc
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

const CEILING: &str = "\
version = 1
extends = \"base\"
[wasm]
memory = \"1MiB\"
[filesystem]
dirs = [{ host = \"/srv/data\", guest = \"/x\", writable = false }]
[host]
stdio = true
";

#[test]
fn what_the_ceiling_does_not_permit_is_not_tried() {
    let etc = Etc::new(&[("ceiling.toml", CEILING)]);
    let start = Start::nothing(Site::new().with_ceiling(etc.file("ceiling.toml"))).unwrap();
    let caller = Caller {
        dirs: vec![dir("/srv/data/below", "/data", true), dir("/etc", "/etc", false)],
        tmp: Some(1 << 20),
        env: vec!["HOME".into()],
    };

    let trial = Trial::new(&start, &caller, &["host.clock".to_owned()]).unwrap();

    let policy = &trial.policy;
    assert_eq!(policy.filesystem.dirs, [dir("/srv/data/below", "/data", false)]);
    assert_eq!((policy.filesystem.tmp, policy.host.env, policy.wasm.memory), (None, false, 1 << 20));
    assert!(policy.host.stdio && policy.text("host.clock").as_deref() == Some("\"none\""));
    let wall = |key: &str| trial.walls[key].to_string().replace(&etc.0.path().display().to_string(), "…");
    assert_eq!(wall("filesystem.dirs"), "not permitted by the ceiling (…/ceiling.toml:6)");
    assert_eq!(wall("wasm.memory"), "not permitted by the ceiling (…/ceiling.toml:4)");
    assert!(trial.walls.contains_key("host.env") && trial.walls.contains_key("host.clock"));
}

#[test]
fn what_a_parent_does_not_let_be_loosened_is_not_tried() {
    let start = Start::beyond(Site::new(), "strict").unwrap();
    let caller = Caller { env: vec!["HOME".into()], ..Caller::default() };

    let trial = Trial::new(&start, &caller, &[]).unwrap();

    assert!(!trial.policy.host.env);
    assert_eq!(
        trial.walls["host.env"].to_string(),
        "not permitted: host.env is looser than false in `strict`, which does not mark it overridable"
    );
    // `strict` lets its limits be raised, to those of `base`.
    assert_eq!(trial.policy.wasm.memory, 256 << 20);
}

#[test]
fn a_file_that_is_merged_into_is_no_parent_of_what_is_learned() {
    let etc = Etc::new(&[("mine.toml", "version = 1\nextends = \"base\"\noverridable = []\n")]);
    let caller = Caller { env: vec!["HOME".into()], ..Caller::default() };

    let child = Trial::new(&Start::beyond(Site::new(), etc.file("mine.toml").to_str().unwrap()).unwrap(), &caller, &[]);
    let merged = Trial::new(&Start::merging(Site::new(), &etc.file("mine.toml")).unwrap(), &caller, &[]);

    assert_eq!((child.unwrap().policy.host.env, merged.unwrap().policy.host.env), (false, true));
}

/// The lesson of a run with these words of its worker.
fn lesson(start: &Start, caller: &Caller, outcome: &Outcome, tell: impl Fn(&Trial) -> Vec<FromWorker>) -> Lesson {
    let trial = Trial::new(start, caller, &[]).unwrap();
    let recorder = recorder(&trial.policy);
    tell(&trial).into_iter().for_each(|said| assert_eq!(told(&recorder, said), Ok(true)));
    let measured = Measured {
        outcome,
        time: Some(Duration::from_millis(20)),
        memory_peak: None,
        input_bytes: 0,
        output_bytes: 0,
        is_module: true,
    };
    Lesson::draw(start, &trial, caller, (&recorder.seen(), &[]), &measured, "learned: from a test").unwrap()
}

#[test]
fn what_a_plugin_says_stays_in_its_comment() {
    let path = "tmp/\u{1b}[2J\n[host]\nrandom = \"real\"\n\u{202e}x";
    let start = Start::nothing(Site::new()).unwrap();

    let lesson = lesson(&start, &Caller::default(), &Outcome::Exited(0), |_| {
        vec![FromWorker::Asked(asked(0, path, Want::Write, Got::Refused))]
    });

    assert!(
        lesson.policy.ends_with(
            "\n# ---- To be decided by a person:\n\
             # asked for \"/tmp/\\u{1b}[2J\\n[host]\\nrandom = \\\"real\\\"\\n\\u{202e}x\" (write): not granted\n\
             #     [filesystem] tmp = \"16MiB\"\n"
        ),
        "{}",
        lesson.policy
    );
    assert!(lesson.lines.iter().all(|line| line.key != "host.random"));
}

#[test]
fn beyond_a_policy_nothing_becomes_tighter() {
    let etc = Etc::new(&[("mine.toml", "version = 1\nextends = \"base\"\n[wasm]\nmemory = \"1MiB\"\n")]);
    let start = Start::merging(Site::new(), &etc.file("mine.toml")).unwrap();
    let used = |memory| move |_: &Trial| vec![FromWorker::Used(Used { memory, ..Used::default() })];

    let less = lesson(&start, &Caller::default(), &Outcome::Exited(0), used(1 << 20));
    let more = lesson(&start, &Caller::default(), &Outcome::Exited(0), used(3 << 20));

    assert_eq!((less.lines.len(), less.policy == start.text()), (0, true));
    let lines: Vec<_> = more.lines.iter().map(|line| (line.key.as_str(), line.value.as_str())).collect();
    assert_eq!(lines, [("wasm.memory", "\"6MiB\"")]);
    assert_eq!(more.lines[0].was, "\"1MiB\"");
}

#[test]
fn a_limit_that_ended_the_run_is_told_with_what_stood_in_the_way() {
    let etc = Etc::new(&[("ceiling.toml", CEILING)]);
    let start = Start::nothing(Site::new().with_ceiling(etc.file("ceiling.toml"))).unwrap();
    let limit = MemoryLimit::Wasm { key: "wasm.memory".into(), limit: 1 << 20, wanted: 8 << 20, trap: None };

    let lesson = lesson(&start, &Caller::default(), &Outcome::OutOfMemory(limit), |_| Vec::new());

    let said: Vec<_> = lesson.not_permitted.iter().map(|note| note.about.as_str()).collect();
    let at = etc.file("ceiling.toml").display().to_string();
    assert_eq!(
        said,
        [format!(
            "wasm.memory: 8MiB in all, where the run had \"1MiB\": needed, and not permitted by the ceiling ({at}:4)"
        )]
    );
}

#[test]
fn a_directory_that_was_not_used_is_left_out() {
    let start = Start::nothing(Site::new()).unwrap();
    let caller = Caller { dirs: vec![dir("/srv/a", "/a", true), dir("/srv/b", "/b", true)], ..Caller::default() };

    let lesson = lesson(&start, &caller, &Outcome::Exited(0), |_| {
        vec![FromWorker::Asked(asked(1, "new", Want::Write, Got::Given))]
    });

    let (dirs, _) = start.check(lesson.policy.clone()).unwrap();
    assert_eq!(dirs.policy.filesystem.dirs, [dir("/srv/b", "/b", true)]);
    assert_eq!(lesson.notes[0].about, "\"/srv/a\" as \"/a\" was granted and not used: it is left out");
    // The checker says what it thinks of it.
    assert!(lesson.findings.iter().any(|found| found.rule.name() == "unbounded-disk"));
}
