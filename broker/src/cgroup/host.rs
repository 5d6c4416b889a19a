//! Where this process stands in the host's cgroup hierarchies, read from /proc (cgroups(7), proc_pid_mountinfo(5)).

use super::Controller;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// What the host has. Reading it changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Our cgroup in the unified hierarchy.
    pub v2: Option<PathBuf>,
    /// Our cgroup in the hierarchy of each v1 controller.
    pub v1: BTreeMap<Controller, PathBuf>,
    /// Our cgroup in the hierarchy of `cpuacct`, which bounds nothing but counts.
    pub cpuacct: Option<PathBuf>,
}

impl Host {
    pub fn look() -> io::Result<Host> {
        Ok(Host::read(&fs::read_to_string("/proc/self/cgroup")?, &fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// From the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub fn read(cgroup: &str, mountinfo: &str) -> Host {
        let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::read).collect();
        let mut host = Host::default();
        for line in cgroup.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                host.v2 = mounts.iter().filter(|m| m.unified).find_map(|m| m.directory_of(path));
                continue;
            }
            for name in controllers.split(',') {
                let carries = |m: &&Mount| !m.unified && m.options.iter().any(|option| option == name);
                let Some(directory) = mounts.iter().filter(carries).find_map(|m| m.directory_of(path)) else {
                    continue;
                };
                if name == "cpuacct" {
                    host.cpuacct = Some(directory);
                } else if let Some(controller) = Controller::ALL.iter().find(|c| c.v1_name() == name) {
                    host.v1.insert(*controller, directory);
                }
            }
        }
        host
    }
}

/// A mounted hierarchy.
struct Mount {
    /// The cgroup that is visible at `at`.
    root: String,
    at: PathBuf,
    unified: bool,
    options: Vec<String>,
}

impl Mount {
    fn read(line: &str) -> Option<Mount> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, at) = (unescape(mount.next()?), unescape(mount.next()?));
        let mut system = system.split(' ');
        let unified = match system.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = system.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Mount { root, at: at.into(), unified, options })
    }

    /// Where a cgroup can be seen through this mount. Not where it lies outside: a path with `..` is what a process in a
    /// cgroup namespace sees of one that is none of its own.
    fn directory_of(&self, cgroup: &str) -> Option<PathBuf> {
        let below = Path::new(cgroup).strip_prefix(&self.root).ok()?;
        let outside = below.components().any(|part| part == std::path::Component::ParentDir);
        (!outside).then(|| self.at.join(below).components().collect())
    }
}

/// Undoes mountinfo's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => out.push(code.into()),
            None => out.push('\\'),
        }
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    out + rest
}

/// Whether the host has no swap at all, from the text of `/proc/swaps`: a heading, then one line for each.
pub(super) fn has_no_swap(swaps: &str) -> bool {
    swaps.lines().count() == 1
}

/// The start time of a process in clock ticks since boot, and whether it is dead and only not yet reaped: fields 22 and 3 of
/// proc_pid_stat(5).
pub(super) fn start_time(stat: &str) -> Option<(u64, bool)> {
    // The second field is the program's name, which may hold anything, also spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    Some((fields.nth(18)?.parse().ok()?, dead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_host_gives_v1_controllers_and_a_bare_v2_hierarchy() {
        let cgroup = "9:name=systemd:/\n8:pids:/\n7:blkio:/\n4:memory:/api/e1c7\n2:cpuacct:/\n1:cpu:/\n0::/\n";
        let mountinfo = "\
            31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

        let host = Host::read(cgroup, mountinfo);

        assert_eq!(host.v2, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(host.v1[&Controller::Memory], Path::new("/sys/fs/cgroup/memory/api/e1c7"));
        assert_eq!(host.v1[&Controller::Cpu], Path::new("/sys/fs/cgroup/cpu"));
        assert_eq!(host.v1[&Controller::Io], Path::new("/sys/fs/cgroup/blkio"));
        assert_eq!(host.cpuacct, Some("/sys/fs/cgroup/cpuacct".into()));
        // pids has no mount in this text.
        assert_eq!(host.v1.get(&Controller::Pids), None);
    }

    #[test]
    fn unified_host_of_systemd() {
        let cgroup = "0::/system.slice/my broker.service\n";
        let mountinfo =
            "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

        let host = Host::read(cgroup, mountinfo);

        assert_eq!(host.v2, Some("/sys/fs/cgroup/system.slice/my broker.service".into()));
        assert!(host.v1.is_empty());
    }

    #[test]
    fn controllers_mounted_together_share_a_directory() {
        let cgroup = "4:cpu,cpuacct:/user.slice\n";
        let mountinfo = "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

        let host = Host::read(cgroup, mountinfo);

        assert_eq!(host.v1[&Controller::Cpu], Path::new("/sys/fs/cgroup/cpu,cpuacct/user.slice"));
        assert_eq!(host.cpuacct, Some("/sys/fs/cgroup/cpu,cpuacct/user.slice".into()));
    }

    #[test]
    fn container_sees_only_what_is_mounted_for_it() {
        let bind = "35 24 0:30 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";

        assert_eq!(Host::read("0::/docker/abc/x\n", bind).v2, Some("/sys/fs/cgroup/x".into()));
        assert_eq!(Host::read("0::/docker/other\n", bind).v2, None);
        assert_eq!(Host::read("0::/../other\n", &bind.replace("/docker/abc", "/")).v2, None);
        assert_eq!(Host::read("0::/\n", "").v2, None);
    }

    #[test]
    fn escapes_of_mountinfo_are_undone() {
        let mountinfo = "35 24 0:30 / /mnt/a\\040b\\134c rw - cgroup2 none rw\n";

        assert_eq!(Host::read("0::/x\n", mountinfo).v2, Some("/mnt/a b\\c/x".into()));
        assert_eq!(unescape("\\04"), "\\04");
    }

    #[test]
    fn hostile_process_name_does_not_shift_the_fields() {
        let rest = "1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 200139 3133440";

        assert_eq!(start_time(&format!("77 (a) R 1 (b) S {rest} 395\n")), Some((200139, false)));
        assert_eq!(start_time(&format!("77 (x) Z {rest}")), Some((200139, true)));
        assert_eq!(start_time("77 (x) Z 1 2"), None);
    }

    #[test]
    fn swap_is_seen() {
        let heading = "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

        assert!(has_no_swap(heading));
        assert!(!has_no_swap(&format!("{heading}/dev/vdb partition 1048572 0 -2\n")));
        assert!(!has_no_swap(""));
    }
}
