//! The functions of preview 1 that take a path, watched.

use super::{Got, Want};
use crate::guest::Guest;
use wasmtime::{AsContextMut as _, Caller, Extern, Linker, Result, bail};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as p1, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

const MODULE: &str = "wasi_snapshot_preview1";
/// Longest path that is looked at, in bytes; longer ones fail by themselves.
const LONGEST: usize = 4096;
/// `oflags`: creat, excl, trunc. Bit 1 is `directory`.
const CHANGING: i32 = 1 | 4 | 8;
/// `rights`: fd_write.
const WRITE: i64 = 1 << 6;

/// A path in the guest's memory, below a descriptor.
struct Request {
    fd: i32,
    path: (i32, i32),
    want: Want,
}

const fn request(fd: i32, path: i32, length: i32, want: Want) -> Request {
    Request { fd, path: (path, length), want }
}

/// Puts these functions in place of wasmtime-wasi's, which they call.
macro_rules! watched {
    ($linker:ident: $($name:ident($($arg:ident: $type:ty),*) = $requests:expr;)*) => {
        $($linker.func_wrap_async(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Guest>, ($($arg,)*): ($($type,)*)| {
                Box::new(async move {
                    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                        bail!("missing required memory export");
                    };
                    let fuel = caller.as_context_mut().hostcall_fuel();
                    let (memory, guest) = memory.data_and_store_mut(&mut caller);
                    // Before the call: it may write over them.
                    let requests: Vec<_> = $requests.iter().filter_map(|request| seen(memory, request)).collect();
                    guest.wasi().set_hostcall_fuel(fuel);
                    let errno = {
                        let mut memory = GuestMemory::Unshared(&mut *memory);
                        p1::$name(guest.wasi(), &mut memory, $($arg),*).await?
                    };
                    if let Some(watch) = &mut guest.watch {
                        for (fd, path, want) in &requests {
                            watch.asked(*fd, path, *want, got(errno));
                        }
                    }
                    Ok(errno)
                })
            },
        )?;)*
    };
}

/// Watches the functions of this linker.
pub fn link(linker: &mut Linker<Guest>) -> Result<()> {
    use Want::{Look, Read, Write};
    linker.allow_shadowing(true);
    watched! { linker:
        path_filestat_get(fd: i32, flags: i32, path: i32, length: i32, stat: i32) = [request(fd, path, length, Look)];
        path_readlink(fd: i32, path: i32, length: i32, to: i32, room: i32, used: i32) = [request(fd, path, length, Look)];
        path_filestat_set_times(fd: i32, flags: i32, path: i32, length: i32, a: i64, m: i64, which: i32)
            = [request(fd, path, length, Write)];
        path_create_directory(fd: i32, path: i32, length: i32) = [request(fd, path, length, Write)];
        path_remove_directory(fd: i32, path: i32, length: i32) = [request(fd, path, length, Write)];
        path_unlink_file(fd: i32, path: i32, length: i32) = [request(fd, path, length, Write)];
        path_symlink(to: i32, to_length: i32, fd: i32, path: i32, length: i32) = [request(fd, path, length, Write)];
        path_link(fd: i32, flags: i32, path: i32, length: i32, new_fd: i32, new: i32, new_length: i32)
            = [request(fd, path, length, Read), request(new_fd, new, new_length, Write)];
        path_rename(fd: i32, path: i32, length: i32, new_fd: i32, new: i32, new_length: i32)
            = [request(fd, path, length, Write), request(new_fd, new, new_length, Write)];
        fd_readdir(fd: i32, to: i32, room: i32, cookie: i64, used: i32) = [request(fd, 0, 0, Read)];
    }
    link_open(linker)?;
    link_renumber(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Opening gives a descriptor whose place is to be known.
fn link_open(linker: &mut Linker<Guest>) -> Result<()> {
    type Arguments = (i32, i32, i32, i32, i32, i64, i64, i32, i32);
    linker.func_wrap_async(MODULE, "path_open", |mut caller: Caller<'_, Guest>, arguments: Arguments| {
        Box::new(async move {
            let (fd, lookup, path, length, oflags, rights, inheriting, fdflags, opened) = arguments;
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                bail!("missing required memory export");
            };
            let fuel = caller.as_context_mut().hostcall_fuel();
            let (memory, guest) = memory.data_and_store_mut(&mut caller);
            let want = if oflags & CHANGING != 0 || rights & WRITE != 0 { Want::Write } else { Want::Read };
            let request = seen(memory, &request(fd, path, length, want));
            guest.wasi().set_hostcall_fuel(fuel);
            let errno = {
                let mut memory = GuestMemory::Unshared(&mut *memory);
                let wasi = guest.wasi();
                p1::path_open(wasi, &mut memory, fd, lookup, path, length, oflags, rights, inheriting, fdflags, opened)
                    .await?
            };
            if let (Some(watch), Some((fd, path, want))) = (&mut guest.watch, request) {
                watch.asked(fd, &path, want, got(errno));
                if errno == 0
                    && let Some(new) = number(memory, opened)
                {
                    watch.opened(fd, &path, new);
                }
            }
            Ok(errno)
        })
    })?;
    Ok(())
}

fn link_renumber(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap_async(MODULE, "fd_renumber", |mut caller: Caller<'_, Guest>, (from, to): (i32, i32)| {
        Box::new(async move {
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                bail!("missing required memory export");
            };
            let (memory, guest) = memory.data_and_store_mut(&mut caller);
            let mut memory = GuestMemory::Unshared(memory);
            let errno = p1::fd_renumber(guest.wasi(), &mut memory, from, to).await?;
            if let (0, Some(watch)) = (errno, &mut guest.watch) {
                watch.moved(from as u32, to as u32);
            }
            Ok(errno)
        })
    })?;
    Ok(())
}

/// The request as it stands in memory, if it is one.
fn seen(memory: &[u8], request: &Request) -> Option<(u32, String, Want)> {
    let start = request.path.0 as u32 as usize;
    let length = request.path.1 as u32 as usize;
    let bytes = memory.get(start..start.checked_add(length.min(LONGEST))?)?;
    Some((request.fd as u32, String::from_utf8_lossy(bytes).into_owned(), request.want))
}

/// The number that stands there.
fn number(memory: &[u8], at: i32) -> Option<u32> {
    let at = at as u32 as usize;
    memory.get(at..at.checked_add(4)?)?.try_into().map(u32::from_le_bytes).ok()
}

/// `errno` of wasi_snapshot_preview1.witx.
fn got(errno: i32) -> Got {
    const ACCES: i32 = 2;
    const NOENT: i32 = 44;
    const NOTDIR: i32 = 54;
    const PERM: i32 = 63;
    const ROFS: i32 = 69;
    const NOTCAPABLE: i32 = 76;
    match errno {
        0 => Got::Given,
        NOENT | NOTDIR => Got::Missing,
        ACCES | PERM | ROFS | NOTCAPABLE => Got::Refused,
        _ => Got::Failed,
    }
}
