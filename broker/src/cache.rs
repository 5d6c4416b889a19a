//! The cache of compiled code.
//!
//! Native code is run by whoever loads it, so an entry is loaded only when the broker wrote it, for this input, these
//! engine knobs, this version and this compiler ([`Key`]), and when every byte of it is as it was written ([`format`]).
//! Anything else (truncated, damaged, foreign, of another version) counts as absent, is removed, and the log says why.
//!
//! The cache is one flat directory, 0700, owned by the broker's user, opened once; every later access is relative to that
//! descriptor, so that no path is walked twice. Entries appear whole by rename(2), which makes one directory safe for any
//! number of brokers. Nothing is synced: an entry torn by a power failure does not pass its digest and is compiled again.
//!
//! The digest finds damage, it proves no origin. The origin is proven by the directory: nobody but the broker's user and
//! root can write there.

mod directory;
mod format;
mod key;
#[cfg(test)]
mod tests;

pub use key::{Key, program_identity};

use crate::memfd::{Digest, Error as MemoryError, Sealed};
use bulkhead_shared::{codec, describe::Description};
use directory::Directory;
use format::Header;
use nix::{
    errno::Errno,
    sys::{
        stat::{Mode, SFlag, fstat, futimens},
        time::TimeSpec,
    },
    unistd::geteuid,
};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use thiserror::Error;

/// Size in bytes above which the entries that were used longest ago are removed.
pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;
/// Largest note that is read back, in bytes.
const MAX_NOTE: u64 = 64 * 1024;
/// An entry's time of last use is written this often at most.
const USE_RESOLUTION: Duration = Duration::from_secs(600);

