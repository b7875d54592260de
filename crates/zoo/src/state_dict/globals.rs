//! The classes and functions that a state_dict may name. Everything else is refused.

use super::error::{Fault, shown};
use super::storage::Kind;

/// What a name in a pickle stands for. None of these is called; the reader knows what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch.Size`, a tuple of extents.
    Size,
    /// `torch._utils._rebuild_tensor` and `_v2`: a view of a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`, also with state: its first argument is the tensor.
    RebuildParameter,
    /// `torch.FloatStorage` and its like: the element type of a storage.
    Storage(Kind),
    /// Something that says nothing about weights: a dtype, a device, a set. A call of it makes
    /// nothing.
    Inert,
}

/// Element types as torch names them; they appear as values beside tensors.
const DTYPES: [&str; 17] = [
    "float16",
    "float32",
    "float64",
    "half",
    "float",
    "double",
    "bfloat16",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "short",
    "int",
    "long",
    "bool",
    "complex64",
];

impl Global {
    /// The meaning of `module.name`.
    pub fn named(module: &str, name: &str) -> Result<Global, Fault> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch", "Size") => Some(Global::Size),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Some(Global::RebuildTensor)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Global::RebuildParameter)
            }
            ("torch", "device") | ("torch.serialization", "_get_layout") => Some(Global::Inert),
            // What Python 2 and 3 call so, and bytes, as protocol 2 writes them.
            ("builtins" | "__builtin__", "set" | "frozenset" | "bytearray" | "complex")
            | ("collections", "Counter")
            | ("_codecs", "encode") => Some(Global::Inert),
            ("torch", name) if DTYPES.contains(&name) => Some(Global::Inert),
            ("torch" | "torch.cuda", name) => Kind::of_storage(name).map(Global::Storage),
            _ => None,
        };
        known.ok_or_else(|| Fault::Refused(format!("{}.{}", shown(module), shown(name))))
    }
}
