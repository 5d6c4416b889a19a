//! Only an input that can no longer change is looked at.

use bulkhead_compiler::mapping_unsafe::Mapping;
use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{fs::File, io::Write as _, os::fd::OwnedFd};

fn memfd(content: &[u8], seals: SealFlag) -> OwnedFd {
    let mut file = File::from(memfd_create("input", MFdFlags::MFD_ALLOW_SEALING).expect("a memfd"));
    file.write_all(content).expect("room");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("seals");
    file.into()
}

fn error(memfd: OwnedFd, bytes: u64) -> String {
    Mapping::new(memfd, bytes).err().expect("an error").to_string()
}

#[test]
fn sealed_input_is_mapped_as_it_is() {
    let mapping = Mapping::new(memfd(b"\0asm", SealFlag::all() - SealFlag::F_SEAL_FUTURE_WRITE), 4).expect("mapped");
    assert_eq!(mapping.as_slice(), b"\0asm");
}

#[test]
fn empty_input_is_an_empty_slice() {
    let mapping = Mapping::new(memfd(b"", SealFlag::all() - SealFlag::F_SEAL_FUTURE_WRITE), 0).expect("mapped");
    assert_eq!(mapping.as_slice(), b"");
}

#[test]
fn input_that_lacks_one_of_the_seals_is_refused() {
    let all = [SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_SHRINK];
    let missing = |lacking: SealFlag| all.into_iter().filter(|&seal| seal != lacking).collect::<SealFlag>();
    let errors = all.map(|lacking| error(memfd(b"\0asm", missing(lacking)), 4));
    assert!(errors.iter().all(|e| e.contains("not sealed")), "{errors:?}");
}

#[test]
fn input_of_another_size_than_the_job_says_is_refused() {
    let sealed = || memfd(b"\0asm", SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK);
    assert!(error(sealed(), 5).contains("4 bytes, the job says 5"));
    assert!(error(sealed(), 3).contains("4 bytes, the job says 3"));
}
