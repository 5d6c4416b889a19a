use super::*;
use crate::{memfd::Digest, skip};
use bulkhead_shared::{
    describe::Kind,
    message::worker::{Engine, Interrupt},
};
use std::{
    os::unix::fs::{FileExt, PermissionsExt, chown, symlink},
    process::Command,
    thread,
};
use tempfile::TempDir;

const CODE: &[u8] = &[0x90; 3000];

fn key(n: u32) -> Key {
    let engine = Engine { interpreter: false, interrupt: Interrupt::Kill, stack: 1 << 20 };
    Key::new(&Digest::of(&n.to_le_bytes()), &engine, "compiler")
}

fn description() -> Description {
    Description { kind: Kind::Module, command: None, imports: vec![], exports: vec![] }
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed::copy_bytes(bytes, 1 << 30).unwrap()
}

fn content(code: &Sealed) -> Vec<u8> {
    let mut bytes = vec![0; code.bytes() as usize];
    assert_eq!(code.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

/// A cache in a new directory with one entry, and that entry's path.
fn with_entry() -> (TempDir, Cache, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    cache.put(&key(1), &description(), &sealed(CODE)).unwrap();
    let path = cache.path().join(key(1).file_name());
    (dir, cache, path)
}

fn names(cache: &Cache) -> Vec<String> {
    let name = |e: io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(cache.path()).unwrap().map(name).collect()
}

#[test]
fn entry_comes_back_as_it_was_put() {
    let (_dir, cache, path) = with_entry();

    let entry = cache.get(&key(1)).unwrap();

    assert_eq!(entry.description, description());
    assert_eq!(content(&entry.code), CODE);
    assert!(cache.get(&key(2)).is_none());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(cache.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn one_changed_byte_anywhere_makes_the_entry_absent_and_removes_it() {
    let (_dir, cache, path) = with_entry();
    let whole = std::fs::read(&path).unwrap();
    // Every byte of header and description, and some of the code.
    let offsets = (0..Header::BYTES + 40).chain((Header::BYTES + 40..whole.len()).step_by(97));

    for offset in offsets.chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x41;
        std::fs::write(&path, &bytes).unwrap();

        assert!(cache.get(&key(1)).is_none(), "byte {offset}");
        assert!(!path.exists(), "byte {offset}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(cache.get(&key(1)).is_some());
}

#[test]
fn truncated_or_extended_entry_is_absent_and_removed() {
    let (_dir, cache, path) = with_entry();
    let whole = std::fs::read(&path).unwrap();

    for length in (0..whole.len()).step_by(37).chain([whole.len() - 1, whole.len() + 1]) {
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        std::fs::write(&path, &bytes).unwrap();

        assert!(cache.get(&key(1)).is_none(), "{length} bytes");
        assert!(!path.exists(), "{length} bytes");
    }
}

#[test]
fn entry_of_another_key_is_absent() {
    let (_dir, cache, path) = with_entry();
    std::fs::rename(&path, cache.path().join(key(2).file_name())).unwrap();

    assert!(cache.get(&key(2)).is_none());
    assert!(names(&cache).is_empty());
}

#[test]
fn entry_that_claims_sizes_beyond_all_memory_is_absent() {
    let (_dir, cache, path) = with_entry();

    for (description_bytes, code_bytes) in [(u64::MAX, 1), (1, u64::MAX), (0, 1 << 50), (1 << 40, 0)] {
        let mut header = Header { key: key(1), description_bytes, code_bytes, digest: Digest([0; 32]) };
        header.digest = header.digest_over(b"", Digest::of(b""));
        let file = File::create(&path).unwrap();
        file.write_all_at(&header.encode(), 0).unwrap();
        let _ = file.set_len(header.file_bytes().unwrap_or(0));

        assert!(cache.get(&key(1)).is_none());
        assert!(!path.exists());
    }
}

#[test]
fn entry_that_is_no_plain_file_of_ours_is_absent_and_removed() {
    let (dir, cache, path) = with_entry();
    let outside = dir.path().join("outside");
    std::fs::rename(&path, &outside).unwrap();

    symlink(&outside, &path).unwrap();
    assert!(cache.get(&key(1)).is_none());
    assert!(!path.is_symlink() && outside.exists());

    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert!(cache.get(&key(1)).is_none());
    assert!(!path.exists());

    std::fs::create_dir(&path).unwrap();
    assert!(cache.get(&key(1)).is_none());
    assert!(!path.exists());

    std::fs::copy(&outside, &path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).unwrap();
    assert!(cache.get(&key(1)).is_none());
    assert!(!path.exists());
}

#[test]
fn foreign_owner_of_entry_or_directory_is_refused() {
    if skip::without_root("foreign_owner_of_entry_or_directory_is_refused") {
        return;
    }
    let (_dir, cache, path) = with_entry();
    chown(&path, Some(4242), None).unwrap();

    assert!(cache.get(&key(1)).is_none());
    assert!(!path.exists());

    chown(cache.path(), Some(4242), None).unwrap();
    let error = Cache::open(cache.path()).unwrap_err().to_string();
    assert!(error.contains("belongs to user 4242") && error.contains("chown"), "{error}");
}

#[test]
fn directory_that_is_a_link_or_open_to_others_is_refused_with_a_cure() {
    let (dir, cache, _) = with_entry();
    let link = dir.path().join("link");
    symlink(cache.path(), &link).unwrap();
    let error = |path: &Path| Cache::open(path).unwrap_err().to_string();

    assert!(error(&link).contains("is a symbolic link"));
    assert!(error(&link.join("")).contains("is a symbolic link"));
    assert!(error(&link.join(".")).contains("is a symbolic link"));
    for mode in [0o720, 0o702] {
        std::fs::set_permissions(cache.path(), PermissionsExt::from_mode(mode)).unwrap();
        assert!(error(cache.path()).contains("chmod go-w"));
    }
    assert!(error(&dir.path().join("link/entry/\0")).contains("cannot open the cache directory"));
}

#[test]
fn entries_used_longest_ago_make_room() {
    let (_dir, cache, path) = with_entry();
    let size = path.metadata().unwrap().len();
    let cache = cache.with_max_bytes(3 * size);
    let age = |n: u32, seconds: u64| {
        let file = File::options().write(true).open(cache.path().join(key(n).file_name())).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    cache.put(&key(2), &description(), &sealed(CODE)).unwrap();
    cache.put(&key(3), &description(), &sealed(CODE)).unwrap();
    age(1, 3000);
    age(2, 2000);
    age(3, 1000);
    // Used now, hence kept although it is the oldest.
    assert!(cache.get(&key(1)).is_some());

    cache.put(&key(4), &description(), &sealed(CODE)).unwrap();

    assert!(cache.get(&key(2)).is_none());
    assert!([1, 3, 4].iter().all(|n| cache.get(&key(*n)).is_some()));
}

#[test]
fn entry_beyond_the_bound_is_refused_and_nothing_makes_room_for_it() {
    let (_dir, cache, path) = with_entry();
    let cache = cache.with_max_bytes(path.metadata().unwrap().len());

    let error = cache.put(&key(2), &description(), &sealed(&[0; 4000])).unwrap_err();

    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(cache.get(&key(1)).is_some());
}

#[test]
fn entry_larger_than_the_bound_of_this_broker_is_absent() {
    let (_dir, cache, path) = with_entry();
    let cache = cache.with_max_bytes(path.metadata().unwrap().len() - 1);

    assert!(cache.get(&key(1)).is_none());
    assert!(!path.exists());
}

#[test]
fn note_comes_back_unless_it_is_damaged_or_open_to_others() {
    let (_dir, cache, _) = with_entry();
    cache.put_note("battery", b"all refused");
    let path = cache.path().join("battery.note");
    let whole = std::fs::read(&path).unwrap();

    assert_eq!(cache.note("battery").as_deref(), Some(b"all refused".as_slice()));
    assert_eq!(cache.note("other"), None);
    for offset in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.note("battery"), None);
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(cache.note("battery").is_some());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o602)).unwrap();
    assert_eq!(cache.note("battery"), None);
}

#[test]
fn what_a_dead_broker_was_writing_goes_and_what_is_being_written_and_foreign_files_stay() {
    let (_dir, cache, _) = with_entry();
    let (_writing, name) = cache.directory.create_temporary().unwrap();
    let leave = || {
        for name in [".new-abandoned", "notes.txt"] {
            File::create(cache.path().join(name)).unwrap();
        }
    };
    let expected = || {
        let mut names = names(&cache);
        names.sort();
        assert!(names.contains(&name) && names.contains(&"notes.txt".into()), "{names:?}");
        names.len()
    };

    leave();
    cache.put(&key(2), &description(), &sealed(CODE)).unwrap();
    assert_eq!(expected(), 4);

    leave();
    Cache::open(cache.path()).unwrap();
    assert_eq!(expected(), 4);
}

#[test]
fn a_temporary_file_that_was_taken_for_abandoned_is_made_anew() {
    let (_dir, cache, _) = with_entry();
    let cleaning = std::sync::atomic::AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while cleaning.load(std::sync::atomic::Ordering::Relaxed) {
                cache.directory.remove_abandoned();
            }
        });
        for n in 10..300 {
            let put = cache.put(&key(n), &description(), &sealed(CODE));
            assert!(put.is_ok() && cache.get(&key(n)).is_some(), "{put:?}");
        }
        cleaning.store(false, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn full_disk_is_an_error_of_its_own_and_leaves_nothing() {
    if skip::without_root("full_disk_is_an_error_of_its_own_and_leaves_nothing") {
        return;
    }
    // A mount namespace of this thread alone: the mount goes with it.
    thread::spawn(|| {
        use nix::{
            mount::{MsFlags, mount},
            sched::{CloneFlags, unshare},
        };
        let dir = tempfile::tempdir().unwrap();
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();

        let error = cache.put(&key(1), &description(), &sealed(&[1; 128 * 1024])).unwrap_err();

        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert!(names(&cache).is_empty());
        cache.put(&key(1), &description(), &sealed(CODE)).unwrap();
        drop(cache);
        nix::mount::umount(dir.path()).unwrap();
    })
    .join()
    .unwrap();
}

/// Puts and gets what is there from the beginning: it is always there, and whole.
fn hammer(cache: &Cache, seed: u32) {
    for round in 0..60 {
        let n = 10 + (seed + round) % 3;
        let code = code_of(n);
        match round % 2 {
            0 => cache.put(&key(n), &description(), &sealed(&code)).unwrap(),
            _ => assert!(cache.get(&key(n)).is_some_and(|entry| content(&entry.code) == code)),
        }
    }
}

fn code_of(n: u32) -> Vec<u8> {
    vec![n as u8; 20_000 + n as usize]
}

const HAMMERED: &str = "BULKHEAD_TEST_CACHE";

#[test]
fn hammering_process() {
    if let Some(path) = std::env::var_os(HAMMERED) {
        hammer(&Cache::open(Path::new(&path)).unwrap(), std::process::id());
    }
}

#[test]
fn threads_and_processes_share_a_cache() {
    let (_dir, cache, _) = with_entry();
    (10..13).for_each(|n| cache.put(&key(n), &description(), &sealed(&code_of(n))).unwrap());
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::tests::hammering_process"])
            .env(HAMMERED, cache.path())
            .output()
            .unwrap()
    };

    thread::scope(|scope| {
        let children: Vec<_> = (0..3).map(|_| scope.spawn(child)).collect();
        (0..3).for_each(|seed| {
            drop(scope.spawn({
                let cache = &cache;
                move || hammer(cache, seed)
            }))
        });
        for child in children {
            let output = child.join().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
        }
    });

    assert!((10..13).all(|n| cache.get(&key(n)).is_some()));
    assert!(names(&cache).iter().all(|name| name.ends_with(directory::SUFFIX)));
}
