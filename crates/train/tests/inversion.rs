//! An attacker who draws pictures of what crosses.

use edgecut_graph::Tensor;
use edgecut_graph::rng::Rng;
use edgecut_train::inversion::{Attack, invert};

/// Smooth pictures, and what is left of them.
fn pairs(keep: impl Fn(&[f32]) -> (Vec<usize>, Vec<f32>)) -> [Vec<Tensor>; 2] {
    let mut rng = Rng::new(4);
    let mut crossing = vec![];
    let mut pictures = vec![];
    for _ in 0..96 {
        let [a, b, c]: [f32; 3] = std::array::from_fn(|_| rng.uniform());
        let value = |i: usize| {
            let (y, x) = ((i / 8) as f32 / 8.0, (i % 8) as f32 / 8.0);
            (0.5 * a + 0.3 * b * y + 0.3 * c * x).clamp(0.0, 1.0)
        };
        let pixels: Vec<f32> = (0..64).map(value).collect();
        let (shape, kept) = keep(&pixels);
        crossing.push(Tensor::new(shape, kept).unwrap());
        pictures.push(Tensor::new([1, 1, 8, 8], pixels).unwrap());
    }
    [crossing, pictures]
}

#[test]
fn what_crosses_can_be_drawn_and_what_does_not_cannot() {
    let attack = Attack { steps: 150, seed: 1, threads: 1 };
    let all = pairs(|pixels| (vec![1, 1, 8, 8], pixels.iter().map(|p| 5.0 - 3.0 * p).collect()));
    let open = invert(&all[0], &all[1], &attack).unwrap();
    let nothing = pairs(|_| (vec![1, 2], vec![1.0, 1.0]));
    let closed = invert(&nothing[0], &nothing[1], &attack).unwrap();
    assert!(open.psnr_db > open.blind_db + 8.0, "{open:?}");
    assert!(closed.psnr_db < closed.blind_db + 1.0, "{closed:?}");
    assert_eq!(open, invert(&all[0], &all[1], &Attack { threads: 2, ..attack }).unwrap());
}

#[test]
fn odd_pairs_are_refused() {
    let attack = Attack { steps: 1, seed: 1, threads: 1 };
    let [crossing, pictures] = pairs(|pixels| (vec![1, 1, 8, 8], pixels.to_vec()));
    let says = |crossing: &[Tensor], part: &str| {
        let error = invert(crossing, &pictures, &attack).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    says(&crossing[..4], "4 and 96 samples");
    let thirds = pairs(|pixels| (vec![1, 1, 3, 3], pixels[..9].to_vec()))[0].clone();
    says(&thirds, "do not grow to 8x8");
}
