//! `bulkhead policy learn`.

mod lived;

use super::SiteArgs;
use crate::{ends, explain, print, run::Run};
use bulkhead::{
    Error, Outcome,
    learn::{Lesson, Measured, Seen, Start, Withheld, unified},
    text::Untrusted,
};
use clap::{Args, CommandFactory, FromArgMatches, Parser, parser::ValueSource};
use lived::{Lived, caller, live};
use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Run a plugin, and print the smallest policy that would have let it pass.
///
/// The words after `--` are those of `bulkhead run`. Without a policy everything that the plugin needs is learned, and the result
/// extends `base`, with its limits fitted to what was used. With one (--policy, here or there), what it needs beyond that policy
/// is learned, and the result extends it.
///
/// What a policy would have to grant is granted in the run, as far as the site's ceiling permits; what the ceiling does not permit
/// is not tried. Limits are those of `base` or of the policy, whichever is larger. A refused system call is answered ENOSYS and
/// recorded instead of being the end. All other protections hold as ever, but do not learn from a plugin that you take to be
/// hostile: what is learned is what it asked for.
///
/// The policy is printed on standard output, each key with its evidence. The plugin's own output goes to standard error. One run
/// shows one way through a plugin: where it depends on its input, and after a refused system call, learn from several runs, with
/// --merge.
#[derive(Args)]
#[command(after_help = "\
Exit codes:
  0    learned; how the plugin ended is told on standard error
  2    the command line cannot be understood
  121  refused: nothing was run that could be learned from
  122  a policy has errors, or cannot be found
  123  the worker could not be set up: the host lacks what policy requires
  125  Bulkhead itself failed")]
pub struct Learn {
    /// Learn what is needed beyond this policy: a name or a file.
    #[arg(long, value_name = "NAME|FILE")]
    policy: Option<String>,
    /// Learn what is needed beyond this file, and print what would change in it as a diff. Nothing in it becomes tighter.
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    merge: Option<PathBuf>,
    /// With --merge: write the file as well.
    #[arg(long, requires = "merge")]
    write: bool,
    /// Print one JSON object on standard output: the end, the policy, each line's evidence, everything that was seen.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
    /// The run: `bulkhead run [OPTIONS] PLUGIN [ARGS]…`
    #[arg(last = true, required = true, value_name = "bulkhead run …")]
    words: Vec<OsString>,
}

/// The words of `bulkhead run`.
#[derive(Parser)]
#[command(name = "bulkhead policy learn -- bulkhead run", no_binary_name = true)]
struct Words {
    #[command(flatten)]
    run: Run,
}

/// What is printed as JSON.
#[derive(serde::Serialize)]
struct Learned<'a> {
    learning: bool,
    outcome: &'a Outcome,
    #[serde(flatten)]
    lesson: &'a Lesson,
    seen: &'a Seen,
    withheld: &'a [Withheld],
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

impl Learn {
    pub fn go(self) -> ExitCode {
        let (mut run, policy) = match self.run() {
            Ok(run) => run,
            Err(error) => error.exit(),
        };
        run.site.policy_dir.extend_from_slice(&self.site.policy_dir);
        run.site.ceiling.extend_from_slice(&self.site.ceiling);
        let site = run.site.site();
        let start = match (&self.merge, &policy) {
            (Some(file), _) => Start::merging(site, file),
            (None, Some(policy)) => Start::beyond(site, policy),
            (None, None) => Start::nothing(site),
        };
        let start = match start {
            Ok(start) => start,
            Err(errors) => return ends::policy_error(&errors),
        };
        let broker = match run.broker() {
            Ok(broker) => broker,
            Err(error) => {
                eprintln!("bulkhead: {error}");
                return ExitCode::from(if matches!(error, Error::System { .. }) {
                    ends::INTERNAL
                } else {
                    ends::SETUP_FAILED
                });
            }
        };
        say(&format!(
            "LEARNING from {}: what is refused is recorded, and not its end; only for a plugin that you are ready to try",
            run.plugin.display()
        ));
        match live(&start, &broker, &run) {
            Ok(lived) => self.tell(&start, &run, &lived),
            Err(errors) => ends::policy_error(&errors),
        }
    }

    /// The run, and the policy that it or we name.
    fn run(&self) -> Result<(Run, Option<String>), clap::Error> {
        let mut words = self.words.as_slice();
        if let Some((first, rest)) = words.split_first()
            && Path::new(first).file_name().is_some_and(|name| name == "bulkhead")
        {
            words = rest;
        }
        if let Some((first, rest)) = words.split_first()
            && first == "run"
        {
            words = rest;
        }
        let mut command = Words::command();
        let conflict = |command: &mut clap::Command, what: &str| {
            Err(command.error(clap::error::ErrorKind::ArgumentConflict, what))
        };
        let matches = command.try_get_matches_from_mut(words)?;
        let Words { run } = Words::from_arg_matches(&matches)?;
        if run.json {
            return conflict(
                &mut command,
                "--json goes before the `--`: it is the lesson that is printed, not the run",
            );
        }
        let theirs = matches.value_source("policy") == Some(ValueSource::CommandLine);
        let theirs = theirs.then(|| run.policy.clone());
        match (&self.policy, &self.merge, theirs) {
            (_, Some(file), Some(theirs)) if Path::new(&theirs) != file => {
                let what = "--merge FILE learns beyond FILE: name the same one in the run, or none";
                conflict(&mut command, what)
            }
            (Some(ours), _, Some(theirs)) if *ours != theirs => {
                conflict(&mut command, "two policies are named: one before the `--`, another after it")
            }
            (ours, _, theirs) => Ok((run, ours.clone().or(theirs))),
        }
    }

