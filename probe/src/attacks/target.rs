//! What attacks aim at: a neighbour, with files, sockets, memory and keys of its own, that tells afterwards what was done to it.

use super::sys_unsafe::{at, descriptor, fd, into, number, sys, text};
use bulkhead_lockdown::sys_unsafe::is_open;
use bulkhead_shared::message::attack::{Targets, Touched};
use nix::{
    fcntl::{OFlag, open},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        stat::Mode,
    },
    time::{ClockId, clock_gettime},
    unistd::mkdtemp,
};
use std::{
    fs,
    io::{self, ErrorKind, Read},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, symlink},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
};

/// The neighbour. What it made in the host goes with it.
pub struct Target {
    targets: Targets,
    /// Stays where it is: others read it by its address.
    secret: Box<[u8; 16]>,
    folder: PathBuf,
    _file: OwnedFd,
    tcp: Vec<TcpListener>,
    udp: UdpSocket,
    unix: Vec<UnixListener>,
    signals: SignalFd,
    _queue: Option<OwnedFd>,
}

impl Target {
    /// Makes everything.
    ///
    /// # Errors
    /// What cannot be made that every host has.
    pub fn new() -> io::Result<Target> {
        let secret = Box::new(random()?);
        // Attacks and their controls, which may be root's, change files here by their paths: another user of the host who could
        // put a link in the place of one would have them change any file. So the outer directory is nobody's to list or write,
        // and the inner one's name nobody's to guess.
        let folder = mkdtemp(&std::env::temp_dir().join("bulkhead-probe-XXXXXX"))?;
        let inner = folder.join(format!("{:032x}", u128::from_ne_bytes(random()?)));
        let made = Target::within(&folder, &inner, secret);
        if made.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        made
    }

    fn within(outer: &Path, folder: &Path, secret: Box<[u8; 16]>) -> io::Result<Target> {
        fs::create_dir(folder)?;
        put(&folder.join("secret"), &*secret, 0o644)?;
        put(&folder.join("writable"), b"", 0o666)?;
        symlink(folder.join("secret"), folder.join("link"))?;
        let name = format!(
            "bulkhead-probe-{}-{:x}",
            std::process::id(),
            u32::from_ne_bytes([secret[0], secret[1], secret[2], secret[3]])
        );
        // Outside: /proc/net/unix tells everybody where it is.
        let socket = outer.join("socket");
        let by_path = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
        let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let tcp6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok();
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGURG);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let file = open(&folder.join("secret"), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        // Whoever knows the name may look, read and write: what keeps a worker out must be its layers, not these modes.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
        fs::set_permissions(outer, fs::Permissions::from_mode(0o711))?;
        let (queue, queue_name) = queue(&name);
        let targets = Targets {
            folder: folder.display().to_string(),
            socket: socket.display().to_string(),
            secret: *secret,
            handle: handle(&folder.join("secret")),
            pid: std::process::id().cast_signed(),
            secret_at: at(&*secret),
            secret_fd: file.as_raw_fd(),
            tcp: tcp.local_addr()?.port(),
            tcp6: tcp6.as_ref().and_then(|listener| listener.local_addr().ok()).map_or(0, |address| address.port()),
            udp: udp.local_addr()?.port(),
            abstract_name: name.clone(),
            shm: shared(&secret),
            queue: queue_name,
            key: key(&name, &secret),
            user: nix::unistd::getuid().as_raw(),
            host_name: nix::unistd::gethostname()?.to_string_lossy().into_owned(),
            uptime: clock_gettime(ClockId::CLOCK_BOOTTIME)?.tv_sec().cast_unsigned(),
            protocols: protocols(),
            memory: 0,
            open_files: 0,
            file_size: 0,
        };
        let tcp: Vec<_> = [Some(tcp), tcp6].into_iter().flatten().collect();
        for listener in &tcp {
            listener.set_nonblocking(true)?;
        }
        let unix = vec![by_path, by_name];
        for listener in &unix {
            listener.set_nonblocking(true)?;
        }
        udp.set_nonblocking(true)?;
        Ok(Target { targets, secret, folder: outer.to_owned(), _file: file, tcp, udp, unix, signals, _queue: queue })
    }

    /// What to aim at.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What was done to it.
    pub fn touched(&self) -> Touched {
        let mut marks = Vec::new();
        let mut mark = |done: bool, what: &str| marks.extend(done.then(|| what.to_owned()));
        mark(*self.secret != self.targets.secret, "its memory was changed");
        let folder = Path::new(&self.targets.folder);
        let content = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        mark(content("secret") != self.targets.secret, "its secret was changed");
        mark(!content("writable").is_empty(), "its file was written");
        let known = ["secret", "writable", "link"];
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        mark(
            !names.map(|entry| entry.file_name()).all(|name| known.iter().any(|known| name == *known)),
            "a file was made beside it",
        );
        mark(self.tcp.iter().any(|listener| came(listener.accept())), "it was connected to by TCP");
        mark(self.unix.iter().any(|listener| came(listener.accept())), "it was connected to by a unix socket");
        mark(came(self.udp.recv(&mut [0; 16])), "it was sent a datagram");
        mark(matches!(self.signals.read_signal(), Ok(Some(_))), "it was sent a signal");
        mark(!is_open(self.targets.secret_fd), "its descriptor was closed");
        Touched { marks }
    }

