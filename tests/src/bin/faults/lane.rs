//! One lane: a host at a time, and somebody who kills: `lane PROGRAMS FOLDER KILLS SEED`
//!
//! Prints lines: `kill VICTIM MOMENT`, `count NAME NUMBER`, `slow MILLISECONDS`, and `wrong WHAT`.

use crate::{
    Failure,
    moment::Moment,
    traces::{Place, Traces, mounts},
    victim::Victim,
};
use bulkhead_tests::{
    left::cgroups_of,
    reaping::{Random, become_subreaper, reap_all},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    env, fs,
    io::{Read, Write},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A host that says nothing for so long hangs: longer than the broker's own patience with its launcher.
const PATIENCE: Duration = Duration::from_secs(40);
/// Kills that one host lives through.
const KILLS_EACH: u64 = 12;

/// A running host.
struct Host {
    child: Child,
    order: Option<ChildStdin>,
    said: ChildStdout,
    at: Moment,
    lives: u64,
    repeated: u64,
    compiled: u64,
    ended: bool,
}

struct Lane {
    programs: String,
    folder: PathBuf,
    place: Place,
    random: Random,
    traces: Traces,
    /// Number of the plugin that the next host compiles.
    number: u64,
    /// How long a life is.
    life: Duration,
    kills: u64,
    wrong: Vec<String>,
    repeated: u64,
    again: u64,
    /// The longest time from a kill to the end of the life in which it was.
    slowest: Duration,
}

pub fn main(args: &[String]) -> Result<(), Failure> {
    let [programs, folder, kills, seed] = args else { return Err("lane PROGRAMS FOLDER KILLS SEED".into()) };
    become_subreaper();
    let (wanted, folder) = (kills.parse::<u64>()?, PathBuf::from(folder));
    let _ = fs::remove_dir_all(&folder);
    let place = Place::make(&folder)?;
    let mut lane = Lane {
        programs: programs.clone(),
        folder,
        place,
        random: Random(seed.parse()?),
        traces: Traces::default(),
        number: 1,
        life: Duration::from_millis(60),
        kills: 0,
        wrong: Vec::new(),
        repeated: 0,
        again: 0,
        slowest: Duration::ZERO,
    };
    let before = mounts();
    lane.undisturbed()?;
    while lane.kills < wanted && lane.wrong.len() < 20 {
        // Whoever lives through its kills has several of them.
        match lane.random.number() % 8 {
            0 => lane.kill_others()?,
            _ => lane.kill_broker()?,
        }
    }
    lane.undisturbed()?;
    if mounts() != before {
        lane.wrong.push(format!("{before} mounts became {}", mounts()));
    }
    for (name, number) in [
        ("lives", lane.number),
        ("repeated", lane.repeated),
        ("cgroups", lane.traces.cgroups),
        ("files", lane.traces.files_in_all),
        ("again", lane.again),
    ] {
        println!("count {name} {number}");
    }
    println!("slow {}", lane.slowest.as_millis());
    lane.wrong.iter().for_each(|what| println!("wrong {}", what.replace('\n', " ")));
    let _ = fs::remove_dir_all(&lane.folder);
    Ok(())
}

impl Lane {
    fn start(&self) -> Result<Host, Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("host").arg(&self.programs).arg(&self.folder).arg(self.number.to_string());
        command.env("TMPDIR", &self.place.temporary).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (order, said) = (child.stdin.take(), child.stdout.take().ok_or("no standard output")?);
        let at = Moment::Build;
        Ok(Host { child, order, said, at, lives: 0, repeated: 0, compiled: 0, ended: false })
    }

    /// Two lives in which nothing is killed. They find what was left and remove it, and say how long a life is.
    fn undisturbed(&mut self) -> Result<(), Failure> {
        let mut host = self.start()?;
        host.until(|host| host.lives == 1, PATIENCE);
        let begin = Instant::now();
        host.go_on();
        host.until(|host| host.lives == 2, PATIENCE);
        self.life = begin.elapsed().clamp(Duration::from_millis(20), Duration::from_millis(400));
        self.finish(host);
        Ok(())
    }

    /// The broker dies, alone or with everything below it.
    fn kill_broker(&mut self) -> Result<(), Failure> {
        let victim = if self.random.number().is_multiple_of(3) { Victim::Everything } else { Victim::Broker };
        // The process has to be started, too.
        let moment = self.random.moment(self.life + Duration::from_millis(5));
        let mut host = self.start()?;
        let pid = host.child.id() as i32;
        host.until(|_| false, moment);
        victim.kill_one(std::process::id() as i32, pid, 0);
        let _ = host.child.wait();
        host.read_rest();
        self.note(victim, host.at);
        if let Err(left) = reap_all() {
            self.wrong.push(format!("{victim:?} killed after {moment:?}: {left}"));
        }
        // What an earlier one left is gone once this one had got as far as its first plugin.
        if host.at != Moment::Build {
            self.judge_traces();
        }
        self.number += host.compiled;
        self.repeated += host.repeated;
        self.again += 1;
        self.traces.note(pid, &self.place);
        Ok(())
    }

    /// Something below a broker dies, and it goes on.
    fn kill_others(&mut self) -> Result<(), Failure> {
        let mut host = self.start()?;
        let (own, pid) = (std::process::id() as i32, host.child.id() as i32);
        for _ in 0..KILLS_EACH {
            let victim = Victim::ALL[2 + (self.random.number() % 4) as usize];
            let moment = self.random.moment(self.life);
            host.until(|_| false, moment);
            // A compiler is there for some milliseconds only.
            let begin = Instant::now();
            let mut killed = victim.kill_one(own, pid, self.random.number());
            while !killed && !host.ended && begin.elapsed() < 2 * self.life {
                host.until(|_| false, Duration::from_micros(200));
                killed = victim.kill_one(own, pid, self.random.number());
            }
            if killed {
                self.note(victim, host.at);
            }
            // To the end of this life, so that one kill is over before the next.
            let (lives, at) = (host.lives, Instant::now());
            host.until(|host| host.lives > lives, PATIENCE);
            self.slowest = self.slowest.max(at.elapsed());
            if host.ended {
                break;
            }
        }
        self.finish(host);
        Ok(())
    }

    /// The host ends in order: nothing at all may be left, and what others left is gone.
    fn finish(&mut self, mut host: Host) {
        let pid = host.child.id() as i32;
        let lives = host.lives;
        // It may be within a life.
        host.until(|host| host.lives > lives, Duration::from_millis(1));
        drop(host.order.take());
        let begin = Instant::now();
        while !matches!(host.child.try_wait(), Ok(Some(_))) && begin.elapsed() < PATIENCE {
            host.until(|_| false, Duration::from_millis(1));
        }
        let ended = match host.child.try_wait() {
            Ok(Some(status)) => status.success().then_some(()).ok_or(format!("a host ended with {status}")),
            _ => Err(format!("a host hangs while it is at {:?}", host.at)),
        };
        if let Err(what) = ended {
            self.wrong.push(what);
            let _ = host.child.kill();
            let _ = host.child.wait();
        }
        host.read_rest();
        if let Err(left) = reap_all() {
            self.wrong.push(format!("after a host that ended: {left}"));
        }
        let cgroups = cgroups_of(pid);
        if !cgroups.is_empty() {
            self.wrong.push(format!("after a host that ended: {cgroups:?}"));
        }
        self.judge_traces();
        let files = self.place.unfinished();
        if !files.is_empty() {
            self.wrong.push(format!("after a host that ended: {files:?}"));
        }
        self.number += host.compiled;
        self.repeated += host.repeated;
    }

    fn judge_traces(&mut self) {
        for left in self.traces.leftovers() {
            self.wrong.push(format!("the next broker has left {left}"));
        }
    }

    fn note(&mut self, victim: Victim, at: Moment) {
        self.kills += 1;
        println!("kill {victim:?} {at:?}");
    }
}

