//! The section of docs/containment.md.

use crate::{AT_ONCE, TURN, Turn, neighbour::Neighbours, tally::Tally, watch::Watched};
use bulkhead::bench::host::{Host, today};
use bulkhead_attacks::cases::{CASES, Case, End, When};
use std::fmt::Write;

/// The section, without its heading.
pub fn section(tally: &Tally, neighbours: &Neighbours, watched: &Watched, rounds: usize) -> String {
    let mut text = String::new();
    let _ = introduce(&mut text, rounds)
        .and_then(|()| totals(&mut text, tally))
        .and_then(|()| memory(&mut text, watched))
        .and_then(|()| latency(&mut text, neighbours))
        .and_then(|()| reasons(&mut text, tally))
        .and_then(|()| cases(&mut text, tally));
    text
}

fn introduce(text: &mut String, rounds: usize) -> std::fmt::Result {
    writeln!(
        text,
        "A worker that speaks to the broker under an attacker's control: the real lock-down, then native code that says and does what \
         it likes\n(`tests/attacks/src/cases.rs` is the list; a test holds each case to its end). Measured by `cargo xtask hostile` as \
         root on\n{}; {}.\n",
        today(),
        Host::look().line()
    )?;
    writeln!(
        text,
        "All cases are tried again and again against one broker (and, for hostile compilers, a second one in the same process), by {AT_ONCE} \
         threads\nat once, while two honest plugins of that broker are called, each every {} µs or so: one by a thread that waits, one by \
         awaiting. {rounds} rounds\nof three turns of {} s each: nothing else happens (*quiet*); {AT_ONCE} threads start, call and end honest \
         plugins (*busy*, the same use of\nprocessors without malice); {AT_ONCE} threads attack (*hostile*).\n",
        200,
        TURN.as_secs()
    )
}

fn totals(text: &mut String, tally: &Tally) -> std::fmt::Result {
    let violations: u64 =
        tally.by_reason().iter().filter(|(reason, _)| reason.starts_with("violation")).map(|(_, count)| count).sum();
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| cases | {} |", CASES.len())?;
    writeln!(text, "| attempts | {} |", tally.attempts())?;
    writeln!(text, "| recorded as a violation, with its reason | {violations} |")?;
    writeln!(text, "| ended otherwise than the case is to, or beyond a bound below | {} |", tally.not_as_expected())?;
    writeln!(text, "| broker faults: panics, ends blamed on the host | {} |\n", tally.faults())
}

fn memory(text: &mut String, watched: &Watched) -> std::fmt::Result {
    writeln!(text, "### What the broker uses\n")?;
    writeln!(
        text,
        "Of the process with the broker in it, looked at every 10 ms. *Before* is with the neighbours loaded; after a round \
         some ten attackers\nare loaded and wait for their next call; *after* is without any, and with {} cells.\n",
        watched.cells
    )?;
    writeln!(text, "| | before | peak | after round 1 | after the last round | after |\n|---|---|---|---|---|---|")?;
    let (first, last) = (watched.first(), watched.last());
    let all = [watched.before, watched.peak, first, last, watched.after];
    let row = |name: &str, cells: Vec<String>| format!("| {name} | {} |", cells.join(" | "));
    writeln!(text, "{}", row("VmRSS, MiB", all.iter().map(|u| format!("{:.1}", u.resident)).collect()))?;
    writeln!(text, "{}", row("RssAnon, MiB", all.iter().map(|u| format!("{:.1}", u.anonymous)).collect()))?;
    writeln!(text, "{}", row("descriptors", all.iter().map(|u| u.descriptors.to_string()).collect()))?;
    writeln!(text, "{}", row("threads", all.iter().map(|u| u.threads.to_string()).collect()))?;
    writeln!(text, "\nBounds, by which the run fails:\n\n| | measured | bound |\n|---|---|---|")?;
    for (name, value, bound) in watched.bounds() {
        writeln!(text, "| {name} | {value:.1} | {bound:.1} |")?;
    }
    writeln!(text)
}

