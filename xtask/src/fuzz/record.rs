//! Runs whose figures are kept: one line for each target of each run in a file, from which the document's section is made.

use super::Built;
use crate::{
    Failure, section,
    step::{ask, kernel, minutes, root},
};
use std::{
    collections::VecDeque,
    fs::{self, File},
    process::Stdio,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// What is kept, and what stands at its top.
const FILE: &str = "fuzz/record.tsv";
const HEADINGS: &str = "date\tkernel\tcommit\ttarget\tseconds\texecutions\tedges\tinputs\tfindings\tnote\n";
/// Targets that run at the same time.
const SIDE_BY_SIDE: usize = 2;

/// What one target came to in one run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    date: String,
    kernel: String,
    commit: String,
    target: String,
    seconds: u64,
    executions: u64,
    edges: u64,
    inputs: u64,
    findings: u64,
    /// What was found, and what became of it: written by whoever has looked at it.
    note: String,
}

impl Line {
    fn text(&self) -> String {
        let Line { date, kernel, commit, target, seconds, executions, edges, inputs, findings, note } = self;
        format!(
            "{date}\t{kernel}\t{commit}\t{target}\t{seconds}\t{executions}\t{edges}\t{inputs}\t{findings}\t{note}\n"
        )
    }

    fn read(text: &str) -> Option<Line> {
        let mut fields = text.split('\t');
        let mut next = || fields.next().map(str::to_owned);
        let (date, kernel, commit, target) = (next()?, next()?, next()?, next()?);
        let mut number = || fields.next()?.parse().ok();
        let (seconds, executions, edges) = (number()?, number()?, number()?);
        let (inputs, findings) = (number()?, number()?);
        let note = fields.next().unwrap_or_default().to_owned();
        Some(Line { date, kernel, commit, target, seconds, executions, edges, inputs, findings, note })
    }
}

/// Runs all targets in so many seconds, keeps what they came to, and writes the section. A finding is a failure, at the end.
pub fn run(built: &Built, targets: &[String], seconds: u32) -> Result<(), Failure> {
    let rounds = targets.len().div_ceil(SIDE_BY_SIDE).max(1);
    let each = (seconds / u32::try_from(rounds).unwrap_or(u32::MAX)).max(1);
    eprintln!("==> {} targets, {SIDE_BY_SIDE} side by side, {each} seconds each", targets.len());
    let about = about();
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let done: Mutex<Vec<Result<Line, Failure>>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(name) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) {
                    let line = one(built, name, each, &about);
                    if let Ok(mut done) = done.lock() {
                        done.push(line);
                    }
                }
            });
        }
    });
    let done = done.into_inner().map_err(|_| "a thread panicked".to_owned())?;
    let mut lines = done.into_iter().collect::<Result<Vec<Line>, Failure>>()?;
    lines.sort_by(|a, b| a.target.cmp(&b.target));

    let file = root().join(FILE);
    let mut kept = fs::read_to_string(&file).unwrap_or_else(|_| HEADINGS.to_owned());
    lines.iter().for_each(|line| kept.push_str(&line.text()));
    fs::write(&file, &kept).map_err(|e| format!("{FILE}: {e}"))?;
    write(targets)?;
    match lines.iter().filter(|line| line.findings > 0).map(|line| line.target.as_str()).collect::<Vec<_>>().as_slice()
    {
        [] => Ok(()),
        found => Err(format!("findings: {}; target/fuzz has the inputs", found.join(", "))),
    }
}

/// Writes the section from what is kept.
pub fn write(targets: &[String]) -> Result<(), Failure> {
    let kept = fs::read_to_string(root().join(FILE)).map_err(|e| format!("{FILE}: {e}"))?;
    let all: Vec<Line> = kept.lines().skip(1).filter_map(Line::read).collect();
    section::replace("docs/containment.md", "fuzz --record", &document(targets, &all, what_it_reads))
}

