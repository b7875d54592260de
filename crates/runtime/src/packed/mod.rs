//! Packed models: compiled plans in a file (`.ecut`) that runs where it is mapped.
//!
//! A file holds a [header], the metadata (facts about the model, then its plans, as [postcard]
//! writes what serde sees) and the data: all arrays of weights, each at a multiple of 64 bytes.
//! Opening maps the file and reads the metadata; weights stay in the mapping, where several
//! processes share them and a run brings in what it uses. There is one plan for each set of input
//! shapes given at packing, and equal arrays are stored once. Where size counts more than a quick
//! start, the data may be entropy-coded: then opening decodes it into memory.
//!
//! Nothing in a file is believed. Header and metadata are under a checksum, sizes and places are
//! checked before use, and every step checks its operands ([`Plan::check`]) before the plan can
//! run. The checksum of the data costs reading all of it, so [`Packed::verify`] is a call of its
//! own; whatever the data holds, it can only be wrong numbers.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format.html

#[cfg(feature = "coded")]
mod coded;
mod error;
mod header;
#[cfg(test)]
mod tests;
#[cfg(feature = "compile")]
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

#[cfg(all(feature = "compile", feature = "coded"))]
use edgecut_kernels::blob::write_with;
use edgecut_kernels::blob::{Mapping, read_with};
use edgecut_kernels::quant::Affine;
use serde::{Deserialize, Serialize};

use crate::{Plan, Result, RuntimeError};
use header::Header;

#[cfg(all(feature = "compile", feature = "coded"))]
pub use coded::coded_bytes;
pub use error::PackedError;
pub use header::MAGIC;
#[cfg(feature = "compile")]
pub use write::{Storage, pack, packed_bytes};

/// Most plans in one file.
pub const MAX_PACKED_PLANS: usize = 64;

/// How many times larger than in the file coded weights may be in memory.
#[cfg(feature = "coded")]
const MAX_EXPANSION: usize = 256;

/// What a packed model says of itself beside its plans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the graph.
    pub name: String,
    /// The graph's metadata: preprocessing, names of classes, whatever the exporter wrote.
    pub metadata: BTreeMap<String, String>,
    /// Whether the first output is a distribution over classes already.
    pub distribution: bool,
    /// What the codes of the first input stood for, int8 with 128 added, where it was 8-bit in the
    /// model and takes numbers now.
    pub pixel_codes: Option<Affine>,
}

/// A packed model, mapped into memory.
#[derive(Debug)]
pub struct Packed {
    file: Arc<Mapping>,
    header: Header,
    facts: Facts,
    plans: Vec<Arc<Plan>>,
}

/// What stands before the plans.
#[derive(Serialize, Deserialize)]
struct Preface {
    facts: Facts,
    /// Names of the nodes that run in the interpreter.
    interpreted: Vec<String>,
}

impl Packed {
    /// Maps the file at `path` and checks all of it but the numbers in its arrays.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use edgecut_kernels::Pool;
    /// use edgecut_runtime::{Packed, Session};
    ///
    /// let packed = Packed::open("model.ecut".as_ref())?;
    /// let plan = Arc::clone(&packed.plans()[0]);
    /// let mut session = Session::new(plan, Arc::new(Pool::new(2)));
    /// session.input_mut(0)?.fill(0.5);
    /// session.run()?;
    /// # Ok::<(), edgecut_runtime::RuntimeError>(())
    /// ```
    ///
    /// # Errors
    /// [`RuntimeError::Io`] where it cannot be read, [`RuntimeError::Packed`] where it is no packed
    /// model or not one for this machine and version.
    pub fn open(path: &Path) -> Result<Packed> {
        let io = |source| RuntimeError::Io { path: path.to_path_buf(), source };
        let file = Mapping::open(path).map_err(io)?;
        let at = |source| RuntimeError::Packed { path: path.to_path_buf(), source };
        Packed::read(file).map_err(at)
    }

