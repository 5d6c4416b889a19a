//! What a store holds beside the guest's instances.

use crate::{clock::Clock, limits::Limiter, wasi, watch::Watch};
use wasmtime_wasi::{WasiCtxView, WasiView, p1::WasiP1Ctx};

/// The data of a store.
pub struct Guest {
    /// Counts what the guest takes.
    pub limiter: Limiter,
    /// Notes what the guest asks for.
    pub watch: Option<Watch>,
    wasi: Option<Box<WasiP1Ctx>>,
    clock: Option<Clock>,
}

impl Guest {
    /// Data for a new store without WASI.
    pub fn new(limiter: Limiter) -> Guest {
        Guest { limiter, watch: None, wasi: None, clock: None }
    }

    /// With this state of WASI, and the deterministic clock where there is one.
    pub fn with_wasi(mut self, wasi: WasiP1Ctx, clock: Option<Clock>) -> Guest {
        self.wasi = Some(Box::new(wasi));
        self.clock = clock;
        self
    }

    /// The deterministic clock, where the guest has one and not the machine's.
    pub fn deterministic_clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// The deterministic clock. Only where the guest has one is it linked, so that nobody else asks; whoever did would find
    /// one of their own.
    pub fn clock(&mut self) -> &Clock {
        self.clock.get_or_insert_default()
    }

    /// WASI's state: one type for both previews, since preview 1 is an adapter over preview 2's. Where WASI is not linked
    /// nobody asks; whoever did would find state that grants nothing.
    pub fn wasi(&mut self) -> &mut WasiP1Ctx {
        self.wasi.get_or_insert_with(|| Box::new(wasi::nothing()))
    }

    /// Notes what the guest has used so far, while a policy is learned.
    pub fn note_use(&mut self) {
        if let Some(watch) = &self.watch {
            let (memory, table_elements) = self.limiter.used();
            watch.peak(memory, table_elements, self.wasi.as_mut().map(|wasi| wasi.ctx().table));
        }
    }
}

/// The end of a store is the last time that it can be asked.
impl Drop for Guest {
    fn drop(&mut self) {
        self.note_use();
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}
