//! The hostile worker, case by case: what it does, when it turns, and how it ends. Tests hold the broker to it, once each; `cargo
//! xtask hostile` tries all of it again and again beside a neighbour.

/// One thing that a worker, or a compiler, does to its broker.
pub struct Case {
    /// Its name: that of an attack.
    pub name: &'static str,
    /// What it does, in a few words.
    pub does: &'static str,
    /// When it does it.
    pub when: When,
    /// How it ends.
    pub end: End,
}

/// When a worker turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// In place of locking itself down.
    SettingUp,
    /// The compiler, over the plugin that it reads.
    Compiling,
    /// While the plugin is loaded.
    Loading,
    /// In a call.
    Called,
    /// In a call of a batch, while the next ones are on their way.
    InBatch,
    /// In a call of a worker that does without the main filter.
    Unfiltered,
    /// In a run of a command, whose output is collected.
    Running,
    /// After its answer, when nobody has called; it is found at the next call. With so many milliseconds in between.
    Idle(u64),
    /// It does nothing: somebody stops it (SIGSTOP) before it is called.
    Stopped,
}

/// How it ends: what the broker records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A violation of the protocol, in these words.
    Protocol(&'static str),
    /// A violation: this system call, which the filter refused.
    Syscall(&'static str),
    /// A violation: a fault of the process, by this signal.
    Fault(&'static str),
    /// A violation: CPU time used while nobody had called.
    IdleCpu,
    /// Killed at the deadline.
    TimedOut,
    /// It died of itself, by this exit code. Who is to blame is open.
    Lost(i32),
    /// It said that memory ran out, and is believed no more than one that died.
    OutOfMemory,
    /// The plugin is refused, in these words.
    Refused(&'static str),
    /// Refused before it was given anything hostile, in these words: as a failure of the set-up.
    NotSetUp(&'static str),
    /// What it made up was a violation of the protocol, or an end that an honest worker might have told.
    Judged,
    /// Its answer is taken: there is nothing wrong with it.
    Answered,
}

impl End {
    /// Whether the worker is killed, and the end recorded as a violation.
    pub fn is_violation(self) -> bool {
        matches!(self, End::Protocol(_) | End::Syscall(_) | End::Fault(_) | End::IdleCpu)
    }
}

const fn case(name: &'static str, when: When, end: End, does: &'static str) -> Case {
    Case { name, does, when, end }
}

use End::{Answered, Fault, IdleCpu, Judged, Lost, NotSetUp, OutOfMemory, Protocol, Refused, Syscall, TimedOut};
use When::{Called, Compiling, Idle, InBatch, Loading, Running, SettingUp, Stopped, Unfiltered};

/// Every case.
pub const CASES: &[Case] = &[
    // In place of its lock-down.
    case(
        "setup_without_lockdown",
        SettingUp,
        NotSetUp("compare with policy"),
        "applies no layer, and reports every one",
    ),
    case(
        "setup_without_filter",
        SettingUp,
        NotSetUp("compare with policy"),
        "leaves out the main filter, and reports every layer",
    ),
    case("setup_garbage", SettingUp, NotSetUp("not a message"), "sends bytes that are no report"),
    case("setup_long_packet", SettingUp, NotSetUp("longer than 131072 bytes"), "sends a packet longer than any"),
    case("setup_descriptors", SettingUp, NotSetUp("more than 1 descriptors"), "attaches 200 descriptors to its report"),
    case("setup_false_listener", SettingUp, NotSetUp("lock-down"), "hands over a descriptor that is no listener"),
    case("setup_exit", SettingUp, NotSetUp("ended before its report"), "exits"),
    case("setup_silence", SettingUp, NotSetUp("took longer than 20s"), "says nothing"),
    case(
        "setup_ready",
        SettingUp,
        Protocol("before it was told what to load"),
        "says that it is ready before it is told to load",
    ),
    // The compiler, over a hostile plugin.
    case("compiler_describes_twice", Compiling, Protocol("described twice"), "describes its input twice"),
    case(
        "compiler_compiles_first",
        Compiling,
        Protocol("before it described"),
        "has compiled what it did not describe",
    ),
    case("compiler_garbage", Compiling, Protocol("not a message"), "sends bytes that are no message"),
    case("compiler_endless_message", Compiling, Protocol("the limit is 8388608"), "sends a message that does not end"),
    case("compiler_bell_storm", Compiling, Protocol("wakes without data"), "rings the bell without end"),
    case("compiler_claims_length", Compiling, Protocol("larger than the limit"), "claims more code than it may make"),
    case("compiler_half_a_description", Compiling, Lost(7), "dies in the middle of a message"),
    case("compiler_silence", Compiling, TimedOut, "says nothing, and computes"),
    case("compiler_exits", Compiling, Lost(7), "exits"),
    case("compiler_faults", Compiling, Fault("SIGSEGV"), "faults"),
    case("compiler_calls", Compiling, Syscall("socket"), "makes a call that its filter refuses"),
    case("compiler_truncates", Compiling, Syscall("ftruncate"), "shortens the file that the broker will read"),
    case("compiler_panics", Compiling, Refused("the compiler gave up"), "says that it panicked"),
    case("compiler_out_of_memory", Compiling, OutOfMemory, "blames its memory limit"),
    case("compiler_lies", Compiling, Refused("cannot load the native code"), "hands over bytes that are no code"),
    // While the plugin is loaded.
    case("done_before_ready", Loading, Protocol("not permitted while loading"), "answers before it is ready"),
    case("output_before_ready", Loading, Protocol("not permitted while loading"), "prints before it is ready"),
    case("garbage_before_ready", Loading, Protocol("not a message"), "sends bytes that are no message"),
    case(
        "endless_message_before_ready",
        Loading,
        Protocol("the limit is 16777216"),
        "sends a message that does not end",
    ),
    case("bell_storm_before_ready", Loading, Protocol("wakes without data"), "rings the bell without end"),
    case("deny_flood_before_ready", Loading, Protocol("more denials"), "tells of denials without end"),
    case("panicked_before_ready", Loading, Protocol("panicked"), "says that it panicked"),
    case(
        "ready_without_closing",
        Loading,
        Protocol("without the closing filter"),
        "is ready, and did not close itself in",
    ),
    case(
        "claim_kernel_memory_before_ready",
        Loading,
        Protocol("cannot know the kernel's limit"),
        "blames the kernel for its memory",
    ),
    case("stale_for_ever", Loading, Refused("never fits"), "says that its code does not fit, again and again"),
    case("unclosed_before_ready", Loading, Refused("not closed in"), "says that it could not be closed in"),
    case("exit_before_ready", Loading, Lost(7), "exits"),
    case("touch_nothing_before_ready", Loading, Fault("SIGSEGV"), "faults"),
    case("call_before_ready", Loading, Syscall("socket"), "makes a call that the filter refuses"),
    case("silence_before_ready", Loading, TimedOut, "says nothing"),
    case("silence_in_a_message_before_ready", Loading, TimedOut, "says half a message"),
    // Frames and words of the rings.
    case("huge_frame", Called, Protocol("a frame of 4294967295 bytes"), "a frame as long as can be said"),
    case("unknown_flags", Called, Protocol("frame flags 0x81"), "a frame with flags that nobody knows"),
    case(
        "truncated_frame",
        Called,
        Protocol("64 bytes beyond what was produced"),
        "a frame of which only the head is there",
    ),
    case("misaligned_cursor", Called, Protocol("not a multiple of 8"), "a cursor into the middle of a unit"),
    case("cursor_too_far", Called, Protocol("produced is"), "a cursor beyond the ring"),
    case("cursor_back", Called, Protocol("produced is"), "a cursor that goes back"),
    case(
        "misaligned_acknowledgement",
        Called,
        Protocol("not a multiple of 8"),
        "an acknowledgement into the middle of a unit",
    ),
    case("acknowledgement_too_far", Called, Protocol("consumed is"), "an acknowledgement of what was not sent"),
    case("acknowledgement_back", Called, Protocol("consumed is"), "an acknowledgement that goes back"),
    case("garbage", Called, Protocol("not a message"), "bytes that are no message"),
    case("empty_message", Called, Protocol("not a message"), "a message of no bytes"),
    case("endless_message", Called, Protocol("the limit is 16777216"), "a message that does not end"),
    case("endless_run", Called, Protocol("the limit is 16777216"), "a run of bytes that does not end"),
    case("short_run", Called, Protocol("not a message"), "a run that is shorter than it says"),
    case("late_head", Called, Protocol("frame flags 0x2"), "a head in the middle of a message"),
    case("empty_fragment", Called, Protocol("an empty fragment"), "an empty last fragment"),
    case("short_fragment", Called, Protocol("a fragment of 8 bytes"), "a fragment that is not full"),
    case("random_frame", Called, Judged, "random frames: lengths and flags about the edges"),
    case("random_words", Called, Judged, "random cursors, waiting words and event counts"),
    case("random_message", Called, Judged, "messages of every kind, with random content"),
    case("changed_message", Called, Judged, "well-formed messages with bytes changed, cut off or added"),
    case("changed_while_read", Called, Judged, "changes head and payload while the broker reads them"),
    case("cursor_to_and_fro", Called, Judged, "moves its cursor to and fro while the broker looks"),
    case("dribble", Called, TimedOut, "a message that goes on, with a pause after each fragment"),
    case("silence_in_a_message", Called, TimedOut, "half a message, and silence"),
    case("half_message_then_exit", Called, Lost(0), "half a message, and the end"),
    case("death_between_writes", Called, Lost(7), "dies between any two writes of an answer"),
    case("bell_storm", Called, Protocol("wakes without data"), "rings the bell without end"),
    case("fill_the_bell", Called, TimedOut, "fills the eventfd, and is silent"),
    case("unblock_the_bell", Called, Syscall("fcntl"), "clears O_NONBLOCK of what it shares with the broker"),
    case(
        "block_the_bell",
        Unfiltered,
        TimedOut,
        "the same where no filter keeps it from it, fills the eventfd, and is silent",
    ),
    case("pass_descriptors", Called, Syscall("sendmsg"), "attaches descriptors to a message"),
    // Messages.
    case(
        "wrong_id",
        Called,
        Protocol("not permitted while a call runs"),
        "answers another call than the one that was made",
    ),
    case("wrong_id", InBatch, Protocol("not permitted while a call runs"), "answers the next call of a batch first"),
    case("old_id", Called, Protocol("not permitted while a call runs"), "answers the last call once more"),
    case("old_id", InBatch, Protocol("not permitted while a call runs"), "answers the call before once more"),
    case("ready_again", Called, Protocol("not permitted while a call runs"), "is ready once more"),
    case("load_failed_late", Called, Protocol("not permitted while a call runs"), "could not load what it runs"),
    case("panicked", Called, Protocol("the worker's own code panicked"), "says that it panicked"),
    case("claim_kernel_memory", Called, Protocol("an end that cannot be"), "blames the kernel for its memory"),
    case("claim_interrupt", Called, Protocol("an end that cannot be"), "was interrupted, where nobody does it"),
    case("claim_fuel", Called, Protocol("an end that cannot be"), "is out of fuel that it does not have"),
    case("deep_value", Called, Protocol("nested too deeply"), "returns a value of a thousand levels"),
    case("many_values", Called, Protocol("too many values"), "returns two million values"),
    case("most_values", Called, Answered, "returns a million values, as it may"),
    case(
        "ask_unasked",
        Called,
        Protocol("not permitted while a call runs"),
        "tells of a path without having been told to learn",
    ),
    case(
        "use_unasked",
        Called,
        Protocol("not permitted while a call runs"),
        "tells of its use without having been told to learn",
    ),
    case("deny_once", Called, Answered, "tells that it was denied something, as it may"),
    case("deny_flood", Called, Protocol("more denials"), "tells of denials without end"),
    case("deny_elsewhere", Called, Protocol("a path that cannot be"), "tells of a denial where it has no directory"),
    case("deny_at_length", Called, Protocol("a path that cannot be"), "tells of a denied path longer than any"),
    case("silence", Called, TimedOut, "says nothing"),
    case("output_flood", Called, TimedOut, "prints without end"),
    case("large_output_flood", Called, TimedOut, "prints without end, 16 MiB at a time"),
    case("output_flood", Running, TimedOut, "prints without end as a command"),
    case("output_then_call", Running, Syscall("socket"), "prints, and makes a call that the filter refuses"),
    // Deaths.
    case("exit", Called, Lost(7), "exits"),
    case("touch_nothing", Called, Fault("SIGSEGV"), "faults"),
    case("run_nonsense", Called, Fault("SIGILL"), "runs an instruction that is none"),
    case("call", Called, Syscall("socket"), "makes a call that the filter refuses"),
    case("own_pid", Stopped, TimedOut, "is stopped (SIGSTOP) when it is called"),
    // When nobody has called.
    case("answer_then_spin", Idle(0), IdleCpu, "computes when nobody has called"),
    case("answer_then_call", Idle(800), Syscall("socket"), "makes a call that the filter refuses"),
    case("answer_then_exit", Idle(50), Lost(7), "exits"),
    case("answer_then_answer", Idle(50), Protocol("before it was called"), "answers twice"),
    case("answer_then_output", Idle(50), Protocol("before it was called"), "prints for the next call"),
    case("answer_then_flood", Idle(50), Protocol("before it was called"), "prints without end"),
    case(
        "answer_then_unknown_wait",
        Idle(800),
        Protocol("the waiting word is 0xffffffff"),
        "waits in a way that there is not",
    ),
    case("answer_then_deafness", Idle(0), TimedOut, "reads nothing of the next call, which does not fit the ring"),
    case("answer_early", Idle(0), Protocol("not all was sent yet"), "answers the next call before it has read it"),
    case("answer_then_ring", Idle(50), Answered, "rings the bell a thousand times: that is nobody's time"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AT_COMPILING, AT_LOAD, AT_SETUP, NAMES};

    #[test]
    fn every_case_is_an_attack_of_its_time() {
        for case in CASES {
            let known = match case.when {
                SettingUp => AT_SETUP,
                Compiling => AT_COMPILING,
                Loading => AT_LOAD,
                _ => NAMES,
            };
            assert!(known.contains(&case.name), "{}", case.name);
        }
    }

    #[test]
    fn no_case_is_in_the_list_twice() {
        let mut all: Vec<_> = CASES.iter().map(|case| (case.name, case.when)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), CASES.len());
    }

    #[test]
    fn every_attack_on_the_broker_while_loading_or_compiling_is_a_case() {
        let known = |name: &&str| CASES.iter().any(|case| case.name == *name);
        // That one is the artefact's own, and has tests of its own.
        assert!(AT_LOAD.iter().chain(AT_SETUP).chain(AT_COMPILING).all(|name| known(name) || *name == "compiler_code"));
    }
}
