//! What a packed model holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edgecut_runtime::{Packed, Plan, Port};
use serde::Serialize;

use super::summary::extents;
use crate::errors::{Failure, Result};
use crate::work::sizes::Sizes;
use crate::{files, term};

/// Facts about a packed model, all of it read and compared with its checksums.
#[derive(Serialize)]
pub struct Contents {
    path: PathBuf,
    format: &'static str,
    name: String,
    isa: &'static str,
    file_bytes: u64,
    /// Bytes of arrays in memory: in place in the mapped file, or decoded from it.
    data_bytes: u64,
    /// Whether they are entropy-coded in the file.
    coded: bool,
    sizes: Sizes,
    metadata: BTreeMap<String, String>,
    plans: Vec<PlanFacts>,
}

#[derive(Serialize)]
struct PlanFacts {
    inputs: Vec<PortFacts>,
    outputs: Vec<PortFacts>,
    macs: u64,
    activation_bytes: u64,
    weight_bytes: u64,
    /// Number of steps of each kind.
    steps: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct PortFacts {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

impl Contents {
    /// Reads and verifies the file at `path`.
    pub fn read(path: &Path) -> Result<Contents> {
        let packed = Packed::open(path)?;
        packed.verify().map_err(|e| Failure::input(e.to_string()).at(path))?;
        let facts = packed.facts();
        Ok(Contents {
            path: path.to_path_buf(),
            format: "ecut",
            name: facts.name.clone(),
            isa: packed.plans()[0].isa().name(),
            file_bytes: packed.file_bytes() as u64,
            data_bytes: packed.data_bytes() as u64,
            coded: packed.coded_bytes().is_some(),
            sizes: Sizes::of_packed(&packed, path)?,
            metadata: facts.metadata.clone(),
            plans: packed.plans().iter().map(|plan| PlanFacts::of(plan)).collect(),
        })
    }

    /// Prints it for a person.
    pub fn show(&self) {
        files::print(&format!(
            "{}: packed for {}, {} ({} of weights{}), checksums fit",
            self.path.display(),
            self.isa,
            term::bytes(self.file_bytes),
            term::bytes(self.data_bytes),
            if self.coded { ", entropy-coded" } else { "" }
        ));
        files::print(&self.sizes.remark());
        let rows: Vec<Vec<String>> = self.plans.iter().map(PlanFacts::row).collect();
        let header = ["inputs", "outputs", "steps", "multiply-adds", "activations", "weights"];
        files::print(&term::table(&header, &[2, 3, 4, 5], &rows));
        for (key, value) in &self.metadata {
            let short: String = value.chars().take(100).collect();
            let dots = if short.len() < value.len() { " ..." } else { "" };
            files::print(&format!("{key}: {short}{dots}"));
        }
    }
}

impl PlanFacts {
    fn of(plan: &Plan) -> PlanFacts {
        let port = |port: &Port| PortFacts {
            name: port.name.clone(),
            dtype: port.dtype.to_string(),
            shape: port.shape.clone(),
        };
        let mut steps = BTreeMap::new();
        for step in plan.steps() {
            *steps.entry(step.kind.to_string()).or_default() += 1;
        }
        PlanFacts {
            inputs: plan.inputs().iter().map(port).collect(),
            outputs: plan.outputs().iter().map(port).collect(),
            macs: plan.macs(),
            activation_bytes: plan.arena_bytes() as u64,
            weight_bytes: plan.weight_bytes() as u64,
            steps,
        }
    }

    fn row(&self) -> Vec<String> {
        let ports = |ports: &[PortFacts]| {
            let each = |p: &PortFacts| format!("{} {} {}", p.name, p.dtype, extents(&p.shape));
            ports.iter().map(each).collect::<Vec<_>>().join("\n")
        };
        vec![
            ports(&self.inputs),
            ports(&self.outputs),
            self.steps.values().sum::<usize>().to_string(),
            term::short_count(self.macs),
            term::bytes(self.activation_bytes),
            term::bytes(self.weight_bytes),
        ]
    }
}
