//! What all stores of a worker have in common: engine, limits, WASI, and how a call is driven.

use crate::{
    code_unsafe,
    guest::Guest,
    limits::Limiter,
    wasi::{Wasi, Withheld},
    watch::{Notes, Watch},
    wire::Shared,
};
use bulkhead_shared::{
    describe::Kind,
    message::worker::{Engine as Knobs, Interrupt, Limits, Plugin, Pool, Used},
    outcome::Trap,
};
use nix::sys::resource::{Resource, getrlimit};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};
use tokio::runtime::Runtime as Tokio;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store, error::Context as _,
};

/// Largest guest's stack on the main stack, in bytes: however high its limit, the kernel keeps only some 128 MiB below it
/// free of other mappings.
const MAX_ON_MAIN_STACK: u64 = 64 << 20;

/// Bytes of what the runtime keeps of an instance: in a pool or out of it, policy has no limit for it.
const POOLED_INSTANCE: usize = 1 << 40;

/// Bytes of each pooled table, and of each pooled memory, that are cleared and not given back. Of a memory nobody knows which
/// part a guest uses, and all that is kept stays the worker's own while it sleeps.
const TABLE_KEPT: usize = 16 * 1024;
const MEMORY_KEPT: usize = 4 * 1024;

/// The engine for plugins of this kind and with these knobs: what compiler and worker have in common, and the worker's own half.
pub fn engine(kind: Kind, knobs: &Knobs) -> Result<Engine> {
    Engine::new(&configure(kind, knobs)?)
}

fn configure(kind: Kind, knobs: &Knobs) -> Result<Config> {
    let mut config = bulkhead_engine::config(knobs)?;
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(Trap::MAX_FRAMES));
    if kind == Kind::Component {
        config.with_custom_code_memory(Some(code_unsafe::publisher()?));
    }
    #[cfg(feature = "faults")]
    crate::faults::configure(&mut config);
    Ok(config)
}

/// The same engine with a pool that instances are made in. It must be made before the main filter: the pool asks how many CPUs
/// there are, and for the process's cgroup.
pub fn pooled_engine(kind: Kind, knobs: &Knobs, room: Pool) -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    // Counts, of which the store's limiter has its own.
    pool.total_core_instances(u32::MAX).total_component_instances(u32::MAX);
    pool.max_core_instance_size(POOLED_INSTANCE).max_component_instance_size(POOLED_INSTANCE);
    // One more is for values that exceptions carry.
    pool.total_memories(room.memories.saturating_add(1)).total_gc_heaps(1);
    pool.max_memories_per_module(room.memories).max_memories_per_component(room.memories);
    pool.total_tables(room.tables).max_tables_per_module(room.tables).max_tables_per_component(room.tables);
    pool.table_elements(usize::try_from(room.table_elements)?);
    // What is little is cleared faster than given back to the kernel and asked for again.
    pool.table_keep_resident(TABLE_KEPT).linear_memory_keep_resident(MEMORY_KEPT);
    // One call runs at a time.
    pool.total_stacks(1);
    let mut config = configure(kind, knobs)?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Everything that outlives a store.
pub struct Runtime {
    /// The one engine.
    pub engine: Engine,
    limits: Limits,
    interrupt: Interrupt,
    wasi: Option<(Wasi, Tokio)>,
    own_stack: bool,
    notes: Option<Notes>,
    preopens: u32,
    fresh: bool,
}

impl Runtime {
    /// The runtime for a plugin which imports something, or does not. Takes what WASI needs, so it must come before the
    /// closing.
    pub fn new(engine: Engine, plugin: &Plugin, imports: bool, wire: &Shared) -> Result<Runtime> {
        // A plugin without imports never waits: no epoll, no timers.
        let wasi = match plugin.wasi.enabled && imports {
            true => Some(wasi(plugin, wire)?),
            false => None,
        };
        // A guest may use the main stack where that is large enough.
        let (main_stack, _) = getrlimit(Resource::RLIMIT_STACK).context("getrlimit(RLIMIT_STACK)")?;
        let wanted = plugin.engine.stack.saturating_add(2 * bulkhead_engine::HOST_STACK as u64);
        let own_stack = wasi.is_some() || wanted > main_stack.min(MAX_ON_MAIN_STACK);
        let notes = wasi.is_some().then(|| Notes::new(wire, plugin.learning));
        let preopens = u32::try_from(plugin.wasi.dirs.len() + plugin.wasi.tmp.iter().len()).unwrap_or(0);
        let interrupt = plugin.engine.interrupt;
        Ok(Runtime { engine, limits: plugin.limits, interrupt, wasi, own_stack, notes, preopens, fresh: plugin.fresh })
    }

    /// WASI, where it is linked.
    pub fn wasi(&self) -> Option<&Wasi> {
        self.wasi.as_ref().map(|(wasi, _)| wasi)
    }

    /// What the plugin may not import although it is linked.
    pub fn withheld(&self) -> Withheld {
        self.wasi().map(Wasi::withheld).unwrap_or_default()
    }

    /// Whether each call of an export has an instance of its own.
    pub fn fresh(&self) -> bool {
        self.fresh
    }

    /// Whether guests must run on a stack of their own (`call_async` and its like): because an import may wait, or because
    /// the main stack is too small.
    pub fn own_stack(&self) -> bool {
        self.own_stack
    }

    /// What is noted of guests that have WASI.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_ref()
    }

    /// What the guest has used, while a policy is learned.
    pub fn used(&self) -> Option<Used> {
        let stdin = self.wasi().is_some_and(Wasi::stdin_was_read);
        self.notes().and_then(Notes::used).map(|used| Used { stdin, ..used })
    }

    /// A limiter for a new store.
    pub fn limiter(&self) -> Limiter {
        Limiter::new(self.limits)
    }

    /// An empty store, ready for a first call.
    pub fn store(&self, args: &[String], env: &[(String, String)]) -> Result<Store<Guest>> {
        let guest = Guest::new(self.limiter());
        let guest = match self.wasi() {
            Some(wasi) => {
                let (context, clock) = wasi.context(&self.limits, args, env);
                guest.with_wasi(context, clock)
            }
            None => guest,
        };
        let mut store = Store::new(&self.engine, guest);
        store.data_mut().watch = self.notes().map(|notes| Watch::new(notes, self.preopens));
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(usize::try_from(self.limits.hostcall_bytes).unwrap_or(usize::MAX));
        self.arm(&mut store)?;
        Ok(store)
    }

    /// Before each call: a full tank, an epoch that has not passed, no refusal yet.
    pub fn arm(&self, store: &mut Store<Guest>) -> Result<()> {
        match self.interrupt {
            Interrupt::Kill => {}
            Interrupt::Epoch => store.set_epoch_deadline(1),
            Interrupt::Fuel => store.set_fuel(self.limits.fuel)?,
        }
        store.data_mut().limiter.begin();
        Ok(())
    }

    /// Drives a call to its end.
    pub fn wait<F: Future>(&self, call: F) -> F::Output {
        match &self.wasi {
            Some((_, tokio)) => tokio.block_on(call),
            None => now(call),
        }
    }
}

fn wasi(plugin: &Plugin, wire: &Shared) -> Result<(Wasi, Tokio)> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let wasi = {
        let _inside = tokio.enter();
        Wasi::new(&plugin.wasi, wire)?
    };
    Ok((wasi, tokio))
}

/// The result of a future that has nothing to wait for.
fn now<F: Future>(call: F) -> F::Output {
    let mut call = pin!(call);
    loop {
        // Only host functions wait, and without WASI there are none.
        if let Poll::Ready(output) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}
