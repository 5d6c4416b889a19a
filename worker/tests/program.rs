//! The program itself. What it does with plugins is tested end to end, in `tests/`.

use std::process::Command;

#[test]
fn without_a_launcher_it_does_nothing() {
    let run = Command::new(env!("CARGO_BIN_EXE_bulkhead-worker")).output().unwrap();

    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("started by bulkhead's launcher"));
}
