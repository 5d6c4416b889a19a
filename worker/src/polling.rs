//! `poll_oneoff` of preview 1, where it asks whether files can be read, or for times of a deterministic clock.
//!
//! Files always can be read. wasmtime-wasi finds that out by reading ahead on a pool of threads, which a worker cannot make.
//! Here such a subscription is handed on as a clock that has run out already, and its event is made into one of a file again.
//!
//! wasmtime-wasi sleeps by the machine's clock, whatever clock the guest reads. With a deterministic one (see `clock.rs`)
//! the times that come are handed on as clocks that have run out, and those that do not as clocks that never will.

use crate::{
    clock::{self, Clock},
    guest::Guest,
};
use std::time::Duration;
use wasmtime::{AsContextMut as _, Caller, Extern, Linker, Result, bail};
use wasmtime_wasi::p1::{
    WasiP1Ctx,
    types::{Fd, Filetype},
    wasi_snapshot_preview1::{self, WasiSnapshotPreview1},
};
use wiggle::GuestMemory;

const MODULE: &str = "wasi_snapshot_preview1";
const FUNCTION: &str = "poll_oneoff";
const SUCCESS: i32 = 0;

/// Puts this function in place of wasmtime-wasi's.
pub fn link(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap_async(MODULE, FUNCTION, |mut caller: Caller<'_, Guest>, arguments: (i32, i32, i32, i32)| {
        Box::new(async move {
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                bail!("missing required memory export");
            };
            let fuel = caller.as_context_mut().hostcall_fuel();
            let (memory, guest) = memory.data_and_store_mut(&mut caller);
            let clock = guest.deterministic_clock().cloned();
            let wasi = guest.wasi();
            wasi.set_hostcall_fuel(fuel);
            poll_oneoff(wasi, clock.as_ref(), memory, arguments, fuel).await
        })
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A subscription in the guest's memory: `subscription` of wasi_snapshot_preview1.witx.
#[derive(Clone, Copy)]
struct Subscription([u8; Subscription::SIZE]);

impl Subscription {
    const SIZE: usize = 48;
    const CLOCK: u8 = 0;
    const FD_READ: u8 = 1;
    const REALTIME: u32 = 0;
    const MONOTONIC: u32 = 1;
    const ABSOLUTE: u16 = 1;

    fn user_data(&self) -> u64 {
        get(&self.0, 0)
    }

    /// The descriptor, if the guest asks whether it can be read.
    fn read(&self) -> Option<u32> {
        (self.0[8] == Self::FD_READ).then(|| get(&self.0, 16) as u32)
    }

    /// The same with other user data.
    fn marked(mut self, user_data: u64) -> Subscription {
        self.0[..8].copy_from_slice(&user_data.to_le_bytes());
        self
    }

    /// A clock that runs out after this time.
    fn timer(user_data: u64, time: u64) -> Subscription {
        let mut bytes = [0; Self::SIZE];
        bytes[8] = Self::CLOCK;
        bytes[16..20].copy_from_slice(&Self::MONOTONIC.to_le_bytes());
        bytes[24..32].copy_from_slice(&time.to_le_bytes());
        Subscription(bytes).marked(user_data)
    }

    /// A clock that has run out.
    fn expired(user_data: u64) -> Subscription {
        Self::timer(user_data, 0)
    }

    /// A clock that runs out after the guest has long been ended.
    fn never(user_data: u64) -> Subscription {
        Self::timer(user_data, u64::MAX)
    }

    /// When it runs out, if it is a clock, on a deterministic one that stands at `now`. None of a process's CPU time: those
    /// wasmtime-wasi refuses where there is more than one subscription, and takes for the monotonic one where it is alone.
    fn time(&self, now: Duration, alone: bool) -> Option<Duration> {
        let (id, timeout) = (get(&self.0, 16) as u32, Duration::from_nanos(get(&self.0, 24)));
        let absolute = get(&self.0, 40) as u16 & Self::ABSOLUTE != 0;
        if self.0[8] != Self::CLOCK || (id > Self::MONOTONIC && (absolute || !alone)) {
            return None;
        }
        Some(match (absolute, id) {
            (false, _) => now.saturating_add(timeout),
            (true, Self::REALTIME) => timeout.saturating_sub(clock::START),
            (true, _) => timeout,
        })
    }
}

/// An event in the guest's memory: `event` of wasi_snapshot_preview1.witx.
struct Event<'a>(&'a mut [u8; 32]);

impl Event<'_> {
    fn user_data(&self) -> u64 {
        get(self.0, 0)
    }

    /// Makes it the event of the original subscription: to a file with so many bytes to read, or to something else.
    fn restore(self, user_data: u64, file: Option<u64>) {
        self.0[..8].copy_from_slice(&user_data.to_le_bytes());
        if let Some(bytes) = file {
            self.0[10] = Subscription::FD_READ;
            self.0[16..24].copy_from_slice(&bytes.to_le_bytes());
        }
    }
}

