//! What a run came to.

use std::time::Duration;

/// A run that has ended.
pub struct Finished {
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output: its beginning, where it is more than 64 MiB.
    pub stdout: Vec<u8>,
    /// How many bytes standard output had.
    pub stdout_bytes: u64,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// From the start to the end.
    pub took: Duration,
    /// Processes and cgroups that were still there.
    pub left: Vec<String>,
    pub(crate) shown: String,
}

impl Finished {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The exit code is this one.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Finished {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output is exactly this text.
    #[track_caller]
    pub fn assert_out(&self, text: &str) -> &Finished {
        assert_eq!(self.out(), text, "{self}");
        self
    }

    /// Standard error says each of these, in whatever case.
    #[track_caller]
    pub fn assert_says<const N: usize>(&self, words: [&str; N]) -> &Finished {
        let said = self.err().to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "standard error does not say {word:?}\n{self}");
        }
        self
    }

    /// No panic of ours is on standard error: bad input is answered, not stumbled over.
    #[track_caller]
    pub fn assert_no_panic(&self) -> &Finished {
        assert!(!self.err().contains("panicked at"), "{self}");
        self
    }

    /// It took less than this.
    #[track_caller]
    pub fn assert_within(&self, limit: Duration) -> &Finished {
        assert!(self.took < limit, "took {:?}\n{self}", self.took);
        self
    }

    /// No process and no cgroup is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) -> &Finished {
        assert!(self.left.is_empty(), "left behind: {:#?}\n{self}", self.left);
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        writeln!(f, "{}", self.shown)?;
        writeln!(f, "exit code {:?}, signal {:?}, after {:?}", self.code, self.signal, self.took)?;
        writeln!(f, "--- stdout ({} bytes)\n{}", self.stdout_bytes, cut(&self.stdout))?;
        writeln!(f, "--- stderr ({} bytes)\n{}", self.stderr.len(), cut(&self.stderr))
    }
}
