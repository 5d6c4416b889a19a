//! The host's object with a pointer to a function in it, and what an attacker has it point to instead.
//!
//! The filters let nobody make new code once the guest runs, so an attacker goes on with the code that is there. What stands in
//! for whatever they put together of it is the battery of `bulkhead probe`: any system call, in any order.

use bulkhead_probe::attacks;
use bulkhead_shared::codec;
use std::hint::black_box;

/// By which an object is found in memory.
pub const MAGIC: u64 = 0x5e55_10f0_b01d_fa17;
/// What an honest call answers, and no attack.
pub const HONEST: i64 = -7;
/// There is no such attack, or the order cannot be read.
pub const NO_ORDER: i64 = -1;
/// It worked. Other answers are error numbers.
pub const WORKED: i64 = 0;
/// Largest part of an order.
const MOST: u64 = 1 << 16;

/// Words of an object that nobody looks at. It is of a size that little else on the heap has, so that who is in whose place does
/// not depend on what wasmtime allocates in between.
const REST: usize = 69;

/// What the host calls.
type Callback = extern "C" fn(u64) -> i64;

/// An object of the host's. Guests have the layout from here.
#[repr(C)]
pub struct Session {
    magic: u64,
    callback: Callback,
    /// Where the guest's memory begins, in the host's addresses.
    guest: *const u8,
    rest: [u64; REST],
}

impl Session {
    /// An honest one.
    pub fn new(guest: *const u8) -> Session {
        Session { magic: MAGIC, callback: honest, guest, rest: [0; REST] }
    }
}

/// Calls what the object says.
///
/// # Safety
/// It is an object, and what stands in it is a function of that type.
pub unsafe fn call(object: *const Session, arg: u64) -> i64 {
    // SAFETY: the caller's promise. Read as it stands there now: the compiler must not know better.
    let callback = unsafe { (&raw const (*object).callback).read_volatile() };
    callback(arg)
}

// One copy of each: how far they are from each other is asked for.
#[inline(never)]
extern "C" fn honest(arg: u64) -> i64 {
    black_box(arg);
    HONEST
}

/// How far it is from the function that is called to the one that an attacker wants: what they read in a copy of the program.
pub fn distance() -> i64 {
    let (honest, wanted) = (honest as *const () as i64, attack as *const () as i64);
    black_box(wanted).wrapping_sub(black_box(honest))
}

/// Makes the attack of an order: its name, then its targets, each behind its length. Answers with an errno, or [`WORKED`].
#[inline(never)]
extern "C" fn attack(order: u64) -> i64 {
    let Some((name, targets_at)) = part(order) else { return NO_ORDER };
    let Some((targets, _)) = part(targets_at) else { return NO_ORDER };
    let (Ok(name), Ok(targets)) = (std::str::from_utf8(name), codec::decode(targets)) else { return NO_ORDER };
    match attacks::make(name, &targets) {
        Some(Ok(())) => WORKED,
        Some(Err(errno)) => errno as i64,
        None => NO_ORDER,
    }
}

/// A part of an order, and where the next one begins: at the next eight bytes.
fn part(at: u64) -> Option<(&'static [u8], u64)> {
    // SAFETY: an attacker's own memory, whose address they have found out. What they get wrong is their process's end.
    let length = unsafe { (at as *const u64).read_unaligned() };
    if length > MOST {
        return None;
    }
    // SAFETY: as above; nobody changes it while the guest waits for this call's answer.
    let bytes = unsafe { std::slice::from_raw_parts((at + 8) as *const u8, length as usize) };
    Some((bytes, at + 8 + length.next_multiple_of(8)))
}
