//! Parts of a set, and splits that are the same on every machine.

use super::{DataError, Dataset, Image, Result};
use edgecut_graph::rng::Rng;
use std::sync::Arc;

/// Keeps the generator of splits apart from others under the same seed.
const STREAM: u64 = 0x7370_6c69_7400_0000;

/// Samples of another set, by index.
#[derive(Clone)]
pub struct Subset {
    set: Arc<dyn Dataset>,
    indices: Vec<u32>,
}

impl Subset {
    /// The samples `indices` of `set`, in that order; an index may occur more than once.
    ///
    /// # Errors
    /// An index at or beyond `set.len()`.
    pub fn new(set: Arc<dyn Dataset>, indices: Vec<u32>) -> Result<Subset> {
        match indices.iter().find(|&&i| i as usize >= set.len()) {
            Some(i) => Err(DataError::invalid("subset", format!("sample {i} of {}", set.len()))),
            None => Ok(Subset { set, indices }),
        }
    }

    /// `count` samples drawn by `seed` (all, if there are fewer), in the set's order.
    pub fn sample(set: Arc<dyn Dataset>, seed: u64, count: usize) -> Subset {
        let mut indices = shuffled(set.len(), seed);
        indices.truncate(count);
        indices.sort_unstable();
        Subset { set, indices }
    }

    /// Indices into the underlying set.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> &[String] {
        self.set.classes()
    }

    fn shape(&self) -> Option<[usize; 3]> {
        self.set.shape()
    }

    fn label(&self, i: usize) -> u32 {
        self.set.label(self.indices[i] as usize)
    }

    fn read(&self, i: usize, into: &mut Image) -> Result<()> {
        self.set.read(self.indices[i] as usize, into)
    }
}

/// Another set with other labels.
#[derive(Clone)]
pub struct Relabelled {
    set: Arc<dyn Dataset>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Relabelled {
    /// The samples of `set`, each with its label of `labels`.
    ///
    /// # Errors
    /// Not one label per sample, or one without a class.
    pub fn new(
        set: Arc<dyn Dataset>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Result<Relabelled> {
        let (samples, found) = (set.len(), labels.len());
        if samples != found {
            let problem = format!("{found} labels for {samples} samples");
            return Err(DataError::invalid("labels", problem));
        }
        match labels.iter().find(|&&label| label as usize >= classes.len()) {
            Some(label) => {
                let problem = format!("{label}, of {} classes", classes.len());
                Err(DataError::invalid("labels", problem))
            }
            None => Ok(Relabelled { set, labels, classes }),
        }
    }
}

impl Dataset for Relabelled {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        self.set.shape()
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    fn read(&self, i: usize, into: &mut Image) -> Result<()> {
        self.set.read(i, into)
    }
}

/// Size of the second part of a [`split`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// So many samples.
    Count(usize),
    /// This share of the samples, rounded.
    Fraction(f64),
}

/// Splits a set into (rest, part): the samples are shuffled by `seed` and the last ones become the
/// part; each side then lists its samples in the set's order. Classes are *not* balanced
/// (no stratification): each side has them in about the set's proportions.
///
/// # Errors
/// A part that leaves either side empty.
pub fn split(set: Arc<dyn Dataset>, seed: u64, part: Part) -> Result<(Subset, Subset)> {
    let len = set.len();
    let count = match part {
        Part::Count(count) => count,
        Part::Fraction(share) if (0.0..=1.0).contains(&share) => {
            (len as f64 * share).round() as usize
        }
        Part::Fraction(share) => {
            return Err(DataError::invalid(
                "split",
                format!("fraction {share}; allowed is 0 to 1"),
            ));
        }
    };
    if count == 0 || count >= len {
        return Err(DataError::invalid(
            "split",
            format!("{count} of {len} samples leaves one side empty"),
        ));
    }
    let mut rest = shuffled(len, seed);
    let mut part = rest.split_off(len - count);
    rest.sort_unstable();
    part.sort_unstable();
    Ok((Subset { set: set.clone(), indices: rest }, Subset { set, indices: part }))
}

fn shuffled(len: usize, seed: u64) -> Vec<u32> {
    let mut indices: Vec<u32> = (0..len as u32).collect();
    Rng::keyed(&[STREAM, seed]).shuffle(&mut indices);
    indices
}
