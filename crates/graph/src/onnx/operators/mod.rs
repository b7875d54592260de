//! Which mapping imports which operator.

mod constant;
mod einsum;
mod elementwise;
mod index;
mod integer;
mod microsoft;
mod norm;
mod pool;
mod product;
mod quantize;
mod reduce;
mod resize;
mod shape;
mod slice;
mod window;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Result;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};

/// Imports one node. Its shape computations were evaluated before.
pub(super) type Mapping = fn(&mut Importer, &mut NodeIn) -> Result<Meaning>;

/// Operators of one domain with their mappings, by name.
pub(super) type Family = [(&'static str, Mapping)];

/// The operators of ONNX itself; each family is declared above its mappings.
const STANDARD: [&Family; 13] = [
    constant::OPERATORS,
    elementwise::OPERATORS,
    index::OPERATORS,
    integer::OPERATORS,
    norm::OPERATORS,
    pool::OPERATORS,
    product::OPERATORS,
    quantize::OPERATORS,
    reduce::OPERATORS,
    resize::OPERATORS,
    shape::OPERATORS,
    slice::OPERATORS,
    window::OPERATORS,
];

/// The operators of ONNX Runtime.
const MICROSOFT: [&Family; 1] = [microsoft::OPERATORS];

type Table = HashMap<&'static str, Mapping>;

static TABLES: LazyLock<[Table; 2]> = LazyLock::new(|| {
    let table = |families: &[&Family]| families.iter().flat_map(|f| f.iter().copied()).collect();
    [table(&STANDARD), table(&MICROSOFT)]
});

static NAMES: LazyLock<[Vec<&str>; 2]> = LazyLock::new(|| {
    TABLES.each_ref().map(|table| {
        let mut names: Vec<&str> = table.keys().copied().collect();
        names.sort_unstable();
        names
    })
});

/// The operators of the standard domain that import understands, alphabetically. Some only under
/// conditions, which their errors state.
pub fn supported() -> &'static [&'static str] {
    &NAMES[0]
}

/// The operators of the domain `com.microsoft` that import understands, alphabetically.
pub fn supported_microsoft() -> &'static [&'static str] {
    &NAMES[1]
}

/// What `node` means. Its shape computations were tried before: inputs are values by now.
pub(in crate::onnx) fn map(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let domain = match node.proto.domain() {
        "" | "ai.onnx" => 0,
        "com.microsoft" => 1,
        domain => {
            let reason = format!("operators of '{domain}' are not; ai.onnx and com.microsoft are");
            return Err(node.unsupported(reason));
        }
    };
    match TABLES[domain].get(node.proto.op_type()) {
        Some(mapping) => mapping(im, node),
        None => {
            let names = NAMES[domain].join(", ");
            Err(node.unsupported(format!("supported operators are {names}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operator_is_declared_twice() {
        for (families, names) in [(&STANDARD[..], supported()), (&MICROSOFT, supported_microsoft())]
        {
            assert_eq!(families.iter().map(|f| f.len()).sum::<usize>(), names.len());
        }
    }
}
