//! Streams over files, for preview 2.
//!
//! wasmtime-wasi's own hand each read and write to a pool of threads unless the guest calls the blocking functions. A
//! worker has one thread and its filter knows no way to make another, so these do the work at once and are always ready.

use crate::guest::Guest;
use bytes::{Bytes, BytesMut};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use std::{
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt as _,
    sync::Arc,
};
use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    WasiView as _, async_trait,
    filesystem::{Descriptor, File as OpenFile},
    p2::{
        DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
        bindings::filesystem::types::ErrorCode,
    },
};

/// Most bytes of one read or write.
const CHUNK: usize = 64 * 1024;

/// Puts these streams in place of wasmtime-wasi's, in the interface of this name.
pub fn link(linker: &mut Linker<Guest>, interface: &str) -> Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(interface)?;
    types.func_wrap("[method]descriptor.read-via-stream", |store, (fd, at): (Resource<Descriptor>, u64)| {
        Ok((open(store, &fd, false, |file| Box::new(Reader { file, at }) as DynInputStream)?,))
    })?;
    types.func_wrap("[method]descriptor.write-via-stream", |store, (fd, at): (Resource<Descriptor>, u64)| {
        Ok((open(store, &fd, true, |file| Box::new(Writer { file, at: Some(at) }) as DynOutputStream)?,))
    })?;
    types.func_wrap("[method]descriptor.append-via-stream", |store, (fd,): (Resource<Descriptor>,)| {
        Ok((open(store, &fd, true, |file| Box::new(Writer { file, at: None }) as DynOutputStream)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Makes a stream over an open file that is a regular one and may be written where `write` says so.
fn open<S: Send + 'static>(
    mut store: StoreContextMut<'_, Guest>,
    fd: &Resource<Descriptor>,
    write: bool,
    stream: impl FnOnce(Arc<File>) -> S,
) -> Result<std::result::Result<Resource<S>, ErrorCode>> {
    let table = store.data_mut().ctx().table;
    let file: OpenFile = match table.get(fd)? {
        Descriptor::File(file) => file.clone(),
        Descriptor::Dir(_) if write => return Ok(Err(ErrorCode::BadDescriptor)),
        Descriptor::Dir(_) => return Ok(Err(ErrorCode::IsDirectory)),
    };
    if write && file.perms.write_not_permitted() {
        return Ok(Err(ErrorCode::NotPermitted));
    }
    Ok(Ok(table.push(stream(file.file))?))
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        // The guest asks for the code with filesystem-error-code, which looks for just this type.
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

struct Reader {
    file: Arc<File>,
    at: u64,
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {}
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(size.min(CHUNK));
        let read = loop {
            match self.file.read_at(&mut bytes, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(failed)?,
            }
        };
        if read == 0 {
            return Err(StreamError::Closed);
        }
        bytes.truncate(read);
        self.at = self.at.saturating_add(read as u64);
        Ok(bytes.freeze())
    }
}

struct Writer {
    file: Arc<File>,
    /// Where the next byte goes; at the end of the file if `None`.
    at: Option<u64>,
}

impl Writer {
    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.at {
            Some(at) => self.file.write_at(bytes, at),
            None => Ok(pwritev2(&*self.file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)?),
        }
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    rest = &rest[written..];
                    self.at = self.at.map(|at| at.saturating_add(written as u64));
                }
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}
