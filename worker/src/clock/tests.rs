//! Deterministic clocks, read and waited for as wasmtime-wasi does it.

use super::*;
use std::time::Instant;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable as _};

const HOUR: u64 = 3_600_000_000_000;

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn subscribe_to(table: &mut ResourceTable, clock: &Clock, at: u64) -> Resource<DynPollable> {
    push(table, Alarm { clock: clock.clone(), at }).unwrap()
}

#[test]
fn clocks_start_where_the_documents_say_and_each_reading_moves_both() {
    let clock = Clock::new(None);

    let (wall, monotonic) = (HostWallClock::now(&clock), HostMonotonicClock::now(&clock));

    assert_eq!(wall, Duration::from_secs(946_684_800));
    assert_eq!(monotonic, 1_000);
    assert_eq!(HostWallClock::now(&clock), Duration::from_secs(946_684_800) + Duration::from_micros(2));
}

#[test]
fn blocking_on_an_alarm_takes_no_time_and_moves_the_clock_to_it() {
    let (mut table, clock, start) = (ResourceTable::new(), Clock::new(None), Instant::now());
    let alarm = subscribe_to(&mut table, &clock, HOUR + 7);

    wait(table.block(alarm)).unwrap();

    assert_eq!(clock.elapsed().as_nanos(), u128::from(HOUR + 7));
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn the_earliest_of_several_alarms_comes_and_the_others_do_not() {
    let (mut table, clock) = (ResourceTable::new(), Clock::new(None));
    let alarms = [HOUR, 20, 30, 20].map(|at| subscribe_to(&mut table, &clock, at));

    let ready = wait(table.poll(alarms.into())).unwrap();

    assert_eq!(ready, [1, 3]);
    assert_eq!(clock.elapsed().as_nanos(), 20);
}

#[test]
fn an_alarm_that_has_passed_is_ready_and_moves_nothing() {
    let (mut table, clock) = (ResourceTable::new(), Clock::new(None));
    clock.advance_to(Duration::from_nanos(HOUR));
    let alarm = subscribe_to(&mut table, &clock, 5);

    assert!(wait(table.ready(alarm)).unwrap());
    assert_eq!(clock.elapsed().as_nanos(), u128::from(HOUR));
}

#[test]
fn asking_again_and_again_comes_to_the_time() {
    let (mut table, clock) = (ResourceTable::new(), Clock::new(None));
    let alarm = subscribe_to(&mut table, &clock, 2_500);
    let mut ask = || wait(table.ready(Resource::new_borrow(alarm.rep()))).unwrap();

    assert_eq!([ask(), ask(), ask(), ask()], [false, false, false, true]);
    assert_eq!(clock.elapsed().as_nanos(), 3_000);
}

#[test]
fn the_clock_stops_at_its_end_and_what_lies_beyond_comes_there() {
    let (mut table, clock) = (ResourceTable::new(), Clock::new(None));
    let alarm = subscribe_to(&mut table, &clock, END);

    wait(table.block(alarm)).unwrap();
    clock.advance_to(Duration::MAX);
    clock.step();

    assert_eq!(clock.elapsed().as_nanos(), u128::from(END));
    assert_eq!(u64::try_from(HostWallClock::now(&clock).as_nanos()), Ok(u64::MAX));
}
