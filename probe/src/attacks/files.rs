//! Files of the host: by path, by games with paths, by descriptor, by handle.

use super::{
    Attack, attack,
    sys_unsafe::{
        CWD, PLAIN, at, borrowed, descriptor, fd, holds_secret, into, reads, reads_at, sys, text, writable, zeros,
    },
};
use crate::{Came, calls_unsafe, files};
use bulkhead_shared::message::attack::Targets;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::os::fd::AsFd;

const FILE: u64 = 0o600 | libc::S_IFREG as u64;

fn secret(t: &Targets) -> String {
    format!("{}/secret", t.folder)
}

fn in_folder(t: &Targets, name: &str) -> String {
    format!("{}/{name}", t.folder)
}

/// The first place where the function gets through: in the target's directory, in a private /tmp, in a granted directory.
fn somewhere(t: &Targets, name: &str, make: impl Fn(&str) -> Came) -> nix::Result<String> {
    let mut last = Errno::ENOENT;
    for place in [t.folder.as_str(), "/tmp", "/grant/0"] {
        let path = format!("{place}/{name}-{}", std::process::id());
        match make(&path) {
            Ok(()) => return Ok(path),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

fn unlink(path: &str) -> Came {
    sys(libc::SYS_unlinkat, [CWD, text(path).at(), 0])
}

pub const ATTACKS: &[Attack] = &[
    attack("read", "reads a file of the host by its path", |t| reads(&secret(t), t)),
    attack("read-dot-dot", "the same path from the root upwards: /../../..", |t| {
        reads(&format!("/../../../../../..{}", secret(t)), t)
    }),
    attack("read-doubled-slashes", "the same path with doubled slashes and dots", |t| {
        reads(&secret(t).replace('/', "//.//"), t)
    }),
    attack("read-trailing-slash", "the directory by a path that ends in slashes, then the file in it", |t| {
        let folder = format!("{}///", t.folder);
        reads_at(open(folder.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?.as_fd(), "secret", t)
    }),
    attack("read-symlink", "reads it through a symbolic link of the host's", |t| reads(&in_folder(t, "link"), t)),
    attack("read-made-symlink", "makes a symbolic link to it, and reads through that", |t| {
        let link =
            somewhere(t, "made-link", |path| sys(libc::SYS_symlinkat, [text(&secret(t)).at(), CWD, text(path).at()]))?;
        let came = reads(&link, t);
        unlink(&link)?;
        came
    }),
    attack("read-made-hard-link", "makes a hard link to it, and reads that", |t| {
        let link = somewhere(t, "made-hard", |path| {
            sys(libc::SYS_linkat, [CWD, text(&secret(t)).at(), CWD, text(path).at(), 0])
        })?;
        let came = reads(&link, t);
        unlink(&link)?;
        came
    }),
    attack("read-above-grant", "climbs out of a granted directory by `..`", |t| {
        let path = format!("/grant/0/../../../../../..{}", secret(t));
        // Where nothing is granted the directory of the target stands for one.
        reads(&path, t).or_else(|_| reads(&format!("{}/../../../../../..{}", t.folder, secret(t)), t))
    }),
    attack("read-from-descriptor", "goes from every descriptor that is open upwards to the file", |t| {
        let up = format!("../../../../../../../..{}", secret(t));
        (0..256).map(|number| reads_at(borrowed(number), &up, t)).find(Result::is_ok).unwrap_or(Err(Errno::EBADF))
    }),
    attack("read-after-fchdir", "changes into every descriptor that is open, and looks around", |t| {
        let up = format!("../../../../../../../..{}", secret(t));
        let goes = |number| sys(libc::SYS_fchdir, [number]).and_then(|()| reads(&up, t));
        (0..256).map(goes).find(Result::is_ok).unwrap_or(Err(Errno::EBADF))
    }),
    attack("read-inherited", "reads the file by a descriptor that somebody left open", |t| {
        (3..256).map(|number| holds_secret(borrowed(number), t)).find(Result::is_ok).unwrap_or(Err(Errno::EBADF))
    }),
    attack("write", "opens a file of the host for writing", |t| writable(&in_folder(t, "writable"))),
    attack("read-write", "opens it for both", |t| {
        open(in_folder(t, "writable").as_str(), OFlag::O_RDWR | PLAIN, Mode::empty()).map(drop)
    }),
    attack("append", "opens it for appending", |t| {
        open(in_folder(t, "writable").as_str(), OFlag::O_WRONLY | OFlag::O_APPEND | PLAIN, Mode::empty()).map(drop)
    }),
    attack("create", "makes a file, and removes it", |t| files::create(&in_folder(t, "created"))),
    attack("create-without-name", "makes a file that has no name (O_TMPFILE)", |t| {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        open(t.folder.as_str(), flags, Mode::from_bits_truncate(0o600)).map(drop)
    }),
    attack("list", "lists a directory of the host", |t| files::list(&t.folder)),
    attack("open-path", "takes hold of a file without opening it (O_PATH)", |t| {
        open(secret(t).as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
    }),
    attack("open-host-root", "opens / and finds the target's directory in it", |t| {
        let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        reads_at(root.as_fd(), secret(t).trim_start_matches('/'), t)
    }),
    attack("openat2", "opens the file by the call that hides its flags behind a pointer", |t| {
        let how = zeros::<3>();
        let file = descriptor(libc::SYS_openat2, [CWD, text(&secret(t)).at(), at(&how), 24])?;
        holds_secret(file.as_fd(), t)
    }),
    attack("statx", "asks for size and times of the file", |t| {
        sys(libc::SYS_statx, [CWD, text(&secret(t)).at(), 0, 0x7ff, into(&mut zeros::<64>())])
    }),
    attack("newfstatat", "the same by newfstatat(2)", |t| {
        sys(libc::SYS_newfstatat, [CWD, text(&secret(t)).at(), into(&mut zeros::<64>()), 0])
    }),
    attack("faccessat", "asks whether the file may be read", |t| {
        sys(libc::SYS_faccessat, [CWD, text(&secret(t)).at(), libc::R_OK as u64])
    }),
    attack("faccessat2", "the same by faccessat2(2)", |t| {
        sys(libc::SYS_faccessat2, [CWD, text(&secret(t)).at(), libc::R_OK as u64, 0])
    }),
    attack("readlinkat", "reads where a link of the host's points to", |t| {
        sys(libc::SYS_readlinkat, [CWD, text(&in_folder(t, "link")).at(), into(&mut zeros::<64>()), 512])
    }),
    attack("statfs", "asks for the file system of the directory", |t| {
        sys(libc::SYS_statfs, [text(&t.folder).at(), into(&mut zeros::<32>())])
    }),
    attack("chdir", "makes the directory its own working directory", |t| sys(libc::SYS_chdir, [text(&t.folder).at()])),
    attack("truncate", "cuts a file of the host to the size that it has", |t| {
        sys(libc::SYS_truncate, [text(&in_folder(t, "writable")).at(), 0])
    }),
    attack("fchmodat", "changes the mode of a file to what it is", |t| {
        sys(libc::SYS_fchmodat, [CWD, text(&in_folder(t, "writable")).at(), 0o666])
    }),
    attack("fchmodat2", "the same by fchmodat2(2)", |t| {
        const FCHMODAT2: libc::c_long = 452;
        sys(FCHMODAT2, [CWD, text(&in_folder(t, "writable")).at(), 0o666, 0])
    }),
    attack("fchownat", "changes the owner of a file to nobody in particular", |t| {
        sys(libc::SYS_fchownat, [CWD, text(&in_folder(t, "writable")).at(), u32::MAX.into(), u32::MAX.into(), 0])
    }),
    attack("utimensat", "changes the times of a file", |t| {
        sys(libc::SYS_utimensat, [CWD, text(&in_folder(t, "writable")).at(), 0, 0])
    }),
    attack("setxattr", "gives a file an extended attribute", |t| {
        let (name, value) = (text("user.bulkhead"), text("x"));
        sys(libc::SYS_setxattr, [text(&in_folder(t, "writable")).at(), name.at(), value.at(), 1, 0])
    }),
    attack("getxattr", "asks for an extended attribute that is not there", |t| {
        let mut value = zeros::<8>();
        sys(libc::SYS_getxattr, [text(&secret(t)).at(), text("user.none").at(), into(&mut value), 64])
    })
    .reaching(&[Errno::ENODATA]),
    attack("listxattr", "lists the extended attributes of a file", |t| {
        sys(libc::SYS_listxattr, [text(&secret(t)).at(), into(&mut zeros::<64>()), 512])
    }),
    attack("mkdir", "makes a directory, and removes it", |t| {
        let path = text(&in_folder(t, "made"));
        sys(libc::SYS_mkdirat, [CWD, path.at(), 0o700])?;
        sys(libc::SYS_unlinkat, [CWD, path.at(), libc::AT_REMOVEDIR as u64])
    }),
    attack("mknod-file", "makes a file by mknodat(2)", |t| {
        sys(libc::SYS_mknodat, [CWD, text(&in_folder(t, "node")).at(), FILE, 0])?;
        unlink(&in_folder(t, "node"))
    }),
    attack("mknod-device", "makes a device file: /dev/null by another name", |t| {
        let path = in_folder(t, "device");
        let kind = u64::from(libc::S_IFCHR | 0o600);
        sys(libc::SYS_mknodat, [CWD, text(&path).at(), kind, libc::makedev(1, 3)])?;
        unlink(&path)
    }),
    attack("rename", "gives a file another name, and back", |t| {
        let (one, other) = (text(&in_folder(t, "writable")), text(&in_folder(t, "renamed")));
        sys(libc::SYS_renameat, [CWD, one.at(), CWD, other.at()])?;
        sys(libc::SYS_renameat, [CWD, other.at(), CWD, one.at()])
    }),
    attack("renameat2-exchange", "exchanges two files, twice", |t| {
        let (one, other) = (text(&in_folder(t, "writable")), text(&in_folder(t, "secret")));
        let exchange = || sys(libc::SYS_renameat2, [CWD, one.at(), CWD, other.at(), libc::RENAME_EXCHANGE.into()]);
        exchange().and_then(|()| exchange())
    }),
    attack("name-to-handle", "asks for a handle of the file", |t| {
        let mut handle = zeros::<20>();
        handle[0] = 128;
        let mut mount = 0u64;
        let path = text(&secret(t));
        sys(libc::SYS_name_to_handle_at, [CWD, path.at(), into(&mut handle), into(&mut mount), 0])
    }),
    attack("open-by-handle", "opens the file by its handle, from whatever can be opened or is open", |t| {
        let (kind, bytes) = &t.handle;
        let mut handle = (bytes.len() as u32).to_ne_bytes().to_vec();
        handle.extend(kind.to_ne_bytes());
        handle.extend(bytes);
        let opened = [t.folder.as_str(), "/", "/tmp", "/grant/0"]
            .map(|path| open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | PLAIN, Mode::empty()));
        let mut last = Errno::EBADF;
        for mount in opened.iter().flatten().map(fd).chain(0..64).chain([CWD]) {
            match descriptor(libc::SYS_open_by_handle_at, [mount, at(handle.as_slice()), libc::O_RDONLY as u64]) {
                Ok(file) => return holds_secret(file.as_fd(), t),
                Err(errno) => last = errno,
            }
        }
        Err(last)
    }),
    attack("execute", "asks for a program of the host's to be executed", |_| {
        calls_unsafe::execute("/bin/sh").unwrap_or(Err(Errno::ENOTSUP))
    }),
    attack("execute-by-execve", "executes a program whose name is at no address", |_| sys(libc::SYS_execve, [0; 3]))
        .reaching(&[Errno::EFAULT]),
    attack("inotify", "watches a directory of the host", |t| {
        let watch = descriptor(libc::SYS_inotify_init1, [libc::IN_CLOEXEC as u64])?;
        sys(libc::SYS_inotify_add_watch, [fd(&watch), text(&t.folder).at(), libc::IN_OPEN.into()])
    }),
    attack("fanotify", "asks to be told of every file that is opened", |_| {
        descriptor(libc::SYS_fanotify_init, [0, 0]).map(drop)
    }),
    attack("device-memory", "opens /dev/mem", |_| files::read("/dev/mem")),
    attack("device-kmsg", "opens /dev/kmsg", |_| files::read("/dev/kmsg")),
    attack("device-null", "opens /dev/null", |_| writable("/dev/null")),
    attack("device-terminal", "makes a terminal of its own (/dev/ptmx)", |_| {
        open("/dev/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY | PLAIN, Mode::empty()).map(drop)
    }),
    attack("shared-memory-folder", "makes a file in /dev/shm, and removes it", |_| {
        files::create(&format!("/dev/shm/bulkhead-probe-{}", std::process::id()))
    }),
    attack("password-file", "opens /etc/shadow", |_| files::read("/etc/shadow")),
];
