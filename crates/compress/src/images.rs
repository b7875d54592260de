//! Calibration images, read again for each pass over them.

use std::sync::Mutex;

use edgecut_graph::Tensor;

use crate::{CompressError, Result};

/// Images that a graph takes. They are read one by one, whenever a pass needs them, so that memory
/// does not depend on their number.
pub trait Images: Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `index` as the graph's input for a batch of one, `[1, c, h, w]`.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read(&self, index: usize) -> Result<Tensor>;

    /// Class of image `index`, where it is known.
    fn label(&self, index: usize) -> Option<u32> {
        let _ = index;
        None
    }
}

impl Images for Vec<Tensor> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn read(&self, index: usize) -> Result<Tensor> {
        Ok(self[index].clone())
    }
}

/// Some of the images.
pub(crate) struct Part<'a> {
    images: &'a dyn Images,
    indices: Vec<usize>,
}

impl<'a> Part<'a> {
    pub fn new(images: &'a dyn Images, indices: Vec<usize>) -> Part<'a> {
        Part { images, indices }
    }

    /// `count` images spread evenly over `images`; all of them where there are not more.
    pub fn spread(images: &'a dyn Images, count: usize) -> Part<'a> {
        let (len, count) = (images.len(), count.min(images.len()));
        Part::new(images, (0..count).map(|i| i * len / count).collect())
    }
}

impl Images for Part<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn read(&self, index: usize) -> Result<Tensor> {
        self.images.read(self.indices[index])
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(self.indices[index])
    }
}

/// Bytes of images that are kept between passes.
const CACHE_BYTES: usize = 192 << 20;

/// Images that are kept once they were read, as far as they fit.
pub(crate) struct Cached<'a> {
    images: &'a dyn Images,
    kept: Mutex<(Vec<Option<Tensor>>, usize)>,
}

impl<'a> Cached<'a> {
    pub fn new(images: &'a dyn Images) -> Cached<'a> {
        Cached { images, kept: Mutex::new((vec![None; images.len()], 0)) }
    }
}

impl Images for Cached<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, index: usize) -> Result<Tensor> {
        let mut kept = self.kept.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(tensor) = &kept.0[index] {
            return Ok(tensor.clone());
        }
        let tensor = self.images.read(index)?;
        if kept.1 + tensor.bytes() <= CACHE_BYTES {
            kept.1 += tensor.bytes();
            kept.0[index] = Some(tensor.clone());
        }
        Ok(tensor)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }
}

/// Images `indices` as one batch.
pub(crate) fn batch(images: &dyn Images, indices: &[usize]) -> Result<Tensor> {
    if let &[index] = indices {
        return images.read(index);
    }
    let mut values = vec![];
    let mut shape = vec![];
    for &index in indices {
        let image = images.read(index)?;
        values.extend_from_slice(image.f32s()?);
        shape = image.shape().to_vec();
    }
    let first = shape.first_mut().ok_or(CompressError::NoImages)?;
    *first = indices.len();
    Ok(Tensor::new(shape, values)?)
}
