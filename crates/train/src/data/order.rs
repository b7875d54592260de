//! In which order an epoch visits the samples.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::Dataset;

/// Keeps the generator of epoch orders apart from others under the same seed.
const STREAM: u64 = 0x6f72_6465_7200_0000;

/// How an epoch draws its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// In the set's order.
    InOrder,
    /// Every sample once, in a new order each epoch.
    #[default]
    Shuffled,
    /// As many samples as the set has, the same number of each class: those of small classes several
    /// times, some of large ones not at all in an epoch.
    Balanced,
}

impl Sampling {
    /// The samples of `epoch`, as many as the set has.
    pub(super) fn order(self, set: &dyn Dataset, seed: u64, epoch: u64) -> Vec<u32> {
        let mut rng = Rng::keyed(&[STREAM, seed, epoch]);
        let mut order: Vec<u32> = (0..set.len() as u32).collect();
        match self {
            Sampling::InOrder => order,
            Sampling::Shuffled => {
                rng.shuffle(&mut order);
                order
            }
            Sampling::Balanced => balanced(set, &mut rng),
        }
    }
}

/// Rounds of one sample of each class, classes in random order; a class whose samples have all been
/// drawn is shuffled anew.
fn balanced(set: &dyn Dataset, rng: &mut Rng) -> Vec<u32> {
    let mut classes = vec![vec![]; set.classes().len()];
    (0..set.len()).for_each(|i| classes[set.label(i) as usize].push(i as u32));
    classes.retain(|class| !class.is_empty());
    let mut left = vec![0; classes.len()];
    let mut order = Vec::with_capacity(set.len());
    let mut round: Vec<usize> = (0..classes.len()).collect();
    while order.len() < set.len() {
        rng.shuffle(&mut round);
        for &class in round.iter().take(set.len() - order.len()) {
            if left[class] == 0 {
                rng.shuffle(&mut classes[class]);
                left[class] = classes[class].len();
            }
            left[class] -= 1;
            order.push(classes[class][left[class]]);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    /// `counts[k]` samples of class k.
    fn set(counts: &[usize]) -> Memory {
        let labels: Vec<u32> =
            counts.iter().zip(0..).flat_map(|(&n, class)| vec![class; n]).collect();
        let names = (0..counts.len()).map(|k| k.to_string()).collect();
        Memory::new(vec![0; labels.len()], labels, [1, 1, 1], names).unwrap()
    }

    #[test]
    fn balanced_epochs_have_all_classes_alike() {
        let set = set(&[50, 7, 0, 3]);
        let order = Sampling::Balanced.order(&set, 1, 0);
        let drawn = |class| order.iter().filter(|&&i| set.label(i as usize) == class).count();
        assert_eq!([0, 1, 2, 3].map(drawn), [20, 20, 0, 20]);
        // Before a sample comes again, all of its class have come.
        let rare: Vec<u32> = order.iter().copied().filter(|&i| i >= 57).take(3).collect();
        assert!(rare.contains(&57) && rare.contains(&58) && rare.contains(&59), "{rare:?}");
        assert_eq!(order, Sampling::Balanced.order(&set, 1, 0));
        assert_ne!(order, Sampling::Balanced.order(&set, 1, 1));
    }

    #[test]
    fn shuffled_epochs_are_permutations() {
        let set = set(&[5, 6]);
        let mut order = Sampling::Shuffled.order(&set, 1, 4);
        assert_ne!(order, Sampling::InOrder.order(&set, 1, 4));
        order.sort_unstable();
        assert_eq!(order, Sampling::InOrder.order(&set, 1, 4));
    }
}
