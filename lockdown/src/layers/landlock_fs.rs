//! `landlock.fs`: no file outside the granted directories can be opened (landlock(7), ABI 1 and up).

use crate::fault::{Fault, Step};
use bulkhead_shared::message::setup::Root;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

/// Rights for a directory that is granted for reading.
fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Rights for a directory that is granted for writing: files, directories and links in it, nothing special.
fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// Denies every file system right that the kernel's Landlock knows, but for the granted directories.
pub fn apply(root: &Root) -> Result<(), Fault> {
    let step = "landlock for files";
    let mut ruleset = Ruleset::default()
        // Older ABIs lack truncate (3) and ioctl (5); what they have is taken, and the probe says whether it holds.
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .step(step)?
        .create()
        .step(step)?;
    for (index, mount) in root.mounts.iter().enumerate() {
        let directory = PathFd::new(format!("/grant/{index}")).step(step)?;
        let rights = if mount.writable { writing() } else { reading() };
        ruleset = ruleset.add_rule(PathBeneath::new(directory, rights)).step(step)?;
    }
    if root.tmp.is_some() {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new("/tmp").step(step)?, writing())).step(step)?;
    }
    match ruleset.restrict_self().step(step)?.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(Fault::new(step, "this kernel has no Landlock, or it is not among its LSMs")
            .with_cure("boot with lsm=landlock,… (see /sys/kernel/security/lsm) on Linux 5.13 or newer")),
    }
}

/// Opens the root directory: it worked before [`apply`], and must not now.
pub fn probe() -> Result<String, Fault> {
    match open_root() {
        Err(Errno::EACCES) => Ok("open(\"/\", O_RDONLY) worked before and gave EACCES after".to_owned()),
        Err(e) => Err(Fault::new("open(\"/\")", format!("gave {e}, not EACCES"))),
        Ok(()) => Err(Fault::new("open(\"/\")", "worked in spite of Landlock")),
    }
}

/// What the probe tries, for the look before the layer is applied.
pub fn open_root() -> Result<(), Errno> {
    open("/", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}
