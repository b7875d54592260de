//! All passes in order, repeated until none finds anything.

use std::collections::HashMap;

use super::*;
use crate::{GraphError, Node, Op, Result};

/// A rewrite with a name.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Name, unique among the passes.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Whether it computes new weights, so that a graph to be trained should not pass through it.
    pub folds_parameters: bool,
    /// Runs it on a graph, and returns how often it applied.
    pub run: fn(&mut Graph) -> Result<usize>,
}

/// What one run of a pass did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// Name of the pass.
    pub pass: &'static str,
    /// How often it applied.
    pub rewrites: usize,
    /// Names of the nodes that are different after it, in order.
    pub nodes: Vec<String>,
    /// Number of nodes before it.
    pub nodes_before: usize,
    /// Number of nodes after it.
    pub nodes_after: usize,
}

/// Most rounds of all passes. Each pass makes nodes fewer or simpler, and real models settle in
/// two or three rounds; the bound is for graphs made to be slow.
const MAX_ROUNDS: usize = 16;
/// Rounds that may fold constants: each may add as much as the graph stores, so that more would
/// let a small file ask for much memory.
const FOLDING_ROUNDS: usize = 2;

macro_rules! passes {
    ($($pass:ident, $folds:literal, $summary:literal;)*) => {
        &[$(Pass {
            name: stringify!($pass),
            summary: $summary,
            folds_parameters: $folds,
            run: $pass,
        }),*]
    };
}

/// Every pass, in the order in which [`canonicalise`] runs them. The order matters in a few
/// places: shuffles before reshapes are merged, since a merged reshape hides them; activations
/// before constants are folded into a convolution, since the 3 of `x + 3` in a hard sigmoid would
/// vanish in its bias; clamps before activations, which contain them.
pub fn all() -> &'static [Pass] {
    passes! {
        remove_unused, false, "drops nodes that nothing reads";
        fold_constants, false, "computes what depends on constants alone";
        remove_identities, false, "drops nodes that return their input";
        share_equal, false, "computes once what is computed twice";
        channel_shuffle, false, "Reshape, Transpose, Reshape of channels become ChannelShuffle";
        depth_to_space, false, "Reshape, Transpose, Reshape of pixels become DepthToSpace";
        merge_transposes, false, "joins Transposes in a row";
        merge_reshapes, false, "joins changes of shape in a row";
        clamps, false, "Max, Min and Clips in a row become one Clip or Relu";
        hard_swish, false, "x * Clip(x + 3, 0, 6) / 6 becomes HardSwish";
        hard_sigmoid, false, "Clip(x + 3, 0, 6) / 6 becomes HardSigmoid";
        silu, false, "x * Sigmoid(x) becomes Silu";
        mish, false, "x * Tanh(Softplus(x)) becomes Mish";
        gelu, false, "x / 2 * (1 + Erf(x / sqrt(2))) becomes Gelu";
        leaky_relu, false, "Max(x, a * x) becomes LeakyRelu";
        layer_norm, false, "means, squares and a root become LayerNorm";
        norm_affine, false, "a factor and a sum after LayerNorm become its scale and bias";
        global_pool, false, "means over whole maps become GlobalAveragePool";
        pad_into_conv, false, "moves padding into the convolution or pooling after it";
        join_gemm, false, "MatMul and Add of matrices become Gemm";
        fold_batch_norm, true, "moves BatchNorm into the layer before it";
        fold_affine, true, "moves factors and sums per channel into the layer before them";
        pointwise, false, "layers between reshapes of 1x1 maps become 1x1 convolutions";
        expose_clamps, false, "writes out the Relu that a quantised range hides";
        remove_requantise, false, "drops Dequantize, Quantize pairs that change nothing";
    }
}

