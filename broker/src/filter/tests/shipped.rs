//! What the shipped groups promise, in the terms of design and policy.

use super::*;
use crate::filter::{
    Error, PROOF, constants,
    groups::{Phase, builtin},
    rules::{Action, NOT_THERE},
    syscall_names,
};
use bulkhead_shared::{
    message::worker::{Clock, Random},
    policy::AddedSyscall,
};

const FAIL: Action = NOT_THERE;

/// Main and closing together, as the kernel joins them: the strictest answer counts (seccomp(2)).
fn both(rules: &(Rules, Rules), name: &str, arguments: [u64; 6]) -> Action {
    let arch = rules.0.arch;
    let number = arch.number(name).unwrap();
    let answers = [&rules.0, &rules.1].map(|r| r.answer(arch.audit(), number, &arguments));
    let strictness = |action: &Action| match action {
        Action::Kill => 4,
        Action::Fail(_) => 3,
        Action::Notify => 2,
        Action::Trace => 1,
        Action::Allow => 0,
    };
    answers.into_iter().max_by_key(strictness).unwrap()
}

fn rules(class: Class, arch: Arch) -> (Rules, Rules) {
    crate::filter::rules(&standard(), class, arch).unwrap()
}

fn main_answer(rules: &(Rules, Rules), name: &str, arguments: [u64; 6]) -> Action {
    let arch = rules.0.arch;
    rules.0.answer(arch.audit(), arch.number(name).unwrap(), &arguments)
}

fn bits(arch: Arch, names: &str) -> u64 {
    names.split('|').map(|n| constants::value(arch, n).unwrap()).fold(0, |a, b| a | b)
}

