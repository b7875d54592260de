//! Folders of JPEG and PNG files, decoded when a sample is read.
//!
//! | layout | label |
//! | --- | --- |
//! | `class/*.jpg` | the sub-folder; classes sorted by name |
//! | `train/class/*.jpg` and `test/` or `val/` | the same, in two parts with training's classes |
//! | `12_anything.jpg`, no sub-folders | the leading number |

use super::limits::{MAX_CLASSES, MAX_FOLDER_FILES, MAX_IMAGE_BYTES, MAX_SIDE};
use super::{DataError, Dataset, Image, Result};
use image::{DynamicImage, ImageReader, Limits};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

const TRAIN: [&str; 2] = ["train", "training"];
/// In order of preference: a test part is what a result is reported on.
const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

/// Pictures of a class may lie this deep below its folder (Tiny-ImageNet: `class/images/*.JPEG`).
const DEPTH: usize = 3;

/// A list of picture files with their classes.
#[derive(Clone, Debug)]
pub struct Folder {
    files: Vec<PathBuf>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

/// The parts of a folder.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The whole set, or its training part.
    pub train: Folder,
    /// The test (else validation) part, where there is one.
    pub test: Option<Folder>,
}

/// Reads the structure of a folder in one of the layouts above. No picture is opened.
///
/// # Errors
/// No picture, an empty class, a class of the test part that training lacks, an unreadable folder.
pub fn read(root: &Path) -> Result<Parts> {
    let folders = sub_folders(root)?;
    let named = |names: &[&str]| {
        names.iter().find_map(|name| folders.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)))
    };
    if let Some((_, train)) = named(&TRAIN) {
        let train = Folder::by_class(train, None)?;
        let test = named(&TEST)
            .map(|(_, path)| Folder::by_class(path, Some(&train.classes)))
            .transpose()?;
        return Ok(Parts { train, test });
    }
    let train = match folders.is_empty() {
        true => Folder::numbered(root)?,
        false => Folder::by_class(root, None)?,
    };
    Ok(Parts { train, test: None })
}

