//! The quota of a grant that may be written: held by a project quota of the file system, or the grant is refused.
//!
//! Nothing is set up here. Whoever owns the file system gives the directory a project and the project a hard limit; this
//! looks, by descriptor, whether that is so, each time before a worker starts.

use bulkhead_lockdown::{fault::Fault, quota};
use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::{stat::Mode, statfs::fstatfs},
};
use std::os::fd::{AsFd as _, BorrowedFd};

/// File systems by the numbers of statfs(2): the name, and how quotas of projects are had there, if they are.
const FILE_SYSTEMS: [(i64, &str, Option<&str>); 8] = [
    (0xef53, "ext4", Some("unmount it, `tune2fs -O project,quota -Q prjquota DEVICE`, and mount it with -o prjquota")),
    (
        0x5846_5342,
        "xfs",
        Some("unmount it, and mount it with -o prjquota (for the root file system: rootflags=prjquota)"),
    ),
    (
        0xf2f5_2010,
        "f2fs",
        Some("make it with `mkfs.f2fs -O extra_attr,quota,project_quota`, and mount it with -o prjquota"),
    ),
    (0x9123_683e, "btrfs", None),
    (0x0102_1994, "tmpfs", None),
    (0x794c_7630, "overlayfs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0x6969, "nfs", None),
];

/// What the kernel says of a directory and its file system.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Number of the file system's kind.
    kind: i64,
    /// The project, and whether what is made in the directory belongs to it.
    project: Result<(u32, bool), Errno>,
    /// Whether limits of projects are enforced.
    enforced: Result<bool, Errno>,
    /// The project's hard limit in bytes.
    limit: Result<Option<u64>, Errno>,
    /// Whether the kernel can be asked at all.
    known: bool,
}

/// Sees to it that no more than `most` bytes can be written to a directory. `host` is its path, for people.
pub fn verify(directory: BorrowedFd<'_>, most: u64, host: &str) -> Result<(), Fault> {
    judge(&look(directory).map_err(|e| Fault::new(step(host), e))?, most, host)
}

fn step(host: &str) -> String {
    format!("quota of grant {host:?}")
}

fn look(directory: BorrowedFd<'_>) -> Result<Seen, Errno> {
    // The ioctl wants more than O_PATH. This is the directory itself, not its path walked again.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = openat(directory, ".", flags, Mode::empty())?;
    let project = quota::project_of(opened.as_fd());
    Ok(Seen {
        kind: fstatfs(&opened)?.filesystem_type().0,
        project,
        enforced: quota::is_enforced(opened.as_fd()),
        limit: project.and_then(|(id, _)| quota::hard_limit(opened.as_fd(), id)),
        known: quota::is_known(),
    })
}

fn judge(seen: &Seen, most: u64, host: &str) -> Result<(), Fault> {
    let known = FILE_SYSTEMS.iter().find(|(number, ..)| *number == seen.kind);
    let name =
        known.map_or_else(|| format!("a file system of type {:#x}", seen.kind), |(_, name, _)| (*name).to_owned());
    let fault = |cause: String, cure: String| Err(Fault::new(step(host), cause).with_cure(cure));
    if !seen.known {
        let cure = "run Linux 5.14 or newer; a container's seccomp profile may hide the call";
        return fault("this kernel does not know quotactl_fd".to_owned(), cure.to_owned());
    }
    // Without projects, or without enforcement, it is the file system that has to be made ready first.
    let (Ok((project, inherits)), Ok(true)) = (seen.project, seen.enforced) else {
        return match known.and_then(|(.., ready)| *ready) {
            Some(ready) => fault(format!("{name} here enforces no quotas of projects"), ready.to_owned()),
            None => fault(
                format!("{name} has no quotas of projects"),
                "put the directory on ext4, xfs or f2fs mounted with -o prjquota, or take filesystem.tmp, which is \
                 bounded by itself"
                    .to_owned(),
            ),
        };
    };
    let commands = || commands(seen.kind, project, most, host);
    if project == 0 {
        return fault("it belongs to no project, so that no quota bounds it".to_owned(), commands());
    }
    if !inherits {
        return fault(format!("what is made in it does not inherit its project {project}"), commands());
    }
    match seen.limit {
        Ok(Some(limit)) if limit <= most => Ok(()),
        Ok(Some(limit)) => {
            fault(format!("its project {project} may take {limit} bytes, and the policy permits {most}"), commands())
        }
        Ok(None) | Err(Errno::ESRCH | Errno::ENOENT) => {
            fault(format!("its project {project} has no hard limit"), commands())
        }
        Err(Errno::EPERM) => fault(
            format!("only root may see the limit of its project {project}"),
            "run the broker as root of the host, or leave the quota out of the policy".to_owned(),
        ),
        Err(e) => Err(Fault::new(step(host), format!("the limit of its project {project} cannot be read: {e}"))),
    }
}

