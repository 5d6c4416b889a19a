use super::*;
use crate::fake::{self, Broker};
use std::{thread, time::Duration};
use tokio::runtime::{Builder, Runtime};

struct Fixture {
    tokio: Runtime,
    stdio: Arc<Stdio>,
    broker: Broker,
}

fn starting() -> Fixture {
    let tokio = Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let (wire, broker) = fake::wire();
    let stdio = {
        let _inside = tokio.enter();
        Stdio::new(wire).unwrap()
    };
    Fixture { tokio, stdio, broker }
}

fn calling() -> Fixture {
    let fixture = starting();
    fixture.stdio.begin(true).unwrap();
    fixture
}

fn stdin(text: &str) -> ToWorker {
    ToWorker::Stdin(text.as_bytes().to_vec())
}

/// Does in the broker's place what a test says, once the worker waits.
fn meanwhile(broker: &Broker, change: impl FnOnce(&mut fake::State) + Send + 'static) -> thread::JoinHandle<()> {
    let broker = broker.clone();
    thread::spawn(move || {
        while !broker.state().wants_doorbell {
            thread::sleep(Duration::from_millis(1));
        }
        broker.publish(change);
    })
}

#[test]
fn input_that_comes_late_wakes_the_guest() {
    let fixture = calling();
    let mut input = Stdin(fixture.stdio.clone());
    let broker = meanwhile(&fixture.broker, |state| state.to_worker.push_back(stdin("late")));

    let read = fixture.tokio.block_on(input.blocking_read(100)).unwrap();

    broker.join().unwrap();
    assert_eq!(read, "late");
    assert!(!fixture.broker.state().wants_doorbell, "nobody waits any more");
}

#[test]
fn a_clock_and_input_can_be_waited_for_at_once() {
    let fixture = calling();
    let mut input = Stdin(fixture.stdio.clone());

    let waited = fixture.tokio.block_on(async { tokio::time::timeout(Duration::from_millis(20), input.ready()).await });

    assert!(waited.is_err(), "the clock came first");
    assert!(!fixture.broker.state().wants_doorbell, "nobody waits any more");
}

#[test]
fn input_is_read_in_the_pieces_that_the_guest_wants() {
    let fixture = calling();
    fixture.broker.publish(|state| state.to_worker.extend([stdin("abc"), stdin("d"), ToWorker::StdinEnd]));
    let mut input = Stdin(fixture.stdio.clone());

    let pieces = [input.read(2).unwrap(), input.read(2).unwrap(), input.read(2).unwrap()];

    assert_eq!(pieces, ["ab", "c", "d"]);
    assert!(matches!(input.read(2), Err(StreamError::Closed)));
}

#[test]
fn input_of_one_call_is_not_read_by_the_next() {
    let fixture = calling();
    fixture.broker.publish(|state| state.to_worker.extend([stdin("old"), ToWorker::StdinEnd]));
    let mut input = Stdin(fixture.stdio.clone());
    input.read(1).unwrap();

    fixture.stdio.begin(true).unwrap();
    fixture.broker.publish(|state| state.to_worker = [stdin("new")].into());

    assert_eq!(input.read(10).unwrap(), "new");
}

#[test]
fn a_guest_that_writes_waits_for_room() {
    let fixture = calling();
    fixture.broker.state().room = 0;
    let mut output = Output(fixture.stdio.clone(), Stream::Stdout);
    let broker = meanwhile(&fixture.broker, |state| state.room = 1 << 20);

    fixture.tokio.block_on(output.blocking_write_and_flush("text".into())).unwrap();

    broker.join().unwrap();
    assert_eq!(fixture.broker.state().from_worker, [FromWorker::Output(Stream::Stdout, b"text".to_vec())]);
}

#[test]
fn no_message_of_output_is_larger_than_a_chunk() {
    let fixture = calling();
    let mut output = Output(fixture.stdio.clone(), Stream::Stderr);

    fixture.tokio.block_on(output.blocking_write_and_flush(vec![b'x'; 2 * CHUNK + 1].into())).unwrap();

    let state = fixture.broker.state();
    let sizes: Vec<_> = state
        .from_worker
        .iter()
        .map(|message| if let FromWorker::Output(_, bytes) = message { bytes.len() } else { 0 })
        .collect();
    assert_eq!(sizes, [CHUNK, CHUNK, 1]);
}

#[test]
fn output_from_before_the_first_call_comes_with_it() {
    let fixture = starting();
    let mut output = Output(fixture.stdio.clone(), Stream::Stdout);
    output.write("early".into()).unwrap();
    let before = fixture.broker.state().from_worker.len();

    fixture.stdio.begin(true).unwrap();

    assert_eq!(before, 0, "the broker takes no output before a call");
    assert_eq!(fixture.broker.state().from_worker, [FromWorker::Output(Stream::Stdout, b"early".to_vec())]);
}

#[test]
fn input_is_at_its_end_before_the_first_call() {
    let fixture = starting();
    let mut input = Stdin(fixture.stdio.clone());

    fixture.tokio.block_on(input.ready());

    assert!(matches!(input.read(1), Err(StreamError::Closed)));
}

#[test]
fn output_from_before_the_first_call_is_bounded() {
    let fixture = starting();
    let mut output = Output(fixture.stdio.clone(), Stream::Stdout);

    (0..10).for_each(|_| output.write(vec![b'x'; CHUNK].into()).unwrap());
    fixture.stdio.begin(true).unwrap();

    assert_eq!(fixture.broker.state().from_worker.len(), HELD / CHUNK);
}
