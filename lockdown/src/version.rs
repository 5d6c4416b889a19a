//! Who a program is, for people and for `bulkhead doctor`.

use bulkhead_shared::VERSION;
use std::io::Write as _;

/// What a program of this name says of itself: `bulkhead-worker 0.1.0`.
pub fn line(name: &str) -> String {
    format!("{name} {VERSION}")
}

/// Where the one argument is `--version`, prints [`line()`] and exits. The launcher starts no process with arguments.
pub fn answer(name: &str) {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == "--version") && arguments.next().is_none() {
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stdout(), "{}", line(name));
        std::process::exit(0);
    }
}
