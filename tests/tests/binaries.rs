//! The built programs, as they are shipped: what must not be inside one is not, whatever the manifests say.
//!
//! Each marker is looked for in a program that has what it stands for, too: a marker that is found nowhere shows nothing.

use bulkhead_tests::programs::{FAULTY, programs};

const BROKER: &str = "bulkhead";
const LAUNCHER: &str = "bulkhead-launcher";
const WORKER: &str = "bulkhead-worker";
const COMPILER: &str = "bulkhead-compiler";
const PROBE: &str = "bulkhead-probe-worker";

/// How often the bytes of a marker stand in a program, in whatever case.
fn mentions(program: &str, marker: &str) -> usize {
    let bytes = std::fs::read(programs().join(program)).unwrap_or_else(|e| panic!("{program}: {e}"));
    let first = marker.as_bytes()[0];
    let starts = (0..bytes.len()).filter(|at| bytes[*at].eq_ignore_ascii_case(&first));
    let windows = starts.filter_map(|at| bytes.get(at..at + marker.len()));
    windows.filter(|window| window.eq_ignore_ascii_case(marker.as_bytes())).count()
}

#[test]
fn the_worker_has_no_compiler() {
    // The runtime uses containers out of Cranelift's helper crates; the code generator is named a hundred times.
    assert!(mentions(COMPILER, "cranelift") > 60, "the marker is worth nothing");
    let found = mentions(WORKER, "cranelift");
    assert!(
        found <= 12,
        "{found} mentions of Cranelift: was it built with --workspace? `cargo xtask build` does it right"
    );
    assert!(mentions(COMPILER, "cranelift-codegen-") > 0, "the marker is worth nothing");
    assert_eq!(mentions(WORKER, "cranelift-codegen-"), 0);
}

#[test]
fn what_faces_hostile_bytes_has_no_ipc_channel() {
    for marker in ["ipc-channel-", "MAX_FDS_IN_CMSG"] {
        let known = mentions(BROKER, marker) + mentions(LAUNCHER, marker);
        assert!(known > 0, "the marker {marker} is worth nothing");
        assert_eq!(mentions(WORKER, marker), 0, "{marker}");
        assert_eq!(mentions(COMPILER, marker), 0, "{marker}");
        assert_eq!(mentions(PROBE, marker), 0, "{marker}");
    }
}

#[test]
fn the_probe_has_no_webassembly() {
    for marker in ["wasmtime-48", "wasmtime"] {
        assert!(mentions(WORKER, marker) > 0, "the marker {marker} is worth nothing");
        assert_eq!(mentions(PROBE, marker), 0, "{marker}");
    }
    assert!(mentions(COMPILER, "wasmparser-") > 0, "the marker is worth nothing");
    assert_eq!(mentions(PROBE, "wasmparser-"), 0);
}

#[test]
fn only_the_probe_has_code_to_try_anything_with() {
    for marker in [".bulkhead-probe-", "AT_EXECVE_CHECK", "a probe runs no plugin"] {
        assert!(mentions(PROBE, marker) > 0, "the marker {marker} is worth nothing");
        for program in [BROKER, LAUNCHER, WORKER, COMPILER] {
            assert_eq!(mentions(program, marker), 0, "{program}: {marker}");
        }
    }
}

#[test]
fn only_the_worker_that_tests_put_faults_in_has_any() {
    // The first is in the worker's own code, where it has places for faults; the others are the faults.
    for marker in ["a fault that a test put into this worker", "session_call", "note_drop", "the guest said so"] {
        assert!(mentions(FAULTY, marker) > 0, "the marker {marker} is worth nothing");
        for program in [BROKER, LAUNCHER, WORKER, COMPILER, PROBE] {
            assert_eq!(mentions(program, marker), 0, "{program}: {marker}");
        }
    }
}

#[test]
fn the_compiler_cannot_make_an_instance() {
    // Where wasmtime's runtime is linked, its panics name its source files; the compiler is built without it.
    for marker in ["/src/runtime/vm/", "/src/runtime/instance.rs", "/src/runtime/store.rs"] {
        assert!(mentions(WORKER, marker) > 0, "the marker {marker} is worth nothing");
        assert_eq!(mentions(COMPILER, marker), 0, "{marker}");
    }
}

#[test]
fn the_broker_has_no_webassembly_parser() {
    for marker in ["wasmparser-", "magic header not detected"] {
        assert!(mentions(COMPILER, marker) > 0, "the marker {marker} is worth nothing");
        assert_eq!(mentions(BROKER, marker), 0, "{marker}");
        assert_eq!(mentions(LAUNCHER, marker), 0, "{marker}");
    }
}

#[test]
fn broker_and_launcher_have_no_webassembly_runtime() {
    let marker = "wasmtime-48";
    assert!(mentions(WORKER, marker) > 0, "the marker is worth nothing");
    assert_eq!(mentions(BROKER, marker), 0);
    assert_eq!(mentions(LAUNCHER, marker), 0);
}

#[test]
fn the_programs_are_stripped() {
    for program in [BROKER, LAUNCHER, WORKER, COMPILER, PROBE] {
        assert_eq!(mentions(program, "\0.symtab\0"), 0, "{program}");
        assert!(mentions(program, "\0.dynsym\0") > 0, "the marker is worth nothing");
    }
}
