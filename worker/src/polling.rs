//! `poll_oneoff` of preview 1, where it asks whether files can be read.
//!
//! They always can. wasmtime-wasi finds that out by reading ahead on a pool of threads, which a worker cannot make. Here
//! such a subscription is handed on as a clock that has run out already, and its event is made into one of a file again.

use crate::guest::Guest;
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
            let wasi = guest.wasi();
            wasi.set_hostcall_fuel(fuel);
            poll_oneoff(wasi, memory, arguments, fuel).await
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
    const MONOTONIC: u32 = 1;

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

    /// A clock that has run out.
    fn expired(user_data: u64) -> Subscription {
        let mut bytes = [0; Self::SIZE];
        bytes[8] = Self::CLOCK;
        bytes[16..20].copy_from_slice(&Self::MONOTONIC.to_le_bytes());
        Subscription(bytes).marked(user_data)
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

async fn poll_oneoff(
    wasi: &mut WasiP1Ctx,
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
    if files.iter().all(Option::is_none) {
        let mut memory = GuestMemory::Unshared(memory);
        return wasi_snapshot_preview1::poll_oneoff(wasi, &mut memory, subscriptions, events, count, ready).await;
    }

    // An event is known by its user data alone, so for the time being that is the subscription's number.
    let changed = files.iter().zip(&asked).zip(0..).map(|((file, asked), number)| match file {
        Some(_) => Subscription::expired(number),
        None => asked.marked(number),
    });
    put(memory, subscriptions, count, changed);
    let errno = {
        let mut memory = GuestMemory::Unshared(&mut *memory);
        wasi_snapshot_preview1::poll_oneoff(wasi, &mut memory, subscriptions, events, count, ready).await?
    };
    put(memory, subscriptions, count, asked.iter().copied());

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
