//! Ways to die.

use crate::args::{Args, Came};

/// Exits with this code.
pub fn exit(args: &Args) -> Came {
    std::process::exit(args.number(0) as i32)
}

/// Aborts.
pub fn abort(_: &Args) -> Came {
    std::process::abort()
}

/// Writes where no memory is.
pub fn touch_nothing(_: &Args) -> Came {
    let nowhere = std::hint::black_box(std::ptr::without_provenance_mut::<u64>(8));
    // SAFETY: none; this is the fault that the test is about. The lowest page is never mapped.
    unsafe { nowhere.write_volatile(1) };
    Ok(0)
}

/// Runs an instruction that is none.
pub fn run_nonsense(_: &Args) -> Came {
    // SAFETY: the process dies here.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("ud2", options(noreturn));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("udf #0", options(noreturn));
    }
}

/// Runs into a breakpoint.
pub fn run_breakpoint(_: &Args) -> Came {
    // SAFETY: the process dies here.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("int3");
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("brk #0");
    }
    Ok(0)
}
