//! Causes and cures: why a probe failed, as far as the knobs of the host tell. Nobody is blamed on suspicion: where no knob
//! explains an error, the cause is the step and the error, no more.

use super::facts::Facts;
use nix::errno::Errno;

/// Why something is not there, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub cause: String,
    pub cure: Option<String>,
}

impl Why {
    pub fn new(cause: impl Into<String>, cure: impl Into<String>) -> Why {
        Why { cause: cause.into(), cure: Some(cure.into()) }
    }
}

const CONTAINER_CURE: &str = "run the container with a seccomp profile that allows unshare, clone3, mount, umount2, pivot_root, open_tree, \
     move_mount, mount_setattr, seccomp and the landlock calls (docker: --security-opt seccomp=PROFILE.json; kubernetes: \
     securityContext.seccompProfile)";

/// Why a probe failed at this step with this error.
pub(super) fn why(probe: &str, step: &str, errno: i32, facts: &Facts) -> Why {
    let seen = said(step, errno);
    let errno = Errno::from_raw(errno);
    match probe {
        "user" => user_namespace(step, errno, &seen, facts),
        "pid" | "mount" | "net" | "ipc" | "uts" | "cgroup" | "time" | "mounts" => {
            namespace(probe, step, errno, &seen, facts)
        }
        "landlock-abi" | "landlock.fs" => landlock(errno, &seen, facts),
        "landlock.tcp" => newer(errno, &seen, facts, "TCP rules of Landlock need Linux 6.7", "run Linux 6.7 or newer"),
        "landlock.scope" => newer(errno, &seen, facts, "scopes of Landlock need Linux 6.12", "run Linux 6.12 or newer"),
        "seccomp-listener" if errno == Errno::EBUSY => Why::new(
            "another program already listens to the seccomp filter of this process, and the kernel takes only one listener \
             (container runtimes with seccomp notification do that)",
            "run Bulkhead outside of that container, or switch the runtime's seccomp notification off",
        ),
        "seccomp-actions" | "seccomp-sizes" | "seccomp-listener" => newer(
            errno,
            &seen,
            facts,
            "notifications of seccomp need Linux 5.0 with CONFIG_SECCOMP_FILTER",
            "run Linux 5.13 or newer",
        ),
        "mdwe" => match errno {
            Errno::EINVAL => Why::new(
                format!("{seen}: PR_SET_MDWE needs Linux 6.3, and an architecture that supports it"),
                "run Linux 6.3 or newer",
            ),
            _ => filtered(seen, facts),
        },
        "native-code" => match errno {
            Errno::EACCES | Errno::EPERM => Why::new(
                format!(
                    "{seen}: this process may not make memory executable (MemoryDenyWriteExecute= of a systemd unit, or SELinux)"
                ),
                "take MemoryDenyWriteExecute= out of the unit, or allow execmem; or use the policy `interpreted`",
            ),
            _ => filtered(seen, facts),
        },
        "into-cgroup" => match errno {
            Errno::ENOENT => Why::new(seen, "mount -t cgroup2 none /sys/fs/cgroup/unified (systemd does so by itself)"),
            Errno::EACCES | Errno::EPERM | Errno::EBUSY => Why::new(
                format!("{seen}: the cgroup of this process is not delegated"),
                "see the cgroup lines; a worker is then ended by its pidfd and its pid namespace",
            ),
            _ => newer(errno, &seen, facts, "CLONE_INTO_CGROUP needs Linux 5.7", "run Linux 5.13 or newer"),
        },
        "clone3" | "pidfd" | "close-range" | "memfd" => {
            newer(errno, &seen, facts, "needs Linux 5.9", "run Linux 5.13 or newer")
        }
        "idmapped" if errno == Errno::EPERM && !facts.root => Why::new(
            "mapping the ids of a mount needs the host's CAP_SYS_ADMIN",
            "run the broker as root, where it is wanted",
        ),
        "idmapped" if errno == Errno::EINVAL => Why::new(
            format!("{seen}: the kernel (before 5.12) or that file system does not map ids"),
            "grant directories on ext4, xfs, btrfs or tmpfs",
        ),
        "core-scheduling" if errno == Errno::EINVAL => Why::new(
            format!("{seen}: this kernel (before 5.14, or built without it) has no core scheduling"),
            "run a kernel with CONFIG_SCHED_CORE, or boot with nosmt",
        ),
        "speculation" => match errno {
            Errno::ENODEV | Errno::EINVAL => Why::new(
                format!("{seen}: this kernel, or this CPU, has no such switch"),
                "run a kernel with CPU mitigations built in",
            ),
            errno if errno as i32 == 0 => Why::new(
                format!("{seen}: mitigations are off at boot, or the CPU (or hypervisor) offers none"),
                "boot with spec_store_bypass_disable=prctl spectre_v2_user=prctl, and with current microcode",
            ),
            _ => filtered(seen, facts),
        },
        _ => filtered(seen, facts),
    }
}

