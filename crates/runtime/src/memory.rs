//! Where each buffer of a plan lies in the arena.
//!
//! Greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
//! 2020): the largest buffer first, each at the lowest offset where it meets no buffer that is
//! alive at the same time. On chains with short branches, which convolutional nets are, that
//! reaches the lower bound (the largest sum of simultaneously live buffers) or comes close.

use edgecut_kernels::arena::ALIGN;

/// Buffers beyond this many, the smallest, are put behind the others: bounds the quadratic work.
const MAX_GREEDY: usize = 8192;

/// Size of a buffer and the steps between which its content matters.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Size in bytes.
    pub bytes: usize,
    /// The step that writes it first.
    pub first: usize,
    /// The last step that uses it, inclusive.
    pub last: usize,
}

impl Life {
    fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn padded(&self) -> usize {
        self.bytes.next_multiple_of(ALIGN)
    }
}

/// The offset of each buffer and the size of the arena.
pub fn assign(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].bytes), lives[i].first, i));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = vec![]; // ascending by offset
    let mut total = 0usize;
    for (rank, &i) in order.iter().enumerate() {
        let offset =
            if rank < MAX_GREEDY { lowest_gap(i, lives, &placed, &offsets) } else { total };
        offsets[i] = offset;
        total = total.max(offset.saturating_add(lives[i].padded()));
        if rank < MAX_GREEDY {
            let at = placed.partition_point(|&p| offsets[p] <= offset);
            placed.insert(at, i);
        }
    }
    (offsets, total)
}

/// The lowest offset at which buffer `i` meets no placed one.
fn lowest_gap(i: usize, lives: &[Life], placed: &[usize], offsets: &[usize]) -> usize {
    let mut offset = 0;
    for &p in placed.iter().filter(|&&p| lives[p].meets(&lives[i])) {
        if offsets[p] >= offset + lives[i].padded() {
            break;
        }
        offset = offset.max(offsets[p] + lives[p].padded());
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn life(bytes: usize, first: usize, last: usize) -> Life {
        Life { bytes, first, last }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let chain = [life(640, 0, 1), life(1280, 1, 2), life(64, 2, 3), life(1024, 3, 4)];
        assert_eq!(assign(&chain).1, 640 + 1280);
    }

    proptest! {
        #[test]
        fn live_buffers_never_share_bytes(
            sizes in proptest::collection::vec((1usize..5000, 0usize..30, 0usize..6), 0..60)
        ) {
            let lives: Vec<Life> = sizes.iter().map(|&(b, f, d)| life(b, f, f + d)).collect();
            let (offsets, total) = assign(&lives);
            for i in 0..lives.len() {
                prop_assert!(offsets[i] % ALIGN == 0 && offsets[i] + lives[i].bytes <= total);
                for j in 0..i {
                    let apart = offsets[i] >= offsets[j] + lives[j].bytes
                        || offsets[j] >= offsets[i] + lives[i].bytes;
                    prop_assert!(apart || !lives[i].meets(&lives[j]), "{i} and {j}");
                }
            }
            let peak = (0..40)
                .map(|t| lives.iter().filter(|l| l.first <= t && t <= l.last).map(Life::padded).sum())
                .max()
                .unwrap_or(0);
            prop_assert!(total >= peak);
        }
    }
}
