//! A model with everything that both halves need, as a folder.
//!
//! | file | holds |
//! | --- | --- |
//! | `plans.json` | which plans there are, what each takes, and the digest that a server must have |
//! | `heads/cut-K.onnx` | what the device computes of cut K |
//! | `server/NAME/1/model.onnx` | the whole model: of the server, and the device's own |
//! | `server/NAME.cut-K/1/model.onnx` | the tail of cut K: the server's, and the device's reserve |
//! | `server/NAME.cut-K/1/input-I.codec` | the codec of the tail's input I |
//!
//! `server` is a repository of models as servers of the Open Inference Protocol take it; the device
//! needs the whole folder.

use std::fs;
use std::path::{Path, PathBuf};

use edgecut_collab::codec::{self, Codec};
use edgecut_collab::partition::Placement;
use edgecut_collab::{Halves, files_digest};
use edgecut_graph::{Graph, onnx};
use serde::{Deserialize, Serialize};

use crate::policy::Candidate;
use crate::{EdgeError, Result};

/// Version of `plans.json`.
const FORMAT: u32 = 1;

/// Largest `plans.json` that is read, and most plans in it.
const MAX_BYTES: u64 = 1 << 20;
const MAX_PLANS: usize = 64;

/// What `plans.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plans {
    /// Version of this file.
    pub format: u32,
    /// The model's name on servers.
    pub name: String,
    /// The plans; local-only is one of them.
    pub plans: Vec<Plan>,
}

/// One plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Number of the cut, from 1 on; none where nothing is cut.
    pub cut: Option<u32>,
    /// Names of the tensors that cross; of cuts.
    pub sends: Vec<String>,
    /// What it takes.
    pub times: Candidate,
    /// Digest of what the server computes; none where it computes nothing.
    pub digest: Option<String>,
}

impl Plan {
    /// What it is called.
    pub fn word(&self) -> String {
        match self.times.placement {
            Placement::Local => "local".into(),
            Placement::Raw => "raw".into(),
            Placement::Picture => "picture".into(),
            Placement::Split => format!("cut-{}", self.cut.unwrap_or(0)),
        }
    }
}

/// A cut to be written.
pub struct Cut {
    /// What it takes.
    pub times: Candidate,
    /// Head and tail.
    pub halves: Halves,
    /// Codecs of the tail's inputs, in its order; none for inputs of the model.
    pub codecs: Vec<Option<Codec>>,
}

impl Plans {
    /// Writes the folder of a model: `whole` with its plans that cut nothing, and `cuts`. A folder of
    /// plans that is there already is replaced.
    ///
    /// # Errors
    /// Where `folder` is something else, or the disk fails; nothing is half-written.
    pub fn write(
        folder: &Path,
        name: &str,
        whole: &Graph,
        uncut: &[Candidate],
        cuts: &[Cut],
    ) -> Result<Plans> {
        check_name(name).map_err(|problem| EdgeError::file(folder, problem))?;
        let used = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if used && !folder.join("plans.json").exists() {
            let problem = "holds something that is no plans: name an empty or a new folder";
            return Err(EdgeError::file(folder, problem));
        }
        let fresh = beside(folder, "new");
        let old = beside(folder, "old");
        let fail = |e: std::io::Error| EdgeError::file(folder, e);
        for left in [&fresh, &old].into_iter().filter(|left| left.exists()) {
            fs::remove_dir_all(left).map_err(fail)?;
        }
        let plans = write_all(&fresh, name, whole, uncut, cuts)?;
        if folder.exists() {
            fs::rename(folder, &old).map_err(fail)?;
        }
        fs::rename(&fresh, folder).map_err(fail)?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(fail)?;
        }
        Ok(plans)
    }

    /// Reads `plans.json` of `folder`.
    ///
    /// # Errors
    /// Where it is none, or of another version.
    pub fn read(folder: &Path) -> Result<Plans> {
        let path = folder.join("plans.json");
        let wrong = |problem: String| EdgeError::file(&path, problem);
        let size = fs::metadata(&path).map_err(|e| wrong(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(wrong(format!("{size} bytes; plans have at most {MAX_BYTES}")));
        }
        let text = fs::read(&path).map_err(|e| wrong(e.to_string()))?;
        let plans: Plans = serde_json::from_slice(&text)
            .map_err(|e| wrong(format!("{e}: write it again with `edgecut split --out-plans`")))?;
        plans.check().map_err(wrong)?;
        Ok(plans)
    }

    /// Name of the model that a server must have for `plan`.
    pub fn model(&self, plan: &Plan) -> String {
        model(&self.name, plan.cut)
    }

    /// The plan that is called `word`: local, raw, picture or cut-K.
    ///
    /// # Errors
    /// Which there are, where it is none of them.
    pub fn find(&self, word: &str) -> std::result::Result<usize, String> {
        let words: Vec<String> = self.plans.iter().map(Plan::word).collect();
        words
            .iter()
            .position(|known| known == word)
            .ok_or_else(|| format!("no plan is called '{word}': there are {}", words.join(", ")))
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            let format = self.format;
            return Err(format!("format {format}, this program reads {FORMAT}: write it again"));
        }
        check_name(&self.name)?;
        if self.plans.len() > MAX_PLANS {
            return Err(format!("{} plans, at most {MAX_PLANS}", self.plans.len()));
        }
        if !self.plans.iter().any(|plan| plan.times.placement == Placement::Local) {
            return Err("no plan is local-only".into());
        }
        let fits = |plan: &Plan| (plan.times.placement == Placement::Split) == plan.cut.is_some();
        match self.plans.iter().position(|plan| !fits(plan)) {
            Some(at) => Err(format!("plan {at}: a split, and nothing else, has a cut")),
            None => Ok(()),
        }
    }
}

