//! Colour, only on a terminal, and not where NO_COLOR is set (no-color.org).

use std::io::IsTerminal;

/// Whether standard output takes colour.
pub fn stdout() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether standard error takes colour.
pub fn stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
