//! Randomness for guests: straight from getrandom(2), or with `host.random = "deterministic"` the same in every run.
//!
//! wasmtime-wasi's own generators keep a seed in memory, which two workers forked from one parent would share. This one
//! keeps only bytes that the kernel has already given and that no guest has seen yet; wasmtime-wasi asks byte by byte,
//! and a system call for each would be slow.

use chacha20::ChaCha20Rng;
use rand_core::{Infallible, Rng as _, SeedableRng as _, TryRng};
use rustix::rand::{GetRandomFlags, getrandom};
use wasmtime_wasi::WasiCtxBuilder;

const BUFFER: usize = 1024;

/// The kernel's generator.
pub struct KernelRandom {
    buffer: [u8; BUFFER],
    used: usize,
}

impl KernelRandom {
    /// A generator that has asked for nothing yet.
    pub fn new() -> KernelRandom {
        KernelRandom { buffer: [0; BUFFER], used: BUFFER }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= BUFFER) };
        if BUFFER - self.used < N {
            fill(&mut self.buffer);
            self.used = 0;
        }
        let mut bytes = [0; N];
        let from = &mut self.buffer[self.used..self.used + N];
        bytes.copy_from_slice(from);
        // What was handed out is not kept.
        from.fill(0);
        self.used += N;
        bytes
    }
}

/// Fills all of `bytes`.
///
/// # Panics
///
/// Where the kernel has no randomness. It cannot fail once the system has booted; a worker must not run on without.
pub fn fill(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(got) => bytes = &mut bytes[got..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("getrandom: {error}"),
        }
    }
}

impl TryRng for KernelRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill(bytes);
        Ok(())
    }
}

/// Gives each store the same generators: ChaCha20 (RFC 8439) with a key of zeros. `wasi:random/random` and preview 1 have
/// its stream 0, `insecure` stream 1, and `insecure-seed` is the beginning of stream 2. wasmtime-wasi takes a word of 32 bits
/// for each byte.
pub fn deterministic(builder: &mut WasiCtxBuilder) {
    let mut seed = [0; 16];
    stream(2).fill_bytes(&mut seed);
    builder.secure_random(stream(0)).insecure_random(stream(1)).insecure_random_seed(u128::from_le_bytes(seed));
}

fn stream(number: u64) -> ChaCha20Rng {
    let mut stream = ChaCha20Rng::from_seed([0; 32]);
    stream.set_stream(number);
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deterministic_generator_is_the_one_of_rfc_8439() {
        let mut bytes = [0; 16];

        stream(0).fill_bytes(&mut bytes);

        // Appendix A.1, test vector 1.
        assert_eq!(bytes, *b"\x76\xb8\xe0\xad\xa0\xf1\x3d\x90\x40\x5d\x6a\xe5\x53\x86\xbd\x28");
    }

    #[test]
    fn the_streams_of_the_deterministic_generator_differ() {
        let [a, b, c] = [0, 1, 2].map(|number| stream(number).next_u64());

        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn every_byte_is_fresh() {
        let mut random = KernelRandom::new();

        let seen: std::collections::HashSet<u64> = (0..1000).map(|_| random.next_u64()).collect();

        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn bytes_that_were_handed_out_are_not_kept() {
        let mut random = KernelRandom::new();

        random.next_u64();

        assert_eq!(random.buffer[..8], [0; 8]);
    }
}
