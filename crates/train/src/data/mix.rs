//! Mixing pictures of a batch with each other: mixup (Zhang et al. 2018, arXiv:1710.09412) and cutmix
//! (Yun et al. 2019, arXiv:1905.04899).
//!
//! Each picture is mixed with the one before it in the batch, the first with the last, all in the
//! same share. The share is drawn from a Beta distribution, by a generator that is keyed by seed,
//! epoch and step.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::{Batch, DataError, Result};

/// Keeps mixing's generators apart from others under the same seed.
const STREAM: u64 = 0x6d69_7800_0000_0000;

/// Which pictures are mixed how. The default mixes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Weighted sums: both parameters of the Beta distribution, 0 to 1; 0 is off.
    pub mixup: f32,
    /// A rectangle of the other picture: the same. With both, each batch takes one at random.
    pub cutmix: f32,
}

impl Mix {
    /// Checks the fields.
    ///
    /// # Errors
    /// One that is neither 0 nor in 0.01..=1.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("mixup", self.mixup), ("cutmix", self.cutmix)] {
            if !(value == 0.0 || (0.01..=1.0).contains(&value)) {
                return Err(DataError::invalid(
                    name,
                    format!("{value}; allowed is 0, or 0.01 to 1"),
                ));
            }
        }
        Ok(())
    }

    /// The generator of one batch.
    pub(super) fn generator(seed: u64, epoch: u64, step: u64) -> Rng {
        Rng::keyed(&[STREAM, seed, epoch, step])
    }

    /// Mixes the pictures of `batch`, each `h x w x c`, and says in `batch.mixed` how.
    pub(super) fn apply(&self, batch: &mut Batch, [h, w, c]: [usize; 3], rng: &mut Rng) {
        batch.mixed.clear();
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return,
            (true, true) => rng.below(2) == 1,
            (_, cut) => cut,
        };
        let alpha = if cut { self.cutmix } else { self.mixup };
        let share = beta(f64::from(alpha), rng);
        let share = match cut {
            true => paste(batch, [h, w, c], share, rng),
            false => blend(batch, h * w * c, share),
        };
        let n = batch.n;
        let other = |i: usize| (batch.labels[(i + n - 1) % n], share);
        batch.mixed.extend((0..n).map(other));
    }
}

/// `x[i] = (1 - share) x[i] + share x[i - 1]`
fn blend(batch: &mut Batch, len: usize, share: f32) -> f32 {
    each_with_the_one_before(batch, len, |own, other| {
        own.iter_mut().zip(other).for_each(|(a, b)| *a += share * (b - *a));
    });
    share
}

/// Copies a rectangle of about `share` of the area from the picture before; its real share.
fn paste(batch: &mut Batch, [h, w, c]: [usize; 3], share: f32, rng: &mut Rng) -> f32 {
    let side = libm::sqrtf(share);
    let sides = [(side * h as f32) as usize, (side * w as f32) as usize];
    let bounds = |end: usize, side: usize, at: usize| {
        (at.saturating_sub(side / 2), (at + side - side / 2).min(end))
    };
    let (top, bottom) = bounds(h, sides[0], rng.below(h));
    let (left, right) = bounds(w, sides[1], rng.below(w));
    each_with_the_one_before(batch, h * w * c, |own, other| {
        for y in top..bottom {
            let part = (y * w + left) * c..(y * w + right) * c;
            own[part.clone()].copy_from_slice(&other[part]);
        }
    });
    ((bottom - top) * (right - left)) as f32 / (h * w) as f32
}

/// Calls `f` with each picture of `len` numbers and the one before it, as both were.
fn each_with_the_one_before(batch: &mut Batch, len: usize, f: impl Fn(&mut [f32], &[f32])) {
    let Some(last) = batch.n.checked_sub(1) else { return };
    let before_first = batch.x[last * len..][..len].to_vec();
    for i in (1..batch.n).rev() {
        let (before, own) = batch.x.split_at_mut(i * len);
        f(&mut own[..len], &before[(i - 1) * len..]);
    }
    f(&mut batch.x[..len], &before_first);
}

/// A number from the Beta distribution with both parameters `alpha`, 0 to 1 (Johnk 1964: of two powers
/// of uniform numbers whose sum is at most 1, the share of the first).
fn beta(alpha: f64, rng: &mut Rng) -> f32 {
    loop {
        let mut power = || libm::pow(f64::from(rng.uniform()), 1.0 / alpha);
        let (a, b) = (power(), power());
        if a + b <= 1.0 && a + b > 0.0 {
            return (a / (a + b)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let x = (0..4).flat_map(|i| [i as f32; 48]).collect();
        Batch { x, labels: vec![0, 1, 2, 3], n: 4, ..Batch::default() }
    }

    fn mixed(mix: Mix, step: u64) -> Batch {
        let mut batch = batch();
        mix.apply(&mut batch, [4, 4, 3], &mut Mix::generator(1, 0, step));
        batch
    }

    #[test]
    fn shares_follow_the_distribution() {
        // The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
        for alpha in [0.2, 0.8, 1.0] {
            let mut rng = Rng::new(1);
            let drawn: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng).into()).collect();
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let variance =
                drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!((mean - 0.5).abs() < 0.01, "{mean}");
            assert!((variance - 0.25 / (2.0 * alpha + 1.0)).abs() < 0.003, "{variance}");
        }
    }

    #[test]
    fn pictures_and_labels_are_mixed_in_the_same_share() {
        for mix in [Mix { mixup: 0.8, cutmix: 0.0 }, Mix { mixup: 0.0, cutmix: 1.0 }] {
            for step in 0..20 {
                let batch = mixed(mix, step);
                for (i, (x, (other, share))) in batch.x.chunks(48).zip(&batch.mixed).enumerate() {
                    let before = (i + 3) % 4;
                    assert_eq!(*other as usize, before);
                    // The pictures are constant, so their means show the shares.
                    let mean = x.iter().sum::<f32>() / 48.0;
                    let expected = i as f32 + share * (before as f32 - i as f32);
                    assert!((mean - expected).abs() < 1e-5, "{mean}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_mixed_by_default_and_both_ways_take_turns() {
        assert_eq!(mixed(Mix::default(), 0), batch());
        let both = Mix { mixup: 1.0, cutmix: 1.0 };
        assert_eq!(mixed(both, 3), mixed(both, 3));
        // Pasting leaves whole numbers.
        let whole = |step: &u64| mixed(both, *step).x.iter().all(|x| x.fract() == 0.0);
        let pasted = (0..40).filter(whole).count();
        assert!((10..30).contains(&pasted), "{pasted}");
    }
}
