//! A run that lasts.

use crate::{
    finished::Finished,
    left::{cgroups_of, descendants},
};
use std::{
    fs,
    io::Read,
    process::{Child, ChildStdin, ChildStdout},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Most of an output that is kept; what comes after it is only counted.
const KEPT: usize = 64 << 20;

/// Output that is gathered by a thread of its own, so that the writer never waits.
pub(crate) struct Gathered {
    thread: thread::JoinHandle<()>,
    kept: Arc<Mutex<Vec<u8>>>,
    bytes: Arc<AtomicU64>,
}

impl Gathered {
    pub(crate) fn from_pipe(mut pipe: impl Read + Send + 'static) -> Gathered {
        let (kept, bytes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (to, count) = (Arc::clone(&kept), Arc::clone(&bytes));
        let thread = thread::spawn(move || {
            let mut piece = vec![0; 256 * 1024];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT - to.len();
                to.extend_from_slice(&piece[..n.min(room)]);
                count.fetch_add(n as u64, Ordering::Relaxed);
            }
        });
        Gathered { thread, kept, bytes }
    }

    fn so_far(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn all(self) -> (Vec<u8>, u64) {
        let _ = self.thread.join();
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        (kept, self.bytes.load(Ordering::Relaxed))
    }
}

/// A `bulkhead` that runs. Dropping it kills it.
pub struct Running {
    /// Its standard input; `None` closes it.
    pub stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<Gathered>,
    pub(crate) stderr: Option<Gathered>,
    pub(crate) unread: Option<ChildStdout>,
    pub(crate) child: Child,
    pub(crate) report: tempfile::NamedTempFile,
    pub(crate) start: Instant,
    pub(crate) patience: Duration,
    pub(crate) shown: String,
}

impl Running {
    /// The pid of `bulkhead` itself: the broker.
    pub fn pid(&self) -> i32 {
        loop {
            if let Some(pid) = self.reported(0).and_then(|line| line["pid"].as_i64()) {
                return pid as i32;
            }
            assert!(self.start.elapsed() < self.patience, "{}: did not start", self.shown);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Every process that stems from the broker, whoever its parent is by now: pid and name.
    pub fn descendants(&self) -> Vec<(i32, String)> {
        let broker = self.pid();
        // Below the subreaper: orphans are its children.
        let mut below = descendants(i32::try_from(self.child.id()).unwrap_or(-1));
        below.retain(|(pid, _)| *pid != broker);
        below
    }

    /// Waits until a worker is there; its pid.
    pub fn worker(&self) -> i32 {
        loop {
            let name = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // The fork parent is the same program, under another name.
            let is_worker = |pid: i32, name_of_thread: &str| {
                String::from_utf8_lossy(&name(pid)).contains("bulkhead-worker") && name_of_thread != "bulkhead-parent"
            };
            if let Some((pid, _)) = self.descendants().into_iter().find(|(pid, comm)| is_worker(*pid, comm)) {
                return pid;
            }
            assert!(self.start.elapsed() < self.patience, "{}: there is no worker", self.shown);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until standard output has begun with this text.
    pub fn await_out(&self, text: &str) {
        let so_far = || self.stdout.as_ref().map(Gathered::so_far).unwrap_or_default();
        while !so_far().starts_with(text.as_bytes()) {
            let shown = String::from_utf8_lossy(&so_far()).into_owned();
            assert!(self.start.elapsed() < self.patience, "{}: printed {shown:?}, not {text:?}", self.shown);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The reading end of standard output, of a run that was started with [`crate::Run::unread`]. Dropping it closes it.
    pub fn unread(&mut self) -> Option<ChildStdout> {
        self.unread.take()
    }

    /// Sends the broker a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal);
    }

    /// Waits for the end. Leftovers are in the result, not yet judged.
    ///
    /// # Panics
    /// When it takes longer than the patience that the test has.
    pub fn wait(mut self) -> Finished {
        let pid = self.pid();
        let mut late = false;
        while self.child.try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.shown)).is_none() {
            if !late && self.start.elapsed() > self.patience {
                late = true;
                self.signal(nix::sys::signal::Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let took = self.start.elapsed();
        let (stdout, stdout_bytes) = self.stdout.take().map(Gathered::all).unwrap_or_default();
        let (stderr, _) = self.stderr.take().map(Gathered::all).unwrap_or_default();
        let end = self.reported(1).unwrap_or_else(|| panic!("{}: no report", self.shown));
        let mut left: Vec<String> =
            end["left"].as_array().into_iter().flatten().filter_map(|l| l.as_str().map(str::to_owned)).collect();
        left.extend(cgroups_of(pid).iter().map(|path| format!("cgroup {}", path.display())));
        let finished = Finished {
            code: end["code"].as_i64().map(|code| code as i32),
            signal: end["signal"].as_i64().map(|signal| signal as i32),
            stdout,
            stdout_bytes,
            stderr,
            took,
            left,
            shown: self.shown.clone(),
        };
        assert!(!late, "had not ended after {:?}\n{finished}", self.patience);
        finished
    }

    fn reported(&self, line: usize) -> Option<serde_json::Value> {
        let text = fs::read_to_string(self.report.path()).unwrap_or_default();
        // A line that is not ended yet is not whole.
        let line = text.split_inclusive('\n').nth(line).filter(|line| line.ends_with('\n'))?;
        serde_json::from_str(line).ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(nix::sys::signal::Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
