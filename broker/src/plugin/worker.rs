//! A worker with the plugin loaded: what the broker keeps of it from call to call.

use super::recipe::Recipe;
use crate::{
    denials::Denials,
    export::Exports,
    idle::{self, Idle},
    invocation::{Around, End, Invocation, Later, Request, Sent, Step, unsent},
    process::{Process, Woken},
    report::Report,
};
use bulkhead_shared::{
    message::worker::{Call, ToWorker},
    outcome::{Outcome, Violation},
    ring::Pace,
    value::Value,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Time to look for an answer, for one who must not be held up.
const BRIEF: Duration = Duration::from_micros(5);
/// Turns of one [`Worker::drive`], and their time. Who keeps one busy for longer has a thread of its own.
const TURNS: usize = 16;
const TURN: Duration = Duration::from_millis(1);
/// Bytes of a message that is on its way, beyond which whoever has others to look after reads no more of it: to decode a large one takes
/// long.
const LABORIOUS: usize = 256 * 1024;
/// How often the memory that a worker uses is read.
const MEMORY_EVERY: Duration = Duration::from_secs(1);

/// What is called by one who does not wait for it here.
pub(crate) enum Wanted {
    /// An export by its name.
    Named(Call),
    /// An export that the worker knows by a number, with these arguments.
    Bound(u32, Vec<Value>),
}

/// How much time there is for a call that is not waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// None: the thread that waits for calls goes on with it.
    None,
    /// For a brief turn: others wait.
    Brief,
    /// The same, and some microseconds to look for its answer.
    ToLook,
    /// Nobody else waits.
    Any,
}

/// How far a call has come that is not waited for.
pub(crate) enum Driven {
    /// To its end.
    Over(End),
    /// The worker has ended.
    Died,
    /// There may be more to do at once, and more than others should wait for.
    Again,
    /// Nothing goes on before [`Process::events`] is readable, or the invocation's time is over.
    Asleep,
}

/// A worker with the plugin loaded.
pub(crate) struct Worker {
    pub process: Process,
    /// What it was started from; its policy is the one that holds for it.
    pub recipe: Arc<Recipe>,
    denials: Denials,
    /// How long its answers are looked for.
    pace: Pace,
    /// The same for one who has others to look after.
    brief: Pace,
    /// Whether it is watched by one who waits for many.
    watched: bool,
    /// What it does while nobody has called it.
    idle: Idle,
    /// How many of the plugin's exports it was told of.
    bound: usize,
    /// Whether the memory that it uses is to be read after this call: after the first, after a run of a command, and now and then.
    /// The kernel keeps the highest value.
    look_at_memory: bool,
    /// When it was read last.
    memory_at: Instant,
}

impl Worker {
    /// One that has just become ready.
    pub fn new(process: Process, recipe: Arc<Recipe>, denials: Denials, spin: Duration) -> Worker {
        let idle = Idle::new(Instant::now(), process.cpu_time(), spin);
        Worker {
            process,
            recipe,
            denials,
            pace: Pace::new(spin),
            brief: Pace::new(spin.min(BRIEF)),
            watched: false,
            idle,
            bound: 0,
            look_at_memory: true,
            memory_at: Instant::now(),
        }
    }

    /// Makes a call, to its end. Whether the worker can be called again; where it cannot, it was ended.
    pub fn call(
        &mut self,
        now: Instant,
        exports: &Exports,
        invocation: &mut Invocation,
        request: Request<'_, '_>,
        results: &mut Vec<Value>,
        report: &mut Report,
    ) -> (Result<(), Outcome>, bool) {
        self.look_at_memory |= invocation.streams.is_some();
        let begun = self.begin(now, exports);
        let called = begun.is_ok();
        let Recipe { policy, learning, .. } = &*self.recipe;
        let around = Around { policy, denials: &self.denials, learning: learning.as_ref() };
        let ended = match begun {
            Ok(()) => invocation.run(around, &mut self.process, &mut self.pace, request, results),
            // Whatever it says is not this call's.
            Err(outcome) => Err(outcome),
        };
        match ended {
            Ok(end) => {
                self.rest(now, invocation.slept, report);
                (end.into_result(), true)
            }
            Err(outcome) => {
                let death = self.process.kill();
                if called {
                    invocation.drain(around.policy, &mut self.process.link, death, &outcome);
                }
                (Err(outcome), false)
            }
        }
    }

