//! NumPy arrays as data sets: `.npz` archives and `.npy` files.
//!
//! Pictures are `uint8`: `[N, h, w]`, `[N, h, w, c]` or `[N, c, h, w]` with `c` 1 or 3. Where both
//! four-dimensional readings fit, channels last wins. Labels are integers `[N]` or `[N, 1]`.

use super::limits::MAX_SET_BYTES;
use super::memory::{Memory, numbered_classes};
use super::read::{open_file, read_at_most};
use super::zip::{Archive, Entry};
use super::{DataError, Result};
use edgecut_graph::npy::{self, Array};
use std::path::{Path, PathBuf};

/// Names of a part's pictures and labels: (pictures, labels). The first pair present is taken.
const WHOLE: [(&str, &str); 6] = [
    ("x", "y"),
    ("images", "labels"),
    ("data", "labels"),
    ("data", "targets"),
    ("x", "labels"),
    ("arr_0", "arr_1"),
];
const TRAIN: [(&str, &str); 2] = [("x_train", "y_train"), ("train_images", "train_labels")];
const TEST: [(&str, &str); 4] = [
    ("x_test", "y_test"),
    ("test_images", "test_labels"),
    ("x_val", "y_val"),
    ("val_images", "val_labels"),
];

/// What an archive holds: one undivided set, or a training and perhaps a test part.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The whole set, or its training part.
    pub train: Memory,
    /// The test (else validation) part, where the archive has one.
    pub test: Option<Memory>,
}

/// Reads a `.npz` archive. Array names, letter case ignored: `x`/`y`, `images`/`labels`,
/// `data`/`labels`; or `x_train`/`y_train` and `x_test`/`y_test` (Keras),
/// `train_images`/`train_labels` and `test_images`/`test_labels` (MedMNIST).
///
/// # Errors
/// Another kind of file, a broken archive, missing names, types or shapes other than documented.
pub fn read_npz(path: &Path) -> Result<Parts> {
    let archive = Archive::open(path)?;
    let find = |archive: &Archive, names: &[(&str, &str)]| {
        let entry = |name: &str| {
            archive
                .entries
                .iter()
                .find(|e| e.name.eq_ignore_ascii_case(&format!("{name}.npy")))
                .cloned()
        };
        names.iter().find_map(|(x, y)| Some((entry(x)?, entry(y)?)))
    };
    let whole = find(&archive, &WHOLE).or_else(|| find(&archive, &TRAIN));
    let Some(train) = whole else {
        let names: Vec<&str> =
            archive.entries.iter().map(|e| e.name.trim_end_matches(".npy")).take(20).collect();
        return Err(DataError::format(
            path,
            format!(
                "holds the arrays {names:?}; expected x and y, images and labels, or x_train and y_train"
            ),
        ));
    };
    let test = find(&archive, &TEST);
    let train = read_entries(&archive, path, &train)?;
    let test = test.map(|pair| read_entries(&archive, path, &pair)).transpose()?;
    Ok(Parts { train, test })
}

/// Reads pictures and labels from two `.npy` files.
///
/// # Errors
/// Another kind of file, types or shapes other than documented, counts that differ.
pub fn read_npy(images: &Path, labels: &Path) -> Result<Memory> {
    let (x, y) = (whole_file(images)?, whole_file(labels)?);
    assemble([images, labels], parse(images, "", &x)?, parse(labels, "", &y)?)
}

/// The usual name of the labels beside a file of pictures: `y_NAME` for `x_NAME`, `...labels...` for
/// `...images...`, else `NAME_labels.npy`, `labels.npy` or `y.npy` in the same folder.
pub fn guess_labels(images: &Path) -> Option<PathBuf> {
    let stem = images.file_stem()?.to_str()?;
    let mut names = vec![format!("{stem}_labels"), format!("{stem}-labels")];
    names.extend(stem.strip_prefix("x_").map(|rest| format!("y_{rest}")));
    if stem.contains("images") {
        names.push(stem.replace("images", "labels"));
    }
    names.extend(["labels".to_string(), "y".to_string()]);
    names
        .iter()
        .map(|name| images.with_file_name(format!("{name}.npy")))
        .find(|path| path.is_file() && path != images)
}

