//! IDX, the format of MNIST and Fashion-MNIST (<http://yann.lecun.com/exdb/mnist>): a big-endian
//! header (magic `0x0803` for `[N, h, w]` bytes, `0x0801` for `[N]` bytes), then the bytes. Gzipped
//! files are recognised by content.

use super::memory::{Memory, checked_product, numbered_classes};
use super::read::Source;
use super::{DataError, Result};
use std::path::{Path, PathBuf};

/// Pictures of one IDX file: `count` grey pictures, back to back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of pictures.
    pub count: usize,
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// `count * h * w` bytes.
    pub pixels: Vec<u8>,
}

/// Reads a file of pictures (`idx3-ubyte`).
///
/// # Errors
/// Another kind of file, a size that the file does not have, a broken gzip stream.
pub fn read_images(path: &Path) -> Result<IdxImages> {
    let mut source = Source::open(path)?;
    let [count, h, w] = header::<3>(&mut source, path, "pictures")?;
    if count > 0 && (h == 0 || w == 0) {
        return Err(DataError::format(path, format!("declares pictures of {h}x{w} pixels")));
    }
    let len = checked_product(&[count, h, w]).ok_or_else(|| {
        DataError::format(
            path,
            format!("declares {count} pictures of {h}x{w} pixels, more than is supported"),
        )
    })?;
    let pixels = source.rest(path, len, "pixels")?;
    Ok(IdxImages { count, h, w, pixels })
}

/// Reads a file of labels (`idx1-ubyte`). Errors as [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let mut source = Source::open(path)?;
    let [count] = header::<1>(&mut source, path, "labels")?;
    let labels = source.rest(path, count as u64, "labels")?;
    Ok(labels.into_iter().map(u32::from).collect())
}

/// A pair of files as a data set. Classes are named by number.
///
/// # Errors
/// As [`read_images`], and when the two files do not hold the same number of samples.
pub fn read_pair(images: &Path, labels: &Path) -> Result<Memory> {
    let pictures = read_images(images)?;
    let values = read_labels(labels)?;
    if pictures.count != values.len() {
        return Err(DataError::format(
            labels,
            format!(
                "{} labels, but {} holds {} pictures",
                values.len(),
                images.display(),
                pictures.count
            ),
        ));
    }
    if values.is_empty() {
        return Err(DataError::format(images, "holds no picture"));
    }
    let classes =
        numbered_classes(&values).map_err(|problem| DataError::format(labels, problem))?;
    Memory::new(pictures.pixels, values, [pictures.h, pictures.w, 1], classes)
        .map_err(|error| DataError::format(images, error.to_string()))
}

/// The two files of one part of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxPair {
    /// File of pictures.
    pub images: PathBuf,
    /// File of labels.
    pub labels: PathBuf,
}

/// Finds a part of a set in a folder under its usual names: `prefix-images-idx3-ubyte` and
/// `prefix-labels-idx1-ubyte`, with `.` for the second `-` and with `.gz` also accepted.
pub fn find_pair(folder: &Path, prefix: &str) -> Option<IdxPair> {
    let find = |kind: &str| {
        ["-", "."].iter().flat_map(|dot| ["", ".gz"].iter().map(move |gz| (dot, gz))).find_map(
            |(dot, gz)| {
                let path =
                    folder.join(format!("{prefix}-{}{dot}{}-ubyte{gz}", &kind[..6], &kind[7..]));
                path.is_file().then_some(path)
            },
        )
    };
    Some(IdxPair { images: find("images-idx3")?, labels: find("labels-idx1")? })
}

/// Reads magic number and dimensions.
fn header<const D: usize>(source: &mut Source, path: &Path, kind: &str) -> Result<[usize; D]> {
    let mut magic = [0; 4];
    source.exact(path, &mut magic, "the IDX header")?;
    let expected = [0, 0, 8, D as u8];
    if magic != expected {
        return Err(DataError::format(
            path,
            format!("starts with {magic:02x?}; an IDX file of {kind} starts with {expected:02x?}"),
        ));
    }
    let mut dims = [0; D];
    for dim in &mut dims {
        let mut bytes = [0; 4];
        source.exact(path, &mut bytes, "the IDX header")?;
        *dim = u32::from_be_bytes(bytes) as usize;
    }
    Ok(dims)
}
