//! What was found on this machine before, in a small text file.
//!
//! A line for each run of layers: the hash of all that the times depend on, then its parts as
//! `steps:rows`. What is not of this form is ignored and gone after the next write; what is there
//! is checked against the layers before it is used. A writer reads the file again, writes a
//! temporary file beside it and renames that, so that of two at the same time one may lose what it
//! found, and nobody ever reads half of a file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::fuse::Part;

/// The first line.
const HEADER: &str = "edgecut tuning 1";

/// Longest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// Most runs that are remembered; the oldest are forgotten.
const MAX_ENTRIES: usize = 4096;

/// Where results are remembered.
#[derive(Debug)]
pub(super) struct Cache {
    path: Option<PathBuf>,
    entries: Entries,
}

/// Parts by key, the oldest first.
type Entries = Vec<(u64, Vec<Part>)>;

impl Cache {
    /// The file at `path` with what it holds, or nothing that outlives the process.
    pub fn open(path: Option<PathBuf>) -> Cache {
        let entries = path.as_deref().map(read).unwrap_or_default();
        Cache { path, entries }
    }

    /// What is known for `key`.
    pub fn get(&self, key: u64) -> Option<&[Part]> {
        self.entries.iter().find(|(known, _)| *known == key).map(|(_, parts)| parts.as_slice())
    }

    /// Remembers `parts` for `key`. A file that cannot be written stays as it is: the next process
    /// measures again.
    pub fn put(&mut self, key: u64, parts: &[Part]) {
        if let Some(path) = &self.path {
            let others = read(path);
            let is_known = |key: &u64| self.entries.iter().any(|(known, _)| known == key);
            let new: Entries = others.into_iter().filter(|(key, _)| !is_known(key)).collect();
            self.entries.splice(0..0, new);
        }
        self.entries.retain(|(known, _)| *known != key);
        self.entries.push((key, parts.to_vec()));
        let excess = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..excess);
        if let Some(path) = &self.path {
            let _ = write(path, &self.entries);
        }
    }
}

/// `EDGECUT_TUNE_CACHE`, where it is set: a path, or `off`. Else a file in the user's folder for
/// such things, if there is one.
pub(super) fn usual_path() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EDGECUT_TUNE_CACHE") {
        return (!named.is_empty() && named != "off").then(|| named.into());
    }
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let folder = xdg.or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
    Some(folder.join("edgecut").join("tuning.txt"))
}

/// The hash of a text: FNV-1a (Fowler, Noll, Vo), 64 bits. Two runs with the same hash would share
/// parts that fit both, which costs speed at most.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn read(path: &Path) -> Entries {
    let mut text = String::new();
    let file = fs::File::open(path).map(|file| file.take(MAX_BYTES));
    if file.and_then(|mut file| file.read_to_string(&mut text)).is_err() {
        return vec![];
    }
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return vec![];
    }
    let mut entries: Entries = lines.filter_map(parse).collect();
    entries.truncate(MAX_ENTRIES);
    entries
}

fn parse(line: &str) -> Option<(u64, Vec<Part>)> {
    let mut words = line.split(' ');
    let key = words.next().filter(|word| word.len() == 16)?;
    let part = |word: &str| {
        let (steps, rows) = word.split_once(':')?;
        Some(Part { steps: steps.parse().ok()?, rows: rows.parse().ok()? })
    };
    Some((u64::from_str_radix(key, 16).ok()?, words.map(part).collect::<Option<_>>()?))
}

fn write(path: &Path, entries: &Entries) -> std::io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut text = format!("{HEADER}\n");
    for (key, parts) in entries {
        text += &format!("{key:016x}");
        for part in parts {
            text += &format!(" {}:{}", part.steps, part.rows);
        }
        text.push('\n');
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let temporary = PathBuf::from(name);
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        vec![Part { steps: 3, rows: 4 }, Part::ALONE]
    }

    #[test]
    fn what_is_put_is_there_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("cache.txt");
        let mut cache = Cache::open(Some(path.clone()));
        assert_eq!(cache.get(7), None);
        cache.put(7, &parts());
        cache.put(7, &parts()[..1]);
        assert_eq!(Cache::open(Some(path.clone())).get(7), Some(&parts()[..1]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn two_writers_keep_what_both_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.txt");
        let [mut a, mut b] = [0; 2].map(|_| Cache::open(Some(path.clone())));
        a.put(1, &parts());
        b.put(2, &parts());
        let found = Cache::open(Some(path));
        assert!(found.get(1).is_some() && found.get(2).is_some());
    }

    #[test]
    fn what_is_no_cache_is_ignored_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.txt");
        let other = "edgecut tuning 2\n0000000000000001 1:0\n";
        let broken = format!("{HEADER}\n1 1:0\n0000000000000001 1:\n00000000000000zz 1:0\n\u{7f}");
        for text in [other.as_bytes(), broken.as_bytes(), &[0xff; 99], b""] {
            fs::write(&path, text).unwrap();
            let mut cache = Cache::open(Some(path.clone()));
            assert_eq!(cache.get(1), None);
            cache.put(2, &parts());
            assert_eq!(Cache::open(Some(path.clone())).get(2), Some(&parts()[..]));
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(Some(folder.path().to_path_buf()));
        cache.put(2, &parts());
        assert_eq!(cache.get(2), Some(&parts()[..]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(
            fs::read_dir(folder.path().parent().unwrap())
                .unwrap()
                .filter(|e| {
                    let name = e.as_ref().unwrap().file_name();
                    let own = folder.path().file_name().unwrap().to_string_lossy().into_owned();
                    name.to_string_lossy().starts_with(&format!("{own}."))
                })
                .count(),
            0,
            "no temporary file is left"
        );
    }
}
