//! A plugin that many call at the same time: from several threads, or as futures.

mod calling;
mod flight;
mod group;
mod waiting;

pub use calling::Calling;
pub(crate) use flight::Flight;

use crate::{
    denials::Denial,
    export::{Export, Exports},
    invocation::{Invocation, Request},
    limits,
    plugin::{Supervised, Wanted, Worker},
    report::Report,
};
use bulkhead_shared::{
    describe::Description,
    message::worker::Call,
    outcome::Outcome,
    value::{Value, Values},
};
use group::{Group, Member};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use waiting::Turn;

/// A plugin that is shared: a handle that may be cloned and used by many threads, and of which calls can be awaited. Made by
/// [`Plugin::replicas`](crate::Plugin::replicas).
///
/// It has up to `supervision.replicas_max` workers, the *replicas*. A call goes to one that is free; where none is, another one is
/// started, up to that number; where there are as many as there may be, calls wait for one, first come, first served, and those
/// that had none within their time are refused. A replica that was not needed for a minute goes at a later call; while
/// nobody calls, nothing happens.
///
/// # State
///
/// **Replicas share nothing.** What a plugin keeps in its memory from one call to the next, only the replica that it was kept in
/// sees again, and which one a call goes to is not settled. With more than one, share plugins that keep nothing, or do not
/// mind. With `replicas_max = 1`, the default, there is one instance as with [`Plugin`](crate::Plugin), and whoever shares it
/// waits in turn.
///
/// # Limits
///
/// Each replica has the limits of `[process]` and `[wasm]` to itself, in a cgroup of its own. `supervision.restarts` counts the
/// lost replicas of the plugin together. How many there may be is read with the policy of the replica that was started last.
#[derive(Clone)]
pub struct Replicas {
    group: Arc<Group>,
    description: Arc<Description>,
}

impl Replicas {
    pub(crate) fn new(
        supervised: Supervised,
        exports: Exports,
        first: Option<(Worker, Report)>,
        calls: u64,
    ) -> Replicas {
        let description = supervised.recipe().compiled.description.clone();
        Replicas { group: Group::new(supervised, exports, first, calls), description }
    }

    /// What the plugin is, as [`Plugin::description`](crate::Plugin::description). Hostile.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// As [`Plugin::export`](crate::Plugin::export). What the plugin found before it was shared is good here, too.
    pub fn export(&self, name: &str) -> Option<Export> {
        self.group.export(name, |exports| {
            let (interface, function) = self.description.interface_and_name(name);
            self.description.function(interface, function)?;
            exports.add(name, interface, function)
        })
    }

    /// As [`Plugin::call`](crate::Plugin::call).
    pub fn call(&self, name: &str, args: &[Value]) -> Outcome {
        self.call_within(name, args, None)
    }

    /// As [`Plugin::call_within`](crate::Plugin::call_within). The time includes the wait for a replica.
    pub fn call_within(&self, name: &str, args: &[Value], timeout: Option<Duration>) -> Outcome {
        let mut results = Vec::new();
        let called = match self.export(name) {
            Some(export) => self.call_export_within(&export, args, &mut results, timeout),
            None => self.invoke(Request::Named(self.named(name, args.to_vec())), &mut results, timeout),
        };
        outcome(called.map(|()| results))
    }

    /// As [`Plugin::call_export`](crate::Plugin::call_export).
    pub fn call_export(&self, export: &Export, args: &[Value], results: &mut Vec<Value>) -> Result<(), Outcome> {
        self.call_export_within(export, args, results, None)
    }

    /// As [`Plugin::call_export_within`](crate::Plugin::call_export_within). The time includes the wait for a replica.
    pub fn call_export_within(
        &self,
        export: &Export,
        args: &[Value],
        results: &mut Vec<Value>,
        timeout: Option<Duration>,
    ) -> Result<(), Outcome> {
        let number = self.group.number(export)?;
        self.invoke(Request::Bound(number, args), results, timeout)
    }

