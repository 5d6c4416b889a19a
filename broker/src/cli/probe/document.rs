//! `containment.md` and `containment.json`: the matrix of each attack and each single layer taken away.

use super::matrix::{Matrix, Row, unharmed};
use bulkhead::probe::Came;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// What is recorded of a matrix, for a test to hold it to.
#[derive(Serialize)]
pub struct Record {
    policy: String,
    kernel: String,
    /// Attacks that were made.
    attacks: usize,
    /// Those whose control succeeds, or reaches the kernel's own code: the ones that count.
    controls_succeed: usize,
    contained_all_layers: usize,
    /// Attacks that are stopped whichever one layer is taken away.
    contained_any_one_off: usize,
    /// Aims after whose attacks the neighbours and the broker were as before, and all.
    unharmed_after: [usize; 2],
    /// The others, each with the layers that it is not stopped without.
    single_layered: BTreeMap<String, Vec<String>>,
}

impl Record {
    pub fn of(matrix: &Matrix) -> Record {
        let counted = || matrix.attacks.iter().filter(|row| row.counted);
        let contained = || counted().filter(|row| row.contained);
        let single: BTreeMap<String, Vec<String>> =
            contained().map(|row| (row.name.clone(), alone(row))).filter(|(_, layers)| !layers.is_empty()).collect();
        Record {
            policy: matrix.policy.clone(),
            kernel: kernel(),
            attacks: matrix.attacks.len(),
            controls_succeed: counted().count(),
            contained_all_layers: contained().count(),
            contained_any_one_off: contained().count() - single.len(),
            unharmed_after: [matrix.health.iter().filter(|aim| unharmed(aim)).count(), matrix.health.len()],
            single_layered: single,
        }
    }
}

/// The layers without any one of which an attack gets through.
fn alone(row: &Row) -> Vec<String> {
    row.without.iter().filter(|(_, came)| came.through()).map(|(layer, _)| layer.clone()).collect()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows the numbers is the builder's, and says more of the machine than of the kernel.
    release.trim().split(['-', '+']).next().unwrap_or_default().to_owned()
}

/// Why a layer stands alone before some attacks.
fn reason(layer: &str) -> &'static str {
    match layer {
        "rlimits" => {
            "Address space that nothing uses, and descriptors, are bounded by the process's own limits only: a filter sees one call, \
             not how many came before it, and a cgroup counts what is used. The memory that either comes to take, the kernel's own \
             for a descriptor included, is bounded by the cgroup as well."
        }
        "namespace.mount" => {
            "Landlock has no right for what is known of a file without opening it: its size, its times (which may be set where the file \
             may be written by everybody), where a link points to. A filter sees no path, and a worker with a granted directory needs the \
             calls; one without has none of them. What is in the file stays out of reach."
        }
        "namespace.time" => {
            "Clocks are read without any system call, where no filter looks (vdso(7)); without them (PR_SET_TSC) no runtime could \
             tell the time. Only the namespace can hide when the host was booted."
        }
        "namespace.pid" => {
            "A process knows its own number, without a call, too: its C library has it in memory. It shows how many the host has made."
        }
        _ => "",
    }
}

/// The document.
pub fn markdown(matrix: &Matrix) -> String {
    let record = Record::of(matrix);
    let mut text = String::new();
    let _ = write!(
        text,
        "# Containment\n\n\
         <!-- Written by `cargo xtask containment`: change that, not this. -->\n\n\
         What native code that has taken a worker over tries, what stops it, and what stops it when that is taken away. Made by\n\
         `cargo xtask containment` as root on Linux {}, under the policy `{}`; `bulkhead probe` tries the same on your own host.\n\n\
         | | |\n|---|---|\n\
         | attacks | {} |\n\
         | controls that succeed, or get as far as the kernel's own code | {} |\n\
         | of those, contained with all layers | {} |\n\
         | contained whichever one layer is taken away | {} |\n\
         | contained by one layer alone | {} |\n\
         | recorded by the broker as the end of a worker | {} |\n\
         | aims after whose attacks neighbours and broker were as before | {} of {} |\n\n\
         The neighbours are the process of the host that attacks aim at, which looks at what was done to it, and a worker that works on; the broker\n\
         has as many descriptors open as before, but for what it keeps ready for the next workers. A control is the same attack, made by\n\
         the same code with nothing in its way. One that fails on this host (a protocol that the kernel does not have) shows nothing, and is not counted. How long something takes, and what that tells of a neighbour, is not\n\
         tried.\n\n",
        record.kernel,
        record.policy,
        record.attacks,
        record.controls_succeed,
        record.contained_all_layers,
        record.contained_any_one_off,
        record.single_layered.len(),
        matrix.attacks.iter().filter(|row| row.counted && row.recorded.is_some()).count(),
        record.unharmed_after[0],
        record.unharmed_after[1],
    );
    text += "## Where one layer stands alone\n\n\
             With that layer taken away, and all others in place, these attacks get through.\n\n";
    let mut by_layer: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, layers) in &record.single_layered {
        layers.iter().for_each(|layer| by_layer.entry(layer).or_default().push(name));
    }
    for (layer, names) in by_layer {
        let _ = write!(text, "**{layer}** ({}): {}.\n\n{}\n\n", names.len(), names.join(", "), reason(layer));
    }
    text += "## Every attack\n\n\
             `first` is what answers with all layers in place; `then`, what does with that taken away. `one of several`: the answer is the\n\
             same whichever one layer is taken away.\n";
    let mut aim = "";
    for row in &matrix.attacks {
        if row.aim != aim {
            aim = &row.aim;
            let _ = write!(
                text,
                "\n### {aim}\n\n| attack | what it does | control | first | then |\n|---|---|---|---|---|\n"
            );
        }
        let (first, then) = walls(row);
        let _ = writeln!(text, "| {} | {} | {} | {first} | {then} |", row.name, row.what, row.control());
    }
    text
}

/// What answered an attack, and what does when that is taken away.
fn walls(row: &Row) -> (String, String) {
    let Some(stopped) = &row.stopped_by else { return (short(&row.came), String::new()) };
    let names: Vec<&str> = stopped.layers.iter().map(|layer| layer.name()).collect();
    let first = match names.as_slice() {
        [] => format!("one of several: {}", short(&row.came)),
        names => format!("{}: {}", names.join(" or "), short(&row.came)),
    };
    let mut then: Vec<String> = names.iter().filter_map(|name| row.without.get(*name)).map(short).collect();
    then.dedup();
    (first, then.join(", "))
}

/// An end in a word.
fn short(came: &Came) -> String {
    match came {
        Came::Worked => "**it works**".to_owned(),
        Came::Reached { errno } => format!("**as far as {errno}**"),
        Came::Violation { .. } => "violation".to_owned(),
        Came::Filtered => "SIGSYS".to_owned(),
        Came::OutOfMemory { .. } => "out of memory".to_owned(),
        Came::OutOfTime { .. } => "out of time".to_owned(),
        Came::Refused { errno } => errno.clone(),
        Came::Died { how } => how.clone(),
        _ => "not tried".to_owned(),
    }
}
