//! Pictures that a small network learns in seconds.

use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_train::data::{Dataset, Memory, Preprocess};

/// Pixels of a side.
pub const SIDE: usize = 12;

/// Stripes of four directions and random phase in noise.
pub fn stripes(count: usize, seed: u64) -> Arc<dyn Dataset> {
    let mut rng = Rng::new(seed);
    let (mut pixels, mut labels) = (vec![], vec![]);
    for i in 0..count {
        let (class, phase) = (i % 4, rng.below(4));
        for place in 0..SIDE * SIDE {
            let (row, column) = (place / SIDE, place % SIDE);
            let along = [row, column, row + column, row + SIDE - column][class];
            let light = if (along + phase) % 4 < 2 { 170 } else { 80 };
            pixels.push((light + rng.below(60)) as u8);
        }
        labels.push(class as u32);
    }
    let classes = ["rows", "columns", "falling", "rising"].map(String::from).to_vec();
    Arc::new(Memory::new(pixels, labels, [SIDE, SIDE, 1], classes).unwrap())
}

pub fn preprocess() -> Preprocess {
    Preprocess::plain([SIDE, SIDE, 1], vec![0.5], vec![0.25])
}
