//! What a store holds beside the guest's instances.

use crate::{learning::Watch, limits::Limiter, wasi};
use wasmtime_wasi::{WasiCtxView, WasiView, p1::WasiP1Ctx};

/// The data of a store.
pub struct Guest {
    /// Counts what the guest takes.
    pub limiter: Limiter,
    /// Notes what the guest asks for, while a policy is learned.
    pub watch: Option<Watch>,
    wasi: Option<Box<WasiP1Ctx>>,
}

impl Guest {
    /// Data for a new store, with WASI's state where it is linked.
    pub fn new(limiter: Limiter, wasi: Option<WasiP1Ctx>) -> Guest {
        Guest { limiter, watch: None, wasi: wasi.map(Box::new) }
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