/// What went wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No directory was named and none can be derived.
    #[error("no cache directory: neither XDG_CACHE_HOME nor a home directory is known; name one")]
    NoDirectory,
    /// The directory cannot be made or opened.
    #[error("cannot open the cache directory {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Others could write to the directory, so that code from it cannot be trusted.
    #[error("the cache directory {} {problem}; {cure}", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What a person can do about it.
        cure: String,
    },
    /// The disk, or the user's quota, is full. The caller may go on without caching.
    #[error("no room in the cache directory {}: {source}", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// An entry cannot be written.
    #[error("cannot write to the cache directory {}: {source}", path.display())]
    Write {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The entry alone is larger than all entries together may be.
    #[error("an entry of {bytes} bytes is larger than the cache's bound of {max} bytes")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The description cannot be encoded, or is too large.
    #[error("cannot store the plugin's description: {0}")]
    Description(#[from] codec::Error),
}

/// Code and description of a plugin, verified.
#[derive(Debug)]
pub struct Entry {
    /// What the compiler said of the plugin. Hostile, as the compiler is.
    pub description: Description,
    /// Native code, in a file that nobody can change.
    pub code: Sealed,
}

/// A cache directory. Any number of threads and processes may use one at the same time.
#[derive(Debug)]
pub struct Cache {
    directory: Directory,
    max_bytes: u64,
}

/// Why an entry is not used.
enum Unusable {
    /// It is no entry that this version wrote: remove it.
    Damaged(String),
    /// The host could not give the memory for it: leave it.
    Host(MemoryError),
}

impl Cache {
    /// Opens a directory, and makes it (0700) where there is none. Refused: a symbolic link, a directory of another user, a
    /// directory that others may write to. Removes what a broker that was killed was writing.
    pub fn open(path: &Path) -> Result<Cache, Error> {
        let directory = Directory::open(path)?;
        directory.remove_abandoned();
        Ok(Cache { directory, max_bytes: DEFAULT_MAX_BYTES })
    }

    /// Bounds the size of all entries together, in bytes.
    pub fn with_max_bytes(self, max_bytes: u64) -> Cache {
        Cache { max_bytes, ..self }
    }

    /// Where the cache is when nobody says otherwise: `/var/cache/bulkhead` for root, else `$XDG_CACHE_HOME/bulkhead` or
    /// `~/.cache/bulkhead` (XDG Base Directory Specification).
    pub fn default_path() -> Result<PathBuf, Error> {
        directory::default_path(geteuid(), std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
    }

    /// The directory's path, as it was opened.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The entry, when there is one that can be trusted.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let name = key.file_name();
        let unusable = match self.directory.open_file(&name) {
            Ok(file) => match read(&file, key, self.max_bytes) {
                Ok(entry) => {
                    note_use(&file);
                    return Some(entry);
                }
                Err(unusable) => unusable,
            },
            Err(Errno::ENOENT) => return None,
            // O_NOFOLLOW gives ELOOP for a symbolic link: not ours.
            Err(errno) => Unusable::Damaged(format!("cannot be opened: {}", errno.desc())),
        };
        match unusable {
            Unusable::Damaged(reason) => {
                tracing::warn!(entry = %key, %reason, "a cache entry was not used and is removed");
                self.directory.remove(&name);
            }
            Unusable::Host(error) => tracing::warn!(entry = %key, %error, "a cache entry could not be loaded"),
        }
        None
    }

    /// Stores an entry, in place of one of the same key. It appears whole or not at all.
    pub fn put(&self, key: &Key, description: &Description, code: &Sealed) -> Result<(), Error> {
        let description = codec::encode(description)?;
        let header = Header::of(key, &description, code);
        let bytes = header.file_bytes().unwrap_or(u64::MAX);
        let Some(rest) = self.max_bytes.checked_sub(bytes) else {
            return Err(Error::TooLarge { bytes, max: self.max_bytes });
        };
        self.directory.remove_abandoned();
        self.evict(rest);
        let (mut file, temporary) = self.directory.create_temporary().map_err(|source| self.write_error(source))?;
        let stored = write(&mut file, &header, &description, code)
            .and_then(|()| Ok(self.directory.rename(&temporary, &key.file_name())?));
        stored.map_err(|source| {
            self.directory.remove(&temporary);
            self.write_error(source)
        })
    }

    /// A small note that was kept under this name with [`Cache::put_note`].
    pub(crate) fn note(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.directory.open_file(&note_name(name)).ok()?;
        if let Err(reason) = check_origin(&file) {
            tracing::warn!(%name, %reason, "a note in the cache was not used");
            return None;
        }
        let mut bytes = Vec::new();
        (&file).take(MAX_NOTE).read_to_end(&mut bytes).ok()?;
        let (digest, note) = bytes.split_at_checked(32)?;
        (Digest::of(note).0 == digest).then(|| note.to_owned())
    }

    /// Keeps a note of at most 64 KiB. One that cannot be kept is missing next time.
    pub(crate) fn put_note(&self, name: &str, note: &[u8]) {
        let stored = self.directory.create_temporary().and_then(|(mut file, temporary)| {
            file.write_all(&Digest::of(note).0)
                .and_then(|()| file.write_all(note))
                .and_then(|()| Ok(self.directory.rename(&temporary, &note_name(name))?))
                .inspect_err(|_| self.directory.remove(&temporary))
        });
        if let Err(error) = stored {
            tracing::warn!(%name, %error, "a note could not be kept");
        }
    }

    /// Removes an entry: code that this host cannot load, for instance because it was compiled on another CPU.
    pub fn remove(&self, key: &Key) {
        self.directory.remove(&key.file_name());
    }

    /// Removes entries, those that were used longest ago first, until `max` bytes are left.
    fn evict(&self, max: u64) {
        let mut files = match self.directory.files() {
            Ok(files) => files,
            Err(errno) => {
                tracing::warn!(directory = %self.path().display(), error = errno.desc(), "the cache cannot be listed");
                return;
            }
        };
        files.sort_by_key(|file| file.used);
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        for file in &files {
            if total <= max {
                break;
            }
            tracing::debug!(entry = %file.name, bytes = file.bytes, "a cache entry is removed to make room");
            self.directory.remove(&file.name);
            total -= file.bytes;
        }
    }

    fn write_error(&self, source: io::Error) -> Error {
        let path = self.path().to_owned();
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Error::Full { path, source },
            _ => Error::Write { path, source },
        }
    }
}

