//! Where the shared data sets and models are.

use std::path::{Path, PathBuf};

/// Root of the workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// `path` inside the shared data: the folder that `EDGECUT_DATA` names, default `../shared/data`,
/// relative to the workspace's root. `None`, after saying that the test is skipped, where it does
/// not exist.
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EDGECUT_DATA").unwrap_or("../shared/data".into());
    let found = workspace_root().join(folder).join(path);
    if found.exists() {
        return Some(found);
    }
    crate::skip(&format!("{path} (in the folder that EDGECUT_DATA names)"));
    None
}

/// Files anywhere below `folder` whose names end in one of these, in order; none where there is no folder.
pub fn files_below(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_crates() {
        assert!(workspace_root().join("crates/testkit/Cargo.toml").exists());
        assert!(shared_data("no/such/file").is_none());
    }
}
