//! What execve(2) told a process of itself: the auxiliary vector (getauxval(3)), which stays on the stack for good.
//!
//! It names the ids of whoever was executed. A fork parent is executed with the broker's, and its children would show their guests
//! whether that is root, or who else; so it has the vector say what its children are.

use crate::fault::Fault;
use std::{ffi::c_char, ptr};

/// The entries that tell ids.
const IDS: [libc::c_ulong; 4] = [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID];
/// The kernel's own vector is shorter.
const MOST: usize = 64;

/// One entry.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    kind: libc::c_ulong,
    value: libc::c_ulong,
}

/// Has the vector tell this id in place of those of the user and the group that this process was executed as. To be called before
/// anything has changed the environment.
pub fn tell(id: u32) -> Result<(), Fault> {
    let step = "auxiliary vector";
    let at = vector().ok_or_else(|| Fault::new(step, "is not where it is put by execve(2)"))?;
    for index in 0..MOST {
        // SAFETY: `vector` has seen the end of it after this entry, or at it. It lies on the stack below `main`'s frames, which
        // the kernel has made writable, and nobody holds a reference into it; this process has one thread.
        let entry = unsafe { &mut *at.add(index) };
        match entry.kind {
            libc::AT_NULL => {
                remember(at, index + 1);
                break;
            }
            kind if IDS.contains(&kind) => entry.value = id.into(),
            _ => {}
        }
    }
    // By the C library, whose word others would take.
    // SAFETY: getauxval reads the vector.
    let told = IDS.map(|kind| unsafe { libc::getauxval(kind) });
    match told == [id.into(); 4] {
        true => Ok(()),
        false => Err(Fault::new(step, format!("still says {told:?}"))),
    }
}

/// Where the vector is: behind the environment.
fn vector() -> Option<*mut Entry> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: as execve(2) leaves it, the environment is a list of pointers that ends with a null pointer, and the vector
    // follows; nothing here has set a variable, for which the C library would have moved the list. That it is the vector
    // is checked: it has an end, and names the id that getauxval does.
    unsafe {
        let mut at = environ;
        if at.is_null() {
            return None;
        }
        while !(*at).is_null() {
            at = at.add(1);
        }
        let vector = at.add(1).cast::<Entry>().cast_mut();
        let entries = (0..MOST).map(|index| vector.add(index).read());
        let ids = entries.take_while(|entry| entry.kind != libc::AT_NULL).filter(|entry| entry.kind == libc::AT_UID);
        let known: Vec<_> = ids.map(|entry| entry.value).collect();
        (known == [libc::getauxval(libc::AT_UID)]).then_some(vector)
    }
}

/// Has the kernel's copy say the same, which prctl(2) and /proc show. It wants CAP_SYS_RESOURCE of the host, which not every broker
/// has. Where the copy stays as it was, no layer is short of anything that it promises: both filters and the empty root stand before it.
fn remember(at: *const Entry, entries: usize) {
    // SAFETY: PR_SET_MM_AUXV copies so many bytes from there, which are ours.
    let _ = unsafe {
        libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_AUXV, at, entries * size_of::<Entry>(), ptr::null::<Entry>())
    };
}