    /// Waits for the end of its input.
    pub fn wait(&self) {
        let _ = io::stdin().read_to_end(&mut Vec::new());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        if self.targets.shm >= 0 {
            let _ = sys(libc::SYS_shmctl, [self.targets.shm as u64, libc::IPC_RMID as u64, 0]);
        }
        if !self.targets.queue.is_empty() {
            let _ = sys(libc::SYS_mq_unlink, [text(&self.targets.queue).at()]);
        }
    }
}

/// Whether anybody came. Waiting is no error.
fn came<T>(result: io::Result<T>) -> bool {
    !matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    number(libc::SYS_getrandom, [into(&mut bytes), 16, 0])?;
    Ok(bytes)
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The handle of a file: its type and bytes, or type 0.
fn handle(path: &Path) -> (i32, Vec<u8>) {
    let mut handle = [0u32; 34];
    handle[0] = 128;
    let mut mount = 0u64;
    let path = text(&path.display().to_string());
    let args = [super::sys_unsafe::CWD, path.at(), into(&mut handle), into(&mut mount), 0];
    match sys(libc::SYS_name_to_handle_at, args) {
        Ok(()) => {
            let bytes = handle[2..].iter().flat_map(|word| word.to_ne_bytes()).take(handle[0] as usize).collect();
            (handle[1].cast_signed(), bytes)
        }
        Err(_) => (0, Vec::new()),
    }
}

/// System V shared memory with the secret in it, open to everybody; -1 where there is none.
fn shared(secret: &[u8; 16]) -> i32 {
    let Ok(id) = number(libc::SYS_shmget, [0, 4096, 0o1666]) else { return -1 };
    match number(libc::SYS_shmat, [id, 0, 0]) {
        Ok(address) => super::code_unsafe::put_at(address, secret),
        Err(_) => {
            let _ = sys(libc::SYS_shmctl, [id, libc::IPC_RMID as u64, 0]);
            return -1;
        }
    }
    id as i32
}

/// A message queue, open to everybody, and its name.
fn queue(name: &str) -> (Option<OwnedFd>, String) {
    let attributes = [0u64, 1, 16, 0, 0, 0, 0, 0];
    let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC) as u64;
    match descriptor(libc::SYS_mq_open, [text(name).at(), flags, 0o666, at(&attributes)]) {
        Ok(queue) => {
            // The mask of this process must not keep others out.
            let _ = sys(libc::SYS_fchmod, [fd(&queue), 0o666]);
            (Some(queue), name.to_owned())
        }
        Err(_) => (None, String::new()),
    }
}

/// A key that its user may read, in the keyring of this process; 0 where there are none.
fn key(name: &str, secret: &[u8; 16]) -> i32 {
    const PROCESS: u64 = -2i64 as u64;
    const SETPERM: u64 = 5;
    /// Everything for its possessor, and for its user and everybody to view, read and search.
    const OPEN: u64 = 0x3f0b_0b0b;
    let (kind, name) = (text("user"), text(name));
    let Ok(key) = number(libc::SYS_add_key, [kind.at(), name.at(), at(secret), 16, PROCESS]) else { return 0 };
    match sys(libc::SYS_keyctl, [SETPERM, key, OPEN]) {
        Ok(()) => key as i32,
        Err(_) => 0,
    }
}

/// What stands first in each line of /proc/net/protocols.
fn protocols() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root's attacks follow links here: whoever can put one in the place of a file would have them change any other.
    #[test]
    fn other_users_of_the_host_cannot_find_what_attacks_write_to() {
        let target = Target::new().unwrap();
        let folder = Path::new(&target.targets.folder);
        let outer = folder.parent().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;

        assert_eq!((mode(outer), mode(folder)), (0o711, 0o777));
        assert_eq!(folder.file_name().unwrap().len(), 32, "nobody's to guess");
        for table in ["/proc/net/unix", "/proc/locks", "/proc/self/mountinfo", "/proc/self/cmdline"] {
            let text = fs::read(table).unwrap();
            let name = folder.file_name().unwrap().as_encoded_bytes();
            assert!(!text.windows(32).any(|window| window == name), "{table} tells it");
        }
        let outer = outer.to_owned();
        drop(target);
        assert!(!outer.exists());
    }
}
