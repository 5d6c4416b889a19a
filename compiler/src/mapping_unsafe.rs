//! The input as a slice: a mapping of the sealed memfd that the broker made.

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{
    ffi::c_void,
    fs::File,
    io::{self, Seek as _, SeekFrom},
    num::NonZeroUsize,
    os::fd::OwnedFd,
    ptr::NonNull,
};

/// Seals without which the bytes under a mapping could change or go away (memfd_create(2), fcntl(2)).
const SEALS: SealFlag = SealFlag::F_SEAL_WRITE.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SHRINK);

/// A read-only mapping of a sealed memfd.
pub struct Mapping {
    /// `None` for an empty file, of which there is no mapping.
    mapped: Option<(NonNull<c_void>, NonZeroUsize)>,
}

impl Mapping {
    /// Maps `bytes` bytes of the memfd. Fails if it is not sealed against writing, growing and shrinking, or has another
    /// size: the slice would not be sound.
    pub fn new(memfd: OwnedFd, bytes: u64) -> io::Result<Mapping> {
        let seals = SealFlag::from_bits_retain(fcntl(&memfd, FcntlArg::F_GET_SEALS)?);
        if !seals.contains(SEALS) {
            return Err(io::Error::other(format!(
                "it is not sealed against writing, growing and shrinking ({seals:?})"
            )));
        }
        let mut file = File::from(memfd);
        let size = file.seek(SeekFrom::End(0))?;
        if size != bytes {
            return Err(io::Error::other(format!("it has {size} bytes, the job says {bytes}")));
        }
        let Some(length) = NonZeroUsize::new(usize::try_from(bytes).map_err(io::Error::other)?) else {
            return Ok(Mapping { mapped: None });
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that Rust knows of.
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) }?;
        Ok(Mapping { mapped: Some((start, length)) })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self.mapped {
            // SAFETY: `start` is the start of a readable mapping of `length` bytes that lives until `self` is dropped. The
            // kernel keeps the bytes as they are and in place: `new` saw the seals against writing and shrinking, and seals
            // are never taken back.
            Some((start, length)) => unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), length.get()) },
            None => &[],
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some((start, length)) = self.mapped {
            // An error would leave the mapping in place, which harms nobody.
            // SAFETY: the mapping was made by `new` with this start and length, and no slice of it outlives `self`.
            _ = unsafe { munmap(start, length.get()) };
        }
    }
}
