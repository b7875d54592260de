//! Any function of a byte, by table.
//!
//! With AVX-512 VBMI the table is four registers: one instruction picks 64 bytes from two of them by
//! the lower seven bits, and the eighth selects between two such results. On AArch64 each of four
//! lookups of 64 bytes leaves what lies outside of its part as it is. Other machines read the table
//! byte by byte, which costs them less than sixteen shuffles.

use super::Affine;
use crate::{Ctx, Isa};

/// Elements that one task computes.
const CHUNK: usize = 16 * 1024;

/// The table of `function` from bytes of `x` to bytes of `y`: activations, and changes of scale.
pub fn lookup_table(x: Affine, y: Affine, function: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|q| y.quantize(function(x.dequantize(q as u8))))
}

/// `y = table[x]` for every element.
///
/// # Panics
/// If the slices differ in length.
pub fn lookup(ctx: Ctx, x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "operands of one size");
    ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
        lookup_row(ctx.isa, &x[i * CHUNK..][..y.len()], table, y);
    });
}

/// As [`lookup`], on the calling thread.
///
/// # Panics
/// If the slices differ in length.
pub fn lookup_row(isa: Isa, x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "operands of one size");
    #[cfg(target_arch = "x86_64")]
    if isa.permutes_bytes() {
        // SAFETY: the CPU has these instructions.
        return unsafe { permute(x, table, y) };
    }
    #[cfg(target_arch = "aarch64")]
    if isa.level() == crate::Level::Neon {
        // SAFETY: an Isa of this level proves that the CPU has Advanced SIMD.
        return unsafe { look_up(x, table, y) };
    }
    let _ = isa;
    plain(x, table, y);
}

fn plain(x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[usize::from(x)];
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn permute(x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    use std::arch::x86_64::*;
    // SAFETY: each load is of 64 of the 256 bytes.
    let part = |i: usize| unsafe { _mm512_loadu_si512(table[64 * i..].as_ptr().cast()) };
    let (a, b, c, d) = (part(0), part(1), part(2), part(3));
    for (x, y) in x.chunks(64).zip(y.chunks_mut(64)) {
        let mask = u64::MAX >> (64 - x.len());
        // SAFETY: the mask has as many bytes as both slices.
        unsafe {
            let x = _mm512_maskz_loadu_epi8(mask, x.as_ptr().cast());
            let low = _mm512_permutex2var_epi8(a, x, b);
            let high = _mm512_permutex2var_epi8(c, x, d);
            let bytes = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
            if y.len() == 64 {
                _mm512_storeu_si512(y.as_mut_ptr().cast(), bytes);
            } else {
                _mm512_mask_storeu_epi8(y.as_mut_ptr().cast(), mask, bytes);
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn look_up(x: &[u8], table: &[u8; 256], y: &mut [u8]) {
    use std::arch::aarch64::*;
    // SAFETY: each load is of 64 of the 256 bytes.
    let part = |i: usize| unsafe { vld1q_u8_x4(table[64 * i..].as_ptr()) };
    let parts = [part(0), part(1), part(2), part(3)];
    let (whole, rest) = x.as_chunks::<16>();
    let (y, last) = y.split_at_mut(x.len() - rest.len());
    for (x, y) in whole.iter().zip(y.chunks_exact_mut(16)) {
        // SAFETY: both are 16 bytes.
        unsafe {
            let x = vld1q_u8(x.as_ptr());
            let mut bytes = vqtbl4q_u8(parts[0], x);
            bytes = vqtbx4q_u8(bytes, parts[1], vsubq_u8(x, vdupq_n_u8(64)));
            bytes = vqtbx4q_u8(bytes, parts[2], vsubq_u8(x, vdupq_n_u8(128)));
            bytes = vqtbx4q_u8(bytes, parts[3], vsubq_u8(x, vdupq_n_u8(192)));
            vst1q_u8(y.as_mut_ptr(), bytes);
        }
    }
    plain(rest, table, last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::tests::bytes;

    #[test]
    fn every_instruction_set_reads_the_table() {
        let table: [u8; 256] = bytes(256, 7).try_into().expect("256 bytes");
        for len in [0, 1, 15, 16, 63, 64, 65, 300] {
            // All bytes occur in the longest.
            let x: Vec<u8> = (0..len).map(|i| (i * 77 % 256) as u8).collect();
            let want: Vec<u8> = x.iter().map(|&q| table[usize::from(q)]).collect();
            for isa in Isa::available() {
                let mut y = vec![0; len];
                lookup_row(isa, &x, &table, &mut y);
                assert_eq!(y, want, "{len} bytes on {}", isa.name());
            }
        }
    }

    #[test]
    fn table_of_the_identity_is_the_identity() {
        let affine = Affine::new(0.02, 100);
        let table = lookup_table(affine, affine, |x| x);
        assert!((0..=255u8).all(|q| table[usize::from(q)] == q));
    }
}
