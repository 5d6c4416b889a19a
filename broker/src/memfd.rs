//! Files in memory: what is copied once, hashed while it is copied, and can never change again.
//!
//! A plugin's file on disk may be swapped between its digest, its signature and its compilation; compiled code may be
//! swapped between its check and its mapping. So the broker copies each of them once into a memfd, hashes the bytes that it
//! copied, and seals the memfd (memfd_create(2), F_ADD_SEALS of fcntl(2)). Everything later works on that copy.

#[cfg(test)]
mod exec_test_unsafe;

use nix::{
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Bytes copied at a time.
const CHUNK: usize = 256 * 1024;

/// A SHA-256 digest (FIPS 180-4), shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no copy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Not a regular file.
    #[error("{} is {what}, not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
        /// What it is: "a directory", "a FIFO".
        what: &'static str,
    },
    /// More bytes than the caller takes.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was copied.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Fewer bytes than were announced.
    #[error("{what} ends after {found} bytes, {announced} were announced")]
    Truncated {
        /// What was copied.
        what: String,
        /// Bytes found.
        found: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// The bytes cannot be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was copied.
        what: String,
        /// The system's words.
        source: io::Error,
    },
    /// The file in memory cannot be made, filled or sealed.
    #[error("{step} of a file in memory: {source}")]
    Memory {
        /// The step: "memfd_create", "write", "seal".
        step: &'static str,
        /// The system's words.
        source: io::Error,
    },
}

fn memory(step: &'static str) -> impl Fn(nix::Error) -> Error {
    move |errno| Error::Memory { step, source: errno.into() }
}

/// A file in memory that nobody can write, grow, shrink or make executable as a program; its pages can still be mapped
/// for execution.
#[derive(Debug)]
pub struct Sealed {
    file: File,
    bytes: u64,
    digest: Digest,
}

impl Sealed {
    /// Copies a regular file of at most `max` bytes. FIFOs, directories and devices are refused without being waited for.
    pub fn copy_path(path: &Path, max: u64) -> Result<Sealed, Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let refuse = |what| Error::NotAFile { path: path.to_owned(), what };
        // Opening alone can do something to a device (a watchdog starts, a tape rewinds), so look first. What counts is the
        // second look, at what was really opened.
        if let Some(what) = irregular(std::fs::metadata(path).map_err(open)?.file_type()) {
            return Err(refuse(what));
        }
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(open)?;
        if let Some(what) = irregular(file.metadata().map_err(open)?.file_type()) {
            return Err(refuse(what));
        }
        copy(&mut &file, &path.display().to_string(), max)
    }

    /// Copies bytes, at most `max` of them.
    pub fn copy_bytes(bytes: &[u8], max: u64) -> Result<Sealed, Error> {
        copy(&mut &*bytes, "the input", max)
    }

    /// Copies exactly `bytes` bytes of `source`, which is named `what` in errors.
    pub(crate) fn copy_exactly(source: &mut impl Read, what: &str, bytes: u64) -> Result<Sealed, Error> {
        let sealed = copy(&mut source.take(bytes), what, bytes)?;
        if sealed.bytes < bytes {
            return Err(Error::Truncated { what: what.to_owned(), found: sealed.bytes, announced: bytes });
        }
        Ok(sealed)
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A descriptor for another process, read-only and with an open file description of its own: two workers that shared
    /// one could signal each other through its offset.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?.into())
    }

    /// Reads from an offset; as pread(2).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A file in memory for a compiler to write to, of a fixed largest size. The broker never trusts its content and never maps
/// it.
#[derive(Debug)]
pub struct Output {
    file: File,
    max: u64,
}

impl Output {
    /// A file that holds at most `max` bytes: it starts with that size, without memory behind it, and cannot grow.
    pub fn new(max: u64) -> Result<Output, Error> {
        let file = create("bulkhead-output")?;
        file.set_len(max).map_err(|source| Error::Memory { step: "ftruncate", source })?;
        seal(&file, SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL)?;
        Ok(Output { file, max })
    }

    /// The first `bytes` bytes as they are now, in a sealed copy. Call it when the writer is gone: bytes that change during
    /// the copy are copied and hashed as they happened to be.
    pub fn into_sealed(self, bytes: u64) -> Result<Sealed, Error> {
        const WHAT: &str = "the compiler's output";
        if bytes > self.max {
            return Err(Error::TooLarge { what: WHAT.to_owned(), limit: self.max });
        }
        Sealed::copy_exactly(&mut FromStart { file: &self.file, offset: 0 }, WHAT, bytes)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads by offset of its own: that of a shared open file description is the peer's to move.
struct FromStart<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// What a file is that is no regular file.
fn irregular(kind: std::fs::FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_fifo() => Some("a FIFO"),
        _ if kind.is_socket() => Some("a socket"),
        _ if kind.is_char_device() => Some("a character device"),
        _ if kind.is_block_device() => Some("a block device"),
        _ => Some("something unknown"),
    }
}

/// An empty memfd. `MFD_NOEXEC_SEAL` clears the mode's x bits for good, so that the content can never be started as a
/// program; kernels before 6.3 do not know it.
fn create(name: &str) -> Result<File, Error> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | no_exec) {
        Err(nix::Error::EINVAL) => memfd_create(name, flags),
        made => made,
    }
    .map(File::from)
    .map_err(memory("memfd_create"))
}

