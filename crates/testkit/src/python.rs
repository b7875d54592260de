//! Python programs as oracles: tensors go in and come back as `.npy` files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use edgecut_graph::Tensor;

use crate::npy::{read_npy, write_npy};

/// A Python interpreter with the modules a test needs.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// The interpreter in `EDGECUT_PYTHON` (default `python3`). `None`, after saying that the test
    /// is skipped, where it is missing or cannot import one of `modules`.
    pub fn with(modules: &[&str]) -> Option<Python> {
        let program = PathBuf::from(std::env::var_os("EDGECUT_PYTHON").unwrap_or("python3".into()));
        let import = format!("import {}", [&["numpy"], modules].concat().join(", "));
        let works = Command::new(&program).args(["-c", &import]).output();
        if works.is_ok_and(|output| output.status.success()) {
            return Some(Python { program });
        }
        crate::skip(&format!("Python with {} (set EDGECUT_PYTHON)", modules.join(", ")));
        None
    }

    /// Runs `script` in an empty folder that holds each input as `NAME.npy`, and returns every
    /// `.npy` file that the script saved under another name, by name without the ending.
    /// `arguments` become `sys.argv[1:]`. Fails with what the script wrote to standard error.
    pub fn run(
        &self,
        script: &str,
        arguments: &[&str],
        inputs: &[(&str, &Tensor)],
    ) -> Result<BTreeMap<String, Tensor>, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        for (name, tensor) in inputs {
            write_npy(&folder.path().join(format!("{name}.npy")), tensor)?;
        }
        let output = Command::new(&self.program)
            .args(["-c", script])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let mut results = BTreeMap::new();
        for entry in std::fs::read_dir(folder.path()).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let given = inputs.iter().any(|(input, _)| *input == name);
            if !given && path.extension().is_some_and(|e| e == "npy") {
                results.insert(name, read_npy(&path)?);
            }
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_go_there_and_back() {
        let Some(python) = Python::with(&[]) else { return };
        let script = "import sys, numpy as np\nx = np.load('x.npy')\n\
                      np.save('y.npy', (x * float(sys.argv[1])).astype(np.float32))";
        let x = Tensor::new([2, 1], vec![1f32, 2.0]).unwrap();
        let results = python.run(script, &["3"], &[("x", &x)]).unwrap();
        assert_eq!(results["y"], Tensor::new([2, 1], vec![3f32, 6.0]).unwrap());
        assert!(python.run("raise SystemExit('why')", &[], &[]).unwrap_err().contains("why"));
    }
}
