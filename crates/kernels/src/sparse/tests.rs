use super::*;
use crate::blob::{Mapping, read_with, write_with};
use crate::gemm::{PackedB, gemm};
use crate::testing::{cases, everywhere, random};
use crate::{Activation, Epilogue, Isa};
use proptest::prelude::*;

/// A matrix `[k, n]` in which a share of the weights is zero, alone, of every four input channels, or
/// of blocks of outputs.
fn matrix(k: usize, n: usize, pattern: usize, share: f32, seed: u64) -> Vec<f32> {
    let (values, chance) = (random(k * n, seed), random(k * n, seed ^ 1));
    let zero = |i: usize| {
        let (row, column) = (i / n, i % n);
        match pattern {
            0 => chance[i] < 2.0 * share - 1.0,
            1 => (row + (chance[row / 4 * 4 * n + column] * 2.0) as usize) % 4 < 2,
            _ => chance[row * n + column / pattern * pattern] < 2.0 * share - 1.0,
        }
    };
    values.iter().enumerate().map(|(i, &w)| if zero(i) { 0.0 } else { w }).collect()
}

/// Rows of x, `lda` apart, times the matrix, one chain of fused multiply-adds an output, which leaves
/// zeros out.
fn plain(m: usize, x: &[f32], lda: usize, n: usize, matrix: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for (i, y) in out.iter_mut().enumerate() {
        let (pixel, output) = (i / n, i % n);
        *y = bias[output];
        for (x, row) in x[pixel * lda..].iter().zip(matrix.chunks_exact(n)) {
            if row[output] != 0.0 {
                *y = x.mul_add(row[output], *y);
            }
        }
    }
    out
}

/// The bits of floats, zeros without their sign.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| (x + 0.0).to_bits()).collect()
}

proptest! {
    #![proptest_config(cases(96))]

    /// The bits of the plain twin and of the dense product, for every pattern, epilogue and cut.
    #[test]
    fn products_are_those_of_the_plain_twin(
        (m, k, n) in (1usize..200, 0usize..150, 1usize..80),
        pattern in 0usize..6,
        share in 0.0f32..1.0,
        (tail, wider) in (0usize..4, 0usize..5),
        seed: u64,
    ) {
        let (lda, ldc) = (k + wider, n + wider);
        let x = random((m - 1) * lda + k, seed ^ 2);
        let matrix = matrix(k, n, pattern, share, seed);
        let (bias, residual) = (random(n, seed ^ 3), random(m * n, seed ^ 4));
        let epilogue = Epilogue {
            bias: Some(&bias),
            residual: (tail == 1).then_some((&residual, n)),
            activation: match tail {
                0 => Activation::None,
                1 | 2 => Activation::Clamp(-0.5, 1.0),
                _ => Activation::HardSwish,
            },
            interleave: (tail == 2).then_some((&residual, n)),
            ..Epilogue::default()
        };
        let ldc = epilogue.width(ldc);
        let size = (m - 1) * ldc + epilogue.width(n);
        let packed = Weights::pack(k, n, &matrix);
        let sparse = everywhere(|ctx| {
            let mut out = vec![7.0; size];
            let mut scratch = vec![f32::NAN; product_scratch_len(m, &packed, ctx.pool.threads())];
            product(ctx, m, &x, lda, &packed, &mut out, ldc, &epilogue, &mut scratch);
            out
        });
        let alone = everywhere(|ctx| {
            let mut out = vec![7.0; size];
            let mut scratch = vec![f32::NAN; scratch_len(m, &packed)];
            rows(ctx.isa, m, &x, lda, &packed, &mut out, ldc, &epilogue, &mut scratch);
            out
        });
        prop_assert_eq!(bits(&sparse), bits(&alone));
        let dense = everywhere(|ctx| {
            let mut out = vec![7.0; size];
            gemm(ctx, m, &x, lda, &PackedB::pack(k, n, &matrix), &mut out, ldc, &epilogue);
            out
        });
        prop_assert_eq!(bits(&sparse), bits(&dense));
        if tail == 0 {
            let want = plain(m, &x, lda, n, &matrix, &bias);
            let got: Vec<f32> = sparse.chunks(ldc).flat_map(|row| row[..n].to_vec()).collect();
            prop_assert_eq!(bits(&got), bits(&want));
        }
    }

    /// What is stored is what is not zero, in blocks what blocks hold.
    #[test]
    fn zeros_are_not_stored(k in 1usize..150, n in 1usize..80, pattern in 0usize..9, seed: u64) {
        let matrix = matrix(k, n, pattern, 0.8, seed);
        let packed = Weights::pack(k, n, &matrix);
        let zeros = matrix.iter().filter(|&&w| w == 0.0).count();
        if packed.group() == 1 {
            prop_assert_eq!(packed.macs(), k * n - zeros);
        }
        if pattern % 4 == 0 && pattern > 0 && n % 4 == 0 && packed.macs() > 0 {
            prop_assert_eq!(packed.group(), 4);
            prop_assert_eq!(packed.macs(), k * n - zeros);
        }
    }
}