fn latency(text: &mut String, neighbours: &Neighbours) -> std::fmt::Result {
    writeln!(text, "### What the neighbours have of it\n")?;
    writeln!(
        text,
        "Time of a call, in µs. Attackers compute while they attack, and share the processors with the neighbours: what the broker \
         adds to that\nis the difference between *busy* and *hostile*, as far as both used them alike. On a machine with more processors than \
         busy processes the\nfirst column would tell more; this run cannot tell how long a neighbour waits for the kernel's own locks.\n"
    )?;
    writeln!(text, "| called by | turns | calls | p50 | p99 | p99.9 | slowest, ms | p50 / quiet | p99 / quiet |")?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
    for (which, name) in ["waiting", "awaiting"].into_iter().enumerate() {
        let quiet = neighbours.figures(Turn::Quiet, which);
        for (turn, turns) in Turn::ALL.into_iter().zip(["quiet", "busy", "hostile"]) {
            let figures = neighbours.figures(turn, which);
            let [p50, p99, p999] = figures.at;
            let ratio = |index: usize| figures.at[index] / quiet.at[index].max(0.001);
            writeln!(
                text,
                "| {name} | {turns} | {} | {p50:.1} | {p99:.1} | {p999:.1} | {:.1} | {:.2} | {:.2} |",
                figures.count,
                figures.slowest,
                ratio(0),
                ratio(1)
            )?;
        }
    }
    writeln!(text)
}

fn reasons(text: &mut String, tally: &Tally) -> std::fmt::Result {
    writeln!(text, "### What was recorded\n\n| as | times |\n|---|---|")?;
    let mut all: Vec<_> = tally.by_reason().into_iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all.iter().try_for_each(|(reason, count)| writeln!(text, "| {} | {count} |", cell(reason)))?;
    writeln!(text)
}

fn cases(text: &mut String, tally: &Tally) -> std::fmt::Result {
    writeln!(text, "### Every case\n")?;
    writeln!(
        text,
        "What turns in a call is tried for calls that are waited for, that are awaited, and with fresh instances in turn. After each the next \
         call of\nthat plugin was answered.\n"
    )?;
    writeln!(text, "| case | when | what it does | tried | recorded as | stopped how |\n|---|---|---|---|---|---|")?;
    for case in CASES {
        let ends = tally.of(case);
        let tried: u64 = ends.values().sum();
        let mut ends: Vec<_> = ends.into_iter().collect();
        ends.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let shown = match ends.as_slice() {
            [(one, _)] => one.clone(),
            // What is random ends in many ways.
            many => {
                let mut shown: Vec<_> = many.iter().take(3).map(|(end, count)| format!("{end} ({count})")).collect();
                shown.extend((many.len() > 3).then(|| format!("{} others", many.len() - 3)));
                shown.join("; ")
            }
        };
        let Case { name, does, when, end } = case;
        writeln!(text, "| {name} | {} | {does} | {tried} | {} | {} |", time_of(*when), cell(&shown), stopped(*end))?;
    }
    Ok(())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn time_of(when: When) -> &'static str {
    match when {
        When::SettingUp => "setting up",
        When::Compiling => "compiling",
        When::Loading => "loading",
        When::Called => "called",
        When::InBatch => "called, in a batch",
        When::Unfiltered => "called, without `seccomp.main`",
        When::Running => "run as a command",
        When::Idle(_) => "after its answer",
        When::Stopped => "called, while stopped",
    }
}

fn stopped(end: End) -> &'static str {
    match end {
        End::Protocol(_) | End::Syscall(_) | End::IdleCpu => "killed when it was seen",
        End::Fault(_) => "dead by its fault",
        End::TimedOut => "killed at its deadline",
        End::Lost(_) => "dead by itself",
        End::OutOfMemory => "killed; who is to blame stays open",
        End::Refused(_) => "killed; the plugin is refused",
        End::NotSetUp(_) => "killed before it was given anything",
        End::Judged => "killed when it was seen, or answered for as any plugin's answer",
        End::Answered => "nothing to stop",
    }
}