impl Folder {
    /// One class per sub-folder. With `known`, labels refer to those classes.
    fn by_class(root: &Path, known: Option<&[String]>) -> Result<Folder> {
        let folders = sub_folders(root)?;
        if folders.is_empty() || folders.len() > MAX_CLASSES as usize {
            return Err(DataError::format(
                root,
                format!("has {} class folders; expected class/*.jpg or class/*.png", folders.len()),
            ));
        }
        let classes = match known {
            Some(classes) => classes.to_vec(),
            None => folders.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut folder = Folder { files: Vec::new(), labels: Vec::new(), classes };
        for (name, path) in &folders {
            let label = folder.classes.iter().position(|class| class == name).ok_or_else(|| {
                DataError::format(
                    path,
                    "is a class that the training folder does not have; remove or rename it",
                )
            })?;
            let mut files = Vec::new();
            pictures(path, DEPTH, &mut files)?;
            if files.is_empty() {
                return Err(DataError::format(
                    path,
                    "holds no .jpg, .jpeg or .png file; remove the empty class",
                ));
            }
            folder.labels.resize(folder.labels.len() + files.len(), label as u32);
            folder.files.append(&mut files);
        }
        Ok(folder)
    }

    /// Pictures whose names start with the label's number, such as `0004_hammerhead.jpg`. Classes
    /// that no file names are called by their number.
    fn numbered(root: &Path) -> Result<Folder> {
        let mut files = Vec::new();
        pictures(root, 1, &mut files)?;
        if files.is_empty() {
            return Err(DataError::format(
                root,
                "holds no picture; expected class/*.jpg, class/*.png or NUMBER_name.jpg",
            ));
        }
        let mut labels = Vec::with_capacity(files.len());
        let mut names = Vec::new();
        for file in &files {
            let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            let (number, name) = stem.split_once('_').unwrap_or((stem, ""));
            let label = number.parse::<u32>().ok().filter(|&n| n < MAX_CLASSES).ok_or_else(|| {
                DataError::format(
                    file,
                    "has no class: put pictures into one folder per class, or start each name with the label's number and _",
                )
            })?;
            labels.push(label);
            names.push((label, name));
        }
        let largest = labels.iter().copied().max().unwrap_or(0);
        let mut classes: Vec<String> = (0..=largest).map(|label| label.to_string()).collect();
        for (label, name) in names {
            if !name.is_empty() && classes[label as usize].parse() == Ok(label) {
                classes[label as usize] = name.to_string();
            }
        }
        Ok(Folder { files, labels, classes })
    }

    /// All pictures at and below `root`, without classes: each has the label 0.
    ///
    /// # Errors
    /// No picture, an unreadable folder.
    pub fn unlabelled(root: &Path) -> Result<Folder> {
        let mut files = Vec::new();
        pictures(root, DEPTH, &mut files)?;
        if files.is_empty() {
            return Err(DataError::format(root, "holds no .jpg, .jpeg or .png file"));
        }
        let labels = vec![0; files.len()];
        Ok(Folder { files, labels, classes: vec!["unlabelled".into()] })
    }

    /// The file of sample `i`.
    pub fn path(&self, i: usize) -> &Path {
        &self.files[i]
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    fn read(&self, i: usize, into: &mut Image) -> Result<()> {
        decode(&self.files[i], into)
    }
}

/// Whether a file name ends like a picture's that can be decoded.
pub fn is_picture(path: &Path) -> bool {
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|own| end.eq_ignore_ascii_case(own))
}

/// Decodes a file; see [`Image::open`].
pub(crate) fn decode(path: &Path, into: &mut Image) -> Result<()> {
    // The content decides the format; a reader made from a path would believe the name.
    let (file, size) = super::read::open_file(path)?;
    if size > MAX_IMAGE_BYTES {
        return Err(DataError::format(path, format!("is larger than {MAX_IMAGE_BYTES} bytes")));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(MAX_IMAGE_BYTES).read_to_end(&mut bytes).map_err(|e| DataError::io(path, e))?;
    decode_bytes(&bytes, into).map_err(|problem| {
        DataError::format(path, format!("{problem}; replace or remove the file"))
    })
}

/// Decodes the content of a JPEG or PNG file; otherwise the problem.
pub(crate) fn decode_bytes(bytes: &[u8], into: &mut Image) -> std::result::Result<(), String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("cannot be decoded: {error}");
    if super::jpeg::decode(bytes, into).is_some() {
        return Ok(());
    }
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| unreadable(&e))?;
    if reader.format().is_none() {
        return Err("is neither JPEG nor PNG".into());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_IMAGE_BYTES);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| unreadable(&error))?;
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    if w == 0 || h == 0 {
        return Err(unreadable(&"it has no pixel"));
    }
    let grey = matches!(
        picture,
        DynamicImage::ImageLuma8(_)
            | DynamicImage::ImageLumaA8(_)
            | DynamicImage::ImageLuma16(_)
            | DynamicImage::ImageLumaA16(_)
    );
    (into.h, into.w, into.c) = (h, w, if grey { 1 } else { 3 });
    into.pixels = match grey {
        true => picture.into_luma8().into_raw(),
        false => picture.into_rgb8().into_raw(),
    };
    Ok(())
}

/// Visible sub-folders, sorted by name.
fn sub_folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for path in entries(root)? {
        if path.is_dir() {
            let name =
                path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            folders.push((name, path));
        }
    }
    Ok(folders)
}

/// Appends the picture files below `root`, sorted, at most `depth` folders deep (a link that leads
/// back up therefore ends).
fn pictures(root: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(root)? {
        if is_picture(&path) {
            if into.len() >= MAX_FOLDER_FILES {
                return Err(DataError::format(
                    root,
                    format!("holds more than {MAX_FOLDER_FILES} pictures"),
                ));
            }
            into.push(path);
        } else if depth > 1 && path.is_dir() {
            pictures(&path, depth - 1, into)?;
        }
    }
    Ok(())
}

/// Entries that are not hidden, sorted by name.
fn entries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| DataError::io(root, e))? {
        let entry = entry.map_err(|e| DataError::io(root, e))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
        if paths.len() > MAX_FOLDER_FILES {
            return Err(DataError::format(
                root,
                format!("holds more than {MAX_FOLDER_FILES} entries"),
            ));
        }
    }
    paths.sort();
    Ok(paths)
}