/// Full weights, few pixels and few channels stay dense; blocks pay before single weights do.
#[test]
fn what_pays_has_few_weights() {
    let pays = |m, k, n, pattern, share| pays(m, k, n, &matrix(k, n, pattern, share, 1));
    assert!(!pays(196, 512, 512, 0, 0.0) && pays(196, 512, 512, 0, 0.8));
    assert!(!pays(196, 512, 512, 0, 0.5) && pays(196, 512, 512, 4, 0.5));
    assert!(!pays(1, 512, 512, 0, 0.8) && !pays(12544, 8, 16, 0, 0.8));
    assert!(!pays(0, 0, 0, 0, 0.8));
}

/// A weight that is zero adds nothing, whatever it meets.
#[test]
fn what_a_zero_meets_does_not_matter() {
    let matrix = [0.0, 1.0, 2.0, 0.0, 0.0, 0.0];
    let packed = Weights::pack(3, 2, &matrix);
    let x = [3.0, 5.0, f32::INFINITY];
    let got = everywhere(|ctx| {
        let mut out = vec![0.0; 2];
        let mut scratch = vec![0.0; scratch_len(1, &packed)];
        rows(ctx.isa, 1, &x, 3, &packed, &mut out, 2, &Epilogue::default(), &mut scratch);
        out
    });
    assert_eq!(got, [10.0, 3.0]);
}

/// Reads weights as from a packed file.
fn read(json: &str, data: &[u8]) -> Result<Weights, serde_json::Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), data).unwrap();
    let mapping = Mapping::open(file.path()).unwrap();
    read_with(&mapping, 0..data.len(), || serde_json::from_str(json))
}

/// Weights that were written are read, and those that do not add up are refused. Wrong places are
/// wrong numbers, nothing worse.
#[test]
fn weights_survive_writing_and_are_checked() {
    let packed = Weights::pack(100, 20, &matrix(100, 20, 0, 0.7, 3));
    let (json, data) = write_with(|| serde_json::to_string(&packed).unwrap());
    assert_eq!(read(&json, &data.bytes).unwrap(), packed);
    for [from, to] in
        [["\"k\":100", "\"k\":129"], ["\"n\":20", "\"n\":21"], ["\"group\":1", "\"group\":3"]]
    {
        let wrong = json.replacen(from, to, 1);
        assert!(wrong != json && read(&wrong, &data.bytes).is_err(), "{wrong}");
    }
    // The counts are the first array, the places the second.
    let mut bytes = data.bytes.clone();
    bytes[data.arrays[0].range.start] ^= 1;
    assert!(read(&json, &bytes).unwrap_err().to_string().contains("do not add up"));
    let mut bytes = data.bytes.clone();
    bytes[data.arrays[1].range.clone()].fill(255);
    let wrong = read(&json, &bytes).unwrap();
    let (x, mut scratch) = (random(500, 5), vec![0.0; scratch_len(5, &wrong)]);
    let mut out = vec![f32::NAN; 100];
    let none = Epilogue::default();
    rows(Isa::detect(), 5, &x, 100, &wrong, &mut out, 20, &none, &mut scratch);
    assert!(out.iter().all(|y| !y.is_nan()));
}
