//! What a test and its attacker agree on: names, and a few numbers. The attacks themselves are in the program.

pub mod cases;

/// Every attack of `bulkhead-attacker` that is called by name.
pub const NAMES: &[&str] = &[
    // files
    "read_a_file",
    "make_a_file",
    "grow_a_file",
    "open_many",
    "read_from_disk",
    "write_to_disk",
    "escape_by_descriptor",
    "find_own_cgroup",
    "join_cgroup",
    // network
    "connect_tcp",
    "bind_tcp",
    "connect_abstract",
    "listen_abstract",
    "raise_loopback",
    // processes
    "own_pid",
    "see",
    "kill",
    "fork",
    "read_host_name",
    "read_boot_time",
    "set_host_name",
    "become_root",
    // System V shared memory and keys
    "read_segment",
    "read_key",
    // memory and CPU
    "touch",
    "lock_memory",
    "run_written_code",
    "map_written_code",
    "speculation",
    "core_cookie",
    "speculate_again",
    "spin",
    // system calls
    "call",
    "make_io_uring",
    "call_as_i386",
    "call_as_x32",
    "unblock_the_bell",
    // deaths
    "exit",
    "abort",
    "touch_nothing",
    "run_nonsense",
    "run_breakpoint",
    // the rings
    "huge_frame",
    "unknown_flags",
    "truncated_frame",
    "misaligned_cursor",
    "cursor_too_far",
    "cursor_back",
    "misaligned_acknowledgement",
    "acknowledgement_too_far",
    "acknowledgement_back",
    "garbage",
    "empty_message",
    "endless_message",
    "endless_run",
    "short_run",
    "late_head",
    "empty_fragment",
    "short_fragment",
    "half_message_then_exit",
    "bell_storm",
    "random_frame",
    "random_words",
    "changed_while_read",
    "cursor_to_and_fro",
    "dribble",
    "silence_in_a_message",
    "death_between_writes",
    "fill_the_bell",
    "block_the_bell",
    // messages
    "random_message",
    "changed_message",
    "wrong_id",
    "old_id",
    "ready_again",
    "load_failed_late",
    "panicked",
    "claim_kernel_memory",
    "claim_interrupt",
    "claim_fuel",
    "deep_value",
    "many_values",
    "most_values",
    "ask_unasked",
    "use_unasked",
    "deny_once",
    "deny_flood",
    "deny_elsewhere",
    "deny_at_length",
    "pass_descriptors",
    "output_flood",
    "large_output_flood",
    "output_then_call",
    "output_then_exit",
    "silence",
    // what only a worker that learns may say
    "ask_once",
    "ask_flood",
    "ask_elsewhere",
    "ask_at_length",
    "claim_use",
    // after the answer, when nobody has called
    "answer_then_spin",
    "answer_then_call",
    "answer_then_exit",
    "answer_then_answer",
    "answer_early",
    "answer_untaken",
    "answer_then_output",
    "answer_then_flood",
    "answer_then_unknown_wait",
    "answer_then_deafness",
    "answer_then_ring",
];

/// Attacks while the plugin is loaded, chosen by [`at_load`].
pub const AT_LOAD: &[&str] = &[
    "done_before_ready",
    "garbage_before_ready",
    "exit_before_ready",
    "touch_nothing_before_ready",
    "call_before_ready",
    "silence_before_ready",
    "claim_kernel_memory_before_ready",
    "stale_for_ever",
    "ready_without_closing",
    "silence_in_a_message_before_ready",
    "output_before_ready",
    "deny_flood_before_ready",
    "bell_storm_before_ready",
    "endless_message_before_ready",
    "panicked_before_ready",
    "unclosed_before_ready",
];

const FIRST: u64 = 900_000_000;

/// The value of `wasm.table_elements` by which the attacker is no attacker, but a worker as every other: it loads its plugin, and
/// serves it.
pub const HONEST: u64 = FIRST - 1;

/// The value of `wasm.table_elements` that makes the attacker do this while it loads: a number that it is told, and that
/// means nothing to it otherwise.
///
/// # Panics
/// When there is no such attack.
pub fn at_load(name: &str) -> u64 {
    let index = AT_LOAD.iter().position(|known| *known == name);
    FIRST + index.unwrap_or_else(|| panic!("there is no attack {name}")) as u64
}

/// The other way round.
pub fn chosen_at_load(table_elements: u64) -> Option<&'static str> {
    AT_LOAD.get(usize::try_from(table_elements.checked_sub(FIRST)?).ok()?).copied()
}

/// What a cell does while it waits for a plugin, before it goes on as if nothing had been; chosen by the stack that it is to
/// prepare for.
pub const IN_CELL: &[&str] = &["spin_in_cell", "ring_in_cell"];

/// The stack that chooses the first of them, and how much more chooses the next.
const STACKS: [u64; 2] = [3 << 20, 64 << 10];

/// The stack that chooses what a cell does.
pub fn in_cell(name: &str) -> u64 {
    let index = IN_CELL.iter().position(|known| *known == name);
    STACKS[0] + STACKS[1] * index.map_or(u64::from(u16::MAX), |index| index as u64)
}

