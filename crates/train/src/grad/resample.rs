//! Resampling: weighted sums along one or two dimensions.

use edgecut_kernels::resample::{Taps, resample};

use super::operator::{Backward, Forward, Operator};

/// `[h, w, channels]` to as many rows and columns as there are taps.
#[derive(Debug)]
pub(crate) struct Resample {
    image: [usize; 3],
    rows: Taps,
    columns: Taps,
    /// The same weights, from output to input.
    back: [Taps; 2],
}

/// The weights of each output position along one dimension.
pub(crate) type Weights = Vec<Vec<(usize, f32)>>;

impl Resample {
    pub fn new([h, w, channels]: [usize; 3], rows: &Weights, columns: &Weights) -> Resample {
        let taps = |weights: &Weights| Taps::new(weights.iter().map(|w| w.iter().copied()));
        Resample {
            image: [h, w, channels],
            rows: taps(rows),
            columns: taps(columns),
            back: [taps(&turned(rows, h)), taps(&turned(columns, w))],
        }
    }
}

/// For each of `len` inputs, the outputs that it counts in.
fn turned(weights: &Weights, len: usize) -> Weights {
    let mut back = vec![vec![]; len];
    for (output, taps) in weights.iter().enumerate() {
        taps.iter().for_each(|&(input, weight)| back[input].push((output, weight)));
    }
    back
}

impl Operator for Resample {
    fn kind(&self) -> &'static str {
        "resample"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        resample(cx.env.ctx, self.image, &self.rows, &self.columns, cx.reads.get(0), z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            let image = [self.rows.len(), self.columns.len(), self.image[2]];
            let [rows, columns] = &self.back;
            resample(cx.env.ctx, image, rows, columns, cx.dz, dx);
        }
    }
}
