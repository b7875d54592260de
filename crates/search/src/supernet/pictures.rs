//! Pictures for networks whose inputs have different sizes.

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

    /// Pictures that were prepared elsewhere: `[n, h, w, c]` and `[n]` classes of each batch, and the
    /// height, width and channels of all.
    ///
    /// # Errors
    /// A batch that is empty or not that long.
    pub fn new(batches: Vec<(Vec<f32>, Vec<u32>)>, [h, w, c]: [usize; 3]) -> Result<Pictures> {
        let extent = Extent { h, w, c };
        let length = h.saturating_mul(w).saturating_mul(c);
        let batch = |(x, labels): (Vec<f32>, Vec<u32>)| match labels.len() {
            n if n > 0 && Some(x.len()) == n.checked_mul(length) => {
                Ok(Batch { x, labels, n, ..Batch::default() })
            }
            n => Err(SearchError::Input(format!(
                "{} values are no {n} pictures of {h}x{w}x{c}",
                x.len()
            ))),
        };
        Ok(Pictures { batches: batches.into_iter().map(batch).collect::<Result<_>>()?, extent })
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

pub(crate) fn from_data(error: edgecut_train::data::DataError) -> SearchError {
    SearchError::Train(error.into())
}
