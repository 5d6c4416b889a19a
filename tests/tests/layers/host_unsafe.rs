//! Things of the host that no worker should reach, made for one test.

use bulkhead_attacks::{KEY, SEGMENT};
use nix::errno::Errno;
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds since the host was booted, suspension included.
pub fn seconds_since_boot() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec().unsigned_abs()
}

/// This thread's cookie for core scheduling, 0 without one (PR_SCHED_CORE_GET of prctl(2)).
pub fn core_cookie() -> nix::Result<u64> {
    let mut cookie = 0u64;
    // SAFETY: the kernel writes eight bytes, which `cookie` has.
    let result = unsafe { libc::prctl(libc::PR_SCHED_CORE, 0, 0, 0, &raw mut cookie) };
    Errno::result(result).map(|_| cookie)
}

/// A System V shared memory segment that everybody may read.
pub struct Segment {
    key: i32,
    id: i32,
}

impl Segment {
    /// A segment with [`SEGMENT`] in it.
    pub fn new() -> Segment {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let key = (std::process::id() << 8 | COUNT.fetch_add(1, Ordering::Relaxed) & 0xff) as i32;
        // SAFETY: the kernel chooses the address; the copy fits into the segment's one page, which is taken down at once.
        let id = unsafe {
            let id = Errno::result(libc::shmget(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o666)).unwrap();
            let at = libc::shmat(id, std::ptr::null(), 0);
            assert_ne!(at as isize, -1, "shmat: {}", Errno::last());
            at.cast::<u8>().copy_from(SEGMENT.as_ptr(), SEGMENT.len());
            libc::shmdt(at);
            id
        };
        Segment { key, id }
    }

    /// By which it is found.
    pub fn key(&self) -> u64 {
        self.key as u64
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID reads no buffer.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// A key in a session of this thread's own. Processes that this thread starts inherit the session.
pub struct SessionKey(String);

impl SessionKey {
    /// A key that holds [`KEY`].
    pub fn new() -> SessionKey {
        const JOIN_SESSION_KEYRING: i32 = 1;
        const SESSION: i32 = -3;
        let description = format!("bulkhead-test-{}", std::process::id());
        let name = std::ffi::CString::new(description.clone()).unwrap();
        // SAFETY: a null name asks for a fresh keyring; the strings end in NUL, and the payload is as long as is said.
        unsafe {
            let none = std::ptr::null::<libc::c_char>();
            Errno::result(libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, none)).unwrap();
            let (kind, payload) = (c"user".as_ptr(), KEY.as_ptr());
            let key = libc::syscall(libc::SYS_add_key, kind, name.as_ptr(), payload, KEY.len(), SESSION);
            Errno::result(key).unwrap();
        }
        SessionKey(description)
    }

    /// By which it is found.
    pub fn description(&self) -> &str {
        &self.0
    }
}

/// The host's name.
pub fn name() -> String {
    nix::sys::utsname::uname().unwrap().nodename().to_string_lossy().into_owned()
}
