//! What a worker printed before its end is not lost, however it ended: it is what a person looks at.

use crate::lab::{Lab, standard};
use bulkhead::{
    Outcome, Output,
    outcome::{Death, Violation},
};
use bulkhead_attacks::{PIECE, PIECES};
use std::{
    io::Write,
    sync::{Arc, Mutex},
    thread::sleep,
    time::Duration,
};

/// A writer that begins when the worker's end is near.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<u8>>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock().unwrap();
        if written.is_empty() {
            sleep(Duration::from_millis(500));
        }
        written.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How a worker ends that prints and does something else, and what came of the output.
fn run(name: &str) -> (Outcome, usize) {
    let reader = Slow::default();
    let finished = Lab::new().run(standard(), name, Output::Writer(Box::new(reader.clone())));
    let written = reader.0.lock().unwrap().len();
    (finished.outcome, written)
}

#[test]
fn output_before_a_refused_call_is_not_lost() {
    let (outcome, written) = run("output_then_call");
    assert!(matches!(&outcome, Outcome::Violation(Violation::Syscall { name, .. }) if name == "socket"), "{outcome:?}");
    assert_eq!(written, PIECES * PIECE.len());
}

#[test]
fn output_before_a_death_is_not_lost() {
    let (outcome, written) = run("output_then_exit");
    assert_eq!(outcome, Outcome::Lost(Death::Exit(7)));
    assert_eq!(written, PIECES * PIECE.len());
}

#[test]
fn collected_output_before_a_refused_call_is_not_lost() {
    let finished = Lab::new().run(standard(), "output_then_call", Output::Collect(1 << 20));
    assert_eq!(finished.stdout.len(), PIECES * PIECE.len());
}
