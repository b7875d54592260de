use super::*;
use crate::testing::{cases, random};
use proptest::prelude::*;

simd_fn! {
    /// The results of all operations on 16 lanes, and of the masked ones on the first `n`.
    fn operations(s: Simd, a: &[f32], b: &[f32], c: &[f32], n: usize) -> Vec<f32> {
        let exact = |x: &[f32]| x[..n].to_vec();
        let mask = s.first(n);
        // SAFETY: there are 16 of each; of the copies n, as many as the masks have lanes, of which
        // `doubled` has 2n.
        unsafe {
            let [x, y, z] = [a, b, c].map(|x| s.load(x[..LANES].as_ptr()));
            let zero = s.splat(0.0);
            let shifted = s.add(s.clamp(x, s.splat(-126.0), s.splat(126.0)), s.splat(crate::exp::ROUND));
            let mut results = vec![
                s.add(x, y), s.sub(x, y), s.mul(x, y), s.div(x, y), s.negate(x), s.fma(x, y, z),
                s.max(x, y), s.min(x, y), s.max(y, x), s.min(y, x), s.clamp(x, zero, y),
                s.if_between(x, y, z, y), s.load_first(exact(a).as_ptr(), mask),
            ];
            results.extend(s.powers_of_two(shifted));
            results.extend(s.interleave(x, y));
            results.extend(s.halves(x));
            let mut out = vec![7.0; results.len() * LANES];
            for (out, v) in out.chunks_exact_mut(LANES).zip(results) {
                s.store(out.as_mut_ptr(), v);
            }
            let mut square: Vec<f32> = (0..LANES * LANES).map(|i| i as f32).collect();
            square[..LANES].copy_from_slice(&a[..LANES]);
            let mut turned = vec![7.0; LANES * (LANES + 3)];
            s.transpose(square.as_ptr(), LANES, turned.as_mut_ptr(), LANES + 3);
            let mut some = vec![7.0; n];
            s.store_first(some.as_mut_ptr(), x, mask);
            let mut more = vec![7.0; 2 * n];
            let [low, high] = s.doubled(mask);
            s.store_first(more.as_mut_ptr(), x, low);
            s.store_first(more.as_mut_ptr().wrapping_add(LANES), y, high);
            [out, some, more, turned].concat()
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn operations_give_the_same_bits(seed: u64, n in 0..=LANES, special in 0usize..8) {
        let wild = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, f32::MAX, 1.0];
        let operand = |i: u64| {
            let mut x: Vec<f32> = random(LANES, seed ^ i).iter().map(|x| x * 100.0).collect();
            for (lane, x) in x.iter_mut().enumerate().skip(special).step_by(3) {
                *x = wild[(lane + special * i as usize + seed as usize % 8) % 8];
            }
            x
        };
        let (a, b, c) = (operand(1), operand(2), operand(3));
        let want = operations(Isa::SCALAR, &a, &b, &c, n);
        for isa in Isa::available() {
            let got = operations(isa, &a, &b, &c, n);
            // Which of two NaNs is the result is the machine's choice.
            let bits = |x: &[f32]| -> Vec<u32> {
                x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }.to_bits()).collect()
            };
            prop_assert_eq!(bits(&got), bits(&want), "{}", isa.name());
        }
    }
}