/// What was chosen by this stack.
pub fn chosen_in_cell(stack: u64) -> Option<&'static str> {
    IN_CELL.iter().copied().find(|name| in_cell(name) == stack)
}

/// What a worker does in place of locking itself down; chosen by the stack that it is to prepare for. The first one turns at its first
/// instruction and must be executed (`process.start`), the others in front of the main filter.
pub const AT_SETUP: &[&str] = &[
    "setup_without_lockdown",
    "setup_without_filter",
    "setup_garbage",
    "setup_long_packet",
    "setup_descriptors",
    "setup_false_listener",
    "setup_exit",
    "setup_silence",
    "setup_ready",
];

/// The stack that chooses the first of them.
const AT_SETUP_FIRST: u64 = 5 << 20;

/// The stack that chooses what a worker does in place of locking itself down.
///
/// # Panics
/// When there is no such attack.
pub fn at_setup(name: &str) -> u64 {
    let index = AT_SETUP.iter().position(|known| *known == name);
    AT_SETUP_FIRST + STACKS[1] * index.unwrap_or_else(|| panic!("there is no attack {name}")) as u64
}

/// What was chosen by this stack.
pub fn chosen_at_setup(stack: u64) -> Option<&'static str> {
    AT_SETUP.iter().copied().find(|name| at_setup(name) == stack)
}

/// What a compiler does that was taken over by its input: the input is this, and the attack's name, and where the attack has use for it
/// a zero byte and more.
pub const TO_COMPILER: &[u8] = b"\0asm: attack ";

/// Attacks of a compiler.
pub const AT_COMPILING: &[&str] = &[
    "compiler_describes_twice",
    "compiler_compiles_first",
    "compiler_garbage",
    "compiler_endless_message",
    "compiler_bell_storm",
    "compiler_claims_length",
    "compiler_silence",
    "compiler_exits",
    "compiler_faults",
    "compiler_calls",
    "compiler_truncates",
    "compiler_panics",
    "compiler_out_of_memory",
    "compiler_half_a_description",
    "compiler_lies",
    "compiler_code",
];

/// A system call with plain numbers, which works in a worker that is held by every layer but the filters and, for a user namespace,
/// `namespace.nested`, where it was executed: the kernel lets nobody make one whose root is by chroot(2), as a forked worker's is.
pub struct Call {
    /// Its name in syscalls(2).
    pub name: &'static str,
    /// What it gives an attacker.
    pub gain: &'static str,
    /// Number.
    pub number: i64,
    /// Arguments.
    pub args: [u64; 6],
}

const fn call(name: &'static str, number: i64, args: [u64; 6], gain: &'static str) -> Call {
    Call { name, gain, number, args }
}

const SHARED: u64 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
const SESSION: u64 = -3i64 as u64;

/// The calls of the attack `call`, by index.
pub const CALLS: &[Call] = &[
    call("socket", libc::SYS_socket, [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0], "kernel code"),
    call("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0], "every capability, in a namespace"),
    call("keyctl", libc::SYS_keyctl, [0, SESSION, 1, 0, 0, 0], "keys"),
    call("shmget", libc::SYS_shmget, [libc::IPC_PRIVATE as u64, 4096, 0o600, 0, 0, 0], "memory that outlives it"),
    call("msgget", libc::SYS_msgget, [libc::IPC_PRIVATE as u64, 0o600, 0, 0, 0, 0], "kernel memory"),
    call("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0], "kernel races that it can win"),
    call("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0], "a handle on a process"),
    call("inotify_init1", libc::SYS_inotify_init1, [0; 6], "kernel code"),
    call("epoll_create1", libc::SYS_epoll_create1, [0; 6], "kernel code"),
    call("timerfd_create", libc::SYS_timerfd_create, [1, 0, 0, 0, 0, 0], "kernel code"),
    call("dup", libc::SYS_dup, [0; 6], "descriptors that are not on the list"),
    call("personality", libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE as u64, 0, 0, 0, 0, 0], "kernel code"),
    call("mmap", libc::SYS_mmap, [0, 4096, libc::PROT_READ as u64, SHARED, u64::MAX, 0], "shared memory"),
    call("kill", libc::SYS_kill, [1, 0, 0, 0, 0, 0], "signals"),
    call("umask", libc::SYS_umask, [0; 6], "files that are open to all"),
    call("getuid", libc::SYS_getuid, [0; 6], "who it is"),
];

/// What the attacker's exec gives back, as an exit code: it became root, or it did not.
pub const BECAME_ROOT: i32 = 42;
/// See [`BECAME_ROOT`].
pub const STAYED_ITSELF: i32 = 43;
/// The argument that makes the attacker say who it is instead.
pub const WHO: &str = "who";

/// Pieces of output, and what stands in each, of the attacks that print before they do something else: more than wait for a slow
/// reader outside of the ring, and less than the ring holds.
pub const PIECES: usize = 24;
/// See [`PIECES`].
pub const PIECE: &[u8; 1024] = &[b'x'; 1024];

/// What the segment of the test holds at its beginning.
pub const SEGMENT: &[u8; 16] = b"of the host only";
/// What the key of the test holds.
pub const KEY: &[u8; 16] = b"of the broker's.";
