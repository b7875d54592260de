//! A set that lies decoded in memory: what small pictures (MNIST, CIFAR) should be.

use super::limits::{MAX_CLASSES, MAX_SAMPLES, MAX_SET_BYTES};
use super::{DataError, Dataset, Image, Result};

/// `len` pictures of one shape, back to back, with their labels.
#[derive(Clone, Debug)]
pub struct Memory {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    shape: [usize; 3],
    classes: Vec<String>,
}

impl Memory {
    /// Takes `pixels` (`[N, h, w, c]`, HWC each, `shape = [h, w, c]`), one label per picture and
    /// the class names.
    ///
    /// # Errors
    /// Sizes that do not agree, channels other than 1 or 3, a label without a class name, or more
    /// than the [`limits`](super::limits) allow.
    pub fn new(
        pixels: Vec<u8>,
        labels: Vec<u32>,
        shape: [usize; 3],
        classes: Vec<String>,
    ) -> Result<Memory> {
        let [h, w, c] = shape;
        if h == 0 || w == 0 || !(c == 1 || c == 3) {
            return Err(DataError::invalid(
                "shape",
                format!("pictures of {h}x{w}x{c}; both sides must be positive, channels 1 or 3"),
            ));
        }
        let per_image = checked_product(&shape)
            .ok_or_else(|| DataError::invalid("shape", format!("{h}x{w}x{c} is too large")))?;
        if pixels.len() as u64 != per_image.saturating_mul(labels.len() as u64) {
            return Err(DataError::invalid(
                "labels",
                format!("{} labels for {} pictures", labels.len(), pixels.len() as u64 / per_image),
            ));
        }
        if labels.len() as u64 > MAX_SAMPLES {
            return Err(DataError::invalid(
                "samples",
                format!("{} of at most {MAX_SAMPLES}", labels.len()),
            ));
        }
        if let Some(i) = labels.iter().position(|&label| label as usize >= classes.len()) {
            return Err(DataError::invalid(
                "labels",
                format!(
                    "sample {i} has label {}, but there are {} classes",
                    labels[i],
                    classes.len()
                ),
            ));
        }
        Ok(Memory { pixels, labels, shape, classes })
    }

    /// The same set under other class names.
    ///
    /// # Errors
    /// Fewer names than labels in use.
    pub fn with_classes(self, classes: Vec<String>) -> Result<Memory> {
        Memory::new(self.pixels, self.labels, self.shape, classes)
    }
}

impl Dataset for Memory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        Some(self.shape)
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    fn read(&self, i: usize, into: &mut Image) -> Result<()> {
        let [h, w, c] = self.shape;
        let size = h * w * c;
        (into.h, into.w, into.c) = (h, w, c);
        into.pixels.clear();
        into.pixels.extend_from_slice(&self.pixels[i * size..(i + 1) * size]);
        Ok(())
    }
}

/// Product of dimensions, if it stays within [`MAX_SET_BYTES`].
pub(crate) fn checked_product(dims: &[usize]) -> Option<u64> {
    let mut product = 1u64;
    for &dim in dims {
        product = product.checked_mul(dim as u64)?;
    }
    (product <= MAX_SET_BYTES).then_some(product)
}

/// The names `"0"`, `"1"`, ... for labels that come without names: one per label up to the largest.
pub(crate) fn numbered_classes(labels: &[u32]) -> std::result::Result<Vec<String>, String> {
    let largest = labels.iter().copied().max().unwrap_or(0);
    if largest >= MAX_CLASSES {
        return Err(format!("label {largest}; labels must be below {MAX_CLASSES}"));
    }
    Ok((0..=largest).map(|label| label.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| i.to_string()).collect()
    }

    #[test]
    fn reads_back_what_it_was_given() {
        let set = Memory::new((0..24).collect(), vec![1, 0], [2, 2, 3], names(2)).unwrap();
        assert_eq!((set.len(), set.label(0), set.shape()), (2, 1, Some([2, 2, 3])));
        assert_eq!(set.image(1).unwrap().pixels, (12..24).collect::<Vec<u8>>());
    }

    #[test]
    fn refuses_what_does_not_agree() {
        assert!(Memory::new(vec![0; 11], vec![0; 3], [2, 2, 1], names(1)).is_err());
        assert!(Memory::new(vec![0; 8], vec![0, 1], [2, 2, 1], names(1)).is_err());
        assert!(Memory::new(vec![], vec![], [0, 2, 1], names(1)).is_err());
        assert!(Memory::new(vec![], vec![], [usize::MAX, usize::MAX, 1], names(1)).is_err());
        assert!(Memory::new(vec![0; 8], vec![0, 0], [2, 1, 2], names(1)).is_err());
    }
}
