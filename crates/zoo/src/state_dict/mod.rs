//! Weights of PyTorch models: `.pth` as torch.save writes a `state_dict` (the ZIP archive of today
//! and the legacy format), and `.safetensors`.
//!
//! ```no_run
//! use edgecut_zoo::{Options, build, state_dict};
//! let mut graph = build("mobilenet-v2", &Options::default())?;
//! let weights = state_dict::read("mobilenet_v2.pth".as_ref())?;
//! let loaded = state_dict::load(&mut graph, &weights)?;
//! println!("{} tensors, {} unused", loaded.assigned.len(), loaded.unused.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading executes nothing: a pickle may refer to a few names, each of which has a fixed meaning,
//! and is refused otherwise. A tensor is made from the file's bytes when it is asked for; all
//! together take at most three times the file and 1 MiB.
//!
//! Accepted: a state_dict alone, or inside a checkpoint under `state_dict`, `model` and the like;
//! names that all begin with `module.`, `_orig_mod.` or `model.`, which is dropped; parameters and
//! buffers of float16, bfloat16, float32 and float64 (made float32), views of shared storages in any
//! order of dimensions.
//!
//! # Names
//!
//! | architecture | names of |
//! | --- | --- |
//! | MobileNetV2, MobileNetV3, ShuffleNetV2, SqueezeNet, ResNet-18 and -50 | torchvision |
//! | MobileNetV1 | timm `mobilenetv1_100` |
//! | minimalistic MobileNetV3 | timm `tf_mobilenetv3_{small,large}_minimal_100` |
//! | EfficientNet-Lite | timm `tf_efficientnet_lite{0,1,2,3,4}` |
//! | ResNet-8, -20, -56 | torchvision's, with `linear` for `fc`; ResNet-8 adds `shortcut` |
//! | ShuffleNetV1 | `conv1`, `bn1`, `stage2.0.conv1`, `stage2.0.bn1`, ..., `fc` |
//! | DS-CNN | `conv1`, `bn1`, then timm's `blocks.0.conv_dw`, `blocks.0.bn1`, ..., `fc` |

mod error;
mod globals;
mod limits;
mod load;
mod names;
mod pickle;
mod safetensors;
mod storage;
mod torch_legacy;
mod torch_zip;
mod zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use edgecut_graph::Tensor;

use error::{Fault, malformed};
pub use error::{Result, StateDictError};
use limits::{MAX_FILE_BYTES, TENSOR_SLACK};
pub use load::{Loaded, load};
use storage::View;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// torch.save since 1.6.
    TorchZip,
    /// torch.save before 1.6, or with `_use_new_zipfile_serialization=False`.
    TorchLegacy,
    /// safetensors.
    Safetensors,
}

impl Format {
    /// The format that a file beginning with `bytes` can be.
    pub fn of(bytes: &[u8]) -> Format {
        match bytes {
            [b'P', b'K', 3, 4, ..] => Format::TorchZip,
            // PROTO. A safetensors header of 0x80 bytes has zeros behind this byte.
            [0x80, 2..=5, ..] => Format::TorchLegacy,
            _ => Format::Safetensors,
        }
    }
}

/// A tensor in the file: which bytes its storage is, and which elements of that.
struct Stored {
    view: View,
    storage: Range<usize>,
}

type Tensors = BTreeMap<String, Stored>;

/// Tensors by name, in a file's bytes.
pub struct Weights<'a> {
    file: String,
    bytes: Cow<'a, [u8]>,
    tensors: Tensors,
}

/// The weights in the file at `path`, whose format is told by its content. Fails where it cannot be
/// read, is larger than 2 GiB, damaged, or holds what weights never do.
pub fn read(path: &Path) -> Result<Weights<'static>> {
    let file = path.display().to_string();
    let io = |source| StateDictError::Io { file: file.clone(), source };
    let mut source = File::open(path).map_err(io)?;
    let data = source.metadata().map_err(io)?;
    if !data.is_file() || data.len() > MAX_FILE_BYTES {
        let fault =
            Fault::Malformed(format!("is no regular file of at most {MAX_FILE_BYTES} bytes"));
        return Err(fault.in_file(&file));
    }
    let mut bytes = Vec::with_capacity(data.len() as usize);
    source.by_ref().take(data.len()).read_to_end(&mut bytes).map_err(io)?;
    Weights::new(&file, Cow::Owned(bytes), None)
}

/// The weights in `bytes`, whose format is told by their beginning; `name` is for messages.
pub fn from_bytes<'a>(name: &str, bytes: &'a [u8]) -> Result<Weights<'a>> {
    Weights::new(name, Cow::Borrowed(bytes), None)
}

/// The weights in `bytes`, read as `format`; `name` is for messages.
pub fn from_bytes_as<'a>(format: Format, name: &str, bytes: &'a [u8]) -> Result<Weights<'a>> {
    Weights::new(name, Cow::Borrowed(bytes), Some(format))
}

impl<'a> Weights<'a> {
    fn new(file: &str, bytes: Cow<'a, [u8]>, format: Option<Format>) -> Result<Weights<'a>> {
        let tensors = match format.unwrap_or_else(|| Format::of(&bytes)) {
            Format::TorchZip => torch_zip::tensors(&bytes),
            Format::TorchLegacy => torch_legacy::tensors(&bytes),
            Format::Safetensors => safetensors::tensors(&bytes),
        };
        let tensors = tensors.and_then(|tensors| check(tensors, bytes.len()));
        let tensors = tensors.map_err(|fault| fault.in_file(file))?;
        Ok(Weights { file: file.into(), bytes, tensors: names::without_prefixes(tensors) })
    }

    /// Names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor called `name`: floats as float32, int16 as int32, row-major.
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        let Stored { view, storage } = self.tensors.get(name)?;
        // Reading has checked every view against its storage.
        view.tensor(&self.bytes[storage.clone()]).ok()
    }
}

/// Every view inside its storage, and all tensors within their bound.
fn check(tensors: Tensors, file: usize) -> std::result::Result<Tensors, Fault> {
    let mut total = 0u64;
    for (name, Stored { view, storage }) in &tensors {
        view.check(storage.len()).map_err(|fault| fault.of_tensor(name))?;
        total = total.saturating_add(view.loaded_bytes()?);
    }
    match total > 3 * file as u64 + TENSOR_SLACK {
        true => malformed(format!(
            "declares tensors of {total} bytes, which its {file} bytes cannot hold"
        )),
        false => Ok(tensors),
    }
}
