use super::*;
use crate::fake;
use bulkhead_shared::message::worker::{Engine, Limits, Wasi};
use std::{cell::Cell, fs::File, io::Write as _};

fn plugin(kind: Kind) -> Plugin {
    Plugin {
        kind,
        engine: Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 512 * 1024 },
        code_bytes: 16,
        limits: Limits {
            memory: 1 << 20,
            table_elements: 100,
            instances: 1,
            fuel: 0,
            resources: 10,
            hostcall_bytes: 1 << 20,
            random_bytes: 1 << 10,
        },
        wasi: Wasi::default(),
        learning: false,
        spin: std::time::Duration::ZERO,
        fresh: false,
        pool: None,
    }
}

fn code(bytes: &[u8]) -> OwnedFd {
    let memory = nix::sys::memfd::memfd_create("code", nix::sys::memfd::MFdFlags::empty()).unwrap();
    let mut file = File::from(memory);
    file.write_all(bytes).unwrap();
    file.into()
}

fn served(kind: Kind) -> (i32, Vec<FromWorker>, bool) {
    let (wire, broker) = fake::wire();
    let closed = Cell::new(false);
    let close = || {
        closed.set(true);
        Ok(())
    };
    let status = serve(&plugin(kind), None, vec![code(b"not native code!")], &wire, close);
    let messages = std::mem::take(&mut broker.state().from_worker);
    (status, messages, closed.get())
}

#[test]
fn a_module_that_is_no_native_code_is_stale() {
    let (status, messages, closed) = served(Kind::Module);

    assert!(matches!(&messages[..], [FromWorker::LoadFailed(LoadFailure::Stale(_))]), "{messages:?}");
    assert_eq!((status, closed), (1, false));
}

#[test]
fn a_component_that_is_no_native_code_is_stale() {
    let (status, messages, closed) = served(Kind::Component);

    assert!(matches!(&messages[..], [FromWorker::LoadFailed(LoadFailure::Stale(_))]), "{messages:?}");
    assert_eq!((status, closed), (1, false));
}
