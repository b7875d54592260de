//! Whether AMX may be used.

use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::OnceLock;

/// Bits of leaf 7 that say what tiles multiply.
pub(crate) const BF16: u32 = 1 << 22;
pub(crate) const INT8: u32 = 1 << 25;

/// AMX with these products, in the form that the kernels configure, that the system saves, and that
/// this process may use.
pub(crate) fn have(products: u32) -> bool {
    static TILES: OnceLock<bool> = OnceLock::new();
    let usable = || cpu_has_tiles() && system_saves_tiles() && permitted();
    *TILES.get_or_init(usable) && __cpuid_count(7, 0).edx & products == products
}

/// Leaf 7: AMX-TILE (bit 24). Leaf 0x1D: palette 1 has 8 registers of 16 rows of 64 bytes.
fn cpu_has_tiles() -> bool {
    if __cpuid_count(0, 0).eax < 0x1d {
        return false;
    }
    let palette = __cpuid_count(0x1d, 1);
    __cpuid_count(7, 0).edx & 1 << 24 != 0
        && __cpuid_count(0x1d, 0).eax >= 1
        && palette.ebx == 8 << 16 | 64
        && palette.ecx & 0xffff == 16
}

/// Bits 17 and 18 of XCR0: the system saves the tile configuration and the tiles.
fn system_saves_tiles() -> bool {
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: register 0 exists wherever the instruction does.
        unsafe { _xgetbv(0) }
    }
    let (tiles, osxsave) = (3 << 17, 1 << 27);
    if __cpuid_count(1, 0).ecx & osxsave == 0 {
        return false;
    }
    // SAFETY: OSXSAVE says that the instruction may be used.
    unsafe { saved() & tiles == tiles }
}

/// Asks Linux for the 8 KiB of tiles per thread, for this process and all of its threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that touches no memory of this process; the kernel overwrites rcx
    // and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}
