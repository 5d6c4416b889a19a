//! What the host sees of its processes.

use std::fs;

/// The process that runs as this user.
///
/// # Panics
/// When there is none.
pub fn process_of_user(uid: u32) -> i32 {
    let own = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        ids.and_then(|ids| ids.split_whitespace().next()).is_some_and(|id| id == uid.to_string())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let found = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(own);
    found.unwrap_or_else(|| panic!("no process runs as user {uid}"))
}
