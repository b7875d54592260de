//! What the page says about a box when it is clicked.

use std::borrow::Cow;

use edgecut_graph::cost::Cost;
use edgecut_graph::{Data, Graph, Op, Tensor, Value, ValueId, Window};
use serde::Serialize;

use super::drawing::{Drawing, Of};
use super::summary::extents;
use crate::term;

/// Stored tensors up to this many elements are written out.
const SPELT: usize = 8;

/// Name and value of an attribute or figure.
type Fact = (Cow<'static, str>, String);

/// Everything that the page's script reads.
#[derive(Serialize)]
pub struct Details<'a> {
    boxes: Vec<Detail<'a>>,
    /// Every node in order, drawn or not.
    nodes: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Detail<'a> {
    name: &'a str,
    op: &'static str,
    facts: Vec<Fact>,
    inputs: Vec<Wire<'a>>,
    outputs: Vec<Wire<'a>>,
}

/// A value at one end of a box.
#[derive(Serialize)]
struct Wire<'a> {
    name: &'a str,
    kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    /// Boxes at the other end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<usize>,
}

/// A node in the memory plot.
#[derive(Serialize)]
struct Step<'a> {
    name: &'a str,
    live: String,
    /// Its box, where it is drawn.
    at: Option<usize>,
}

impl<'a> Details<'a> {
    /// About everything in `drawing`.
    pub fn new(graph: &'a Graph, cost: &'a Cost, drawing: &'a Drawing) -> Details<'a> {
        let ends = Ends::new(graph, drawing);
        let mut at = vec![None; graph.nodes.len()];
        for (index, b) in drawing.boxes.iter().enumerate() {
            if let Of::Node(node) = b.of {
                at[node] = Some(index);
            }
        }
        let step = |(n, at): (&'a edgecut_graph::cost::NodeCost, Option<usize>)| Step {
            name: &n.name,
            live: term::bytes(n.live_bytes),
            at,
        };
        Details {
            boxes: drawing.boxes.iter().map(|b| ends.detail(b.of, cost)).collect(),
            nodes: cost.nodes.iter().zip(at).map(step).collect(),
        }
    }

    /// As the content of a `<script>` element, which `<` could end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "null".into()).replace('<', "\\u003c")
    }
}

/// Which boxes make and read a value.
struct Ends<'a> {
    graph: &'a Graph,
    producers: Vec<Option<usize>>,
    makers: &'a [Option<usize>],
    readers: Vec<Vec<usize>>,
}

impl<'a> Ends<'a> {
    fn new(graph: &'a Graph, drawing: &'a Drawing) -> Ends<'a> {
        let mut readers = vec![vec![]; graph.values().len()];
        for (index, b) in drawing.boxes.iter().enumerate() {
            match b.of {
                Of::Input(_) => {}
                Of::Output(id) => readers[id.index()].push(index),
                Of::Node(n) => {
                    let node = &graph.nodes[n];
                    node.inputs.iter().flatten().for_each(|id| readers[id.index()].push(index));
                }
            }
        }
        readers.iter_mut().for_each(Vec::dedup);
        Ends { graph, producers: graph.producers(), makers: &drawing.makers, readers }
    }

    fn detail(&self, of: Of, cost: &Cost) -> Detail<'a> {
        let graph = self.graph;
        let (name, op) = match of {
            Of::Input(id) => (graph.value(id).name.as_str(), "input"),
            Of::Output(id) => (graph.value(id).name.as_str(), "output"),
            Of::Node(n) => (graph.nodes[n].name.as_str(), graph.nodes[n].op.name()),
        };
        let (mut facts, mut inputs, mut outputs) = (vec![], vec![], vec![]);
        match of {
            Of::Input(id) => outputs.push(self.made(id)),
            Of::Output(id) => inputs.push(self.read(id)),
            Of::Node(n) => {
                let node = &graph.nodes[n];
                facts = attributes(&node.op);
                if let Some(c) = cost.nodes.get(n) {
                    let numbers = [("parameters", c.parameters), ("multiply-adds", c.macs)];
                    let shown = numbers.into_iter().filter(|(_, n)| *n > 0);
                    facts.extend(shown.map(|(what, n)| (what.into(), term::count(n))));
                    facts.push(("live memory".into(), term::bytes(c.live_bytes)));
                }
                inputs.extend(node.inputs.iter().flatten().map(|&id| self.read(id)));
                outputs.extend(node.outputs.iter().map(|&id| self.made(id)));
            }
        }
        Detail { name, op, facts, inputs, outputs }
    }

    fn read(&self, id: ValueId) -> Wire<'a> {
        let value = self.graph.value(id);
        let to = self.makers[id.index()].into_iter().collect();
        Wire { name: &value.name, kind: kind(value), note: self.origin(id), to }
    }

    fn made(&self, id: ValueId) -> Wire<'a> {
        let value = self.graph.value(id);
        let to = self.readers[id.index()].clone();
        Wire { name: &value.name, kind: kind(value), note: String::new(), to }
    }

    /// What a stored value holds, or what one that depends on constants alone is made of.
    fn origin(&self, id: ValueId) -> String {
        if let Some(tensor) = self.graph.constant(id) {
            return content(tensor);
        }
        if self.makers[id.index()].is_some() {
            return String::new();
        }
        let Some(node) = self.producers[id.index()].map(|n| &self.graph.nodes[n]) else {
            return String::new();
        };
        let source = node.inputs.iter().flatten().next().map(|&v| self.graph.value(v));
        match source {
            Some(v) => format!("{} of {} ({})", node.op.name(), v.name, kind(v)),
            None => node.op.name().into(),
        }
    }
}

