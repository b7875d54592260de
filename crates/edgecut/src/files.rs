//! Files that are either whole or absent, and their digests.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::errors::{Failure, Result};

/// Writes `bytes` to `path` through a temporary file in the same folder and a rename, so that a
/// reader (or a kill) never meets half a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, bytes, std::fs::OpenOptions::new().write(true).create(true).truncate(true))
}

/// As [`write`], readable for the user alone.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write_with(path, bytes, &options)
}

fn write_with(path: &Path, bytes: &[u8], options: &std::fs::OpenOptions) -> Result<()> {
    let fail = |e: std::io::Error| Failure::io(path, &e);
    let name = path.file_name().ok_or_else(|| Failure::input("is not a file name").at(path))?;
    let mut temporary = name.to_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = options.open(&temporary).and_then(|mut file| {
        use std::io::Write;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        fail(e)
    })
}

/// Writes `value` as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|e| Failure::input(e.to_string()).at(path))?;
    text.push(b'\n');
    write(path, &text)
}

/// Makes `folder` and its parents.
pub fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))
}

/// Fails where `path` cannot become a file: its folder does not exist.
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if path.is_dir() {
        return Err(Failure::input("is a folder, a file name is needed").at(path));
    }
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::input(format!("{}: folder does not exist", folder.display()))
        .hint(format!("mkdir -p {}", folder.display())))
}

/// SHA-256 of a file, hexadecimal, and its size.
pub fn digest(path: &Path) -> Result<(String, u64)> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    Ok((sha256(&bytes), bytes.len() as u64))
}

/// SHA-256, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Prints `value` as the one JSON document of a command.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::input(e.to_string()))?;
    print(&text);
    Ok(())
}

/// Prints a line on standard output; a closed pipe (`edgecut ... | head`) is no error.
pub fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A path as a shell takes it.
pub fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/where"), b"x").is_err());
    }

    #[test]
    fn digest_is_sha256() {
        assert_eq!(sha256(b"abc")[..16], *"ba7816bf8f01cfea");
    }
}
