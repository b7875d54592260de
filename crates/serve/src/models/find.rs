//! Where models are.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use edgecut_collab::codec::Codec;

use crate::error::{Result, ServeError};

/// Name of the file that configures a model.
const CONFIG: &str = "config.toml";
/// Names of a model's file, the first that is there.
const FILES: [&str; 3] = ["model.onnx", "model.tflite", "model.ecut"];
/// Most versions in a folder, and most codecs of a version.
const MAX_ENTRIES: usize = 4096;
const MAX_CODECS: usize = 64;

/// Where a server's models come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files with the names that they are served under; version 1 each.
    Files(Vec<(String, PathBuf)>),
    /// A folder `NAME/VERSION/model.{onnx,tflite,ecut}`.
    Folder(PathBuf),
}

/// A version of a model as its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Name of the model.
    pub name: String,
    /// Version.
    pub version: String,
    /// The model's file.
    pub file: PathBuf,
    /// Codecs of inputs, by the number of the input.
    pub codecs: Vec<(usize, PathBuf)>,
    /// What configures it.
    pub config: Option<PathBuf>,
    /// Times and sizes of all of these: others mean that something has changed.
    pub stamp: Vec<(SystemTime, u64)>,
}

impl Source {
    /// What is there now, by name and version.
    ///
    /// # Errors
    /// Where a folder cannot be read, or a file that was named is not there.
    pub fn find(&self) -> Result<Vec<Found>> {
        match self {
            Source::Files(files) => files.iter().map(|(name, file)| single(name, file)).collect(),
            Source::Folder(root) => folder(root),
        }
    }
}

impl Found {
    /// SHA-256 of what is served, in hexadecimal.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn digest(&self) -> Result<String> {
        let extension = self.file.extension().unwrap_or_default().to_string_lossy();
        let model = format!("model.{}", extension.to_lowercase());
        let codecs: Vec<_> =
            self.codecs.iter().map(|(i, path)| (Codec::file_name(*i), path)).collect();
        let mut files = vec![(model.as_str(), self.file.as_path())];
        files.extend(codecs.iter().map(|(name, path)| (name.as_str(), path.as_path())));
        edgecut_collab::files_digest(&files).map_err(|e| ServeError::file(&self.file, e))
    }

    fn new(
        name: &str,
        version: &str,
        file: PathBuf,
        codecs: Vec<(usize, PathBuf)>,
        config: Option<PathBuf>,
    ) -> Result<Found> {
        let all = [&file].into_iter().chain(codecs.iter().map(|(_, path)| path)).chain(&config);
        let stamp = all.map(|path| {
            let meta = std::fs::metadata(path).map_err(|e| ServeError::file(path, e))?;
            if !meta.is_file() {
                return Err(ServeError::file(path, "is no file"));
            }
            let time = meta.modified().map_err(|e| ServeError::file(path, e))?;
            Ok((time, meta.len()))
        });
        let stamp = stamp.collect::<Result<_>>()?;
        Ok(Found { name: name.into(), version: version.into(), file, codecs, config, stamp })
    }
}

/// A file that was named; codecs and configuration may stand beside it.
fn single(name: &str, file: &Path) -> Result<Found> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let config = Some(folder.join(CONFIG)).filter(|path| path.is_file());
    // Only a file of the usual name owns what stands beside it.
    let usual = file.file_name().is_some_and(|n| FILES.iter().any(|f| n == *f));
    let (codecs, config) = if usual { (codecs(folder), config) } else { (vec![], None) };
    Found::new(name, "1", file.to_path_buf(), codecs, config)
}

fn folder(root: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (name, folder) in folders(root)? {
        let above = Some(folder.join(CONFIG)).filter(|path| path.is_file());
        for (version, folder) in folders(&folder)? {
            let files = FILES.iter().map(|file| folder.join(file));
            let Some(file) = files.into_iter().find(|path| path.is_file()) else { continue };
            let own = Some(folder.join(CONFIG)).filter(|path| path.is_file());
            let config = own.or(above.clone());
            found.push(Found::new(&name, &version, file, codecs(&folder), config)?);
        }
    }
    Ok(found)
}

fn codecs(folder: &Path) -> Vec<(usize, PathBuf)> {
    let named = (0..MAX_CODECS).map(|i| (i, folder.join(Codec::file_name(i))));
    named.filter(|(_, path)| path.is_file()).collect()
}

/// Visible sub-folders by name.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| ServeError::file(root, e))? {
        let path = entry.map_err(|e| ServeError::file(root, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(String::from);
        if let Some(name) = name.filter(|name| !name.starts_with('.') && path.is_dir()) {
            found.push((name, path));
        }
        if found.len() > MAX_ENTRIES {
            return Err(ServeError::file(root, format!("more than {MAX_ENTRIES} folders")));
        }
    }
    found.sort();
    Ok(found)
}