fn write(file: &mut File, header: &Header, description: &[u8], code: &Sealed) -> io::Result<()> {
    file.write_all(&header.encode())?;
    file.write_all(description)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = 0;
    while offset < code.bytes() {
        let read = code.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&buffer[..read])?;
        offset += read as u64;
    }
    Ok(())
}

/// Reads an entry and checks every byte of it. The code is checked as it stands in the sealed copy, never in the file.
fn read(file: &File, key: &Key, max_bytes: u64) -> Result<Entry, Unusable> {
    let file_bytes = check_origin(file).map_err(Unusable::Damaged)?;
    read_from(file, file_bytes, key, max_bytes)
}

/// Reads an entry of a file that has so many bytes.
fn read_from(mut file: impl Read, file_bytes: u64, key: &Key, max_bytes: u64) -> Result<Entry, Unusable> {
    let damaged = |reason: &str| Unusable::Damaged(reason.to_owned());
    let unreadable = |e: io::Error| Unusable::Damaged(format!("cannot be read: {e}"));

    let mut bytes = [0; Header::BYTES];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    let header = Header::decode(&bytes).map_err(damaged)?;
    if header.key != *key {
        return Err(damaged("made for another key"));
    }
    let size = header.file_bytes().filter(|size| *size <= max_bytes);
    if size != Some(file_bytes) {
        return Err(damaged("its size is not the one that it was written with"));
    }
    if header.description_bytes > codec::MAX_MESSAGE as u64 {
        return Err(damaged("its description is too large"));
    }
    let mut description = Vec::new();
    file.by_ref().take(header.description_bytes).read_to_end(&mut description).map_err(unreadable)?;
    let code = Sealed::copy_exactly(&mut file, "the cached code", header.code_bytes).map_err(|error| match error {
        MemoryError::Memory { .. } => Unusable::Host(error),
        error => Unusable::Damaged(error.to_string()),
    })?;
    if header.digest != header.digest_over(&description, code.digest()) {
        return Err(damaged("its content does not match its digest"));
    }
    let description = codec::decode(&description).map_err(|e| Unusable::Damaged(e.to_string()))?;
    Ok(Entry { description, code })
}

/// Whether this is a file that only the broker's user can have written, and its size in bytes.
fn check_origin(file: &File) -> Result<u64, String> {
    let stat = fstat(file).map_err(|errno| format!("cannot be looked at: {errno}"))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err("not a regular file".to_owned());
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(format!("owned by user {}", stat.st_uid));
    }
    if Mode::from_bits_truncate(stat.st_mode).intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
        return Err("others may write to it".to_owned());
    }
    u64::try_from(stat.st_size).map_err(|_| "of no sensible size".to_owned())
}

/// A note's name in the directory.
fn note_name(name: &str) -> String {
    format!("{name}{}", directory::NOTE_SUFFIX)
}

/// Notes that an entry was used, for [`Cache::evict`]. Failing to is no reason not to use it.
fn note_use(file: &File) {
    let recent = file
        .metadata()
        .and_then(|m| m.modified())
        .is_ok_and(|used| SystemTime::now().duration_since(used).unwrap_or_default() < USE_RESOLUTION);
    if !recent {
        let _ = futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
    }
}

/// For fuzz targets: entries without files.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    use super::*;

    pub fn entry(key: &Key, description: &[u8], code: &[u8]) -> Vec<u8> {
        let sealed = Sealed::copy_bytes(code, u64::MAX).expect("the host has room for it");
        [&Header::of(key, description, &sealed).encode()[..], description, code].concat()
    }

    pub fn read(bytes: &[u8], key: &Key, max: u64) -> Result<(Description, Vec<u8>), String> {
        match read_from(bytes, bytes.len() as u64, key, max) {
            Ok(Entry { description, code }) => {
                let mut copy = vec![0; code.bytes() as usize];
                let read = code.read_at(&mut copy, 0).expect("what is sealed can be read");
                assert_eq!(read, copy.len());
                Ok((description, copy))
            }
            Err(Unusable::Damaged(reason)) => Err(reason),
            Err(Unusable::Host(error)) => panic!("the entry brought about {error}"),
        }
    }
}
