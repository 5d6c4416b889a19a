//! A panic of the compiler's own code becomes a message. There is no standard error to print it on.

use crate::Refused;
use std::{
    any::Any,
    panic::{self, PanicHookInfo},
    sync::Mutex,
};

/// What the last panic said, and where.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// From now on panics of this process are kept instead of printed.
pub fn keep_quietly() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.try_lock() {
            *last = Some(with_place(info));
        }
    }));
}

/// The message of a panic that was caught: with its place after [`keep_quietly`], otherwise as it was thrown.
pub fn words(payload: Box<dyn Any + Send>) -> String {
    let thrown = || match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(words), _) => (*words).to_owned(),
        (_, Some(words)) => words.clone(),
        _ => "panic without a message".to_owned(),
    };
    let words = LAST.try_lock().ok().and_then(|mut last| last.take()).unwrap_or_else(thrown);
    Refused::new(words).into_reason()
}

fn with_place(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("panic without a message");
    match info.location() {
        Some(place) => format!("{message} ({}:{})", below_the_registry(place.file()), place.line()),
        None => message.to_owned(),
    }
}

/// A dependency's file without the folder that Cargo keeps it in on the machine that built this program.
fn below_the_registry(file: &str) -> &str {
    match file.split_once("/registry/src/") {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, path)| path),
        None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_a_panic_does_not_tell_who_built_the_program() {
        let file =
            "/home/someone/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/wasmparser-0.254.2/src/parser.rs";
        assert_eq!(below_the_registry(file), "wasmparser-0.254.2/src/parser.rs");
        assert_eq!(below_the_registry("compiler/src/lib.rs"), "compiler/src/lib.rs");
    }
}
