//! What /proc and /sys say of this host and this process. Nothing is tried here.

use nix::unistd::geteuid;
use std::{fs, path::Path};

/// See the module. `None`: the host does not have the knob, or does not show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// We are root, here at least.
    pub root: bool,
    /// Kernel release, as uname(2) tells.
    pub release: String,
    /// `kernel.unprivileged_userns_clone` (Debian, Arch): 0 forbids.
    pub unprivileged_userns_clone: Option<u64>,
    /// `user.max_user_namespaces`: 0 forbids.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu): 1 leaves them without capabilities.
    pub apparmor_restricts: Option<u64>,
    /// A seccomp filter is in force for us: a container's.
    pub seccomp_filtered: bool,
    /// Kernel security modules, comma-separated.
    pub lsm: Option<String>,
    /// This program may be in a container: the files that container runtimes leave.
    pub container: Option<&'static str>,
    /// Swap devices and files.
    pub swaps: usize,
}

impl Facts {
    pub fn look() -> Facts {
        let read = |path: &str| fs::read_to_string(path).ok();
        let number = |path: &str| read(path)?.trim().parse().ok();
        Facts {
            root: geteuid().is_root(),
            release: read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp_filtered: read("/proc/self/status").is_some_and(|status| seccomp_mode(&status) == Some(2)),
            lsm: read("/sys/kernel/security/lsm").map(|text| text.trim().to_owned()),
            container: container(),
            swaps: read("/proc/swaps").map_or(0, |text| text.lines().count().saturating_sub(1)),
        }
    }
}

/// Major and minor version of a release: `6.1.0-13-amd64`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The seccomp mode in the text of `/proc/self/status`: 0 none, 1 strict, 2 filter.
fn seccomp_mode(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")?.trim().parse().ok())
}

fn container() -> Option<&'static str> {
    [("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman"), ("/run/systemd/container", "a container")]
        .into_iter()
        .find_map(|(path, name)| Path::new(path).exists().then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version("5.15-rc1"), Some((5, 15)));
        assert_eq!(version("4.18.0-513.el8"), Some((4, 18)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn seccomp_mode_is_read_from_status() {
        assert_eq!(seccomp_mode("NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"), Some(2));
        assert_eq!(seccomp_mode("Seccomp_filters:\t1\n"), None);
    }
}
