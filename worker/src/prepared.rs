//! What a worker makes ready before it has its plugin.
//!
//! An engine depends on the knobs that are compiled into native code, and on nothing else of a plugin. Making one is what there is
//! time for while the broker looks at the process from outside. In a cell, which nobody waits for, all of the program's own pages are
//! brought in, too, and what every plugin is linked by is gone through once.

use crate::{compiler, guest::Guest, limits::Limiter, pages_unsafe, runtime, wasi};
use bulkhead_shared::{
    describe::Kind,
    message::{
        setup::Prepare,
        worker::{Clock, Limits, Plugin},
    },
};
use wasmtime::{Engine, Linker, Result, Store, component};

/// An engine for plugins of one kind and with the same knobs.
pub struct Prepared {
    what: Prepare,
    engine: Result<Engine>,
    pooled: bool,
}

/// Makes the engine in front of the main filter, where there is to be a pool. None where the pool cannot be had: instances can
/// be made without one.
pub fn unfiltered(what: &Prepare) -> Option<Engine> {
    runtime::pooled_engine(what.kind, &what.engine, what.pool?).ok()
}

impl Prepared {
    /// Makes everything ready that this says. What fails here fails again, and is reported, when a plugin is loaded.
    pub fn new(what: Prepare, pooled: Option<Engine>) -> Prepared {
        if what.cell {
            pages_unsafe::bring_in_code();
        }
        let is_pooled = pooled.is_some();
        let engine = pooled.map_or_else(|| runtime::engine(what.kind, &what.engine), Ok);
        // A stack for signals, which wasmtime makes in the first call otherwise. Where there is no memory for it, it panics here or there.
        Engine::tls_eager_initialize();
        if what.cell
            && let Ok(engine) = &engine
        {
            // What is made here is thrown away: it is to have been gone through once.
            let _ = compiler::is_present(engine);
            let _ = walk_through(engine, what);
        }
        Prepared { what, engine, pooled: is_pooled }
    }

    /// The engine, where it is one for this plugin, and whether it has a pool.
    pub fn engine_for(self, plugin: &Plugin) -> (Result<Engine>, bool) {
        let Prepare { kind, engine, pool, .. } = self.what;
        match (kind, engine, pool) == (plugin.kind, plugin.engine, plugin.pool) {
            true => (self.engine, self.pooled),
            false => (runtime::engine(plugin.kind, &plugin.engine), false),
        }
    }
}

/// Makes a store and a linker as a plugin would have them.
fn walk_through(engine: &Engine, what: Prepare) -> Result<()> {
    drop(Store::new(engine, Guest::new(Limiter::new(NOTHING))));
    match what.kind {
        Kind::Module if what.wasi => wasi::link_preview1(&mut Linker::new(engine)),
        Kind::Module => Ok(()),
        Kind::Component if what.wasi => wasi::link_preview2(&mut component::Linker::new(engine), Clock::Real),
        Kind::Component => Ok(()),
    }
}

/// The limits of a guest that there is none of.
const NOTHING: Limits =
    Limits { memory: 0, table_elements: 0, instances: 0, fuel: 0, resources: 0, hostcall_bytes: 0, random_bytes: 0 };
