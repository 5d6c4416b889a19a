//! How a call ended, from what wasmtime says of it.

use crate::guest::Guest;
use bulkhead_shared::{
    message::worker::{GuestEnd, LoadFailure},
    outcome::{Frame, Refusal, Trap},
};
use wasmtime::{Error, Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Longest message and longest name of a function in a report, in bytes. A report must fit into a message.
const MAX_TEXT: usize = 4096;
const MAX_NAME: usize = 256;
/// Longest refusal, in bytes: it may list a plugin's exports.
const MAX_REFUSAL: usize = 16 * 1024;

/// The end that this error means for a call into `store`.
pub fn end(error: &Error, store: &Store<Guest>) -> GuestEnd {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return GuestEnd::Exited(exit.0);
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::Interrupt) => return GuestEnd::Interrupted,
        Some(wasmtime::Trap::OutOfFuel) => return GuestEnd::OutOfFuel,
        _ => {}
    }
    let limiter = &store.data().limiter;
    // wasmtime counts instances itself and has no type for this error.
    if error.root_cause().to_string().starts_with("resource limit exceeded: instance count") {
        return GuestEnd::OutOfMemory(limiter.too_many_instances());
    }
    // Without a frame of the guest's it was the making of the instance that failed, and the error says no more than the
    // limit does.
    let ran = error.downcast_ref::<WasmBacktrace>().is_some();
    match limiter.exceeded(ran.then(|| trap(error))) {
        Some(limit) => GuestEnd::OutOfMemory(limit),
        None => GuestEnd::Trapped(trap(error)),
    }
}

/// The same for an instance that could not be made.
pub fn load_failure(error: &Error, store: &Store<Guest>) -> LoadFailure {
    match end(error, store) {
        GuestEnd::Trapped(trap) => LoadFailure::Trap(trap),
        GuestEnd::OutOfMemory(limit) => LoadFailure::OutOfMemory(limit),
        GuestEnd::Exited(code) => {
            LoadFailure::Other(format!("the plugin exited with {code} while it was being started"))
        }
        GuestEnd::Interrupted => LoadFailure::Other("the plugin was interrupted while it was being started".into()),
        GuestEnd::OutOfFuel => LoadFailure::Other("the plugin used up its fuel while it was being started".into()),
        GuestEnd::Refused(refusal) => LoadFailure::Other(refusal.message),
        GuestEnd::Returned(_) => LoadFailure::Other(text(&format!("{error:#}"))),
    }
}

/// The end of a load failure that shows only at a call, because the instance is made for the call.
pub fn late_failure(failure: LoadFailure) -> GuestEnd {
    match failure {
        LoadFailure::Trap(trap) => GuestEnd::Trapped(trap),
        LoadFailure::OutOfMemory(limit) => GuestEnd::OutOfMemory(limit),
        LoadFailure::Imports(findings) => refused(findings.join("\n")),
        LoadFailure::Stale(message) | LoadFailure::Closing(message) | LoadFailure::Other(message) => refused(message),
    }
}

/// A call that is refused.
pub fn refused(message: impl AsRef<str>) -> GuestEnd {
    GuestEnd::Refused(Refusal { message: cut(message.as_ref(), MAX_REFUSAL) })
}

/// A plugin that cannot be loaded for a reason that has no name of its own.
pub fn other(error: Error) -> LoadFailure {
    LoadFailure::Other(text(&format!("{error:#}")))
}

/// Native code that this worker cannot use.
pub fn stale(error: Error) -> LoadFailure {
    LoadFailure::Stale(text(&format!("{error:#}")))
}

/// Imports that are provided, but of another type.
pub fn mismatched(error: Error) -> LoadFailure {
    LoadFailure::Imports(vec![text(&format!("{error:#}"))])
}

/// A trap that no instruction of the guest raised.
pub fn host_trap(message: impl Into<String>) -> GuestEnd {
    GuestEnd::Trapped(Trap { message: message.into(), frames: Vec::new() })
}

/// What wasmtime says where a call between host and guest moves more than it may.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// The trap's own words first, then where it helps: "wasm trap: out of bounds memory access (memory fault at …)".
fn trap(error: &Error) -> Trap {
    let mut message = error.root_cause().to_string();
    for context in error.chain() {
        let context = context.to_string();
        if !context.starts_with("error while executing at wasm backtrace") && !message.contains(&context) {
            message = format!("{message} ({context})");
        }
    }
    if message.ends_with(HOSTCALL_FUEL) {
        message.push_str(" (wasm.hostcall_bytes)");
    }
    Trap { message: text(&message), frames: error.downcast_ref().map(frames).unwrap_or_default() }
}

fn frames(backtrace: &WasmBacktrace) -> Vec<Frame> {
    let frame = |frame: &wasmtime::FrameInfo| Frame {
        function: frame.func_index(),
        name: frame.func_name().map(demangle),
        offset: frame.module_offset().map(|offset| offset as u64),
    };
    backtrace.frames().iter().map(frame).collect()
}

/// Rust's names as people write them. Linkers leave the names of other languages readable.
fn demangle(name: &str) -> String {
    cut(&format!("{:#}", rustc_demangle::demangle(name)), MAX_NAME)
}

/// Cuts text that a guest chose.
fn cut(text: &str, max: usize) -> String {
    match text.char_indices().map(|(at, _)| at).take_while(|at| *at <= max).last() {
        Some(end) if text.len() > max => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

fn text(text: &str) -> String {
    cut(text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_readable() {
        assert_eq!(demangle("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
        assert_eq!(demangle("plain"), "plain");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let cut = text(&"ä".repeat(MAX_TEXT));

        assert_eq!(cut.len(), MAX_TEXT + "…".len());
    }
}
