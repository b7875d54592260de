//! Tables of 256 entries, which serde does not know, as blobs.

use std::ops::Deref;

use edgecut_kernels::Blob;
use edgecut_kernels::arena::Plain;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<T, P, S>(table: &P, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Plain,
    P: Deref<Target = [T; 256]>,
    S: Serializer,
{
    Blob::from(&table[..]).serialize(serializer)
}

pub(super) fn deserialize<'de, T, P, D>(deserializer: D) -> Result<P, D::Error>
where
    T: Plain,
    P: Deref<Target = [T; 256]> + From<[T; 256]>,
    D: Deserializer<'de>,
{
    let blob = Blob::<T>::deserialize(deserializer)?;
    let table = <[T; 256]>::try_from(&blob[..]);
    table.map(P::from).map_err(|_| D::Error::custom("a table of other than 256 entries"))
}