    /// Sends a call that [`Worker::drive`] then follows. `Some` is its end, where it cannot be sent.
    pub fn send(
        &mut self,
        now: Instant,
        exports: &Exports,
        invocation: &mut Invocation,
        wanted: Wanted,
    ) -> Result<Option<End>, Outcome> {
        self.begin(now, exports)?;
        let sent = match &wanted {
            Wanted::Named(call) => invocation.send_named(&mut self.process.link, call.clone())?,
            Wanted::Bound(export, args) => invocation.send_bound(&mut self.process.link, *export, args)?,
        };
        match sent {
            Sent::Not(end) => Ok(Some(end)),
            // The arguments do not outlive this; what there is no room for does.
            Sent::But(rest) => {
                invocation.later = Later::of(rest);
                Ok(None)
            }
        }
    }

    /// Follows a call as far as that goes without waiting, and in this time. What is heard and what happens is judged as in a call that
    /// is waited for.
    pub fn drive(
        &mut self,
        invocation: &mut Invocation,
        results: &mut Vec<Value>,
        time: Time,
    ) -> Result<Driven, Outcome> {
        let mut later = std::mem::take(&mut invocation.later);
        let mut rest = later.rest();
        let driven = self.turns(invocation, &mut rest, results, time)?;
        if let Driven::Over(_) = driven {
            invocation.all_was_sent(&self.process.link, rest)?;
        }
        let left = rest.len();
        later.leave(left);
        invocation.later = later;
        Ok(driven)
    }

    fn turns(
        &mut self,
        invocation: &mut Invocation,
        rest: &mut &[u8],
        results: &mut Vec<Value>,
        time: Time,
    ) -> Result<Driven, Outcome> {
        let Recipe { policy, learning, .. } = &*self.recipe;
        let around = Around { policy, denials: &self.denials, learning: learning.as_ref() };
        let process = &mut self.process;
        if std::mem::take(&mut self.watched)
            && let Some(woken) = process.happened()?
            && !invocation.woken(around, process, woken)?
        {
            return Ok(Driven::Died);
        }
        let mut busy_since = None;
        for _ in 0..TURNS {
            if time != Time::Any && process.link.partial_bytes() > LABORIOUS {
                return Ok(Driven::Again);
            }
            match invocation.step(around, &mut process.link, rest, results)? {
                Step::Over(end) => return Ok(Driven::Over(end)),
                Step::Died => return Ok(Driven::Died),
                Step::More if busy_since.get_or_insert_with(Instant::now).elapsed() < TURN => continue,
                Step::More => break,
                Step::Wait => {}
            }
            if Instant::now() >= invocation.until {
                invocation.woken(around, process, Woken::Deadline)?;
                continue;
            }
            if time == Time::ToLook && self.brief.look(process.link.is_beside(), || process.link.peek_any()) {
                continue;
            }
            if process.rest()? {
                (self.watched, invocation.slept) = (true, true);
                return Ok(Driven::Asleep);
            }
        }
        Ok(Driven::Again)
    }

    /// A call begins. A worker that has spoken, or used CPU time, while nobody asked it anything is up to something. One that is
    /// not is told of the exports that it does not know yet.
    fn begin(&mut self, now: Instant, exports: &Exports) -> Result<(), Outcome> {
        // Its words would be taken for the next call's.
        if self.process.link.peek() {
            let what = "the worker said something before it was called".to_owned();
            return Err(Outcome::Violation(Violation::Protocol { what }));
        }
        let budget = self.recipe.policy.process.idle_cpu;
        match self.idle.begin(now, budget, || self.process.cpu_time()) {
            Ok(read) => self.look_at_memory |= read && now.saturating_duration_since(self.memory_at) > MEMORY_EVERY,
            Err(used) => return Err(Outcome::Violation(Violation::IdleCpu { used, budget })),
        }
        if self.bound < exports.len() {
            for (interface, name) in exports.from(self.bound) {
                let (interface, name) = (interface.to_owned(), name.to_owned());
                self.process.link.send(&ToWorker::Bind { interface, name }).map_err(unsent)?;
            }
            self.bound = exports.len();
        }
        Ok(())
    }

    /// A call that began at `began` has ended well. What takes system calls is done where the broker slept during the call for long,
    /// and now and then.
    pub fn rest(&mut self, began: Instant, slept: bool, report: &mut Report) {
        let now = Instant::now();
        if slept && now.saturating_duration_since(began) > idle::SHORT {
            let cpu = self.process.cpu_time();
            self.idle.end_read(Instant::now(), cpu);
        } else {
            self.idle.end(began, now);
        }
        if std::mem::take(&mut self.look_at_memory) {
            self.memory_at = now;
            report.note_memory(self.process.memory_peak());
        }
    }
}
