//! What a run is surrounded by while it lasts, and may leave behind.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// Processes below a process, through all generations.
pub fn descendants(of: i32) -> Vec<(i32, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let name = before.split_once('(').map_or("", |(_, name)| name).to_owned();
        let parent = after.split_whitespace().nth(1).and_then(|parent| parent.parse::<i32>().ok());
        all.push((pid, parent.unwrap_or(0), name));
    }
    let mut found = vec![of];
    let mut below = Vec::new();
    while let Some(parent) = found.pop() {
        for (pid, _, name) in all.iter().filter(|(_, p, _)| *p == parent) {
            found.push(*pid);
            below.push((*pid, name.clone()));
        }
    }
    below
}

/// The cgroups that the broker with this pid has made, in every hierarchy. Their names start with `bulkhead.PID.`.
pub fn cgroups_of(pid: i32) -> Vec<PathBuf> {
    let prefix = format!("bulkhead.{pid}.");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Not through links: v1 has some from one controller's name to another's.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match entry.file_name().to_string_lossy().starts_with(&prefix) {
                true => found.push(entry.path()),
                false => folders.push(entry.path()),
            }
        }
    }
    found
}

/// The processes in the cgroups that the broker with this pid has made.
pub fn workers_of(pid: i32) -> BTreeSet<i32> {
    let leaves = cgroups_of(pid).into_iter().flat_map(|tree| fs::read_dir(tree).into_iter().flatten());
    let lists = leaves.flatten().filter_map(|leaf| fs::read_to_string(leaf.path().join("cgroup.procs")).ok());
    lists.flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}
