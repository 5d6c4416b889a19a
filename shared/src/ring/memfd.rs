//! Making the two memories, in the broker, before anyone else has their descriptors.

use super::{
    layout::Layout,
    mapping_unsafe::{OwnMapping, PeerMapping, Populate},
};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{ffi::CStr, io, os::fd::OwnedFd};

/// Makes the memory for requests: the broker's own. Nobody can map it for writing or write it but through the mapping
/// returned here, nor change its size (F_SEAL_FUTURE_WRITE of fcntl(2), Linux 5.1).
pub fn create_request_memory(layout: Layout) -> io::Result<(OwnMapping, OwnedFd)> {
    let fd = create(c"bulkhead-requests", layout)?;
    let mapping = OwnMapping::map(&fd, layout, Populate::Yes)?;
    // After the mapping: from here on there can be no other that is writable.
    seal(&fd, SealFlag::F_SEAL_FUTURE_WRITE)?;
    Ok((mapping, fd))
}

/// Makes the memory for replies: the worker's, who can write it but never change its size. The broker only reads it, and
/// so has it mapped for reading only.
pub fn create_reply_memory(layout: Layout) -> io::Result<(PeerMapping, OwnedFd)> {
    let fd = create(c"bulkhead-replies", layout)?;
    let mapping = PeerMapping::map(&fd, layout, Populate::Yes)?;
    seal(&fd, SealFlag::empty())?;
    Ok((mapping, fd))
}

/// A memfd of the layout's size, all of whose pages exist.
fn create(name: &CStr, layout: Layout) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let never_executable = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let fd = match memfd_create(name, flags | never_executable) {
        // Before Linux 6.3. Nothing relies on it: a worker has no execve, and the closing filter no PROT_EXEC.
        Err(Errno::EINVAL) => memfd_create(name, flags)?,
        result => result?,
    };
    // Allocates and sets the size. Memory that is short is an error here, where touching a hole later would be a signal.
    fallocate(&fd, FallocateFlags::empty(), 0, layout.memory_bytes() as libc::off_t)?;
    Ok(fd)
}

fn seal(fd: &OwnedFd, more: SealFlag) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL | more;
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