fn kind(value: &Value) -> String {
    format!("{} {}", value.dtype, value.shape)
}

/// The elements of a small tensor, the range of a large one.
fn content(tensor: &Tensor) -> String {
    let numbers = tensor.to_f32();
    if numbers.is_empty() {
        return "empty".into();
    }
    if numbers.len() <= SPELT {
        // Wide integers are written as they are; float32 would round them.
        let text: Vec<String> = match (tensor.data(), tensor.to_i64()) {
            (Data::F32(_), _) | (_, Err(_)) => numbers.iter().map(f32::to_string).collect(),
            (_, Ok(integers)) => integers.iter().map(i64::to_string).collect(),
        };
        return format!("= {}", text.join(", "));
    }
    let (low, high) = numbers.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
    format!("{} elements, {low:.4} to {high:.4}", term::count(numbers.len() as u64))
}

/// Name and value of each attribute.
fn attributes(op: &Op) -> Vec<Fact> {
    match op {
        Op::Conv(c) | Op::ConvInteger(c) => grouped(&c.window, c.groups),
        Op::ConvTranspose(c) => grouped(&c.window, c.groups),
        Op::MaxPool(p) | Op::AveragePool(p) => window(&p.window),
        _ => fields(&format!("{op:?}")),
    }
}

/// The fields of a struct as its debug form spells them: `Softmax { axis: 1 }`,
/// `Unary(Clip { min: 0.0, max: 6.0 })`.
fn fields(text: &str) -> Vec<Fact> {
    let inner = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let mut depth = 0;
    let at_top = |c: char| {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    let parts = inner.map_or("", |(inner, _)| inner).split(at_top);
    let fact = |(name, value): (&str, &str)| -> Fact {
        (name.trim().to_string().into(), value.trim().into())
    };
    parts.filter_map(|part| part.split_once(": ").map(fact)).collect()
}

fn grouped(w: &Window, groups: usize) -> Vec<Fact> {
    let mut facts = window(w);
    if groups > 1 {
        facts.push(("groups".into(), groups.to_string()));
    }
    facts
}

fn window(w: &Window) -> Vec<Fact> {
    let mut facts =
        vec![("kernel".into(), extents(&w.kernel)), ("strides".into(), extents(&w.strides))];
    if w.dilations != [1, 1] {
        facts.push(("dilations".into(), extents(&w.dilations)));
    }
    if w.pads != [0; 4] {
        let [top, left, bottom, right] = w.pads;
        let pads = format!("top {top}, left {left}, bottom {bottom}, right {right}");
        facts.push(("padding".into(), pads));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::cost::cost;
    use edgecut_graph::{Builder, Pool};

    #[test]
    fn details_link_both_ways_and_cannot_end_their_element() {
        let mut b = Builder::new("tiny", 1);
        let x = b.input("</script>", [1.into(), 3.into(), 8.into(), 8.into()]);
        let y = b.conv(x, "stem", 4, Window::same(3, 2), 1, true).unwrap();
        let y = b.relu6(y).unwrap();
        let graph = b.finish(&[y]).unwrap();
        let cost = cost(&graph, 1).unwrap();
        let drawing = Drawing::new(&graph, 1);
        let details = Details::new(&graph, &cost, &drawing);
        let json = details.json();
        assert!(!json.contains('<'));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["boxes"][0]["name"], "</script>");
        assert_eq!(read["boxes"][1]["inputs"][0]["to"][0], 0);
        assert_eq!(read["boxes"][1]["inputs"][2]["note"], "= 0, 0, 0, 0");
        assert_eq!(read["boxes"][1]["outputs"][0]["to"][0], 2);
        assert_eq!(read["nodes"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn attributes_are_spelt_out() {
        let text = |op: &Op| attributes(op).into_iter().map(|(k, v)| format!("{k} {v}")).collect();
        let of = |op: &Op| -> Vec<String> { text(op) };
        assert_eq!(of(&Op::Softmax { axis: 1 }), ["axis 1"]);
        assert_eq!(of(&Op::RELU6), ["min 0.0", "max 6.0"]);
        assert!(of(&Op::MatMul).is_empty() && of(&Op::RELU).is_empty());
        let reshape = Op::Transpose { perm: vec![0, 2, 1] };
        assert_eq!(of(&reshape), ["perm [0, 2, 1]"]);
        let pool = Pool {
            window: Window::new([2, 2], [2, 2]),
            ceil_mode: false,
            count_include_pad: false,
        };
        assert_eq!(of(&Op::MaxPool(pool)), ["kernel 2x2", "strides 2x2"]);
    }
}