/// One target, with what it prints in a file of its own.
fn one(built: &Built, name: &str, seconds: u32, about: &Line) -> Result<Line, Failure> {
    let path = built.folder.join(format!("{name}.log"));
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let log = File::create(&path).map_err(failed)?;
    let mut run = built.target(name, seconds)?;
    run.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    let started = Instant::now();
    let status = run.status().map_err(|e| format!("{name}: {e}"))?;
    let text = String::from_utf8_lossy(&fs::read(&path).map_err(failed)?).into_owned();
    let mut line = Line { findings: u64::from(!status.success()), ..figures(&text, about) };
    line.seconds = started.elapsed().as_secs();
    line.target = name.to_owned();
    eprintln!("    {name}: {} executions, {} edges, {status}", line.executions, line.edges);
    Ok(line)
}

/// The figures that libFuzzer prints.
fn figures(text: &str, about: &Line) -> Line {
    let after = |line: &str, word: &str| -> Option<u64> {
        let rest = line.split_once(word)?.1.trim_start();
        rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
    };
    let last = |word: &str| text.lines().filter_map(|line| after(line, word)).next_back().unwrap_or_default();
    Line {
        executions: last("stat::number_of_executed_units:"),
        edges: last(" cov: "),
        inputs: last(" corp: "),
        ..about.clone()
    }
}

