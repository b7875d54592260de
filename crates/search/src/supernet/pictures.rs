//! Pictures for networks whose inputs have different sizes.

use std::borrow::Cow;
use std::sync::Arc;

use edgecut_train::data::{Batch, Dataset, Loader, LoaderOptions, Preprocess};
use edgecut_train::plan::Extent;

use crate::error::{Result, SearchError};

/// Prepared pictures, in batches, to judge networks by.
#[derive(Clone, Debug)]
pub struct Pictures {
    batches: Vec<Batch>,
    extent: Extent,
}

impl Pictures {
    /// The first `most` pictures of `set` in batches of `batch`.
    ///
    /// # Errors
    /// A picture that cannot be read or prepared.
    pub fn prepare(
        set: &Arc<dyn Dataset>,
        preprocess: &Preprocess,
        batch: usize,
        most: usize,
    ) -> Result<Pictures> {
        let options = LoaderOptions::evaluation(batch.min(most.max(1)));
        let mut loader = Loader::new(set.clone(), preprocess, &options).map_err(from_data)?;
        let (mut batches, mut left) = (vec![], most);
        while left > 0
            && let Some(batch) = loader.next_batch().map_err(from_data)?
        {
            // The last one may be too long.
            let n = batch.n.min(left);
            let image = batch.x.len() / batch.n.max(1);
            let (x, labels) = (batch.x[..n * image].to_vec(), batch.labels[..n].to_vec());
            batches.push(Batch { x, labels, n, ..Batch::default() });
            left -= n;
        }
        Ok(Pictures { batches, extent: extent(preprocess) })
    }

    /// The batches, none of them empty.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Height, width and channels of each.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.n).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// What `preprocess` makes of a picture.
pub(super) fn extent(preprocess: &Preprocess) -> Extent {
    Extent { h: preprocess.height, w: preprocess.width, c: preprocess.channels.count() }
}

pub(super) fn from_data(error: edgecut_train::data::DataError) -> SearchError {
    SearchError::Train(error.into())
}

/// `x`, whole pictures of the extent `from` in NHWC, brought to the extent `to`: bilinear with
/// antialiasing, as preparing them at that size does but for the rounding of pixels.
///
/// # Errors
/// Where the channels differ.
pub(super) fn scaled(x: &[f32], from: Extent, to: Extent) -> Result<Cow<'_, [f32]>> {
    if from == to {
        return Ok(Cow::Borrowed(x));
    }
    if from.c != to.c {
        let problem = format!("pictures have {} channels, the network takes {}", from.c, to.c);
        return Err(SearchError::Input(problem));
    }
    let (rows, columns) = (taps(from.h, to.h), taps(from.w, to.w));
    let mut out = Vec::with_capacity(x.len() / from.len().max(1) * to.len());
    let mut narrow = vec![0.0; from.h * to.w * to.c];
    for picture in x.chunks_exact(from.len()) {
        for (line, target) in
            picture.chunks_exact(from.w * from.c).zip(narrow.chunks_exact_mut(to.w * to.c))
        {
            for (taps, pixel) in columns.iter().zip(target.chunks_exact_mut(to.c)) {
                blend(taps, |at| &line[at * from.c..][..from.c], pixel);
            }
        }
        let width = to.w * to.c;
        for taps in &rows {
            let start = out.len();
            out.resize(start + width, 0.0);
            blend(taps, |at| &narrow[at * width..][..width], &mut out[start..]);
        }
    }
    Ok(Cow::Owned(out))
}

/// First source and weights of each target: a triangle over the distance between centres, as wide as a
/// target where that is larger than a source, cut off and normalised at the edges.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of = |target: usize| {
        let centre = (target as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).floor().max(0.0) as usize;
        let end = ((centre + reach + 0.5).floor() as usize).min(from);
        let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        (first, (first..end).map(|at| (weight(at) / sum) as f32).collect())
    };
    (0..to).map(of).collect()
}

fn blend<'a>(taps: &(usize, Vec<f32>), source: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    out.fill(0.0);
    for (at, &weight) in (taps.0..).zip(&taps.1) {
        out.iter_mut().zip(source(at)).for_each(|(sum, x)| *sum += weight * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(h: usize, w: usize) -> Extent {
        Extent { h, w, c: 1 }
    }

    #[test]
    fn halving_weighs_four_neighbours() {
        // 2 to 1: a triangle of reach 2 around 1: both pixels are half a pixel away.
        let half = scaled(&[1.0, 3.0, 5.0, 7.0], extent(2, 2), extent(1, 1)).unwrap();
        assert_eq!(half.as_ref(), [4.0]);
        // 4 to 2: centre 1 has weights 0.75, 0.75, 0.25 of pixels 0, 1, 2.
        let line = scaled(&[0.0, 7.0, 14.0, 21.0], extent(1, 4), extent(1, 2)).unwrap();
        assert_eq!(line.as_ref(), [5.0, 16.0]);
    }

    #[test]
    fn what_is_even_stays_even() {
        let flat = vec![0.25; 3 * 28 * 28];
        let small = scaled(&flat, extent(28, 28), extent(20, 24)).unwrap();
        assert_eq!(small.len(), 3 * 20 * 24);
        assert!(small.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }
}
