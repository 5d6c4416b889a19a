//! The program's own pages.

use std::{ffi::c_int, ffi::c_void, hint::black_box, ptr};

/// The kernel brings in what lies around a page that is missing, in pieces of this size (`fault_around_bytes`).
const AROUND: usize = 64 * 1024;

/// Reads a byte of every piece of the program's code, so that the pages are there when they are needed. They are the page
/// cache's, and shared by all workers: none of it is memory of this process.
pub fn bring_in_code() {
    // SAFETY: `touch` has the type that dl_iterate_phdr(3) calls, and takes no data.
    unsafe { libc::dl_iterate_phdr(Some(touch), ptr::null_mut()) };
}

/// Called for the program first, and, since it says so, for nothing else.
unsafe extern "C" fn touch(object: *mut libc::dl_phdr_info, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: the caller passes a description of a loaded object that is valid during the call; its program headers are
    // `dlpi_phnum` of them, and stay as long as the object.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    for segment in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0) {
        for offset in (0..segment.p_memsz as usize).step_by(AROUND) {
            let byte = ptr::with_exposed_provenance::<u8>(base + segment.p_vaddr as usize + offset);
            // SAFETY: this segment is mapped from `p_vaddr` above the base on, for `p_memsz` bytes, readable and never written.
            black_box(unsafe { ptr::read_volatile(byte) });
        }
    }
    1
}