fn said(step: &str, errno: i32) -> String {
    match errno {
        0 => step.to_owned(),
        errno => format!("{step} gave {}", Errno::from_raw(errno)),
    }
}

fn user_namespace(step: &str, errno: Errno, seen: &str, facts: &Facts) -> Why {
    let unshare = step.starts_with("unshare");
    if errno == Errno::ENOSPC || (unshare && facts.max_user_namespaces == Some(0)) {
        return match facts.max_user_namespaces {
            Some(0) => Why::new(
                "sysctl user.max_user_namespaces is 0: user namespaces are switched off",
                "sysctl -w user.max_user_namespaces=15000 (lasting: in /etc/sysctl.d/)",
            ),
            limit => Why::new(
                format!(
                    "{seen}: more user namespaces than user.max_user_namespaces ({}) allows, or 32 of them nested",
                    number(limit)
                ),
                "sysctl -w user.max_user_namespaces=15000, or run less deep inside containers",
            ),
        };
    }
    if matches!(errno, Errno::EINVAL | Errno::ENOSYS) && unshare && !facts.seccomp_filtered {
        return Why::new(format!("{seen}: this kernel was built without CONFIG_USER_NS"), "run a kernel that has it");
    }
    if facts.unprivileged_userns_clone == Some(0) && !facts.root {
        return Why::new(
            "sysctl kernel.unprivileged_userns_clone is 0: only root may make user namespaces",
            "sysctl -w kernel.unprivileged_userns_clone=1 (lasting: in /etc/sysctl.d/), or run the broker as root",
        );
    }
    restricted(seen, facts)
}

/// A namespace other than the user namespace, which must be made first.
fn namespace(probe: &str, step: &str, errno: Errno, seen: &str, facts: &Facts) -> Why {
    if ["unshare(CLONE_NEWUSER)", "write /proc/self/"].iter().any(|first| step.starts_with(first)) {
        return user_namespace(step, errno, seen, facts);
    }
    match errno {
        Errno::ENOSPC => {
            let knob = if probe == "mount" || probe == "mounts" { "mnt" } else { probe };
            Why::new(
                format!("{seen}: more than sysctl user.max_{knob}_namespaces allows"),
                format!("sysctl -w user.max_{knob}_namespaces=15000 (lasting: in /etc/sysctl.d/)"),
            )
        }
        Errno::EINVAL if step == "pivot_root" => Why::new(
            format!("{seen}: the root of this process is no mount point (an initramfs, or a chroot)"),
            "start it on a mounted root file system; in a chroot, bind-mount its directory over itself first",
        ),
        Errno::EINVAL | Errno::ENOSYS if !facts.seccomp_filtered => Why {
            cause: format!("{seen}: this kernel was built without it, or is older than Linux 5.12"),
            cure: Some("run Linux 5.13 or newer with all namespaces".to_owned()),
        },
        _ => restricted(seen, facts),
    }
}

/// A refusal by something that stands above the kernel's own rules.
fn restricted(seen: &str, facts: &Facts) -> Why {
    if facts.seccomp_filtered {
        return filtered(seen.to_owned(), facts);
    }
    if facts.apparmor_restricts == Some(1) && !facts.root {
        return Why::new(
            format!(
                "{seen}: sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and this program has no AppArmor profile \
                     that allows user namespaces"
            ),
            "give bulkhead-launcher and bulkhead an AppArmor profile with the rule `userns,`; or sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0; or run the broker as root",
        );
    }
    let selinux = facts.lsm.as_deref().is_some_and(|lsm| lsm.contains("selinux"));
    match facts.container {
        Some(name) => {
            Why::new(format!("{seen}, in {name}"), "give the container the rights, or run Bulkhead outside of it")
        }
        None if selinux => {
            Why::new(seen.to_owned(), "SELinux is in force here: look for a denial with `ausearch -m avc`")
        }
        None => Why {
            cause: seen.to_owned(),
            cure: Some("look for a denial in `dmesg`; a chroot refuses this, too".to_owned()),
        },
    }
}

/// Where a seccomp filter is in force for us, it may be the cause.
fn filtered(seen: String, facts: &Facts) -> Why {
    if !facts.seccomp_filtered {
        return Why { cause: seen, cure: None };
    }
    let who = facts.container.map_or("a container runtime or service manager".to_owned(), str::to_owned);
    Why::new(format!("{seen}; a seccomp filter of {who} is in force for this process"), CONTAINER_CURE)
}

