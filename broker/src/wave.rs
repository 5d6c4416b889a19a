//! Arguments and results as text: WAVE (WebAssembly Value Encoding) for components, plain numbers for core modules.
//!
//! ```
//! use bulkhead::{describe::Function, value::{Type, Value}, wave};
//!
//! let point = Type::Record(vec![("x".into(), Type::S32), ("label".into(), Type::Option(Box::new(Type::String)))]);
//! let plot = Function { params: vec![("at".into(), point)], results: vec![] };
//! let args = wave::parse_call("plot({x: 3})", &plot).unwrap();
//! assert_eq!(wave::print(&args[0]), "{x: 3}");
//! ```
//!
//! The parser is our own and follows the types: it goes no deeper than they do, and an error can say which argument it stands
//! in and what would fit there. The grammar's reference implementation, the crate `wasm-wave`, is the oracle of its tests; it
//! is not used to parse since its lexer takes stack for each character of a string unless the compiler optimises that away.

#[cfg(test)]
mod oracle_tests;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use print::{print, signature, type_text};
pub use words::{parse_scalars, parse_words};

use bulkhead_shared::{describe::Function, text::Untrusted, value::Value};
use std::fmt;

/// Text that cannot be read as the arguments of a call. Shown with the place below it:
///
/// ```text
/// argument 2 (count: u8): 300 is out of range, 0 to 255
///   repeat("a", 300)
///               ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where in the text, in characters from 1; `None` where it is no matter of one place.
    pub column: Option<usize>,
    excerpt: String,
}

impl Error {
    /// Characters of the text that are shown on each side of the place.
    const AROUND: usize = 60;

    pub(crate) fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), column: None, excerpt: String::new() }
    }

    /// At a byte of the text.
    fn at(text: &str, byte: usize, message: impl Into<String>) -> Error {
        let before = text.get(..byte).unwrap_or(text);
        let column = before.chars().count() + 1;
        // One line, escaped; the mark is placed by the escaped length, so that it stands below the right character.
        let shown = |part: String| Untrusted(&part).to_string();
        let skipped = (column - 1).saturating_sub(Error::AROUND);
        let left = shown(before.chars().skip(skipped).collect());
        let right = shown(text.chars().skip(column - 1).take(Error::AROUND).collect());
        let cut = if skipped > 0 { "…" } else { "" };
        let more = if text.chars().nth(column - 1 + Error::AROUND).is_some() { "…" } else { "" };
        let space = " ".repeat(cut.chars().count() + left.chars().count());
        Error {
            message: message.into(),
            column: Some(column),
            excerpt: format!("\n  {cut}{left}{right}{more}\n  {space}^"),
        }
    }

    fn within(mut self, place: &str) -> Error {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.message, self.excerpt)
    }
}

impl std::error::Error for Error {}

/// The text of a call, split where its arguments begin: which function it means must be known before they can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallText<'a> {
    /// The interface, empty where none is named: `acme:tools/text@1.0.0` in `acme:tools/text@1.0.0#shout("a")`.
    pub interface: &'a str,
    /// The function.
    pub name: &'a str,
    text: &'a str,
    arguments_at: usize,
}

impl<'a> CallText<'a> {
    /// Splits `name(…)`, or `interface#name(…)`.
    pub fn split(text: &'a str) -> Result<CallText<'a>, Error> {
        const FORM: &str = "a call looks like: name(\"text\", 1, {field: true})";
        let Some(arguments_at) = text.find('(') else {
            return Err(Error::at(text, text.len(), format!("no arguments; {FORM}")));
        };
        let name = text[..arguments_at].trim();
        let (interface, name) = name.rsplit_once('#').unwrap_or(("", name));
        let odd = |c: char| !(c.is_alphanumeric() || "-_:/@.%+#[]$".contains(c));
        if name.is_empty() || name.contains(odd) || interface.contains(odd) {
            return Err(Error::at(text, 0, format!("no function's name before the arguments; {FORM}")));
        }
        Ok(CallText { interface, name, text, arguments_at })
    }

    /// The arguments, read as values of the function's parameters. Parameters of an option type may be left out at the end.
    pub fn arguments(&self, function: &Function) -> Result<Vec<Value>, Error> {
        parse::arguments(self.text, self.arguments_at, function)
    }
}

/// Reads the arguments of a call, `name(…)`, as values of the function's parameters. The name is the caller's to look at:
/// [`CallText::split`] tells it before the function is known.
pub fn parse_call(text: &str, function: &Function) -> Result<Vec<Value>, Error> {
    CallText::split(text)?.arguments(function)
}
