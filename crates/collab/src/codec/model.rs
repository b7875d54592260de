//! Probabilities of bits.
//!
//! The bits of a level, from the most significant on, are a path in a binary tree whose nodes are
//! numbered as in a heap: the root is 1, and below node n lie 2 n and 2 n + 1. A node's bit has five
//! probabilities: the neighbours' levels, as far as they are known, say whether it is likely.

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// What neighbours may say.
pub(super) const CONTEXTS: usize = 5;

/// Binary digits of a probability in the coder.
pub(super) const PRECISION: usize = 15;

/// How slowly probabilities follow the bits: by 2^-RATE of the way.
const RATE: u32 = 6;

/// How many bits of its node count as much as those that a context has seen itself.
const TRUST: f64 = 8.0;

/// Probabilities of a class of channels, in 65536ths that the bit is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Class {
    pub bits: u8,
    /// For each node, whatever the neighbours are.
    pub nodes: Vec<u16>,
    /// For each node and context.
    pub contexts: Vec<[u16; CONTEXTS]>,
}

/// How often bits were 0 and 1, for each node and context.
pub(super) struct Counts(Vec<[[u32; 2]; CONTEXTS]>);

impl Counts {
    pub fn new(bits: u8) -> Counts {
        Counts(vec![[[0; 2]; CONTEXTS]; 1 << bits])
    }

    pub fn add(&mut self, node: usize, context: usize, bit: bool) {
        self.0[node][context][usize::from(bit)] += 1;
    }

    pub fn class(&self, bits: u8) -> Class {
        let share = |[zeros, ones]: [f64; 2]| ones / (zeros + ones);
        let number = |share: f64| (share * 65536.0).round().clamp(32.0, 65504.0) as u16;
        let (mut nodes, mut contexts) = (vec![], vec![]);
        for counts in &self.0 {
            let sum = |bit: usize| counts.iter().map(|c| f64::from(c[bit])).sum::<f64>();
            let node = share([sum(0) + 0.5, sum(1) + 0.5]);
            nodes.push(number(node));
            contexts.push(counts.map(|[zeros, ones]| {
                let [zeros, ones] = [f64::from(zeros), f64::from(ones)];
                number(share([zeros + TRUST * (1.0 - node), ones + TRUST * node]))
            }));
        }
        Class { bits, nodes, contexts }
    }
}

/// What the neighbours say of the next bit of an element with the higher bits `prefix`: how their
/// mean, to the same plane, lies to the middle between the two levels that it may have.
pub(super) fn context(prefix: u8, [left, above]: [u8; 2]) -> usize {
    let middle = 4 * i32::from(prefix) + 1;
    (i32::from(left) + i32::from(above) - middle).clamp(-2, 2).wrapping_add(2) as usize
}

/// Probabilities of all classes while a tensor is coded.
pub(super) struct Adaptive(Vec<Vec<[u16; CONTEXTS]>>);

impl Adaptive {
    pub fn new(classes: &[Class]) -> Adaptive {
        Adaptive(classes.iter().map(|class| class.contexts.clone()).collect())
    }

    /// The probabilities of class `class`.
    pub fn class(&mut self, class: u16) -> &mut [[u16; CONTEXTS]] {
        &mut self.0[usize::from(class)]
    }
}

/// Moves a probability towards the bit that was seen; it stays away from 0 and 1.
pub(super) fn follow(probability: &mut u16, bit: bool) {
    let p = *probability;
    *probability = if bit { p + ((u16::MAX - p) >> RATE) } else { p - (p >> RATE) };
}

/// The distribution of one bit.
#[derive(Clone, Copy)]
pub(super) struct Bit {
    /// That it is 0, of 2^PRECISION.
    zero: u16,
}

impl Bit {
    pub fn new(one: u16) -> Bit {
        let whole = 1 << PRECISION;
        Bit { zero: (whole - (one >> 1)).clamp(1, whole - 1) }
    }

    fn part(self, bit: bool) -> (u16, NonZeroU16) {
        let (start, share) =
            if bit { (self.zero, (1 << PRECISION) - self.zero) } else { (0, self.zero) };
        // Both parts are above 0 by construction.
        (start, NonZeroU16::new(share).unwrap_or(NonZeroU16::MIN))
    }
}

impl EntropyModel<PRECISION> for Bit {
    type Symbol = bool;
    type Probability = u16;
}

impl EncoderModel<PRECISION> for Bit {
    #[inline]
    fn left_cumulative_and_probability(
        &self,
        bit: impl std::borrow::Borrow<bool>,
    ) -> Option<(u16, NonZeroU16)> {
        Some(self.part(*bit.borrow()))
    }
}

impl DecoderModel<PRECISION> for Bit {
    #[inline]
    fn quantile_function(&self, quantile: u16) -> (bool, u16, NonZeroU16) {
        let bit = quantile >= self.zero;
        let (start, share) = self.part(bit);
        (bit, start, share)
    }
}

/// The mean level below each node of a class; for the leaves, which follow, the level itself.
pub(super) struct Means(Vec<f32>);

impl Means {
    pub fn of(class: &Class) -> Means {
        let count = 1usize << class.bits;
        let mut means = vec![0f32; 2 * count];
        for level in 0..count {
            means[count + level] = level as f32;
        }
        for node in (1..count).rev() {
            let one = f32::from(class.nodes[node]) / 65536.0;
            means[node] = means[2 * node] + one * (means[2 * node + 1] - means[2 * node]);
        }
        Means(means)
    }

    pub fn level(&self, node: usize) -> f32 {
        self.0[node]
    }
}
