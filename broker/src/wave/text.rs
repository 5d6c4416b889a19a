//! The words of WAVE: a cursor over the text. Nothing here recurses.

use super::Error;
use std::borrow::Cow;

/// See the module.
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    /// Byte offset of what comes next.
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::at(self.text, self.at, message)
    }

    pub fn error_at(&self, at: usize, message: impl Into<String>) -> Error {
        Error::at(self.text, at, message)
    }

    /// Passes over blanks and `//` comments.
    pub fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// The next character, blanks passed over.
    pub fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest().chars().next()
    }

    /// Takes this character if it comes next.
    pub fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Takes this character, or says that it is wanted.
    pub fn expect(&mut self, wanted: char, what: &str) -> Result<(), Error> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}` {what}"))) }
    }

    /// Says what was wanted and what is there.
    pub fn unexpected(&mut self, wanted: &str) -> Error {
        match self.peek() {
            None => self.error(format!("the text ends where {wanted} is wanted")),
            Some(c) => self.error(format!("{wanted} is wanted, not {:?}", c)),
        }
    }

    /// The label that comes next, without moving; empty where none does.
    pub fn peek_label(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let body = rest.strip_prefix('%').unwrap_or(rest);
        if !body.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return "";
        }
        let length = body.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(body.len());
        rest.get(..rest.len() - body.len() + length).unwrap_or_default()
    }

    /// Takes a label and gives it without its `%`, which only keeps it from being read as a keyword.
    pub fn label(&mut self, what: &str) -> Result<&'a str, Error> {
        let label = self.peek_label();
        if label.is_empty() {
            return Err(self.unexpected(what));
        }
        self.at += label.len();
        Ok(label.strip_prefix('%').unwrap_or(label))
    }

    /// Takes a number as it is written: digits with sign, fraction and exponent, `inf`, `-inf`, `nan`.
    pub fn number(&mut self, what: &str) -> Result<&'a str, Error> {
        self.skip_blanks();
        let rest = self.rest();
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = rest.get(..word).unwrap_or_default();
        if word.is_empty() {
            return Err(self.unexpected(what));
        }
        if !is_number(word) {
            return Err(self.error(format!("{what} is wanted, not {}", super::print::shortened(word))));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Takes a character in single quotes.
    pub fn character(&mut self) -> Result<char, Error> {
        self.expect('\'', "at the beginning of a character")?;
        let c = match self.rest().chars().next() {
            None | Some('\n') => return Err(self.error("the text ends within a character")),
            Some('\'') => return Err(self.error("an empty character; a quote is written '\\''")),
            Some('\\') => self.escape()?,
            Some(c) => {
                self.at += c.len_utf8();
                c
            }
        };
        if !self.rest().starts_with('\'') {
            return Err(self.error("`'` is wanted: a char is one character; text stands in double quotes"));
        }
        self.at += 1;
        Ok(c)
    }

    /// Takes a string in double quotes, or over many lines in three of them.
    pub fn string(&mut self) -> Result<String, Error> {
        self.skip_blanks();
        if self.rest().starts_with("\"\"\"") {
            return self.lines();
        }
        let begin = self.at;
        self.expect('"', "at the beginning of a string")?;
        let mut string = String::new();
        loop {
            let plain = self.rest().find(['"', '\\', '\n']);
            let Some(plain) = plain else { return Err(self.error_at(begin, "a string without its closing quote")) };
            string.push_str(self.rest().get(..plain).unwrap_or_default());
            self.at += plain;
            match self.rest().chars().next() {
                Some('"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some('\\') => string.push(self.escape()?),
                _ => return Err(self.error("a line ends within a string; a line break is written \\n")),
            }
        }
    }

    /// Takes a string of many lines. Each begins with the blanks that stand before the closing quotes; they are no part of it.
    fn lines(&mut self) -> Result<String, Error> {
        let begin = self.at;
        let body_at = begin + 3;
        let body = self.text.get(body_at..).unwrap_or_default();
        let Some(length) = body.find("\"\"\"") else {
            return Err(self.error("a string over many lines without its closing quotes"));
        };
        let body = body.get(..length).unwrap_or_default();
        let Some((inner, indent)) = body.rsplit_once('\n').filter(|(_, indent)| indent.trim_matches(' ').is_empty())
        else {
            return Err(self.error_at(body_at + length, "the closing quotes must stand on a line of their own"));
        };
        let mut lines = inner.split('\n');
        let first = lines.next().unwrap_or_default();
        if !first.trim_end_matches('\r').is_empty() {
            return Err(self.error_at(body_at, "a line break must follow the opening quotes"));
        }
        let mut at = body_at + first.len() + 1;
        let mut string = String::new();
        for (n, line) in lines.enumerate() {
            let Some(content) = line.strip_prefix(indent) else {
                return Err(self.error_at(at, "a line must begin with the blanks before the closing quotes"));
            };
            if n > 0 {
                string.push('\n');
            }
            string.push_str(&self.unescaped(content.strip_suffix('\r').unwrap_or(content), at + indent.len())?);
            at += line.len() + 1;
        }
        self.at = body_at + length + 3;
        Ok(string)
    }

    fn unescaped<'t>(&self, line: &'t str, at: usize) -> Result<Cow<'t, str>, Error> {
        if !line.contains('\\') {
            return Ok(line.into());
        }
        // Within the line only: an escape must not reach over its end.
        let mut cursor = Cursor { text: self.text.get(..at + line.len()).unwrap_or_default(), at };
        let mut string = String::new();
        while let Some(plain) = cursor.rest().find('\\') {
            string.push_str(cursor.rest().get(..plain).unwrap_or_default());
            cursor.at += plain;
            string.push(cursor.escape().map_err(|e| self.error_at(cursor.at, e.message))?);
        }
        string.push_str(cursor.rest());
        Ok(string.into())
    }

    /// Takes an escape: `\n`, `\u{1f44b}`.
    fn escape(&mut self) -> Result<char, Error> {
        const KNOWN: &str = "no escape; there are \\\\ \\' \\\" \\n \\r \\t \\u{…}";
        let rest = self.rest();
        let (c, length) = match rest.chars().nth(1) {
            Some('\\') => ('\\', 2),
            Some('\'') => ('\'', 2),
            Some('"') => ('"', 2),
            Some('n') => ('\n', 2),
            Some('r') => ('\r', 2),
            Some('t') => ('\t', 2),
            Some('u') => {
                let digits = rest.get(2..).and_then(|r| r.strip_prefix('{')?.split_once('}')).map(|(digits, _)| digits);
                let valid = digits.filter(|d| (1..=6).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = valid.and_then(|d| u32::from_str_radix(d, 16).ok());
                let Some((c, digits)) = code.and_then(char::from_u32).zip(digits) else {
                    return Err(self.error("no Unicode character; an escape looks like \\u{1f44b}"));
                };
                (c, digits.len() + 4)
            }
            _ => return Err(self.error(KNOWN)),
        };
        self.at += length;
        Ok(c)
    }
}

/// Whether a word is a number: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`, `inf`, `-inf` or `nan`.
fn is_number(word: &str) -> bool {
    if matches!(word, "inf" | "-inf" | "nan") {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = word.split_once(['e', 'E']).map_or((word, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}
