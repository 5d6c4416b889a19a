//! The floor under each figure: what the machine itself takes for the bare thing, between two processes of one program.
//!
//! The second process is this program again, with the hidden argument [`super::FLOOR`]. It shares a memory and two eventfds
//! with the first, and sleeps while it is not asked anything, so that it takes no time from what is measured in between.

use super::{
    Error,
    floor_unsafe::{Shared, life},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        eventfd::{EfdFlags, EventFd},
        memfd::{MFdFlags, memfd_create},
        prctl,
        signal::Signal,
    },
    unistd::{Pid, ftruncate, read, write},
};
use std::{
    io,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
    time::{Duration, Instant},
};

/// Largest payload of a ping, in bytes.
pub const MOST: usize = 64 << 20;
/// Time for one answer; more means that the other process is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks at a word between two looks at the clock, or, on one CPU, before the other process is let on.
const LOOKS: u32 = 1 << 14;

/// Pings before those that count.
const WARM_UP: u32 = 16;

/// The words.
const ORDER: usize = 0;
const BYTES: usize = 1;
const ASKED: usize = 2;
const ANSWERED: usize = 3;
const RESULT: usize = 4;

/// What the second process can be told.
const ECHO: u32 = 1;
const SPIN: u32 = 2;
const LIVES: u32 = 3;
const ONE_LIFE: u32 = 4;
/// Stands for the number of bytes: stop spinning.
const REST: u32 = u32::MAX;
/// Stands for a time: it cannot be done here.
const FAILED: u32 = u32::MAX;

/// The first process's side. Dropping it ends the second.
pub struct Floor {
    child: Child,
    shared: Shared,
    go: EventFd,
    back: EventFd,
    reply: Vec<u8>,
}

/// Keeps this thread and the second process on a CPU each, where there are two; dropping it lets this thread go again.
struct Apart(Option<CpuSet>);

impl Apart {
    fn from(other: u32) -> Apart {
        let all = sched_getaffinity(Pid::from_raw(0)).ok();
        let mut cpus = (0..CpuSet::count()).filter(|cpu| all.is_some_and(|all| all.is_set(*cpu).unwrap_or(false)));
        let (Some(mine), Some(theirs)) = (cpus.next(), cpus.next()) else { return Apart(None) };
        let keep = |pid, cpu| {
            let mut one = CpuSet::new();
            one.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(pid), &one))
        };
        // Where it is not permitted they stand where they stand.
        let _ = keep(other.cast_signed(), theirs).and_then(|()| keep(0, mine));
        Apart(all)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(all) = &self.0 {
            let _ = sched_setaffinity(Pid::from_raw(0), all);
        }
    }
}

/// One life of a process that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// From the clone until the process has said that it is there.
    pub first: Duration,
    /// Until it is gone.
    pub whole: Duration,
    /// Its private memory, in KiB.
    pub private_kib: Option<u32>,
}

fn system(step: &'static str) -> impl Fn(nix::Error) -> Error {
    move |e| Error::Floor { step, source: e.into() }
}

