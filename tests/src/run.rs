//! Running `bulkhead` as a user does, and looking at everything it leaves.

use crate::{
    finished::Finished,
    programs::{lasting, programs},
    running::{Gathered, Running},
};
use std::{
    ffi::{OsStr, OsString},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest time that a run may take when a test says nothing else. Not a deadline of Bulkhead's: a test that gets here
/// has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The words of a command line, each whatever can be one: `words!["--dir", path, format!("{n}")]`.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => { [$(std::ffi::OsString::from($word)),*] };
}

/// A run of `bulkhead` to be.
pub struct Run {
    through: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    folder: Option<PathBuf>,
    programs: PathBuf,
    patience: Duration,
    unread: bool,
}

/// `bulkhead ARGS`.
pub fn bulkhead<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    Run {
        through: Vec::new(),
        args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        folder: None,
        programs: programs().to_owned(),
        patience: PATIENCE,
        unread: false,
    }
}

/// `bulkhead run ARGS`, with the cache that the tests share.
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    run_with_cache(&lasting("cache"), args)
}

/// `bulkhead run ARGS`, with a cache of the test's own.
pub fn run_with_cache<A: AsRef<OsStr>>(cache: &Path, args: impl IntoIterator<Item = A>) -> Run {
    let first = ["run".into(), "--cache".into(), cache.as_os_str().to_owned()];
    bulkhead(first.into_iter().chain(args.into_iter().map(|arg| arg.as_ref().to_owned())))
}

impl Run {
    /// What stands on standard input. Nothing, unless this is called.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = bytes.into();
        self
    }

    /// A variable in the environment of `bulkhead` itself.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Run {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The folder that `bulkhead` is started in.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Run {
        self.folder = Some(folder.into());
        self
    }

    /// Another installation of the programs.
    pub fn programs(mut self, folder: impl Into<PathBuf>) -> Run {
        self.programs = folder.into();
        self
    }

    /// A program with arguments of its own that executes `bulkhead`, as `env` or `unshare` do.
    pub fn through<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Run {
        self.through = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Nobody reads standard output; [`Running::unread`] is the reading end.
    pub fn unread(mut self) -> Run {
        self.unread = true;
        self
    }

    /// How long it may take.
    pub fn patience(mut self, patience: Duration) -> Run {
        self.patience = patience;
        self
    }

    /// Runs it to its end, and checks that it left nothing behind.
    pub fn finish(mut self) -> Finished {
        let stdin = std::mem::take(&mut self.stdin);
        let mut running = self.start();
        let pipe = running.stdin.take();
        // A reader that goes away is no error of the writer's. The pipe is closed at the end.
        let writer = thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(&stdin)));
        let finished = running.wait();
        let _ = writer.join();
        finished.assert_nothing_left();
        finished
    }

    /// Starts it, for tests that do something meanwhile.
    pub fn start(self) -> Running {
        let report = tempfile::NamedTempFile::new().unwrap_or_else(|e| panic!("a file for the report: {e}"));
        let mut command = Command::new(programs().join("bulkhead-tests-subreaper"));
        command.arg(report.path()).args(&self.through).arg(self.programs.join("bulkhead")).args(&self.args);
        // Nothing of the caller's environment, but for what finds programs and folders.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", lasting("home")).env("XDG_CACHE_HOME", lasting("cache")).envs(self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        let start = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Running {
            stdin: child.stdin.take(),
            unread: child.stdout.take_if(|_| self.unread),
            stdout: child.stdout.take().map(Gathered::from_pipe),
            stderr: child.stderr.take().map(Gathered::from_pipe),
            child,
            report,
            start,
            patience: self.patience,
            shown: format!("bulkhead {}", self.args.join(OsStr::new(" ")).display()),
        }
    }
}
