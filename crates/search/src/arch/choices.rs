//! Values that a file lets the search choose from.

use serde::{Deserialize, Deserializer, Serialize};

/// Widths differ by multiples of this, which the kernels like.
const STEP: usize = 8;

/// At least one value, ascending where that has a meaning: written as one, as a list, or, of numbers, as
/// a range in steps of 8 such as `"16..64"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Choices<T>(Vec<T>);

impl<T> Choices<T> {
    /// The only value.
    pub fn one(value: T) -> Choices<T> {
        Choices(vec![value])
    }

    /// These values, each once.
    pub(super) fn ascending(mut values: Vec<T>) -> Choices<T>
    where
        T: Ord,
    {
        values.sort();
        values.dedup();
        Choices(values)
    }

    /// Those whose place is true in `kept`.
    pub(super) fn kept(&self, kept: &[bool]) -> Choices<T>
    where
        T: Copy,
    {
        Choices(
            self.0.iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| *value).collect(),
        )
    }

    /// The values.
    pub fn values(&self) -> &[T] {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw<T> {
    One(T),
    Many(Vec<T>),
    Range(String),
}

/// What may stand in a file.
pub trait Choice: Sized {
    /// All values of a range, where there are ranges of these.
    fn range(text: &str) -> Option<Vec<Self>>;

    /// Sorts them where they have an order.
    fn sort(_: &mut [Self]) {}
}

impl Choice for usize {
    fn range(text: &str) -> Option<Vec<usize>> {
        let (least, most) = text.split_once("..")?;
        let (least, most) = (least.trim().parse().ok()?, most.trim().parse().ok()?);
        // As many as a gene may have choices.
        let fits = least <= most && (most - least) / STEP < crate::MAX_CHOICES;
        fits.then(|| (least..=most).step_by(STEP).collect())
    }

    fn sort(values: &mut [usize]) {
        values.sort_unstable();
    }
}

impl Choice for bool {
    fn range(_: &str) -> Option<Vec<bool>> {
        None
    }

    fn sort(values: &mut [bool]) {
        values.sort_unstable();
    }
}

impl<'de, T: Choice + Deserialize<'de>> Deserialize<'de> for Choices<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choices<T>, D::Error> {
        use serde::de::Error;
        let mut values = match Raw::deserialize(deserializer) {
            Ok(Raw::One(value)) => vec![value],
            Ok(Raw::Many(values)) => values,
            Ok(Raw::Range(text)) => T::range(&text).ok_or_else(|| {
                D::Error::custom(format!("\"{text}\" is no value and no range such as \"16..64\""))
            })?,
            Err(_) => return Err(D::Error::custom("expected a value, or a list of values")),
        };
        if values.is_empty() {
            return Err(D::Error::custom("expected at least one value"));
        }
        T::sort(&mut values);
        Ok(Choices(values))
    }
}