/// Names of calls that a class may make in some way after the closing filter.
fn run_names(arch: Arch, class: Class) -> Vec<&'static str> {
    let entries = crate::filter::entries(&standard(), class, arch).unwrap();
    let mut names: Vec<_> = entries.iter().filter(|e| e.phase == Phase::Run).map(|e| e.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_group_is_read_for_both_architectures_and_says_what_it_is_for() {
    for arch in Arch::ALL {
        let groups = builtin(arch).unwrap_or_else(|e| panic!("{e}"));
        assert!(groups.values().all(|g| !g.about.is_empty() && !g.entries.is_empty()));
        let used: Vec<&str> = classes().flat_map(|(_, class)| class.groups()).collect();
        assert!(groups.keys().all(|name| used.contains(&name.as_str())), "a group that no class uses");
    }
}

#[test]
fn a_plugin_without_wasi_needs_about_a_dozen_calls() {
    let names = run_names(Arch::X86_64, Class::Worker(Features::default()));

    assert_eq!(
        names,
        [
            "brk",
            "clock_gettime",
            "close",
            "exit_group",
            "futex",
            "getpid",
            "getrandom",
            "gettid",
            "madvise",
            "mmap",
            "mprotect",
            "mremap",
            "munmap",
            "restart_syscall",
            "rt_sigaction",
            "rt_sigprocmask",
            "rt_sigreturn",
            "sigaltstack",
            "write",
        ]
    );
}

#[test]
fn nothing_can_become_executable_after_closing_whatever_a_policy_adds() {
    let mut policy = standard();
    for name in FORBIDDEN {
        policy.syscalls.danger_allow.push(AddedSyscall { name: name.into(), comment: "to try it".into() });
    }
    for (arch, class) in classes() {
        let rules = crate::filter::rules(&policy, class, arch).unwrap();
        for prot in ["PROT_EXEC", "PROT_READ|PROT_EXEC", "PROT_READ|PROT_WRITE|PROT_EXEC"] {
            for name in ["mmap", "mprotect", "pkey_mprotect"] {
                assert_eq!(both(&rules, name, [0, 4096, bits(arch, prot), 0x22, 0, 0]), Action::Kill, "{name}");
            }
        }
        assert_eq!(both(&rules, "shmat", [0, 0, 0o100000, 0, 0, 0]), Action::Kill);
        assert_eq!(both(&rules, "personality", [0x0040_0000, 0, 0, 0, 0, 0]), Action::Kill);
    }
}

#[test]
fn before_closing_memory_is_never_writable_and_executable() {
    for (arch, class) in classes() {
        let rules = rules(class, arch);
        let all = bits(arch, "PROT_READ|PROT_WRITE|PROT_EXEC");
        assert_eq!(main_answer(&rules, "mprotect", [0, 4096, all, 0, 0, 0]), Action::Notify);
        assert_eq!(main_answer(&rules, "mmap", [0, 4096, all, 0x22, 0, 0]), Action::Notify);
        let native = matches!(class, Class::Worker(f) if !f.interpreter);
        let expected = if native { Action::Allow } else { Action::Notify };
        let code = bits(arch, "PROT_READ|PROT_EXEC");
        assert_eq!(main_answer(&rules, "mprotect", [0, 4096, code, 0, 0, 0]), expected, "{class:?}");
    }
}

#[test]
fn no_new_memory_is_shared() {
    for (arch, class) in classes() {
        let (read_write, shared) = (bits(arch, "PROT_READ|PROT_WRITE"), bits(arch, "MAP_SHARED|MAP_ANONYMOUS"));
        assert_eq!(main_answer(&rules(class, arch), "mmap", [0, 4096, read_write, shared, 0, 0]), Action::Notify);
    }
}

#[test]
fn what_only_set_up_needed_kills_afterwards_and_the_rest_is_as_before() {
    for (arch, class) in classes() {
        let rules = rules(class, arch);
        for (name, arguments) in [
            ("sendmsg", [3, 1, 0x4000, 0, 0, 0]),
            ("recvmsg", [3, 1, 0x4000_0000, 0, 0, 0]),
            ("seccomp", [1, 0, 1, 0, 0, 0]),
            ("prctl", [65, 1, 0, 0, 0, 0]),
        ] {
            assert_eq!(main_answer(&rules, name, arguments), Action::Allow, "{name}");
            assert_eq!(both(&rules, name, arguments), Action::Kill, "{name}");
        }
        // Refused in either phase, by either filter alone, and the broker hears of it.
        for name in ["socket", "openat", "execve", "ptrace", "ioctl", "kill", "tgkill", "unshare", "bpf", PROOF] {
            assert_eq!(both(&rules, name, [u64::MAX; 6]), Action::Notify, "{name}");
            let number = arch.number(name).unwrap();
            assert_eq!(rules.1.answer(arch.audit(), number, &[u64::MAX; 6]), Action::Trace, "{name}");
        }
    }
}

/// Two walls, and not one and a half: with the main filter gone the closing filter lets nothing through that the main filter
/// would have refused. And the broker hears of all that but for what kills.
#[test]
fn closing_refuses_by_itself_all_that_main_refuses_and_leaves_it_to_the_broker_to_hear_of_it() {
    let mut policy = standard();
    policy.syscalls.deny = vec!["symlinkat".into()];
    policy.syscalls.danger_allow = vec![
        AddedSyscall { name: "sched_yield".into(), comment: "to try it".into() },
        AddedSyscall { name: "mprotect".into(), comment: "to try it".into() },
    ];
    let (mut refused, mut kept) = (0, 0);
    for policy in [standard(), policy] {
        for (arch, class) in classes() {
            let (main, closing) = crate::filter::rules(&policy, class, arch).unwrap();
            for number in (0..=600).chain([0x3fff_ffff]) {
                let mut tried = arguments(&main, number);
                tried.extend(arguments(&closing, number));
                for arguments in tried {
                    let answers = [&main, &closing].map(|r| r.answer(arch.audit(), number, &arguments));
                    match answers {
                        [Action::Allow, Action::Allow] => kept += 1,
                        // Of set-up, or forbidden: there is no notification that a kill could come before.
                        [Action::Allow, Action::Kill] | [Action::Fail(_), Action::Trace] => {}
                        [Action::Notify, Action::Trace] => refused += 1,
                        [Action::Notify, Action::Kill] => {
                            let name = arch.syscall(number).unwrap();
                            assert!(FORBIDDEN.contains(&name), "{name} {arguments:x?} is killed for and not told");
                        }
                        answers => panic!("{arch} {class:?} {number} {arguments:x?}: {answers:?}"),
                    }
                }
            }
        }
    }
    assert!(refused > 500_000 && kept > 100_000, "{refused} {kept}");
}

/// What the closing filter kills for whatever the main filter says.
const FORBIDDEN: [&str; 5] = ["mmap", "mprotect", "pkey_mprotect", "shmat", "personality"];

#[test]
fn the_control_socket_alone_takes_messages() {
    for (arch, class) in classes() {
        let rules = rules(class, arch);
        assert_eq!(main_answer(&rules, "sendmsg", [4, 1, 0x4000, 0, 0, 0]), Action::Notify);
        // MSG_OOB
        assert_eq!(main_answer(&rules, "sendmsg", [3, 1, 0x4001, 0, 0, 0]), Action::Notify);
        // The kernel looks at the low half of a descriptor.
        assert_eq!(main_answer(&rules, "sendmsg", [3 | 7 << 32, 1, 0x4000, 0, 0, 0]), Action::Allow);
    }
}

#[test]
fn calls_that_hide_their_arguments_and_those_that_are_new_are_not_there() {
    for (arch, class) in classes() {
        let rules = rules(class, arch);
        for name in ["clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register", "process_madvise"] {
            assert_eq!(both(&rules, name, [0; 6]), FAIL, "{name}");
        }
        for number in [470, 500, 600, 0x3fff_ffff] {
            assert_eq!(rules.0.answer(arch.audit(), number, &[0; 6]), FAIL);
        }
    }
    // A hole in a table is as unknown as what comes after it.
    assert_eq!(rules(Class::Compiler, Arch::X86_64).0.answer(Arch::X86_64.audit(), 400, &[0; 6]), FAIL);
}

#[test]
fn foreign_architectures_and_x32_kill() {
    let rules = rules(Class::Compiler, Arch::X86_64);

    for filter in [&rules.0, &rules.1] {
        assert_eq!(filter.answer(Arch::Aarch64.audit(), 0, &[0; 6]), Action::Kill);
        assert_eq!(filter.answer(0x4000_0003, 4, &[0; 6]), Action::Kill);
        assert_eq!(filter.answer(Arch::X86_64.audit(), 0x4000_0000 | 1, &[0; 6]), Action::Kill);
        assert_eq!(filter.answer(Arch::X86_64.audit(), u32::MAX, &[0; 6]), Action::Kill);
    }
}

#[test]
fn only_real_clocks_add_system_calls_and_no_randomness_does() {
    let groups = |clock, random| {
        let mut policy = standard();
        (policy.host.clock, policy.host.random) = (clock, random);
        Class::Worker(Features::granted(&policy, true, true, &[])).groups()
    };
    let nothing = groups(Clock::None, Random::None);

    assert_eq!(groups(Clock::Deterministic, Random::Deterministic), nothing);
    assert_eq!(groups(Clock::None, Random::Real), nothing);
    assert!(groups(Clock::Real, Random::Real).contains(&"clock") && !nothing.contains(&"clock"));
}

#[test]
fn files_are_written_only_where_writing_is_granted() {
    for arch in Arch::ALL {
        let reader = rules(Class::Worker(Features { wasi: true, files_read: true, ..Features::default() }), arch);
        let writer = rules(Class::Worker(Features { wasi: true, files_write: true, ..Features::default() }), arch);
        let none = rules(Class::Worker(Features { wasi: true, ..Features::default() }), arch);
        let open = |flags: &str| [5, 1, bits(arch, flags), 0o666, 0, 0];
        for (flags, read, write) in [
            ("O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_LARGEFILE", Action::Allow, Action::Allow),
            ("O_PATH|O_DIRECTORY|O_CLOEXEC", Action::Allow, Action::Allow),
            ("O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC", Action::Notify, Action::Allow),
            ("O_WRONLY|O_TRUNC", Action::Notify, Action::Allow),
            ("O_RDWR|__O_TMPFILE|O_DIRECTORY", Action::Notify, Action::Notify),
            ("O_RDWR|O_DIRECT", Action::Notify, Action::Notify),
        ] {
            assert_eq!(both(&none, "openat", open(flags)), Action::Notify, "{flags}");
            assert_eq!(both(&reader, "openat", open(flags)), read, "{flags}");
            assert_eq!(both(&writer, "openat", open(flags)), write, "{flags}");
        }
        for name in ["mkdirat", "unlinkat", "renameat", "symlinkat", "ftruncate", "pwrite64", "utimensat", "linkat"] {
            assert_eq!(both(&reader, name, [0; 6]), Action::Notify, "{name}");
            assert_eq!(both(&writer, name, [0; 6]), Action::Allow, "{name}");
        }
    }
}

#[test]
fn a_worker_without_wasi_writes_to_the_bell_and_nowhere_else() {
    for arch in Arch::ALL {
        let rules = rules(Class::Worker(Features::default()), arch);

        assert_eq!(both(&rules, "write", [4, 1, 8, 0, 0, 0]), Action::Allow);
        assert_eq!(both(&rules, "write", [5, 1, 8, 0, 0, 0]), Action::Notify);
        assert_eq!(both(&rules, "write", [4, 1, 9, 0, 0, 0]), Action::Notify);
        assert_eq!(both(&rules, "read", [0, 1, 8, 0, 0, 0]), Action::Notify);
    }
}

#[test]
fn a_policy_narrows_and_widens() {
    let class = Class::Worker(Features { wasi: true, files_write: true, ..Features::default() });
    for arch in Arch::ALL {
        let mut policy = standard();
        policy.syscalls.deny = vec!["symlinkat".into()];
        policy.syscalls.danger_allow = vec![
            AddedSyscall { name: "sched_yield".into(), comment: "to try it".into() },
            // x86_64 only: on aarch64 it says nothing.
            AddedSyscall { name: "poll".into(), comment: "to try it".into() },
        ];

        let rules = crate::filter::rules(&policy, class, arch).unwrap();

        assert_eq!(both(&rules, "symlinkat", [0; 6]), Action::Notify);
        assert_eq!(both(&rules, "linkat", [0; 6]), Action::Allow);
        assert_eq!(both(&rules, "sched_yield", [u64::MAX; 6]), Action::Allow);
    }
}

#[test]
fn what_cannot_work_is_an_error() {
    let with = |change: fn(&mut Policy)| {
        let mut policy = standard();
        change(&mut policy);
        crate::filter::programs(&policy, Class::Compiler, Arch::X86_64).unwrap_err()
    };

    assert!(matches!(with(|p| p.syscalls.deny = vec!["mmap".into()]), Error::Needed { .. }));
    assert!(matches!(with(|p| p.syscalls.deny = vec!["mnap".into()]), Error::Unknown(_)));
    let proof =
        |p: &mut Policy| p.syscalls.danger_allow = vec![AddedSyscall { name: PROOF.into(), comment: "x".into() }];
    assert!(matches!(with(proof), Error::Proof));
    let twice = |p: &mut Policy| {
        p.syscalls.deny = vec!["poll".into()];
        p.syscalls.danger_allow = vec![AddedSyscall { name: "poll".into(), comment: "x".into() }];
    };
    assert!(matches!(with(twice), Error::Both(_)));
}

#[test]
fn no_entry_is_needless_beside_the_groups_that_always_come_with_it() {
    for (arch, class) in classes() {
        let entries = crate::filter::entries(&standard(), class, arch).unwrap();
        for entry in &entries {
            // An unconditional entry in another group of the same class would swallow it.
            let swallowed = entries.iter().any(|other| {
                !std::ptr::eq(*other, *entry)
                    && other.number == entry.number
                    && other.phase == entry.phase
                    && other.rules.iter().any(Vec::is_empty)
            });
            assert!(!swallowed || entry.phase == Phase::Setup, "{arch} {class:?} {}", entry.name);
        }
    }
}

#[test]
fn tables_are_sorted_unique_and_as_this_system_has_them() {
    for arch in Arch::ALL {
        let table = arch.table();
        assert!(table.windows(2).all(|w| w[0].1 < w[1].1));
        let mut names: Vec<_> = table.iter().map(|(n, _)| n).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), table.len());
        assert_eq!(table.last().unwrap().1, crate::filter::numbers::HIGHEST);
        assert!(names.iter().all(|n| syscall_names().contains(n)));
    }
    for (name, number) in [
        ("mmap", libc::SYS_mmap),
        ("rt_sigreturn", libc::SYS_rt_sigreturn),
        ("clone3", libc::SYS_clone3),
        ("openat2", libc::SYS_openat2),
        ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
        ("memfd_secret", libc::SYS_memfd_secret),
        ("fchmodat2", libc::SYS_fchmodat2),
        ("mseal", libc::SYS_mseal),
    ] {
        assert_eq!(Arch::HOST.number(name), u32::try_from(number).ok(), "{name}");
    }
}