/// What sets up this quota, to be typed by root.
fn commands(kind: i64, project: u32, most: u64, host: &str) -> String {
    // Any number that no other directory has.
    let project = if project == 0 { 4242 } else { project };
    let path = word(host);
    let mount = format!("\"$(df --output=target {path} | tail -1)\"");
    match kind {
        0x5846_5342 => {
            format!("`xfs_quota -x -c \"project -s -p {path} {project}\" -c 'limit -p bhard={most} {project}' {mount}`")
        }
        _ => format!("`chattr -R -p {project} +P {path} && setquota -P {project} 0 {} 0 0 {mount}`", most / 1024),
    }
}

/// A path that every shell takes for one word; for any other a word that is to be replaced, since these lines are pasted.
fn word(path: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) { path } else { "DIRECTORY" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXT4: i64 = 0xef53;
    const GIB: u64 = 1 << 30;
    const GOOD: Seen =
        Seen { kind: EXT4, project: Ok((7, true)), enforced: Ok(true), limit: Ok(Some(GIB)), known: true };

    fn refusal(seen: Seen) -> String {
        judge(&seen, GIB, "/srv/out").unwrap_err().to_string()
    }

    #[test]
    fn a_project_with_an_enforced_limit_no_larger_than_the_quota_is_good() {
        assert_eq!(judge(&GOOD, GIB, "/srv/out"), Ok(()));
        assert_eq!(judge(&GOOD, GIB + 1, "/srv/out"), Ok(()));
    }

    #[test]
    fn a_limit_beyond_the_quota_is_refused_with_the_commands_that_lower_it() {
        assert_eq!(
            refusal(Seen { limit: Ok(Some(GIB + 1024)), ..GOOD }),
            "quota of grant \"/srv/out\": its project 7 may take 1073742848 bytes, and the policy permits 1073741824; \
             `chattr -R -p 7 +P /srv/out && setquota -P 7 0 1048576 0 0 \"$(df --output=target /srv/out | tail -1)\"`"
        );
    }

    #[test]
    fn whatever_leaves_the_directory_unbounded_is_refused_by_its_name() {
        for (seen, cause) in [
            (Seen { project: Ok((0, true)), ..GOOD }, "it belongs to no project"),
            (Seen { project: Ok((7, false)), ..GOOD }, "does not inherit its project 7"),
            (Seen { limit: Ok(None), ..GOOD }, "its project 7 has no hard limit"),
            (Seen { limit: Err(Errno::ENOENT), ..GOOD }, "its project 7 has no hard limit"),
            (Seen { limit: Err(Errno::EPERM), ..GOOD }, "only root may see the limit"),
            (Seen { limit: Err(Errno::EIO), ..GOOD }, "cannot be read: EIO"),
            (Seen { enforced: Ok(false), ..GOOD }, "ext4 here enforces no quotas of projects; unmount it, `tune2fs"),
            (Seen { enforced: Err(Errno::ENOSYS), ..GOOD }, "ext4 here enforces no quotas of projects"),
            (Seen { project: Err(Errno::ENOTTY), ..GOOD }, "ext4 here enforces no quotas of projects"),
            (Seen { known: false, ..GOOD }, "does not know quotactl_fd; run Linux 5.14"),
        ] {
            assert!(refusal(seen).contains(cause), "{}", refusal(seen));
        }
    }

    #[test]
    fn a_file_system_that_has_no_such_quotas_is_named_with_those_that_have() {
        let none = Seen { project: Err(Errno::ENOTTY), enforced: Err(Errno::EINVAL), ..GOOD };

        assert!(
            refusal(Seen { kind: 0x0102_1994, ..none })
                .contains("tmpfs has no quotas of projects; put the directory on ext4")
        );
        assert!(refusal(Seen { kind: 0x1234, ..none }).contains("a file system of type 0x1234 has no quotas"));
    }

    #[test]
    fn the_commands_for_xfs_are_those_of_xfs_and_a_path_that_a_shell_would_read_is_not_in_them() {
        let seen = Seen { kind: 0x5846_5342, project: Ok((0, false)), ..GOOD };

        let said = judge(&seen, GIB, "/srv/$(reboot)").unwrap_err().to_string();

        assert!(said.contains("project -s -p DIRECTORY 4242"), "{said}");
        assert!(said.contains("limit -p bhard=1073741824 4242"), "{said}");
    }
}