/// Rewrites `graph` to the form that the runtime, the quantiser and the reports know best: one
/// operator for what exporters spell in several, nothing computed twice or for nobody. Runs
/// [`all`] in order, again and again until nothing changes, and returns what applied, in order.
/// The results stay the same up to rounding; [`Pass::folds_parameters`] tells which passes change
/// weights. Inputs and outputs keep their order and names. Idempotent.
///
/// # Errors
/// Where `graph` is not valid.
pub fn canonicalise(graph: &mut Graph) -> Result<Vec<Applied>> {
    until_settled(graph, |_| true, None)
}

/// As [`canonicalise`]; `visit` sees what each pass did, with the graph before and after it, and
/// may end the work with an error.
///
/// # Errors
/// Where `graph` is not valid, and what `visit` returns.
pub fn canonicalise_with<E: From<GraphError>>(
    graph: &mut Graph,
    visit: &mut dyn FnMut(&Applied, &Graph, &Graph) -> Result<(), E>,
) -> Result<Vec<Applied>, E> {
    let mut outcome = Ok(());
    let mut keep = |applied: &Applied, before: &Graph, after: &Graph| {
        if outcome.is_ok() {
            outcome = visit(applied, before, after);
        }
    };
    let applied = until_settled(graph, |_| true, Some(&mut keep))?;
    outcome.map(|()| applied)
}

/// As [`canonicalise`], without the passes that compute new weights: a graph that trains as
/// before.
///
/// # Errors
/// Where `graph` is not valid.
pub fn simplify(graph: &mut Graph) -> Result<Vec<Applied>> {
    until_settled(graph, |pass| !pass.folds_parameters, None)
}

/// What watches the passes: the pass, the graph before it, the graph after it.
type Visit<'a> = &'a mut dyn FnMut(&Applied, &Graph, &Graph);

fn until_settled(
    graph: &mut Graph,
    wanted: impl Fn(&Pass) -> bool,
    mut visit: Option<Visit>,
) -> Result<Vec<Applied>> {
    graph.validate()?;
    let mut applied = vec![];
    let mut known = Known::of(graph);
    for round in 0..MAX_ROUNDS {
        let before = applied.len();
        let runs = |p: &&Pass| wanted(p) && (round < FOLDING_ROUNDS || p.name != "fold_constants");
        for pass in all().iter().filter(runs) {
            let original = visit.is_some().then(|| graph.clone());
            let Some(did) = apply(pass, graph, &mut known)? else { continue };
            if let (Some(visit), Some(original)) = (&mut visit, &original) {
                visit(&did, original, graph);
            }
            applied.push(did);
        }
        if applied.len() == before {
            break;
        }
    }
    Ok(applied)
}

/// Runs one pass; `known` is what the graph holds before it, and after.
fn apply(pass: &Pass, graph: &mut Graph, known: &mut Known) -> Result<Option<Applied>> {
    let nodes_before = graph.nodes.len();
    let rewrites = (pass.run)(graph)?;
    if rewrites == 0 {
        return Ok(None);
    }
    let nodes = known.changed(graph);
    *known = Known::of(graph);
    let nodes_after = graph.nodes.len();
    Ok(Some(Applied { pass: pass.name, rewrites, nodes, nodes_before, nodes_after }))
}

/// Operator and inputs, by name, of every node: ids change when a graph is compacted.
struct Known(HashMap<String, (Op, Vec<Option<String>>)>);

impl Known {
    fn of(graph: &Graph) -> Known {
        let entry = |n: &Node| (n.name.clone(), (n.op.clone(), input_names(graph, n)));
        Known(graph.nodes.iter().map(entry).collect())
    }

    /// Names of the nodes of `graph` that are not here with the same operator and inputs.
    fn changed(&self, graph: &Graph) -> Vec<String> {
        let differs = |n: &&Node| {
            self.0
                .get(&n.name)
                .is_none_or(|(op, inputs)| *op != n.op || *inputs != input_names(graph, n))
        };
        graph.nodes.iter().filter(differs).map(|n| n.name.clone()).collect()
    }
}

fn input_names(graph: &Graph, node: &Node) -> Vec<Option<String>> {
    node.inputs.iter().map(|id| id.map(|id| graph.value(id).name.clone())).collect()
}
