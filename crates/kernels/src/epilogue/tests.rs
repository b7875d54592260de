use super::*;
use crate::elementwise::{Unary, unary_in_place};
use crate::gemm::{PackedB, gemm};
use crate::testing::{cases, everywhere, random};
use proptest::prelude::*;

const ACTIVATIONS: [(Activation, Unary); 6] = [
    (Activation::RELU, Unary::RELU),
    (Activation::Clamp(-0.25, 6.0), Unary::Clamp(-0.25, 6.0)),
    (Activation::HardSwish, Unary::HardSwish),
    (Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, Unary::HardSigmoid(0.2, 0.5)),
    (Activation::Sigmoid, Unary::Sigmoid),
    (Activation::Silu, Unary::Silu),
];

/// The identity: its product is `x` itself, with the epilogue applied.
fn through_a_product(ctx: crate::Ctx, x: &[f32], epilogue: &Epilogue) -> Vec<f32> {
    let mut out = vec![f32::NAN; epilogue.width(x.len())];
    gemm(ctx, x.len(), x, 1, &PackedB::pack(1, 1, &[1.0]), &mut out, epilogue.step(), epilogue);
    out
}

#[test]
fn fused_and_separate_activations_have_the_same_bits() {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, 3.0, -3.0];
    let sweep = (-12_000..12_000).map(|i| i as f32 * 0.01);
    let bits = (0..40_000u32).map(|i| f32::from_bits(i * 107_374)).filter(|x| !x.is_nan());
    // A sum starts at +0, so -0 comes out of a product as +0.
    let x: Vec<f32> = special.into_iter().chain(sweep).chain(bits).map(|x| x + 0.0).collect();
    for (activation, function) in ACTIVATIONS {
        let fused = everywhere(|ctx| through_a_product(ctx, &x, &Epilogue::activated(activation)));
        let separate = everywhere(|ctx| {
            let mut y = x.clone();
            unary_in_place(ctx, function, &mut y);
            y
        });
        for (i, (a, b)) in fused.iter().zip(&separate).enumerate() {
            assert!(
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
                "{activation:?} of {}: {a} and {b}",
                x[i]
            );
        }
    }
}

#[test]
fn nan_passes_every_activation() {
    for (activation, _) in ACTIVATIONS {
        let y = everywhere(|ctx| {
            let y = through_a_product(ctx, &[f32::NAN], &Epilogue::activated(activation));
            vec![f32::from(u8::from(y[0].is_nan()))]
        });
        assert_eq!(y, [1.0], "{activation:?}");
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn interleaving_puts_the_other_matrix_at_even_places(
        m in 1usize..20, k in 1usize..9, n in 1usize..90, gap in 0usize..4, seed: u64,
    ) {
        let (a, b, even) = (
            random(m * k, seed), random(k * n, seed ^ 1), random(m * (n + gap), seed ^ 2),
        );
        let packed = PackedB::pack(k, n, &b);
        let ldc = 2 * n + gap;
        let got = everywhere(|ctx| {
            let mut c = vec![7.0; m * ldc];
            let epilogue = Epilogue {
                interleave: Some((&even, n + gap)),
                ..Epilogue::activated(Activation::RELU)
            };
            gemm(ctx, m, &a, k, &packed, &mut c, ldc, &epilogue);
            c
        });
        let plain = everywhere(|ctx| {
            let mut c = vec![0.0; m * n];
            gemm(ctx, m, &a, k, &packed, &mut c, n, &Epilogue::activated(Activation::RELU));
            c
        });
        for (i, row) in got.chunks_exact(ldc).enumerate() {
            for (j, pair) in row[..2 * n].chunks_exact(2).enumerate() {
                prop_assert_eq!(pair, [even[i * (n + gap) + j], plain[i * n + j]]);
            }
            prop_assert!(row[2 * n..].iter().all(|&x| x == 7.0));
        }
    }
}
