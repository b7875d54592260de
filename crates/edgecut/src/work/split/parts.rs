//! The two halves of a model as they are checked and written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};

use super::pictures::Pictures;
use super::proof::{self, Proof};
use super::wire::Sent;
use crate::errors::Result;
use crate::files;
use crate::work::model;

/// A model and its halves.
pub struct Parts<'a> {
    /// The whole model.
    pub graph: &'a Graph,
    /// Its halves, and codecs where pictures calibrated them.
    pub sent: Sent,
}

/// What test pictures say of the halves.
#[derive(Default)]
pub struct Checked {
    /// Through both of them.
    pub split: Option<Proof>,
    /// As JPEG files.
    pub jpeg: Option<Proof>,
}

impl Parts<'_> {
    /// Checks with at most `count` test pictures.
    pub fn check(&self, pictures: &Pictures, count: usize, pool: &Arc<Pool>) -> Result<Checked> {
        let test = pictures.test(count)?;
        let jpeg = Some(proof::jpeg(self.graph, &test, pool)?);
        let split = proof::split(self.graph, &self.sent, &test, pool)?;
        Ok(Checked { split, jpeg })
    }

    /// Whether both sides have a part.
    pub fn is_split(&self) -> bool {
        self.sent.halves.head.is_some() && self.sent.halves.tail.is_some()
    }

    /// Writes head, tail and codecs, as far as they exist and have a file.
    pub fn write(&self, out: [Option<&Path>; 3]) -> Result<Vec<PathBuf>> {
        let [head, tail, cut] = out;
        let Sent { halves, codecs } = &self.sent;
        let mut written = vec![];
        for (part, out) in [(&halves.head, head), (&halves.tail, tail)] {
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
        let Some(head) = &self.sent.halves.head else { return Ok(None) };
        let plan = compile(head, &CompileOptions::default())?;
        Ok(Some((plan.arena_bytes() + plan.weight_bytes()) as u64))
    }
}