fn landlock(errno: Errno, seen: &str, facts: &Facts) -> Why {
    match errno {
        Errno::EOPNOTSUPP => Why::new(
            format!(
                "Landlock is in the kernel but not switched on: the security modules are {}",
                facts.lsm.as_deref().unwrap_or("unknown")
            ),
            format!("boot with lsm=landlock,{}", facts.lsm.as_deref().unwrap_or("…")),
        ),
        Errno::ENOSYS => newer(
            errno,
            seen,
            facts,
            "Landlock needs Linux 5.13 with CONFIG_SECURITY_LANDLOCK",
            "run Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK",
        ),
        _ => filtered(seen.to_owned(), facts),
    }
}

/// Something that newer kernels have, unless a filter hides it.
fn newer(errno: Errno, seen: &str, facts: &Facts, need: &str, cure: &str) -> Why {
    match errno {
        Errno::ENOSYS | Errno::EINVAL | Errno::E2BIG | Errno::EOPNOTSUPP if !facts.seccomp_filtered => {
            Why::new(format!("{seen}; {need}, this is {}", facts.release), cure)
        }
        _ => filtered(seen.to_owned(), facts),
    }
}

fn number(value: Option<u64>) -> String {
    value.map_or("unknown".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> Facts {
        Facts { release: "6.8.0".into(), max_user_namespaces: Some(100), ..Facts::default() }
    }

    #[test]
    fn each_way_to_switch_user_namespaces_off_is_told_apart() {
        let failed = |facts: &Facts, errno: Errno| why("user", "unshare(CLONE_NEWUSER)", errno as i32, facts);

        let debian = Facts { unprivileged_userns_clone: Some(0), ..user() };
        assert!(failed(&debian, Errno::EPERM).cause.contains("kernel.unprivileged_userns_clone is 0"));
        let hardened = Facts { max_user_namespaces: Some(0), ..user() };
        assert!(failed(&hardened, Errno::ENOSPC).cause.contains("user.max_user_namespaces is 0"));
        assert!(failed(&user(), Errno::ENOSPC).cause.contains("32 of them nested"));
        let docker = Facts { seccomp_filtered: true, container: Some("Docker"), ..user() };
        assert!(failed(&docker, Errno::EPERM).cause.contains("a seccomp filter of Docker"));
        assert!(failed(&docker, Errno::EPERM).cure.unwrap().contains("--security-opt seccomp"));
        let ubuntu = Facts { apparmor_restricts: Some(1), ..user() };
        assert!(why("user", "write /proc/self/uid_map", libc::EPERM, &ubuntu).cause.contains("AppArmor"));
        assert!(failed(&user(), Errno::EINVAL).cause.contains("CONFIG_USER_NS"));
    }

    #[test]
    fn apparmor_is_not_blamed_where_it_does_not_restrict() {
        let root = Facts { root: true, apparmor_restricts: Some(1), ..user() };

        for facts in [user(), Facts { apparmor_restricts: Some(0), ..user() }, root] {
            let why = why("user", "unshare(CLONE_NEWUSER)", libc::EPERM, &facts);
            assert!(!format!("{why:?}").contains("AppArmor"), "{why:?}");
        }
    }

    #[test]
    fn namespace_that_fails_for_want_of_a_user_namespace_says_so() {
        let debian = Facts { unprivileged_userns_clone: Some(0), ..user() };

        assert!(why("net", "unshare(CLONE_NEWUSER)", libc::EPERM, &debian).cause.contains("unprivileged_userns_clone"));
        assert!(
            why("mount", "unshare(CLONE_NEWNS)", libc::ENOSPC, &user())
                .cure
                .unwrap()
                .contains("user.max_mnt_namespaces")
        );
        assert!(why("mount", "pivot_root", libc::EINVAL, &user()).cause.contains("initramfs"));
    }

    #[test]
    fn landlock_that_is_not_switched_on_is_told_from_one_that_is_not_there() {
        let facts = Facts { lsm: Some("lockdown,capability,yama".into()), ..user() };
        let failed = |errno: i32| why("landlock-abi", "landlock_create_ruleset", errno, &facts);

        assert_eq!(failed(libc::EOPNOTSUPP).cure.unwrap(), "boot with lsm=landlock,lockdown,capability,yama");
        assert!(failed(libc::ENOSYS).cause.contains("Linux 5.13"));
        let scope = why("landlock.scope", "a ruleset for scopes", libc::EOPNOTSUPP, &facts);
        assert!(scope.cause.contains("Linux 6.12, this is 6.8.0"), "{scope:?}");
    }

    #[test]
    fn second_listener_is_recognised() {
        let why = why("seccomp-listener", "seccomp", libc::EBUSY, &user());

        assert!(why.cause.contains("only one listener"));
    }

    #[test]
    fn unexplained_error_is_only_reported() {
        assert_eq!(
            why("speculation", "prctl", libc::EIO, &user()),
            Why { cause: said("prctl", libc::EIO), cure: None }
        );
    }
}