impl Host {
    /// Reads what is said until this is so, for so long at most. Between lives it is told to go on.
    fn until(&mut self, is_so: impl Fn(&Host) -> bool, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.ended && !is_so(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let mut polled = [PollFd::new(self.said.as_fd(), PollFlags::POLLIN)];
            // Whole milliseconds are too coarse for the moments here.
            let wait = if left < Duration::from_millis(2) { PollTimeout::ZERO } else { PollTimeout::from(1u8) };
            if poll(&mut polled, wait) == Ok(1) {
                self.read();
            } else if wait == PollTimeout::ZERO {
                std::thread::sleep(left.min(Duration::from_micros(50)));
            }
        }
    }

    fn read(&mut self) {
        let mut letters = [0; 64];
        let read = self.said.read(&mut letters).unwrap_or(0);
        self.ended = read == 0;
        for letter in &letters[..read] {
            match letter {
                b'!' => self.repeated += 1,
                b'.' => {
                    self.lives += 1;
                    self.compiled += 1;
                    self.go_on();
                }
                other => self.at = Moment::of(*other).unwrap_or(self.at),
            }
        }
    }

    /// What it said before its end.
    fn read_rest(&mut self) {
        while !self.ended {
            self.read();
        }
    }

    fn go_on(&mut self) {
        if let Some(order) = &mut self.order {
            let _ = order.write_all(b"\n");
        }
    }
}
