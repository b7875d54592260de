//! Which dict of a checkpoint holds the weights, and what training tools put before their names.

use std::collections::BTreeMap;

use super::error::{Fault, malformed};
use super::pickle::{Reader, TensorRef, Value};

/// Keys under which training scripts save the state_dict beside the epoch and the optimiser.
const WRAPPERS: [&str; 7] =
    ["state_dict", "model_state_dict", "model", "net", "network", "weights", "params"];

/// How many such dicts may be inside each other.
const MAX_WRAPPING: usize = 4;

/// What `DataParallel`, `torch.compile` and Lightning put before every name.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// The tensors of the state_dict in `root`, by name.
pub(super) fn tensors(reader: &Reader, root: Value) -> Result<BTreeMap<String, TensorRef>, Fault> {
    let mut dict = root;
    for _ in 0..MAX_WRAPPING {
        match WRAPPERS.iter().find_map(|name| inner(reader, dict, name)) {
            Some(inner) => dict = inner,
            None => break,
        }
    }
    let mut found = BTreeMap::new();
    for (key, value) in entries(reader, dict) {
        if let (Some(name), Value::Tensor(index)) = (reader.name(key), value) {
            found.insert(name.to_string(), reader.tensors[index as usize]);
        }
    }
    match found.is_empty() {
        true => malformed("holds no tensors by name; expected what model.state_dict() returns"),
        false => Ok(found),
    }
}

fn entries<'r>(reader: &'r Reader, dict: Value) -> impl Iterator<Item = (Value, Value)> + 'r {
    let items = if matches!(dict, Value::Dict(_)) { reader.items(dict) } else { &[] };
    items.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value))
}

fn inner(reader: &Reader, dict: Value, name: &str) -> Option<Value> {
    let is_dict = |value| matches!(value, Value::Dict(_)) && !reader.items(value).is_empty();
    entries(reader, dict)
        .find(|&(key, value)| reader.name(key) == Some(name) && is_dict(value))
        .map(|(_, value)| value)
}

/// Drops what all names begin with and no architecture does.
pub(super) fn without_prefixes<T>(mut tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    while let Some(prefix) =
        PREFIXES.iter().find(|prefix| tensors.keys().all(|name| name.starts_with(**prefix)))
        && !tensors.is_empty()
    {
        let short = |(name, tensor): (String, T)| (name[prefix.len()..].to_string(), tensor);
        tensors = tensors.into_iter().map(short).collect();
    }
    tensors
}