fn whole_file(path: &Path) -> Result<Vec<u8>> {
    let (mut file, size) = open_file(path)?;
    if size > MAX_SET_BYTES {
        return Err(DataError::format(path, format!("is larger than {MAX_SET_BYTES} bytes")));
    }
    read_at_most(&mut file, size).map_err(|e| DataError::io(path, e))
}

fn read_entries(archive: &Archive, path: &Path, (x, y): &(Entry, Entry)) -> Result<Memory> {
    let (x_bytes, y_bytes) = (archive.read(x)?, archive.read(y)?);
    let y_array = parse(path, &format!("entry {} ", y.name), &y_bytes)?;
    let x_array = parse(path, &format!("entry {} ", x.name), &x_bytes)?;
    assemble([path, path], x_array, y_array)
}

/// An array; `what` of the file it is stands in errors.
fn parse<'a>(path: &Path, what: &str, file: &'a [u8]) -> Result<Array<'a>> {
    npy::parse(file).map_err(|problem| DataError::format(path, format!("{what}{problem}")))
}

/// The elements of a `uint8` array.
fn as_u8<'a>(array: &Array<'a>) -> std::result::Result<&'a [u8], String> {
    match array.dtype.get(1..) {
        Some("u1") => Ok(array.bytes),
        _ => Err(format!("has type {}; pictures must be uint8, 0 to 255", array.dtype)),
    }
}

/// The elements of any integer array as class indices.
fn as_labels(array: &Array) -> std::result::Result<Vec<u32>, String> {
    let (size, kind) = (array.item_size(), array.dtype.as_bytes().get(1));
    if kind == Some(&b'f') {
        return Err(format!("has type {}; labels are integers", array.dtype));
    }
    let label = |(i, item): (usize, &[u8])| {
        let byte = |k: usize| u64::from(item[if array.is_big_endian() { size - 1 - k } else { k }]);
        let value = (0..size).fold(0, |sum, k| sum | byte(k) << (8 * k));
        let negative = kind == Some(&b'i') && value >> (8 * size - 1) & 1 == 1;
        match u32::try_from(value) {
            Ok(value) if !negative => Ok(value),
            _ => Err(format!("sample {i} has a negative or huge label")),
        }
    };
    array.bytes.chunks_exact(size).enumerate().map(label).collect()
}

/// Pictures and labels of the files `paths`, which errors name.
fn assemble(paths: [&Path; 2], x: Array, y: Array) -> Result<Memory> {
    let fail = |problem: String| DataError::format(paths[0], problem);
    let fail_labels = |problem: String| DataError::format(paths[1], problem);
    let bytes = as_u8(&x).map_err(|p| fail(format!("array of pictures {p}")))?;
    if !(y.shape.len() == 1 || (y.shape.len() == 2 && y.shape[1] == 1)) {
        return Err(fail_labels(format!(
            "labels have shape {:?}; expected [N] or [N, 1] class indices",
            y.shape
        )));
    }
    let labels = as_labels(&y).map_err(|p| fail_labels(format!("labels: {p}")))?;
    // Sizes are only multiplied below where there is data: then their product is the data's length.
    if bytes.is_empty() || x.shape.first() != Some(&labels.len()) {
        return Err(fail(format!("pictures of shape {:?} and {} labels", x.shape, labels.len())));
    }
    let (shape, pixels) = match x.shape[..] {
        [_, h, w] => ([h, w, 1], bytes.to_vec()),
        [_, h, w, c @ (1 | 3)] => ([h, w, c], bytes.to_vec()),
        [_, c @ (1 | 3), h, w] => ([h, w, c], interleave(bytes, c, h * w)),
        _ => {
            return Err(fail(format!(
                "pictures have shape {:?}; expected [N, h, w], [N, h, w, c] or [N, c, h, w] with c 1 or 3",
                x.shape
            )));
        }
    };
    let classes = numbered_classes(&labels).map_err(fail_labels)?;
    Memory::new(pixels, labels, shape, classes).map_err(|error| fail(error.to_string()))
}

/// `[N, c, plane]` to `[N, plane, c]`.
fn interleave(bytes: &[u8], c: usize, plane: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact(c * plane) {
        pixels.extend((0..plane).flat_map(|i| (0..c).map(move |k| image[k * plane + i])));
    }
    pixels
}