impl Floor {
    /// Starts the second process. This program must answer [`super::FLOOR`] with [`serve`].
    pub fn start() -> Result<Floor, Error> {
        let memory = memfd_create("bulkhead-bench", MFdFlags::MFD_CLOEXEC).map_err(system("memfd_create"))?;
        ftruncate(&memory, Shared::bytes(MOST) as i64).map_err(system("ftruncate"))?;
        let shared = Shared::map(&memory, MOST).map_err(system("mmap"))?;
        let bell = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(system("eventfd"));
        let (go, back) = (bell()?, bell()?);
        let theirs = |bell: &EventFd| bell.as_fd().try_clone_to_owned();
        let start = |source| Error::Floor { step: "start the second process", source };
        // Its three standard streams are what it shares with us.
        let child = Command::new("/proc/self/exe")
            .arg(super::FLOOR)
            .env_clear()
            .stdin(Stdio::from(memory))
            .stdout(Stdio::from(theirs(&go).map_err(start)?))
            .stderr(Stdio::from(theirs(&back).map_err(start)?))
            .spawn()
            .map_err(start)?;
        let floor = Floor { child, shared, go, back, reply: Vec::new() };
        // Whoever never answers once is not there.
        floor.shared.word(ORDER).store(ECHO, Relaxed);
        floor.ring()?;
        let mut polled = [PollFd::new(floor.back.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        if poll(&mut polled, patience).map_err(system("poll"))? == 0 {
            return Err(start(io::ErrorKind::TimedOut.into()));
        }
        floor.heard()?;
        Ok(floor)
    }

    /// There and back by eventfd(2): nobody spins.
    pub fn sleeping(&mut self, payload: &[u8]) -> Result<Duration, Error> {
        self.reply.resize(payload.len(), 0);
        let at = Instant::now();
        self.shared.put(0, payload);
        self.order(ECHO, payload.len() as u32)?;
        self.shared.take(1, &mut self.reply);
        Ok(at.elapsed())
    }

    /// There and back through memory alone, both sides spinning: the time for each of so many batches, divided by their size.
    pub fn spinning(&mut self, payload: &[u8], batches: usize, batch: u32) -> Result<Vec<Duration>, Error> {
        // Two that spin on one CPU wait for the scheduler, not for each other.
        let apart = Apart::from(self.child.id());
        let times = self.spin_through(payload, batches, batch);
        drop(apart);
        times
    }

    fn spin_through(&mut self, payload: &[u8], batches: usize, batch: u32) -> Result<Vec<Duration>, Error> {
        self.shared.word(ORDER).store(SPIN, Relaxed);
        self.ring()?;
        // Until both are awake, and have seen the payload's memory.
        self.batch(payload.get(..64).unwrap_or(payload), WARM_UP)?;
        self.batch(payload, 1)?;
        let times = (0..batches).map(|_| self.batch(payload, batch)).collect::<Result<_, _>>()?;
        self.ask(REST)?;
        Ok(times)
    }

    fn batch(&mut self, payload: &[u8], pings: u32) -> Result<Duration, Error> {
        self.reply.resize(payload.len(), 0);
        let at = Instant::now();
        for _ in 0..pings {
            self.shared.put(0, payload);
            self.ask(payload.len() as u32)?;
            self.shared.take(1, &mut self.reply);
        }
        Ok(at.elapsed() / pings)
    }

    /// One life of a process in new namespaces of every kind.
    pub fn life(&mut self) -> Result<Life, Error> {
        let [first, whole, private] = self.lives(ONE_LIFE, 0)?;
        let time = |micros: u32| Duration::from_nanos(u64::from(micros) * 10);
        Ok(Life { first: time(first), whole: time(whole), private_kib: (private > 0).then_some(private) })
    }

    /// Lives one after the other for this long; how many, and in what time. Two calls: the second waits for the end.
    pub fn begin_lives(&mut self, time: Duration) -> Result<(), Error> {
        self.shared.word(BYTES).store(time.as_micros().try_into().unwrap_or(u32::MAX), Relaxed);
        self.shared.word(ORDER).store(LIVES, Relaxed);
        self.ring()
    }

    /// See [`Floor::begin_lives`].
    pub fn end_lives(&mut self) -> Result<(u32, Duration), Error> {
        self.heard()?;
        let [lives, micros, _] = self.results()?;
        Ok((lives, Duration::from_micros(micros.into())))
    }

    fn lives(&mut self, order: u32, argument: u32) -> Result<[u32; 3], Error> {
        self.order(order, argument)?;
        self.results()
    }

    fn results(&self) -> Result<[u32; 3], Error> {
        let result = [RESULT, RESULT + 1, RESULT + 2].map(|word| self.shared.word(word).load(Acquire));
        match result[0] {
            FAILED => Err(Error::Floor {
                step: "clone a process into namespaces of its own",
                source: io::Error::from_raw_os_error(result[1].cast_signed()),
            }),
            _ => Ok(result),
        }
    }

    fn order(&mut self, order: u32, argument: u32) -> Result<(), Error> {
        self.shared.word(BYTES).store(argument, Relaxed);
        self.shared.word(ORDER).store(order, Relaxed);
        self.ring()?;
        self.heard()
    }

    fn ring(&self) -> Result<(), Error> {
        self.go.write(1).map(drop).map_err(system("write to an eventfd"))
    }

    fn heard(&self) -> Result<(), Error> {
        self.back.read().map(drop).map_err(system("read from an eventfd"))
    }

    fn ask(&self, bytes: u32) -> Result<(), Error> {
        let asked = self.shared.word(ASKED);
        let number = asked.load(Relaxed).wrapping_add(1);
        self.shared.word(BYTES).store(bytes, Relaxed);
        asked.store(number, Release);
        match spin(&self.shared, ANSWERED, number) {
            true => Ok(()),
            false => Err(Error::Floor { step: "wait for the second process", source: io::ErrorKind::TimedOut.into() }),
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a word has this value. False where it takes too long.
fn spin(shared: &Shared, word: usize, value: u32) -> bool {
    let since = Instant::now();
    let word = shared.word(word);
    let mut looks = 0u32;
    while word.load(Acquire) != value {
        looks += 1;
        if looks.is_multiple_of(LOOKS) {
            if since.elapsed() > PATIENCE {
                return false;
            }
            // With one CPU for both the other one would never get to its answer.
            std::thread::yield_now();
        }
        std::hint::spin_loop();
    }
    true
}

/// The second process: does what it is told until it is ended, or its parent is gone.
pub fn serve() -> Result<(), Error> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(system("prctl"))?;
    let shared = Shared::map(&io::stdin(), MOST).map_err(system("mmap"))?;
    let (go, back) = (io::stdout(), io::stderr());
    let mut payload = Vec::new();
    loop {
        let mut rung = [0; 8];
        if read(&go, &mut rung).map_err(system("read from an eventfd"))? != rung.len() {
            return Ok(());
        }
        let argument = shared.word(BYTES).load(Acquire);
        match shared.word(ORDER).load(Acquire) {
            ECHO => echo(&shared, &mut payload, argument),
            SPIN => {
                let rested = loop {
                    let number = shared.word(ANSWERED).load(Relaxed).wrapping_add(1);
                    if !spin(&shared, ASKED, number) {
                        return Ok(());
                    }
                    let bytes = shared.word(BYTES).load(Relaxed);
                    if bytes == REST {
                        break number;
                    }
                    echo(&shared, &mut payload, bytes);
                    shared.word(ANSWERED).store(number, Release);
                };
                shared.word(ANSWERED).store(rested, Release);
                continue;
            }
            ONE_LIFE => {
                let mut private = 0;
                let lived = life(true, |pid| private = private_kib(pid).unwrap_or(0));
                let in_tens = |time: Duration| u32::try_from(time.as_nanos() / 10).unwrap_or(FAILED - 1);
                tell(&shared, lived.map(|(first, whole)| [in_tens(first), in_tens(whole), private]));
            }
            LIVES => tell(&shared, many_lives(Duration::from_micros(argument.into()))),
            _ => return Ok(()),
        }
        write(&back, &1u64.to_ne_bytes()).map_err(system("write to an eventfd"))?;
    }
}

fn many_lives(time: Duration) -> nix::Result<[u32; 3]> {
    let at = Instant::now();
    let mut lives = 0;
    while at.elapsed() < time {
        life(true, |_| ())?;
        lives += 1;
    }
    Ok([lives, u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX), 0])
}

fn tell(shared: &Shared, result: nix::Result<[u32; 3]>) {
    let words = result.unwrap_or_else(|errno| [FAILED, errno as u32, 0]);
    for (n, word) in words.into_iter().enumerate() {
        shared.word(RESULT + n).store(word, Release);
    }
}

fn echo(shared: &Shared, payload: &mut Vec<u8>, bytes: u32) {
    let bytes = bytes as usize;
    // Never smaller again: what is new in it would have to be cleared.
    if payload.len() < bytes {
        payload.resize(bytes, 0);
    }
    shared.take(0, &mut payload[..bytes]);
    shared.put(1, &payload[..bytes]);
}

/// Memory that a process shares with nobody, in KiB (/proc/PID/smaps_rollup).
pub fn private_kib(pid: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    let kib: Option<Vec<u32>> = lines.map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect();
    kib.filter(|kib| !kib.is_empty()).map(|kib| kib.iter().sum())
}