/// The whole model's file.
pub fn whole_file(folder: &Path, name: &str) -> PathBuf {
    server_file(folder, name, None)
}

/// The head's file.
pub fn head_file(folder: &Path, cut: u32) -> PathBuf {
    folder.join("heads").join(format!("cut-{cut}.onnx"))
}

/// The file of what a server computes: the whole model, or the tail of a cut.
pub fn server_file(folder: &Path, name: &str, cut: Option<u32>) -> PathBuf {
    folder.join("server").join(model(name, cut)).join("1").join("model.onnx")
}

fn model(name: &str, cut: Option<u32>) -> String {
    cut.map_or_else(|| name.to_string(), |cut| format!("{name}.cut-{cut}"))
}

/// Names become folders.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain = !name.is_empty() && name.len() <= 100 && !name.starts_with('.');
    match plain && name.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!("'{name}' is no name of a model: letters, digits, '-', '_', '.'")),
    }
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{ending}"));
    folder.with_file_name(name)
}

fn write_all(
    folder: &Path,
    name: &str,
    whole: &Graph,
    uncut: &[Candidate],
    cuts: &[Cut],
) -> Result<Plans> {
    let digest = write_model(&whole_file(folder, name), whole, &[])?;
    let plain = |times: &Candidate| {
        let local = times.placement == Placement::Local;
        let digest = (!local).then(|| digest.clone());
        Plan { cut: None, sends: vec![], times: *times, digest }
    };
    let mut plans: Vec<Plan> = uncut.iter().map(plain).collect();
    for (cut, number) in cuts.iter().zip(1..) {
        let (Some(head), Some(tail)) = (&cut.halves.head, &cut.halves.tail) else {
            let problem = format!("cut {number} has only one half");
            return Err(EdgeError::file(folder, problem));
        };
        let path = head_file(folder, number);
        make_folder_of(&path)?;
        onnx::export(head, &path)?;
        let digest = write_model(&server_file(folder, name, Some(number)), tail, &cut.codecs)?;
        let sends = tail.inputs.iter().map(|&input| tail.value(input).name.clone()).collect();
        plans.push(Plan { cut: Some(number), sends, times: cut.times, digest: Some(digest) });
    }
    let plans = Plans { format: FORMAT, name: name.into(), plans };
    let path = folder.join("plans.json");
    let text = serde_json::to_vec_pretty(&plans).map_err(|e| EdgeError::file(&path, e))?;
    fs::write(&path, text).map_err(|e| EdgeError::file(&path, e))?;
    Ok(plans)
}

/// Writes a model with its codecs; the digest of their files.
fn write_model(path: &Path, graph: &Graph, codecs: &[Option<Codec>]) -> Result<String> {
    let fail = |e: std::io::Error| EdgeError::file(path, e);
    make_folder_of(path)?;
    onnx::export(graph, path)?;
    for (index, codec) in codecs.iter().enumerate() {
        let Some(codec) = codec else { continue };
        fs::write(path.with_file_name(Codec::file_name(index)), codec.to_bytes()).map_err(fail)?;
    }
    digest(path, codecs)
}

fn make_folder_of(path: &Path) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(|e| EdgeError::file(path, e))
}

/// The digest of a model and of its codecs, as servers compute it.
pub fn digest(path: &Path, codecs: &[Option<Codec>]) -> Result<String> {
    let present = codecs.iter().enumerate().filter(|(_, codec)| codec.is_some());
    let names = present.map(|(index, _)| Codec::file_name(index));
    let names: Vec<String> = std::iter::once("model.onnx".into()).chain(names).collect();
    let paths: Vec<PathBuf> = names.iter().map(|name| path.with_file_name(name)).collect();
    let files = names.iter().map(String::as_str).zip(paths.iter().map(PathBuf::as_path));
    Ok(files_digest(&files.collect::<Vec<_>>())?)
}

/// A model's graph and the codecs of its inputs.
pub fn read_model(path: &Path) -> Result<(Graph, Vec<Option<Codec>>)> {
    let graph = onnx::import(path)?;
    let codecs = codec::beside(path, graph.inputs.len())?;
    Ok((graph, codecs))
}
