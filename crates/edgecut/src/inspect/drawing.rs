//! What a picture of a graph shows: boxes, and edges between them.

use edgecut_graph::{Graph, Op, ValueId};

use super::summary::{detail, extents};

/// An input, a computed node, or an output.
pub struct Box {
    /// What it stands for.
    pub of: Of,
    /// CSS class, by what the operator does.
    pub class: &'static str,
    /// Operator with the attributes that a reader looks for, or name of the input or output.
    pub title: String,
    /// Extents of its (first) output.
    pub shape: String,
    /// Name in the file.
    pub name: String,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An input of the graph.
    Input(ValueId),
    /// The node at this position.
    Node(usize),
    /// An output of the graph.
    Output(ValueId),
}

/// Boxes of inputs, computed nodes and outputs, and the edges between them. What depends on
/// constants alone, such as a dequantised weight, belongs to its reader and is not drawn.
pub struct Drawing {
    /// Boxes; sources before their readers.
    pub boxes: Vec<Box>,
    /// From box to box.
    pub edges: Vec<(usize, usize)>,
    /// Which box makes a value, by value; none for what depends on constants alone.
    pub makers: Vec<Option<usize>>,
}

impl Drawing {
    /// The drawing of `graph`; `batch` stands in for symbolic extents.
    pub fn new(graph: &Graph, batch: usize) -> Drawing {
        let makers = vec![None; graph.values().len()];
        let mut drawing = Drawing { boxes: vec![], edges: vec![], makers };
        for &input in &graph.inputs {
            drawing.makers[input.index()] = Some(drawing.boxes.len());
            drawing.port(graph, Of::Input(input), input, batch);
        }
        for index in 0..graph.nodes.len() {
            drawing.node(graph, index, batch);
        }
        for &output in &graph.outputs {
            if let Some(source) = drawing.makers[output.index()] {
                drawing.edges.push((source, drawing.boxes.len()));
            }
            drawing.port(graph, Of::Output(output), output, batch);
        }
        drawing
    }

    fn port(&mut self, graph: &Graph, of: Of, id: ValueId, batch: usize) {
        let value = graph.value(id);
        let (shape, name) = (extents(&value.shape.with_symbols(batch)), value.name.clone());
        self.boxes.push(Box { of, class: "port", title: name.clone(), shape, name });
    }

    fn node(&mut self, graph: &Graph, index: usize, batch: usize) {
        let node = &graph.nodes[index];
        let mut sources: Vec<usize> =
            node.inputs.iter().flatten().filter_map(|v| self.makers[v.index()]).collect();
        sources.sort_unstable();
        sources.dedup();
        if sources.is_empty() {
            return;
        }
        let here = self.boxes.len();
        self.edges.extend(sources.into_iter().map(|source| (source, here)));
        node.outputs.iter().for_each(|v| self.makers[v.index()] = Some(here));
        let (op, more) = (node.op.name(), detail(graph, node));
        self.boxes.push(Box {
            of: Of::Node(index),
            class: family(&node.op),
            title: if more.is_empty() { op.into() } else { format!("{op} {more}") },
            shape: extents(&graph.value(node.output()).shape.with_symbols(batch)),
            name: node.name.clone(),
        });
    }
}

/// CSS class of an operator's box.
fn family(op: &Op) -> &'static str {
    match op {
        Op::Conv(_) | Op::ConvTranspose(_) | Op::ConvInteger(_) => "conv",
        Op::Gemm(_) | Op::MatMul | Op::MatMulInteger => "linear",
        Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::InstanceNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LocalResponseNorm { .. }
        | Op::LpNorm { .. } => "norm",
        Op::Unary(_) | Op::Softmax { .. } | Op::LogSoftmax { .. } => "act",
        Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::LpPool { .. }
        | Op::GlobalAveragePool
        | Op::Reduce { .. } => "pool",
        Op::Binary(_) | Op::Compare(_) | Op::Logic(_) | Op::Where => "math",
        Op::Quantize { .. } | Op::Dequantize { .. } | Op::DynamicQuantize => "quant",
        _ => "shape",
    }
}