/// Eight bytes, little-endian as everything in WebAssembly. The caller has checked that they are there.
fn get(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// The part of the guest's memory that holds `count` items of `SIZE` bytes, if it is there.
fn items<const SIZE: usize>(memory: &mut [u8], start: i32, count: i32) -> Option<&mut [[u8; SIZE]]> {
    // Both are unsigned in WASI.
    let (start, count) = (start as u32 as usize, count as u32 as usize);
    let bytes = memory.get_mut(start..start.checked_add(count.checked_mul(SIZE)?)?)?;
    Some(bytes.as_chunks_mut().0)
}

/// What a deterministic clock has to say about a wait in which at least one time is asked for.
struct Times<'a> {
    clock: &'a Clock,
    now: Duration,
    alone: bool,
    /// Where the wait moves the clock: nowhere if something else that can happen is waited for.
    until: Option<Duration>,
}

impl<'a> Times<'a> {
    fn of(clock: Option<&'a Clock>, asked: &[Subscription], files: &[Option<u64>]) -> Option<Times<'a>> {
        let (clock, alone) = (clock?, asked.len() == 1);
        let now = clock.elapsed();
        let times: Vec<_> = asked.iter().map(|asked| asked.time(now, alone)).collect();
        let first = times.iter().flatten().min().copied()?;
        let only_times = times.iter().all(Option::is_some) && files.iter().all(Option::is_none);
        let until = (only_times || first <= now).then(|| first.max(now));
        Some(Times { clock, now, alone, until })
    }

    /// A subscription as it is handed on.
    fn answer(&self, asked: &Subscription, number: u64) -> Subscription {
        match asked.time(self.now, self.alone) {
            None => asked.marked(number),
            Some(time) if self.until.is_some_and(|until| time <= until) => Subscription::expired(number),
            Some(_) => Subscription::never(number),
        }
    }

    /// The wait is over. One that moved nothing counts as a reading, so that a guest that asks again and again comes to its
    /// time.
    fn pass(self) {
        match self.until {
            Some(until) => self.clock.advance_to(until),
            None => self.clock.step(),
        }
    }
}

async fn poll_oneoff(
    wasi: &mut WasiP1Ctx,
    clock: Option<&Clock>,
    memory: &mut [u8],
    (subscriptions, events, count, ready): (i32, i32, i32, i32),
    fuel: usize,
) -> Result<i32> {
    let asked: Vec<Subscription> = match items::<{ Subscription::SIZE }>(memory, subscriptions, count) {
        Some(asked) if size_of_val(asked) <= fuel => asked.iter().copied().map(Subscription).collect(),
        // Whatever is wrong, wasmtime-wasi says it.
        _ => Vec::new(),
    };
    // Bytes that can be read, for each subscription to a file.
    let mut files = Vec::with_capacity(asked.len());
    for subscription in &asked {
        files.push(match subscription.read() {
            Some(fd) => readable(wasi, memory, fd).await,
            None => None,
        });
    }
    let times = Times::of(clock, &asked, &files);
    if files.iter().all(Option::is_none) && times.is_none() {
        let mut memory = GuestMemory::Unshared(memory);
        return wasi_snapshot_preview1::poll_oneoff(wasi, &mut memory, subscriptions, events, count, ready).await;
    }

    // An event is known by its user data alone, so for the time being that is the subscription's number.
    let changed = files.iter().zip(&asked).zip(0..).map(|((file, asked), number)| match (file, &times) {
        (Some(_), _) => Subscription::expired(number),
        (None, Some(times)) => times.answer(asked, number),
        (None, None) => asked.marked(number),
    });
    put(memory, subscriptions, count, changed);
    let errno = {
        let mut memory = GuestMemory::Unshared(&mut *memory);
        wasi_snapshot_preview1::poll_oneoff(wasi, &mut memory, subscriptions, events, count, ready).await?
    };
    put(memory, subscriptions, count, asked.iter().copied());
    if let Some(times) = times {
        times.pass();
    }

    if errno == SUCCESS {
        let happened = items(memory, ready, 1).map_or(0, |count: &mut [[u8; 4]]| i32::from_le_bytes(count[0]));
        for event in items(memory, events, happened).unwrap_or_default() {
            let event = Event(event);
            let number = usize::try_from(event.user_data()).unwrap_or(usize::MAX);
            let (Some(asked), Some(file)) = (asked.get(number), files.get(number)) else { continue };
            event.restore(asked.user_data(), *file);
        }
    }
    Ok(errno)
}

fn put(memory: &mut [u8], start: i32, count: i32, subscriptions: impl Iterator<Item = Subscription>) {
    let places = items(memory, start, count).unwrap_or_default();
    for (place, subscription) in places.iter_mut().zip(subscriptions) {
        *place = subscription.0;
    }
}

/// How many bytes a regular file still has after its position; `None` if it is none.
async fn readable(wasi: &mut WasiP1Ctx, memory: &mut [u8], fd: u32) -> Option<u64> {
    let mut memory = GuestMemory::Unshared(memory);
    let fd = || Fd::from(fd);
    let stat = wasi.fd_fdstat_get(&mut memory, fd()).await.ok()?;
    if stat.fs_filetype != Filetype::RegularFile {
        return None;
    }
    let size = wasi.fd_filestat_get(&mut memory, fd()).await.ok()?.size;
    let position = wasi.fd_tell(&mut memory, fd()).ok()?;
    Some(size.saturating_sub(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_a_file_becomes_a_clock_that_has_run_out() {
        let Subscription(bytes) = Subscription::expired(7);

        assert_eq!(get(&bytes, 0), 7, "user data");
        assert_eq!(bytes[8], 0, "clock");
        assert_eq!(get(&bytes, 16), 1, "monotonic");
        assert_eq!(bytes[24..], [0; 24], "no time, no precision, not absolute");
    }

    /// A subscription to a clock.
    fn clock_subscription(id: u32, timeout: u64, absolute: bool) -> Subscription {
        let Subscription(mut bytes) = Subscription::timer(0, timeout);
        bytes[16..20].copy_from_slice(&id.to_le_bytes());
        bytes[40] = u8::from(absolute);
        Subscription(bytes)
    }

    fn of_kind(kind: u8) -> Subscription {
        let mut bytes = [0; Subscription::SIZE];
        bytes[8] = kind;
        Subscription(bytes)
    }

    const SECOND: u64 = 1_000_000_000;

    /// What each of these would be handed on as (whether it has run out), and where the clock stands then. It stood at 10 s.
    fn waited(asked: &[Subscription], files: &[Option<u64>]) -> (Vec<bool>, u64) {
        let clock = Clock::new(None);
        clock.advance_to(Duration::from_secs(10));
        let times = Times::of(Some(&clock), asked, files).unwrap();
        let expired = |asked| times.answer(asked, 0).0 == Subscription::expired(0).0;
        let expired = asked.iter().map(expired).collect();
        times.pass();
        (expired, u64::try_from(clock.elapsed().as_nanos()).unwrap())
    }

    #[test]
    fn a_deterministic_clock_goes_to_the_first_time_that_is_waited_for() {
        let start = u64::try_from(clock::START.as_nanos()).unwrap();
        let asked = [
            clock_subscription(1, 5 * SECOND, false),
            clock_subscription(1, 12 * SECOND, true),
            clock_subscription(0, start + 12 * SECOND, true),
            clock_subscription(0, 2 * SECOND, false),
        ];

        assert_eq!(waited(&asked, &[None; 4]), (vec![false, true, true, true], 12 * SECOND));
    }

    #[test]
    fn a_deterministic_clock_stands_while_a_stream_is_waited_for() {
        let asked = [clock_subscription(1, 5, false), of_kind(2)];

        assert_eq!(waited(&asked, &[None; 2]), (vec![false, false], 10 * SECOND + 1_000));
        assert_eq!(waited(&[asked[0], of_kind(1)], &[None, Some(3)]).1, 10 * SECOND + 1_000);
    }

    #[test]
    fn a_time_that_has_passed_is_over_at_once_and_moves_no_deterministic_clock() {
        let asked = [clock_subscription(1, 0, false), clock_subscription(1, 9 * SECOND, true), of_kind(2)];

        assert_eq!(waited(&asked, &[None; 3]), (vec![true, true, false], 10 * SECOND));
    }

    #[test]
    fn a_clock_of_cpu_time_is_no_time_but_alone() {
        let cpu = clock_subscription(2, 7, false);

        assert_eq!(cpu.time(Duration::ZERO, true), Some(Duration::from_nanos(7)));
        assert_eq!(cpu.time(Duration::ZERO, false), None);
        assert_eq!(clock_subscription(2, 7, true).time(Duration::ZERO, true), None);
    }

    #[test]
    fn the_longest_time_is_none_that_overflows() {
        let (expired, now) = waited(&[clock_subscription(1, u64::MAX, false)], &[None]);

        assert_eq!(expired, [true]);
        assert_eq!(now, u64::MAX - u64::try_from(clock::START.as_nanos()).unwrap());
    }

    #[test]
    fn only_reading_has_a_descriptor_to_look_at() {
        let mut bytes = [0; Subscription::SIZE];
        bytes[16] = 5;
        let of_kind = |kind: u8| {
            Subscription({
                let mut bytes = bytes;
                bytes[8] = kind;
                bytes
            })
        };

        let asked = [0, 1, 2].map(|kind| of_kind(kind).read());

        assert_eq!(asked, [None, Some(5), None]);
    }

    #[test]
    fn an_event_of_a_file_gets_its_user_data_and_bytes_back() {
        let mut bytes = [0; 32];

        Event(&mut bytes).restore(99, Some(1234));

        assert_eq!((get(&bytes, 0), bytes[10], get(&bytes, 16)), (99, Subscription::FD_READ, 1234));
    }

    #[test]
    fn items_outside_of_the_memory_are_none() {
        let mut memory = vec![0; 100];

        assert_eq!(items::<48>(&mut memory, 0, 2).map(|items| items.len()), Some(2));
        assert!(items::<48>(&mut memory, 5, 2).is_none());
        assert!(items::<48>(&mut memory, -1, 1).is_none());
        assert!(items::<48>(&mut memory, 0, -1).is_none());
    }
}
