//! Whether the pages of a sealed copy can be mapped for execution although the file can never be executed.

use super::*;
use std::{num::NonZeroUsize, os::unix::fs::PermissionsExt};

#[test]
fn sealed_copy_maps_executable_but_has_no_executable_mode() {
    let sealed = Sealed::copy_bytes(&[0xc3; 4096], 4096).unwrap();
    let shared = File::from(sealed.share().unwrap());
    let (length, protection) = (NonZeroUsize::new(4096).unwrap(), nix::sys::mman::ProtFlags::PROT_READ);
    let flags = nix::sys::mman::MapFlags::MAP_PRIVATE;

    // SAFETY: a fresh private mapping at an address of the kernel's choice; nothing points into it, and it is unmapped below.
    let outcome = unsafe {
        let map = nix::sys::mman::mmap(None, length, protection, flags, &shared, 0).unwrap();
        let outcome = nix::sys::mman::mprotect(map, 4096, protection | nix::sys::mman::ProtFlags::PROT_EXEC);
        nix::sys::mman::munmap(map, 4096).unwrap();
        outcome
    };

    assert_eq!(outcome, Ok(()));
    let seals = fcntl(&shared, FcntlArg::F_GET_SEALS).unwrap();
    // The kernels that know the seal have this knob beside it (Linux 6.3).
    let no_exec_known = std::path::Path::new("/proc/sys/vm/memfd_noexec").exists();
    assert_eq!(seals & libc::F_SEAL_EXEC != 0, no_exec_known);
    assert_eq!(shared.metadata().unwrap().permissions().mode() & 0o111 == 0, no_exec_known);
}
