//! What torch.save wrote before 1.6: five pickles (a magic number, the protocol, the machine, the
//! objects, the keys of the storages), then each storage as its number of elements in eight bytes and
//! the elements.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::{Fault, malformed};
use super::names;
use super::pickle::{Reader, Value};
use super::storage::Kind;
use super::{Stored, Tensors};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

pub(super) fn tensors(bytes: &[u8]) -> Result<Tensors, Fault> {
    let mut at = 0;
    let mut next = || {
        let (reader, value) = Reader::read(&bytes[at..])?;
        at += reader.len();
        Ok((reader, value))
    };
    match next()? {
        (reader, Value::Long(span)) if reader.span(span) == MAGIC => {}
        _ => return malformed("is a pickle, but not one of torch.save"),
    }
    if next()?.1 != Value::Int(PROTOCOL) {
        return malformed(format!("is not of torch's legacy protocol {PROTOCOL}"));
    }
    let (machine, info) = next()?;
    let facts = machine.items(info).as_chunks::<2>().0;
    let big = |&[key, value]: &[Value; 2]| {
        machine.name(key) == Some("little_endian") && value == Value::Bool(false)
    };
    if facts.iter().any(big) {
        return malformed("was saved on a big-endian machine, which is not supported");
    }
    let (reader, root) = next()?;
    let (list, keys) = next()?;
    let keys: Vec<&[u8]> =
        list.items(keys).iter().filter_map(|&k| list.name(k)).map(str::as_bytes).collect();
    let storages = storages(bytes, at, &kinds(&reader)?, &keys)?;
    let mut tensors = Tensors::new();
    for (name, tensor) in names::tensors(&reader, root)? {
        let key = reader.span(reader.storages[tensor.storage as usize].key);
        let Some(storage) = storages.get(key) else {
            return malformed(format!("the storage of '{name}' is missing; it is damaged"));
        };
        tensors.insert(name, Stored { view: tensor.view, storage: storage.clone() });
    }
    Ok(tensors)
}

/// Element type of each storage.
fn kinds<'a>(reader: &Reader<'a>) -> Result<BTreeMap<&'a [u8], Kind>, Fault> {
    let mut kinds = BTreeMap::new();
    for storage in &reader.storages {
        let known = *kinds.entry(reader.span(storage.key)).or_insert(storage.kind);
        if known != storage.kind {
            return malformed("one of its storages has two element types");
        }
    }
    Ok(kinds)
}

/// Where the elements of each storage are; the first begins at `at`.
fn storages<'a>(
    bytes: &[u8],
    mut at: usize,
    kinds: &BTreeMap<&[u8], Kind>,
    keys: &[&'a [u8]],
) -> Result<BTreeMap<&'a [u8], Range<usize>>, Fault> {
    let mut storages = BTreeMap::new();
    for &key in keys {
        let Some(kind) = kinds.get(key) else {
            return malformed("holds a storage that no tensor uses; it is damaged");
        };
        let cut_off = || Fault::Malformed("ends inside its tensors; it is cut off".into());
        let count = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut_off)?;
        let start = at + count.len();
        let len = usize::try_from(u64::from_le_bytes(*count)).ok();
        let end = len.and_then(|n| n.checked_mul(kind.bytes())?.checked_add(start));
        at = end.filter(|&end| end <= bytes.len()).ok_or_else(cut_off)?;
        storages.insert(key, start..at);
    }
    Ok(storages)
}
