//! The two halves of a model as they are checked and written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_collab::Halves;
use edgecut_graph::{Graph, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};

use super::pictures::Pictures;
use super::proof::{self, Codecs, Proof};
use crate::errors::Result;
use crate::files;
use crate::work::model;

/// A model, its halves and the values that cross.
pub struct Parts<'a> {
    /// The whole model.
    pub graph: &'a Graph,
    /// Its halves.
    pub halves: &'a Halves,
    /// What the tail reads.
    pub crossing: Vec<ValueId>,
}

/// What pictures say of the halves.
#[derive(Default)]
pub struct Checked {
    /// Codecs of what crosses; none where nothing is split.
    pub codecs: Codecs,
    /// Test pictures through head, codec and tail.
    pub split: Option<Proof>,
    /// Test pictures as JPEG files.
    pub jpeg: Option<Proof>,
}

impl Parts<'_> {
    /// Calibrates on the first of `counts` training pictures and checks with the second of test
    /// pictures.
    pub fn check(
        &self,
        pictures: &Pictures,
        bits: u8,
        [calibrated, checked]: [usize; 2],
        pool: &Arc<Pool>,
    ) -> Result<Checked> {
        let test = pictures.test(checked)?;
        let jpeg = Some(proof::jpeg(self.graph, &test, pool)?);
        if !self.is_split() {
            return Ok(Checked { jpeg, ..Checked::default() });
        }
        let samples = pictures.training(calibrated)?;
        let codecs = proof::codecs(self.graph, self.halves, &self.crossing, bits, &samples, pool)?;
        let split = proof::split(self.graph, self.halves, &codecs, &test, pool)?;
        Ok(Checked { codecs, split, jpeg })
    }

    /// Whether both sides have a part.
    pub fn is_split(&self) -> bool {
        self.halves.head.is_some() && self.halves.tail.is_some()
    }

    /// Writes head, tail and codecs, as far as they exist and have a file.
    pub fn write(&self, codecs: &Codecs, out: [Option<&Path>; 3]) -> Result<Vec<PathBuf>> {
        let [head, tail, cut] = out;
        let mut written = vec![];
        for (part, out) in [(&self.halves.head, head), (&self.halves.tail, tail)] {
            if let (Some(part), Some(out)) = (part, out) {
                model::save(part, out)?;
                written.push(out.to_path_buf());
            }
        }
        let codecs: Vec<_> = codecs.iter().flatten().collect();
        for (index, codec) in codecs.iter().enumerate() {
            let Some(out) = cut else { continue };
            // One file for each tensor, in the order of the tail's inputs.
            let mut name = out.to_path_buf();
            if codecs.len() > 1 {
                let ending = out.extension().map_or(String::new(), |e| format!(".{}", e.display()));
                name.set_extension(format!("{index}{ending}"));
            }
            files::write(&name, &codec.to_bytes())?;
            written.push(name);
        }
        Ok(written)
    }

    /// Memory of the device's part as it is compiled here: weights and activations.
    pub fn head_memory(&self) -> Result<Option<u64>> {
        let Some(head) = &self.halves.head else { return Ok(None) };
        let plan = compile(head, &CompileOptions::default())?;
        Ok(Some((plan.arena_bytes() + plan.weight_bytes()) as u64))
    }
}
