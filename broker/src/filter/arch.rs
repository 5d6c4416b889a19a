//! The architectures that Bulkhead makes filters for.

use super::numbers;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("Bulkhead knows the system calls of x86_64 and aarch64 only");

use std::{fmt, sync::OnceLock};

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86, without the x32 ABI.
    X86_64,
    /// 64-bit ARM, little-endian.
    Aarch64,
}

/// First number of the x32 ABI, which shares its architecture with x86_64 (`__X32_SYSCALL_BIT`).
pub const X32: u32 = 0x4000_0000;

impl Arch {
    /// Every one.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The one that this program was built for.
    pub const HOST: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// AUDIT_ARCH of linux/audit.h, as seccomp reports it.
    pub const fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::Aarch64 => 0xc000_00b7,
        }
    }

    /// The architecture with this AUDIT_ARCH.
    pub fn from_audit(audit: u32) -> Option<Arch> {
        Arch::ALL.into_iter().find(|a| a.audit() == audit)
    }

    /// Its name in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// Its system calls, by number.
    pub const fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Arch::X86_64 => numbers::X86_64,
            Arch::Aarch64 => numbers::AARCH64,
        }
    }

    /// The number of the system call of this name.
    pub fn number(self, name: &str) -> Option<u32> {
        self.table().iter().find(|(n, _)| *n == name).map(|(_, number)| *number)
    }

    /// The name of the system call of this number.
    pub fn syscall(self, number: u32) -> Option<&'static str> {
        let table = self.table();
        table.binary_search_by_key(&number, |(_, n)| *n).ok().map(|index| table[index].0)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Every name of a system call that an architecture has, sorted.
pub fn syscall_names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: Vec<_> = Arch::ALL.iter().flat_map(|a| a.table()).map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        names
    })
}
