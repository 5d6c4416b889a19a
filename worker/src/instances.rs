//! The instances that calls of exports run in: one for all of them, or a fresh one for each (`invocation.instance`).
//!
//! A fresh instance is made after the answer to the call before, when nobody waits for it, and so is the one before it given
//! up. But no instruction of the guest runs while nobody has called: where making an instance runs any (a start function, or
//! what the compiler made of initializers), it is made within the call.

use crate::{guest::Guest, runtime::Runtime, trap};
use bulkhead_shared::message::worker::{GuestEnd, LoadFailure};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use wasmtime::{CallHook, Result, Store};

/// An instance with more memory than this, in bytes, is given up before the answer: what that takes is time of the call that
/// used so much, and not of a worker that nobody has called.
const LARGE: u64 = 16 << 20;

/// How instances of a plugin are made.
pub trait Make {
    /// What names an instance in its store.
    type Instance: Copy;

    /// Makes one.
    fn instantiate(&self, runtime: &Runtime, store: &mut Store<Guest>) -> Result<Self::Instance>;

    /// Runs what the plugin wants to have run before anything else is called. It is always the guest's code.
    fn initialize(&self, runtime: &Runtime, store: &mut Store<Guest>, instance: Self::Instance) -> Result<()>;
}

/// The instances of a plugin.
pub struct Instances<M: Make> {
    make: M,
    fresh: bool,
    /// Whether one can be made without running any code of the guest's.
    ahead: bool,
    ready: Option<Ready<M::Instance>>,
    /// One that has been called, and will not be again.
    spent: Option<Store<Guest>>,
    /// How many were made.
    number: u64,
}

/// An instance that can be called.
struct Ready<I> {
    store: Store<Guest>,
    instance: I,
    initialized: bool,
}

impl<M: Make> Instances<M> {
    /// None yet.
    pub fn new(make: M, fresh: bool) -> Instances<M> {
        Instances { make, fresh, ahead: false, ready: None, spent: None, number: 0 }
    }

    /// How they are made.
    pub fn make(&self) -> &M {
        &self.make
    }

    /// Makes the first one. Where each call has its own, this one finds out whether the plugin can be instantiated at all, and
    /// what that takes.
    pub fn start(&mut self, runtime: &Runtime) -> std::result::Result<(), LoadFailure> {
        let mut store = runtime.store(&[], &[]).map_err(trap::other)?;
        let entered = Arc::new(AtomicBool::new(false));
        if self.fresh {
            let entered = entered.clone();
            store.call_hook(move |_, hook| {
                entered.fetch_or(matches!(hook, CallHook::CallingWasm), Relaxed);
                Ok(())
            });
        }
        let made = self.make.instantiate(runtime, &mut store);
        self.ahead = self.fresh && !entered.load(Relaxed);
        let started = made.and_then(|instance| {
            self.make.initialize(runtime, &mut store, instance)?;
            Ok(instance)
        });
        let instance = started.map_err(|error| trap::load_failure(&error, &store))?;
        if !self.fresh {
            self.keep(Ready { store, instance, initialized: true });
            return Ok(());
        }
        // Each call is to have the same of everything, time and fuel of its start included.
        drop(store);
        self.rest(runtime);
        Ok(())
    }

    /// The instance for a call that begins now, and its number.
    pub fn begin(&mut self, runtime: &Runtime) -> std::result::Result<(u64, &mut Store<Guest>, M::Instance), GuestEnd> {
        let mut ready = match self.ready.take() {
            Some(mut ready) => match runtime.arm(&mut ready.store) {
                Ok(()) => ready,
                Err(error) => return Err(trap::end(&error, &ready.store)),
            },
            None => {
                // Whoever was called before may hold the room for it.
                self.spent = None;
                let mut store = runtime.store(&[], &[]).map_err(|error| trap::late_failure(trap::other(error)))?;
                let made = self.make.instantiate(runtime, &mut store);
                let instance = made.map_err(|error| trap::late_failure(trap::load_failure(&error, &store)))?;
                self.number += 1;
                Ready { store, instance, initialized: false }
            }
        };
        if !ready.initialized {
            let done = self.make.initialize(runtime, &mut ready.store, ready.instance);
            done.map_err(|error| trap::late_failure(trap::load_failure(&error, &ready.store)))?;
            ready.initialized = true;
            if !self.fresh {
                runtime.arm(&mut ready.store).map_err(|error| trap::end(&error, &ready.store))?;
            }
        }
        let ready = self.ready.insert(ready);
        Ok((self.number, &mut ready.store, ready.instance))
    }

    /// The call has ended, with its answer still to be given. `usable` is whether the instance can be called again.
    pub fn end(&mut self, usable: bool) {
        if self.fresh {
            let spent = self.ready.take().map(|ready| ready.store);
            self.spent = spent.filter(|store| store.data().limiter.used().0 <= LARGE);
        } else if !usable {
            self.ready = None;
        }
    }

    /// Makes room for an instance of somebody else's, where there is room for one.
    pub fn make_room(&mut self) {
        if self.fresh {
            self.ready = None;
            self.spent = None;
        }
    }

    /// Nobody waits: gives up what is spent, and makes the next one where that runs no code of the guest's.
    pub fn rest(&mut self, runtime: &Runtime) {
        if !self.fresh {
            return;
        }
        self.spent = None;
        if !self.ahead || self.ready.is_some() {
            return;
        }
        // What fails here fails again, and is reported, when there is a call for it.
        let Ok(mut store) = runtime.store(&[], &[]) else { return };
        let Ok(instance) = self.make.instantiate(runtime, &mut store) else { return };
        self.keep(Ready { store, instance, initialized: false });
    }

    fn keep(&mut self, ready: Ready<M::Instance>) {
        self.ready = Some(ready);
        self.number += 1;
    }
}