/// When, on what and of what a run is: at its begin, when it was built.
fn about() -> Line {
    Line {
        date: ask("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        kernel: kernel(),
        commit: ask("git", &["rev-parse", "--short=10", "HEAD"]).unwrap_or_default(),
        ..Line::default()
    }
}

/// A target's first sentence.
fn what_it_reads(name: &str) -> String {
    let text = fs::read_to_string(root().join("fuzz/targets").join(format!("{name}.rs"))).unwrap_or_default();
    first_sentence(&text)
}

fn first_sentence(text: &str) -> String {
    let words: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let words = words.join(" ");
    words.split_once(": ").map_or(words.clone(), |(first, _)| first.to_owned())
}

fn document(targets: &[String], all: &[Line], what: impl Fn(&str) -> String) -> String {
    let Some(last) = all.last() else { return "Nothing has run yet.".to_owned() };
    let (seconds, executions): (u64, u64) =
        all.iter().fold((0, 0), |sum, line| (sum.0 + line.seconds, sum.1 + line.executions));
    let findings: u64 = all.iter().map(|line| line.findings).sum();
    let mut text = format!(
        "Coverage-guided fuzzing (libFuzzer) of what reads the bytes of hostile workers, compilers, disks, callers and policy \
         files, in the broker's own code with debug assertions and overflow checks: **{executions} executions in {:.1} hours, \
         findings: {findings}**. A finding is a panic, a property that does not hold, more memory than the bytes are worth, or ten \
         seconds for one input. Hours are those that targets ran, by the clock; how much of a processor each had is not known. \
         `cargo xtask fuzz --record SECONDS` adds a run; the figures are sums of the runs in `fuzz/record.tsv`, the last of {} on \
         Linux {}.\n\n\
         | target | what it reads | hours | executions | edges | inputs | findings |\n|---|---|---|---|---|---|---|\n",
        seconds as f64 / 3600.0,
        last.date,
        last.kernel,
    );
    for name in targets {
        let own: Vec<&Line> = all.iter().filter(|line| line.target == *name).collect();
        let Some(latest) = own.last() else { continue };
        let sum = |field: fn(&Line) -> u64| own.iter().map(|line| field(line)).sum::<u64>();
        text.push_str(&format!(
            "| `{name}` | {} | {:.2} | {} | {} | {} | {} |\n",
            what(name),
            sum(|line| line.seconds) as f64 / 3600.0,
            sum(|line| line.executions),
            latest.edges,
            latest.inputs,
            sum(|line| line.findings),
        ));
    }
    let open = "not looked at yet";
    for line in all.iter().filter(|line| line.findings > 0) {
        let note = if line.note.is_empty() { open } else { &line.note };
        text.push_str(&format!("\n`{}`, {}, {}: {note}.\n", line.target, line.date, line.commit));
    }
    text.push_str(
        "\nEdges are those of the program's control flow that were reached, inputs those that are kept because each reaches \
         something the others do not, both after the last run. No figure says how much there is to reach: a target holds much of \
         the standard library. Findings are counted in the runs that are recorded; what a target found while it was written is in \
         the history, with its test.\n\n| run | kernel | commit | time | executions |\n|---|---|---|---|---|\n",
    );
    let mut runs: Vec<(&Line, u64, u64)> = Vec::new();
    for line in all {
        match runs.last_mut() {
            // A run has each target once, in their order.
            Some((first, seconds, executions)) if first.commit == line.commit && first.target < line.target => {
                (*seconds, *executions) = (*seconds + line.seconds, *executions + line.executions);
            }
            _ => runs.push((line, line.seconds, line.executions)),
        }
    }
    for (line, seconds, executions) in runs {
        let time = minutes(Duration::from_secs(seconds));
        text.push_str(&format!("| {} | {} | {} | {time} | {executions} |\n", line.date, line.kernel, line.commit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "#226\tNEW    cov: 4172 ft: 4172 corp: 2/7b lim: 6 exec/s: 0 rss: 30Mb L: 6/6 MS: 4\n\
        #511122\tDONE   cov: 4180 ft: 7564 corp: 1925/100Kb lim: 485 exec/s: 39317 rss: 31Mb\n\
        stat::number_of_executed_units: 511122\n";

    fn line(target: &str, executions: u64) -> Line {
        let (date, kernel, commit) = ("2026-11-21".to_owned(), "6.18".to_owned(), "abc".to_owned());
        let target = target.to_owned();
        Line {
            date,
            kernel,
            commit,
            target,
            seconds: 1800,
            executions,
            edges: 7,
            inputs: 3,
            findings: 0,
            note: String::new(),
        }
    }

    #[test]
    fn figures_are_those_that_were_printed_last() {
        let line = figures(PRINTED, &Line::default());
        assert_eq!((line.executions, line.edges, line.inputs), (511122, 4180, 1925));
    }

    #[test]
    fn a_line_that_was_kept_is_read() {
        assert_eq!(Line::read(line("ring", 5).text().trim_end()), Some(line("ring", 5)));
        assert_eq!(Line::read("2026\t6.18\tabc\tring\tmany"), None);
    }

    #[test]
    fn runs_are_added_up_and_told_apart() {
        let all = [line("call", 10), line("ring", 5), line("call", 1)];
        let text = document(&["call".to_owned(), "ring".to_owned()], &all, |_| "something".to_owned());
        assert!(text.contains("**16 executions in 1.5 hours"), "{text}");
        assert!(text.contains("| `call` | something | 1.00 | 11 | 7 | 3 | 0 |"), "{text}");
        assert!(
            text.contains("| 2026-11-21 | 6.18 | abc | 60:00 | 15 |\n| 2026-11-21 | 6.18 | abc | 30:00 | 1 |"),
            "{text}"
        );
    }

    #[test]
    fn a_finding_stands_there_with_what_became_of_it() {
        let open = Line { findings: 1, ..line("call", 10) };
        let known = Line { note: "mended".to_owned(), ..open.clone() };
        let targets = ["call".to_owned()];
        assert_eq!(Line::read(known.text().trim_end_matches('\n')), Some(known.clone()));
        assert!(document(&targets, &[open], |_| String::new()).contains("`call`, 2026-11-21, abc: not looked at yet."));
        assert!(document(&targets, &[known], |_| String::new()).contains("`call`, 2026-11-21, abc: mended."));
    }

    #[test]
    fn a_target_says_what_it_reads_before_the_colon() {
        assert_eq!(first_sentence("//! The reader\n//! of a ring: it\n//! ends.\n#![no_main]"), "The reader of a ring");
    }
}