    /// As [`Plugin::call_many`](crate::Plugin::call_many): all of them by one replica.
    pub fn call_many<'a>(
        &self,
        export: &Export,
        calls: impl IntoIterator<Item = &'a [Value]>,
        mut each: impl FnMut(Result<&[Value], Outcome>),
    ) -> Result<(), Outcome> {
        let number = self.group.number(export)?;
        let mut calls = calls.into_iter();
        self.invoke(Request::Many(number, &mut calls, &mut each), &mut Vec::new(), None)
    }

    /// As [`Replicas::call`], to be awaited: see [`Calling`].
    pub fn call_async(&self, name: &str, args: Vec<Value>) -> impl Future<Output = Outcome> + Send + Unpin + use<> {
        self.call_async_within(name, args, None)
    }

    /// As [`Replicas::call_within`], to be awaited: see [`Calling`].
    pub fn call_async_within(
        &self,
        name: &str,
        args: Vec<Value>,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Outcome> + Send + Unpin + use<> {
        let calling = match self.export(name) {
            Some(export) => self.call_export_async_within(&export, args, timeout),
            None => Calling::new(&self.group, Ok(Wanted::Named(self.named(name, args))), timeout),
        };
        calling.outcome()
    }

    /// As [`Replicas::call_export`], to be awaited: see [`Calling`].
    pub fn call_export_async(&self, export: &Export, args: Vec<Value>) -> Calling {
        self.call_export_async_within(export, args, None)
    }

    /// As [`Replicas::call_export_within`], to be awaited: see [`Calling`].
    pub fn call_export_async_within(&self, export: &Export, args: Vec<Value>, timeout: Option<Duration>) -> Calling {
        Calling::new(&self.group, self.group.number(export).map(|number| Wanted::Bound(number, args)), timeout)
    }

    /// What the replicas were refused, as [`Plugin::take_denials`](crate::Plugin::take_denials).
    pub fn take_denials(&self) -> Vec<Denial> {
        self.group.take_denials()
    }

    /// The report of each replica that there is, at work or not.
    pub fn reports(&self) -> Vec<Report> {
        self.group.reports()
    }

    /// The pid of each replica that there is, as [`Plugin::worker_pid`](crate::Plugin::worker_pid).
    pub fn worker_pids(&self) -> Vec<u32> {
        self.group.pids()
    }

    /// Whether every replica runs under the policy in force, as [`Plugin::is_current`](crate::Plugin::is_current).
    pub fn is_current(&self) -> bool {
        self.group.is_current()
    }

    /// Ends the replicas that are free; one that is at work goes on to the end of its call, and has no other. Calls from now on
    /// have new ones, under the policy in force then.
    pub fn replace_workers(&self) {
        self.group.replace();
    }

    /// The worker says what there is instead.
    fn named(&self, name: &str, args: Vec<Value>) -> Call {
        let (interface, name) = self.description.interface_and_name(name);
        Call::Export { interface: interface.to_owned(), name: name.to_owned(), args: Values(args) }
    }

    fn invoke(
        &self,
        request: Request<'_, '_>,
        results: &mut Vec<Value>,
        timeout: Option<Duration>,
    ) -> Result<(), Outcome> {
        let asked = Instant::now();
        let member = self.group.take(asked, timeout)?;
        let began = Instant::now();
        let limit = limits::within(&member.worker.recipe.policy, timeout);
        // It came when the time was over: it is not to be ended for what the others took.
        if began >= asked + limit {
            let none = self.group.none_in_time(limit);
            self.group.give(member, Turn::Once);
            return Err(none);
        }
        let mut in_use = InUse { group: &self.group, member: Some(member) };
        let Some(member) = &mut in_use.member else { return Err(self.group.none_in_time(limit)) };
        let mut invocation = Invocation::new(member.next_call(), limit, asked + limit, None);
        let exports = member.exports.clone();
        let (ended, healthy) =
            member.worker.call(began, &exports, &mut invocation, request, results, &mut member.report);
        member.used_until(invocation.id);
        if let Some(member) = in_use.member.take() {
            match &ended {
                Err(outcome) if !healthy => self.group.lost(&member, Some(outcome)),
                _ => self.group.give(member, Turn::Once),
            }
        }
        ended
    }
}

/// A worker while it is called. Where the caller's own code panics in the middle of a batch, the worker goes with the panic, and
/// its place is another's.
struct InUse<'a> {
    group: &'a Arc<Group>,
    member: Option<Box<Member>>,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if let Some(mut member) = self.member.take() {
            member.worker.process.kill();
            self.group.lost(&member, None);
        }
    }
}

fn outcome(ended: Result<Vec<Value>, Outcome>) -> Outcome {
    ended.map_or_else(|outcome| outcome, |results| Outcome::Returned(Values(results)))
}