    /// Says what was learned.
    fn tell(&self, start: &Start, run: &Run, lived: &Lived) -> ExitCode {
        let end = match explain::explain(&lived.outcome) {
            Some(text) => text,
            None => said(&lived.outcome),
        };
        let measured = Measured {
            outcome: &lived.outcome,
            time: lived.time,
            memory_peak: lived.memory_peak,
            input_bytes: lived.input_bytes,
            output_bytes: lived.output_bytes,
            is_module: lived.is_module,
        };
        let plugin = run.plugin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beyond = &start.policy().name;
        let title = format!(
            "learned: what one run of {plugin} needed beyond `{beyond}`; review it before you use it\nIt ended: {}",
            end.lines().next().unwrap_or_default()
        );
        let seen = (&lived.seen, lived.withheld.as_slice());
        let lesson = match Lesson::draw(start, &lived.trial, &caller(run), seen, &measured, &title) {
            Ok(lesson) => lesson,
            Err(errors) => return ends::policy_error(&errors),
        };
        self.comment(start, lived, &lesson, &end);
        // Nothing ran that could be learned from.
        let nothing = matches!(lived.outcome, Outcome::Refused(_) | Outcome::SetupFailed(_));
        let diff = self.merge.as_ref().map(|file| unified(&file.display().to_string(), &start.text(), &lesson.policy));
        let text = match (&diff, self.json) {
            (_, true) => {
                let learned = Learned {
                    learning: true,
                    outcome: &lived.outcome,
                    lesson: &lesson,
                    seen: &lived.seen,
                    withheld: &lived.withheld,
                    diff,
                };
                serde_json::to_string_pretty(&learned).unwrap_or_default() + "\n"
            }
            _ if nothing => String::new(),
            (Some(diff), false) => diff.clone(),
            (None, false) => lesson.policy.clone(),
        };
        let printed = print(text.as_bytes());
        if nothing {
            return ExitCode::from(ends::code(&lived.outcome));
        }
        match &self.merge {
            Some(file) if self.write && !lesson.lines.is_empty() => match replace(file, &lesson.policy) {
                Ok(()) => printed,
                Err(error) => {
                    eprintln!("bulkhead: {}: {error}", file.display());
                    ExitCode::from(ends::INTERNAL)
                }
            },
            _ => printed,
        }
    }

    /// Says on standard error what the policy cannot.
    fn comment(&self, start: &Start, lived: &Lived, lesson: &Lesson, end: &str) {
        match lived.outcome {
            Outcome::Returned(_) | Outcome::Exited(0) => say(&format!("it ended: {end}")),
            _ => say(&format!(
                "it came to no good end, and what it would need further on was not seen: {end}\n  \
                 what follows is what it needed until then; where it failed for reasons of its own, no policy helps"
            )),
        }
        if !lived.seen.calls.is_empty() {
            let times =
                lived.seen.calls.iter().fold(lived.seen.calls_left_out, |sum, call| sum.saturating_add(call.times));
            say(&format!(
                "{times} refused system call(s) were answered ENOSYS: what would have come after them was not seen, so several runs \
                 may be needed"
            ));
        }
        if lived.withheld.iter().any(|w| w.key == "host.clock") && matches!(lived.outcome, Outcome::TimedOut { .. }) {
            say(
                "it ran under the deterministic clock: if it waits for time to pass, start from a policy with clock = \"real\"",
            );
        }
        if lesson.lines.is_empty() {
            say(&format!("it needs nothing beyond `{}`", start.policy().name));
        }
        for note in &lesson.not_permitted {
            say(&Untrusted(&note.about).to_string());
        }
        // In a new file they stand as comments.
        for note in lesson.notes.iter().filter(|_| start.is_merged()) {
            let line = note.line.as_ref().map(|line| format!("\n  {}", Untrusted(line))).unwrap_or_default();
            say(&format!("{}{line}", Untrusted(&note.about)));
        }
        for found in &lesson.findings {
            eprintln!("{found}\n");
        }
        if let Some(dir) = start.dir() {
            say(&format!("it extends `{}`: use it with --policy-dir {}", start.policy().name, dir.display()));
        }
    }
}

/// A good end in words.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited(code) => format!("exit code {code}"),
        Outcome::Returned(_) => "it returned".to_owned(),
        _ => "nobody reads its output any more".to_owned(),
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "bulkhead: {text}");
}

/// Puts a file in the place of another, whole or not at all, with the permissions of the old one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".learned");
    let new = PathBuf::from(new);
    let mut written = fs::OpenOptions::new().write(true).create_new(true).open(&new)?;
    let done = (|| {
        written.set_permissions(fs::metadata(file)?.permissions())?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&new, file)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}
