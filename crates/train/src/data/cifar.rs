//! CIFAR's binary records (<https://www.cs.toronto.edu/~kriz/cifar.html>): 1 label byte (CIFAR-10)
//! or coarse and fine label bytes (CIFAR-100), then 3,072 bytes as `[3, 32, 32]`.

use super::memory::Memory;
use super::read::Source;
use super::read::text_lines;
use super::{DataError, Result};
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Which of the two record layouts a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 1 + 3,072 bytes.
    Cifar10,
    /// 2 + 3,072 bytes; the second label byte, the fine class, is the label.
    Cifar100,
}

impl Layout {
    fn label_bytes(self) -> usize {
        match self {
            Layout::Cifar10 => 1,
            Layout::Cifar100 => 2,
        }
    }

    fn record(self) -> usize {
        self.label_bytes() + 3 * PLANE
    }

    fn classes(self) -> usize {
        match self {
            Layout::Cifar10 => 10,
            Layout::Cifar100 => 100,
        }
    }
}

/// CIFAR-10's class names in label order.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Training and test files of a folder of CIFAR records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `data_batch_1.bin`... or `train.bin`, or, without these names, every other `.bin` file.
    pub train: Vec<PathBuf>,
    /// `test_batch.bin` or `test.bin`.
    pub test: Vec<PathBuf>,
}

/// The `.bin` files of a folder by part, sorted by name.
///
/// # Errors
/// A folder that cannot be listed.
pub fn find_files(folder: &Path) -> Result<Files> {
    let mut files = Files::default();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, e))? {
        let path = entry.map_err(|e| DataError::io(folder, e))?.path();
        let name =
            path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !name.ends_with(".bin") || !path.is_file() {
            continue;
        }
        match name.starts_with("test") {
            true => files.test.push(path),
            false => files.train.push(path),
        }
    }
    files.train.sort();
    files.test.sort();
    Ok(files)
}

/// Reads files of records as one set, `[32, 32, 3]` each. The layout is told from the file size and,
/// where both divide it, from the label bytes. Class names come from `batches.meta.txt` or
/// `fine_label_names.txt` beside the first file, else CIFAR-10's own names, else numbers.
///
/// # Errors
/// A file that is not whole records of one layout or has a label outside it.
pub fn read(paths: &[PathBuf]) -> Result<Memory> {
    let first = paths.first().ok_or_else(|| {
        DataError::invalid("path", "no CIFAR file given; name at least one .bin file")
    })?;
    let mut layout = None;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let source = Source::open(path)?;
        let len = source.capacity;
        let bytes = source.rest(path, len, "records")?;
        let own = detect(&bytes).ok_or_else(|| not_records(path, &bytes))?;
        if *layout.get_or_insert(own) != own {
            return Err(DataError::format(
                path,
                format!("is {own:?}, but the files before it are not"),
            ));
        }
        append(own, &bytes, &mut pixels, &mut labels);
    }
    let layout = layout.unwrap_or(Layout::Cifar10);
    Memory::new(pixels, labels, [SIDE, SIDE, 3], class_names(first, layout)?)
        .map_err(|error| DataError::format(first, error.to_string()))
}

/// The layout that fits all records: whole records and every label in range.
fn detect(bytes: &[u8]) -> Option<Layout> {
    [Layout::Cifar10, Layout::Cifar100].into_iter().find(|layout| {
        let record = layout.record();
        !bytes.is_empty()
            && bytes.len().is_multiple_of(record)
            && bytes.chunks_exact(record).all(|r| {
                let coarse_fits = *layout == Layout::Cifar10 || r[0] < 20;
                coarse_fits && (r[layout.label_bytes() - 1] as usize) < layout.classes()
            })
    })
}

fn not_records(path: &Path, bytes: &[u8]) -> DataError {
    DataError::format(
        path,
        format!(
            "{} bytes are not whole CIFAR records ({} bytes with a label below 10, or {} bytes with labels below 20 and 100)",
            bytes.len(),
            Layout::Cifar10.record(),
            Layout::Cifar100.record()
        ),
    )
}

/// Appends the records with planes interleaved: `[3, 32, 32]` becomes `[32, 32, 3]`.
fn append(layout: Layout, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u32>) {
    for record in bytes.chunks_exact(layout.record()) {
        let (label, planes) = record.split_at(layout.label_bytes());
        labels.push(u32::from(label[label.len() - 1]));
        pixels
            .extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
    }
}

fn class_names(file: &Path, layout: Layout) -> Result<Vec<String>> {
    let beside = file.with_file_name(match layout {
        Layout::Cifar10 => "batches.meta.txt",
        Layout::Cifar100 => "fine_label_names.txt",
    });
    if beside.is_file() {
        let names = text_lines(&beside)?;
        return match names.len() == layout.classes() {
            true => Ok(names),
            false => Err(DataError::format(
                &beside,
                format!("{} names for {} classes", names.len(), layout.classes()),
            )),
        };
    }
    Ok(match layout {
        Layout::Cifar10 => CIFAR10_CLASSES.map(str::to_string).to_vec(),
        Layout::Cifar100 => (0..100).map(|i| i.to_string()).collect(),
    })
}
