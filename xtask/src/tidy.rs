//! Checks that no compiler makes: the size of files, where unsafe code is, that every invariant
//! names a test that exists, and that nothing names a place on somebody's machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest Rust file, in lines.
const MAX_LINES: usize = 500;

/// Paths that only exist on one machine. Spelled in halves so that this file passes.
const FOREIGN_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Runs all checks on the workspace at `root`; the error lists every problem.
pub fn run(root: &Path) -> Result<(), String> {
    let files = text_files(root);
    let sources: Vec<(&PathBuf, &String)> = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "rs"))
        .map(|(path, text)| (path, text))
        .collect();
    let mut problems = Vec::new();
    for (path, text) in &sources {
        file_size(path, text, &mut problems);
        unsafe_code(path, text, &mut problems);
    }
    for (path, text) in &files {
        foreign_paths(path, text, &mut problems);
    }
    invariants(root, &sources, &mut problems);
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    println!("tidy: {} files, {} of them Rust: ok", files.len(), sources.len());
    Ok(())
}

/// Every text file of the project with its path relative to `root`.
fn text_files(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            // In a worktree `.git` is a file.
            if ["target", ".git", "out", ".venv"].iter().any(|skip| name == *skip) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root).unwrap_or(&path).to_path_buf(), text));
            }
        }
    }
    found.sort();
    found
}

fn file_size(path: &Path, text: &str, problems: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{}: {lines} lines, at most {MAX_LINES}", path.display()));
    }
}

fn unsafe_code(path: &Path, text: &str, problems: &mut Vec<String>) {
    let allowed = path.starts_with("crates/kernels") || path.starts_with("xtask");
    // Counting allocators of tests implement an unsafe trait; they are tests, not the product.
    let test = path.components().any(|c| c.as_os_str() == "tests");
    let marker = concat!("uns", "afe ");
    if !allowed
        && !test
        && text.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(marker))
    {
        problems.push(format!("{}: unsafe code outside crates/kernels", path.display()));
    }
}

fn foreign_paths(path: &Path, text: &str, problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if FOREIGN_PATHS.iter().any(|foreign| line.contains(foreign)) {
            problems.push(format!(
                "{}:{}: names a path of one machine",
                path.display(),
                number + 1
            ));
        }
    }
}

/// Each line of ARCHITECTURE.md with `test: NAME` must name test functions that exist.
fn invariants(root: &Path, sources: &[(&PathBuf, &String)], problems: &mut Vec<String>) {
    let Ok(text) = fs::read_to_string(root.join("ARCHITECTURE.md")) else {
        problems.push("ARCHITECTURE.md: missing".into());
        return;
    };
    let mut count = 0;
    for line in text.lines() {
        let Some((_, names)) = line.split_once("test: ") else { continue };
        for name in names.split('`').skip(1).step_by(2) {
            count += 1;
            let declaration = format!("fn {name}(");
            if !sources.iter().any(|(_, source)| source.contains(&declaration)) {
                problems.push(format!("ARCHITECTURE.md: no test is called {name}"));
            }
        }
    }
    if count == 0 {
        problems
            .push("ARCHITECTURE.md: no invariant names a test (`test: \u{60}name\u{60}`)".into());
    }
}