    fn read(file: Arc<Mapping>) -> Result<Packed, PackedError> {
        let header = Header::read(file.bytes())?;
        let metadata = &file.bytes()[header.metadata.clone()];
        let invalid = |e: postcard::Error| PackedError::Invalid { problem: e.to_string() };
        let (preface, rest) = postcard::take_from_bytes::<Preface>(metadata).map_err(invalid)?;
        let Preface { facts, interpreted } = preface;
        if !cfg!(feature = "compile") && !interpreted.is_empty() {
            return Err(PackedError::Interpreter { nodes: interpreted.join(", ") });
        }
        let read = || postcard::take_from_bytes::<Vec<Arc<Plan>>>(rest);
        let (memory, data) = match header.decoded {
            Some(bytes) => (decoded(&header, &file, bytes)?, 0..bytes),
            None => (Arc::clone(&file), header.data.clone()),
        };
        let (plans, rest) = read_with(&memory, data, read).map_err(invalid)?;
        check(&plans, rest).map_err(|problem| PackedError::Invalid { problem })?;
        Ok(Packed { file, header, facts, plans })
    }

    /// Whether the file begins like a packed model.
    pub fn is_packed(path: &Path) -> bool {
        use std::io::Read;
        let mut head = [0; MAGIC.len()];
        let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
        read.is_ok() && head == MAGIC
    }

    /// What the model says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// One plan for each set of input shapes; at least one.
    pub fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// The plan for `shapes`, one for each input in order.
    ///
    /// # Errors
    /// [`RuntimeError::NotPacked`] lists the shapes that there are.
    pub fn plan_for(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>> {
        let found = self.plans.iter().find(|plan| plan.takes(shapes));
        found.cloned().ok_or_else(|| RuntimeError::NotPacked {
            asked: shapes.to_vec(),
            packed: self.plans.iter().map(|plan| plan.input_shapes()).collect(),
        })
    }

    /// Compares the data with its checksum, which reads all of it.
    ///
    /// # Errors
    /// [`PackedError::Damaged`]
    pub fn verify(&self) -> Result<(), PackedError> {
        self.header.verify(self.file.bytes())
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> usize {
        self.file.bytes().len()
    }

    /// Bytes of the arrays in memory.
    pub fn data_bytes(&self) -> usize {
        self.header.decoded.unwrap_or(self.header.data.len())
    }

    /// Bytes of the arrays in the file, where they are entropy-coded there.
    pub fn coded_bytes(&self) -> Option<usize> {
        self.header.decoded.map(|_| self.header.data.len())
    }

    /// Bytes that the arrays take entropy-coded, whether they are or not.
    #[cfg(all(feature = "compile", feature = "coded"))]
    pub fn coded_size(&self) -> usize {
        self.coded_bytes().unwrap_or_else(|| {
            let (_, written) = write_with(|| postcard::to_stdvec(&self.plans));
            coded::encode(&written).map_or(written.bytes.len(), |coded| coded.len())
        })
    }

    /// The checksums of metadata and data.
    pub fn checksums(&self) -> [u32; 2] {
        self.header.checksums()
    }
}

/// The arrays of a file that holds them coded. All of the data is read, so it is verified.
#[cfg(feature = "coded")]
fn decoded(header: &Header, file: &Mapping, bytes: usize) -> Result<Arc<Mapping>, PackedError> {
    header.verify(file.bytes())?;
    coded::decode(&file.bytes()[header.data.clone()], bytes)
        .map_err(|problem| PackedError::Invalid { problem })
}

#[cfg(not(feature = "coded"))]
fn decoded(_: &Header, _: &Mapping, _: usize) -> Result<Arc<Mapping>, PackedError> {
    Err(PackedError::Coded)
}

/// Whether the plans can run: what comes from a file may say anything.
fn check(plans: &[Arc<Plan>], rest: &[u8]) -> Result<(), String> {
    if plans.is_empty() || plans.len() > MAX_PACKED_PLANS {
        return Err(format!("{} plans, there may be 1 to {MAX_PACKED_PLANS}", plans.len()));
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the plans", rest.len()));
    }
    plans.iter().try_for_each(|plan| plan.check())
}
