//! What torch.save writes since 1.6: a ZIP archive of `NAME/data.pkl` and one `NAME/data/KEY` for
//! each storage, none of them compressed.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::{Fault, malformed};
use super::names;
use super::pickle::Reader;
use super::zip::Archive;
use super::{Stored, Tensors};

const PICKLE: &[u8] = b"/data.pkl";

pub(super) fn tensors(bytes: &[u8]) -> Result<Tensors, Fault> {
    let archive = Archive::new(bytes)?;
    let Some(name) = archive.prefix(PICKLE) else {
        return malformed("is a ZIP archive, but not one of torch.save: data.pkl is missing");
    };
    let find = |part: &[u8]| archive.find(&[name, part].concat());
    if let Some(order) = find(b"/byteorder")?
        && &bytes[order.clone()] != b"little"
    {
        return malformed("was saved on a big-endian machine, which is not supported");
    }
    let Some(pickle) = find(PICKLE)? else { return malformed("has no data.pkl") };
    let (reader, root) = Reader::read(&bytes[pickle])?;
    let mut storages: BTreeMap<u32, Range<usize>> = BTreeMap::new();
    let mut tensors = Tensors::new();
    for (name, tensor) in names::tensors(&reader, root)? {
        let storage = match storages.get(&tensor.storage) {
            Some(range) => range.clone(),
            None => {
                let key = reader.span(reader.storages[tensor.storage as usize].key);
                let Some(range) = find(&[b"/data/", key].concat())? else {
                    return malformed(format!("the storage of '{name}' is missing; it is damaged"));
                };
                storages.entry(tensor.storage).or_insert(range).clone()
            }
        };
        tensors.insert(name, Stored { view: tensor.view, storage });
    }
    Ok(tensors)
}
