//! What the processor says of itself.

/// Whether it is a virtual one (CPUID leaf 1, ECX bit 31), or does not say. A hypervisor can show each thread of a core as a core of
/// its own.
pub fn may_be_virtual() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::x86_64::__cpuid(1).ecx >> 31 == 1;
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}