#[test]
fn constants_are_as_this_system_has_them() {
    for (name, value) in [
        ("PROT_EXEC", libc::PROT_EXEC),
        ("MAP_NORESERVE", libc::MAP_NORESERVE),
        ("MAP_STACK", libc::MAP_STACK),
        ("MADV_DONTNEED", libc::MADV_DONTNEED),
        ("O_CREAT", libc::O_CREAT),
        ("O_TRUNC", libc::O_TRUNC),
        ("O_APPEND", libc::O_APPEND),
        ("O_DSYNC", libc::O_DSYNC),
        ("O_DIRECTORY", libc::O_DIRECTORY),
        ("O_NOFOLLOW", libc::O_NOFOLLOW),
        ("O_CLOEXEC", libc::O_CLOEXEC),
        ("O_PATH", libc::O_PATH),
        ("O_DIRECT", libc::O_DIRECT),
        ("AT_EMPTY_PATH", libc::AT_EMPTY_PATH),
        ("AT_EACCESS", libc::AT_EACCESS),
        ("F_DUPFD_CLOEXEC", libc::F_DUPFD_CLOEXEC),
        ("F_ADD_SEALS", libc::F_ADD_SEALS),
        ("MSG_NOSIGNAL", libc::MSG_NOSIGNAL),
        ("MSG_CMSG_CLOEXEC", libc::MSG_CMSG_CLOEXEC),
        ("EFD_NONBLOCK", libc::EFD_NONBLOCK),
        ("EPOLL_CTL_DEL", libc::EPOLL_CTL_DEL),
        ("RWF_APPEND", libc::RWF_APPEND),
        ("PR_SET_MDWE", libc::PR_SET_MDWE),
    ] {
        assert_eq!(constants::value(Arch::HOST, name), u64::try_from(value).ok(), "{name}");
    }
    assert_eq!(
        constants::value(Arch::HOST, "__O_SYNC").unwrap() | constants::value(Arch::HOST, "O_DSYNC").unwrap(),
        libc::O_SYNC as u64
    );
    assert_eq!(constants::value(Arch::HOST, "AT_FDCWD"), Some(u64::from(libc::AT_FDCWD as u32)));
}
