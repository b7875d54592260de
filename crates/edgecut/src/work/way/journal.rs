//! The journal of a way: a line of JSON for what it began with, and one for each network tried.
//!
//! A line is added, and on disk, once all files of its network are. What a crash leaves behind the
//! last whole line is cut off.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::candidate::Candidate;
use super::costs::Costs;
use crate::errors::{Failure, Result};

/// Version of the format.
const SCHEMA: u32 = 1;

/// Longest journal that is read.
const MAX_BYTES: u64 = 64 << 20;

/// What a way began with; another beginning needs another journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// [`SCHEMA`].
    schema: u32,
    /// SHA-256 of the recipe, but for its names and its time.
    pub recipe: String,
    /// SHA-256 of the float network.
    pub start: String,
    /// The device.
    pub device: String,
    /// What the float network costs there.
    pub float: Costs,
}

impl Beginning {
    /// Of this version.
    pub fn new(recipe: String, start: String, device: String, float: Costs) -> Beginning {
        Beginning { schema: SCHEMA, recipe, start, device, float }
    }

    /// Whether both begin alike; costs are measured, and may differ.
    fn is_like(&self, other: &Beginning) -> bool {
        Beginning { float: self.float, ..other.clone() } == *self
    }
}

/// An open journal.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// What the way began with.
    pub beginning: Beginning,
    /// The networks tried, in order.
    pub tried: Vec<Candidate>,
}

impl Journal {
    /// The journal at `path`, a new one where there is none or `restart` is set.
    ///
    /// # Errors
    /// Where one is there that began with something else, or is none.
    pub fn open(path: &Path, beginning: Beginning, restart: bool) -> Result<Journal> {
        let io = |e: &std::io::Error| Failure::io(path, e);
        if restart || !path.exists() {
            let file = File::create(path).map_err(|e| io(&e))?;
            let mut journal = Journal { path: path.into(), file, beginning, tried: vec![] };
            let line = serde_json::to_string(&journal.beginning);
            journal.write(&line.map_err(|e| Failure::input(e.to_string()))?)?;
            return Ok(journal);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| io(&e))?;
        if file.metadata().map_err(|e| io(&e))?.len() > MAX_BYTES {
            return Err(Failure::input("is larger than 64 MiB: no journal").at(path));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| io(&e))?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut lines = text[..whole].lines();
        let Some(first) = lines.next() else {
            drop(file);
            return Journal::open(path, beginning, true);
        };
        let hint = "--restart begins anew";
        let broken = |number: usize, e: serde_json::Error| {
            Failure::input(format!("line {number}: {e}")).at(path).hint(hint)
        };
        let found: Beginning = serde_json::from_str(first).map_err(|e| broken(1, e))?;
        if !found.is_like(&beginning) {
            let problem = "is of another recipe, network or device";
            return Err(Failure::input(problem).at(path).hint(hint));
        }
        let read = |(at, line): (usize, &str)| -> Result<Candidate> {
            let candidate: Candidate = serde_json::from_str(line).map_err(|e| broken(at + 2, e))?;
            let known = candidate.parent.is_none_or(|parent| parent < at) && candidate.id == at;
            match known {
                true => Ok(candidate),
                false => Err(Failure::input(format!("line {}: out of order", at + 2))
                    .at(path)
                    .hint(hint)),
            }
        };
        let tried = lines.enumerate().map(read).collect::<Result<Vec<Candidate>>>()?;
        file.set_len(whole as u64).map_err(|e| io(&e))?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| io(&e))?;
        Ok(Journal { path: path.into(), file, beginning: found, tried })
    }

    /// Adds a network whose files are written.
    pub fn add(&mut self, candidate: Candidate) -> Result<()> {
        let line = serde_json::to_string(&candidate);
        self.write(&line.map_err(|e| Failure::input(e.to_string()))?)?;
        self.tried.push(candidate);
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let written = self
            .file
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.file.sync_data());
        written.map_err(|e| Failure::io(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidate::Action;
    use super::*;

    fn beginning(recipe: &str) -> Beginning {
        let float = Costs { latency_ms: 1.5, memory: 1, size: 2, millijoules: None };
        Beginning::new(recipe.into(), "abc".into(), "device".into(), float)
    }

    fn candidate(id: usize) -> Candidate {
        Candidate {
            id,
            parent: id.checked_sub(1),
            action: Action::Polish { epochs: 2 },
            why: "why".into(),
            float_accuracy: 90.1,
            accuracy: 1.0 / 3.0,
            costs: beginning("").float,
            predicted_ms: Some(0.1),
            macs: 5,
            params: 6,
            seconds: 7.5,
            sha256: ["a".into(), "b".into()],
            commands: vec!["edgecut".into()],
        }
    }

    #[test]
    fn a_journal_goes_on_where_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, beginning("r"), false).unwrap();
        (0..3).for_each(|id| journal.add(candidate(id)).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let lines = |upto: usize| whole[..upto].iter().filter(|&&b| b == b'\n').count();
        for cut in (0..=whole.len()).step_by(7).chain([whole.len()]) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path, beginning("r"), false).unwrap();
            let kept = lines(cut).saturating_sub(1);
            assert_eq!(journal.tried, (0..kept).map(candidate).collect::<Vec<_>>(), "{cut}");
            (kept..3).for_each(|id| journal.add(candidate(id)).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
    }

    #[test]
    fn another_beginning_and_a_broken_line_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        Journal::open(&path, beginning("r"), false).unwrap().add(candidate(0)).unwrap();
        let error = Journal::open(&path, beginning("s"), false).err().unwrap();
        assert!(error.message.contains("another recipe"), "{}", error.message);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{}}\n")).unwrap();
        let error = Journal::open(&path, beginning("r"), false).err().unwrap();
        assert!(error.message.contains("line 3"), "{}", error.message);
        assert_eq!(Journal::open(&path, beginning("s"), true).unwrap().tried.len(), 0);
    }
}
