//! `edgecut inspect`: what a model holds and costs, without running it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use edgecut_graph::cost::{Cost, NodeCost, cost};
use edgecut_graph::{Graph, ValueId};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::Result;
use crate::work::model::Model;
use crate::{files, term};

/// Options of `inspect`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut inspect model.onnx
  edgecut inspect model.onnx --nodes
  edgecut inspect int8.onnx --batch 8 --json")]
pub struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Also a table of all nodes
    #[arg(long)]
    nodes: bool,
    /// Extent of a batch that the model leaves open
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    path: PathBuf,
    name: String,
    file_bytes: u64,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    parameters: u64,
    macs: u64,
    weight_bytes: u64,
    peak_activation_bytes: u64,
    batch: usize,
    operators: BTreeMap<&'static str, Kind>,
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<NodeCost>>,
}

#[derive(Serialize)]
struct Port {
    name: String,
    dtype: String,
    shape: String,
}

/// All nodes of one operator.
#[derive(Default, Serialize)]
struct Kind {
    nodes: u64,
    parameters: u64,
    macs: u64,
}

/// Inspects.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let model = Model::load(&args.model)?;
    let cost = cost(&model.graph, args.batch.into())?;
    let graph = &model.graph;
    let output = Output {
        path: model.path.clone(),
        name: graph.name.clone(),
        file_bytes: model.file_bytes,
        inputs: ports(graph, &graph.inputs),
        outputs: ports(graph, &graph.outputs),
        parameters: cost.parameters,
        macs: cost.macs,
        weight_bytes: cost.weight_bytes,
        peak_activation_bytes: cost.peak_activation_bytes,
        batch: cost.batch,
        operators: kinds(&cost),
        metadata: graph.metadata.clone(),
        nodes: args.nodes.then_some(cost.nodes),
    };
    if global.json {
        return files::print_json(&output);
    }
    show(&output, global);
    Ok(())
}

fn ports(graph: &Graph, ids: &[ValueId]) -> Vec<Port> {
    let port = |&id: &ValueId| {
        let value = graph.value(id);
        Port {
            name: value.name.clone(),
            dtype: value.dtype.to_string(),
            shape: value.shape.to_string(),
        }
    };
    ids.iter().map(port).collect()
}

fn kinds(cost: &Cost) -> BTreeMap<&'static str, Kind> {
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    for node in &cost.nodes {
        let kind = kinds.entry(node.op).or_default();
        kind.nodes += 1;
        kind.parameters += node.parameters;
        kind.macs += node.macs;
    }
    kinds
}

fn show(o: &Output, global: &Global) {
    files::print(&format!("{}, {}", o.path.display(), term::bytes(o.file_bytes)));
    for (direction, ports) in [("input", &o.inputs), ("output", &o.outputs)] {
        for p in ports {
            files::print(&format!("{direction:<7} {} {} {}", p.name, p.dtype, p.shape));
        }
    }
    let mut rows: Vec<Vec<String>> = o
        .operators
        .iter()
        .map(|(op, k)| {
            vec![op.to_string(), k.nodes.to_string(), blank(k.parameters), blank(k.macs)]
        })
        .collect();
    let nodes: u64 = o.operators.values().map(|k| k.nodes).sum();
    rows.push(vec![
        "all".into(),
        nodes.to_string(),
        term::count(o.parameters),
        term::count(o.macs),
    ]);
    files::print(&term::table(
        &["operator", "nodes", "parameters", "multiply-adds"],
        &[1, 2, 3],
        &rows,
    ));
    let (weights, peak) = (term::bytes(o.weight_bytes), term::bytes(o.peak_activation_bytes));
    files::print(&format!(
        "weights {weights}; live activations at most {peak} (batch {}, node by node)",
        o.batch
    ));
    for (key, value) in &o.metadata {
        let long = value.chars().count() > 160 && global.verbose == 0;
        let value: String = value
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(if long { 160 } else { usize::MAX })
            .collect();
        files::print(&format!("{key} = {value}{}", if long { "…" } else { "" }));
    }
    if let Some(nodes) = &o.nodes {
        let row = |n: &NodeCost| {
            let shape = n.output.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            vec![
                n.name.clone(),
                n.op.into(),
                shape,
                blank(n.parameters),
                blank(n.macs),
                term::bytes(n.live_bytes),
            ]
        };
        let rows: Vec<Vec<String>> = nodes.iter().map(row).collect();
        files::print(&term::table(
            &["node", "operator", "output", "parameters", "multiply-adds", "live"],
            &[3, 4, 5],
            &rows,
        ));
    }
}

/// Zeros are noise in a table.
fn blank(n: u64) -> String {
    if n == 0 { String::new() } else { term::count(n) }
}
