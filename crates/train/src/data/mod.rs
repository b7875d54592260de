//! From files to batches.
//!
//! | module | computes |
//! | --- | --- |
//! | [`open`](mod@open) | a name or path -> training and test part |
//! | [`idx`], [`folder`], [`cifar`], [`numpy`] | files -> a [`Dataset`] |
//! | `jpeg` | JPEG files -> pixels, to the bit as libjpeg |
//! | [`registry`] | known sets: list, check, fetch |
//! | [`subset`] | parts of a set, deterministic splits |
//! | [`transform`] | a picture -> the network's input; stored with the exported model |
//! | [`augment`] | random crop, flip, jitter, cutout, erasing, RandAugment: functions of (seed, epoch, sample) |
//! | [`mix`] | mixup and cutmix, functions of (seed, epoch, step) |
//! | [`order`] | the order of an epoch's samples: shuffled, or classes balanced |
//! | [`loader`] | batches, prepared beside training, in an order fixed by the seed |
//!
//! Pixels stay `u8` until the last step: a quarter of the memory traffic of `f32`, crop and flip
//! are copies, and normalisation is a table of 256 values per channel. Pictures are dense
//! height-width-channel, which is also the layout of a batch (NHWC).

pub mod augment;
pub mod cifar;
mod error;
pub mod folder;
pub mod idx;
mod jpeg;
pub mod limits;
pub mod loader;
mod memory;
pub mod mix;
pub mod numpy;
pub mod open;
pub mod order;
mod read;
pub mod registry;
mod rescale;
mod resize;
pub mod subset;
pub mod transform;
mod unreadable;
mod zip;

pub use augment::{Augment, RandAugment};
pub use error::{DataError, Result};
pub use loader::{Batch, Loader, LoaderOptions};
pub use memory::Memory;
pub use mix::Mix;
pub use open::{Data, OpenOptions, Places, open, open_for_evaluation};
pub use order::Sampling;
pub use rescale::rescaled;
pub use subset::{Part, Relabelled, Subset, split};
pub use transform::{Channels, Preprocess, Resize};

/// Labelled pictures, readable in any order from several threads.
///
/// `label` and `read` panic when `i >= len()`, as indexing a slice does: indices come from the
/// program, never from a file.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class names; a label is an index into them.
    fn classes(&self) -> &[String];

    /// `[height, width, channels]` when all samples share it.
    fn shape(&self) -> Option<[usize; 3]>;

    /// Class of sample `i`, below `classes().len()`.
    fn label(&self, i: usize) -> u32;

    /// Puts sample `i` into `into`, whose buffer is reused.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, by name.
    fn read(&self, i: usize, into: &mut Image) -> Result<()>;

    /// Sample `i` as a new picture. Errors as [`Dataset::read`].
    fn image(&self, i: usize) -> Result<Image> {
        let mut image = Image::default();
        self.read(i, &mut image)?;
        Ok(image)
    }
}

/// A picture: `h * w * c` bytes, row by row, channels together (HWC). `c` is 1 (grey) or 3 (RGB).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// Channels: 1 is grey, 3 is RGB.
    pub c: usize,
    /// `h * w * c` values.
    pub pixels: Vec<u8>,
}

impl Image {
    /// A black picture.
    pub fn black(h: usize, w: usize, c: usize) -> Image {
        Image { h, w, c, pixels: vec![0; h * w * c] }
    }

    /// Decodes a JPEG or PNG file: grey files give one channel, all others RGB (transparency is
    /// dropped, orientation tags are ignored, as in Pillow's `convert("RGB")`).
    ///
    /// # Errors
    /// A file that cannot be read, is neither JPEG nor PNG, is broken, or is larger than
    /// [`limits::MAX_SIDE`] or [`limits::MAX_IMAGE_BYTES`] allow.
    pub fn open(path: &std::path::Path) -> Result<Image> {
        let mut image = Image::default();
        folder::decode(path, &mut image)?;
        Ok(image)
    }

    /// As [`Image::open`], of a file's content.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Image> {
        if bytes.len() as u64 > limits::MAX_IMAGE_BYTES {
            let problem = format!("{} bytes, at most {}", bytes.len(), limits::MAX_IMAGE_BYTES);
            return Err(DataError::invalid("picture", problem));
        }
        let mut image = Image::default();
        folder::decode_bytes(bytes, &mut image).map_err(|e| DataError::invalid("picture", e))?;
        Ok(image)
    }

    /// Makes this an `h x w x c` picture, reusing the buffer. The content is unspecified.
    pub(crate) fn reset(&mut self, h: usize, w: usize, c: usize) {
        (self.h, self.w, self.c) = (h, w, c);
        self.pixels.resize(h * w * c, 0);
    }
}