fn seal(file: &File, seals: SealFlag) -> Result<(), Error> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals)).map(drop).map_err(memory("seal"))
}

/// Copies until the source ends, hashing what is written, and seals.
fn copy(source: &mut impl Read, what: &str, max: u64) -> Result<Sealed, Error> {
    let mut file = create("bulkhead-sealed")?;
    let mut hash = Sha256::new();
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut bytes = 0u64;
    while bytes.is_multiple_of(CHUNK as u64) {
        chunk.clear();
        let read = source.take(CHUNK as u64).read_to_end(&mut chunk);
        bytes = bytes.saturating_add(read.map_err(|source| Error::Read { what: what.to_owned(), source })? as u64);
        if bytes > max {
            return Err(Error::TooLarge { what: what.to_owned(), limit: max });
        }
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(|source| Error::Memory { step: "write", source })?;
    }
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    seal(&file, seals)?;
    Ok(Sealed { file, bytes, digest: Digest(hash.finalize().into()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{sys::stat::Mode, unistd::mkfifo};

    fn content(sealed: &Sealed) -> Vec<u8> {
        let mut bytes = vec![0; sealed.bytes() as usize];
        sealed.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn a_copy_has_all_chunks_whether_the_last_is_whole_or_not() {
        for bytes in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let bytes: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();

            let sealed = Sealed::copy_bytes(&bytes, bytes.len() as u64).unwrap();

            assert!(content(&sealed) == bytes && sealed.digest() == Digest::of(&bytes), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn copy_has_the_content_and_digest_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.wasm");
        let bytes: Vec<u8> = (0..CHUNK + 77).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();

        let sealed = Sealed::copy_path(&path, 1 << 20).unwrap();

        assert_eq!(content(&sealed), bytes);
        assert_eq!(sealed.digest(), Digest::of(&bytes));
        assert_eq!(Digest::of(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn sealed_copy_cannot_be_changed_by_any_descriptor() {
        let sealed = Sealed::copy_bytes(b"code", 10).unwrap();
        let own = sealed.as_fd().try_clone_to_owned().map(File::from).unwrap();
        let shared = File::from(sealed.share().unwrap());

        assert_eq!(own.write_at(b"x", 0).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(own.set_len(0).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(own.set_len(100).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(seal(&own, SealFlag::F_SEAL_WRITE).is_err());
        assert_eq!(shared.write_at(b"x", 0).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(content(&sealed), b"code");
    }

    #[test]
    fn shared_descriptors_do_not_share_an_offset() {
        let sealed = Sealed::copy_bytes(b"0123456789", 10).unwrap();
        let (mut one, mut two) = (File::from(sealed.share().unwrap()), File::from(sealed.share().unwrap()));
        let (mut a, mut b) = ([0; 4], [0; 4]);

        one.read_exact(&mut a).unwrap();
        two.read_exact(&mut b).unwrap();

        assert_eq!((&a, &b), (b"0123", b"0123"));
    }

    #[test]
    fn more_than_the_limit_is_refused_and_the_limit_itself_is_not() {
        assert_eq!(Sealed::copy_bytes(&[0; 10], 10).unwrap().bytes(), 10);
        assert!(matches!(Sealed::copy_bytes(&[0; 11], 10), Err(Error::TooLarge { limit: 10, .. })));
        assert_eq!(Sealed::copy_bytes(b"", 0).unwrap().bytes(), 0);
    }

    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();

        let refused = |path: &Path| Sealed::copy_path(path, 10).unwrap_err().to_string();

        assert!(refused(&fifo).ends_with("is a FIFO, not a file"));
        assert!(refused(dir.path()).ends_with("is a directory, not a file"));
        assert!(refused(Path::new("/dev/zero")).ends_with("is a character device, not a file"));
        assert!(refused(&dir.path().join("absent")).contains("No such file"));
    }

    #[test]
    fn output_takes_no_more_than_its_size() {
        let output = Output::new(8).unwrap();
        let mut writer = File::from(output.as_fd().try_clone_to_owned().unwrap());
        writer.write_all(b"compiled").unwrap();

        assert!(writer.write_all(b"more").is_err());
        assert_eq!(content(&output.into_sealed(4).unwrap()), b"comp");
    }

    #[test]
    fn output_that_lies_about_its_size_is_refused() {
        let shrunk = Output::new(8).unwrap();
        File::from(shrunk.as_fd().try_clone_to_owned().unwrap()).set_len(2).unwrap();

        assert!(matches!(shrunk.into_sealed(4), Err(Error::Truncated { found: 2, announced: 4, .. })));
        assert!(matches!(Output::new(8).unwrap().into_sealed(9), Err(Error::TooLarge { limit: 8, .. })));
    }
}
