//! The graph as an SVG picture: boxes from top to bottom, colours by what an operator does.

use edgecut_graph::{Graph, Op, ValueId};
use maud::{Markup, html};

use super::layout::{Layout, Place, layout};
use super::summary::{detail, extents};
use crate::report::charts::shorten;
use crate::term;

/// Largest graph that is drawn; beyond, nobody could read the picture.
pub const MAX_NODES: usize = 3000;

const BOX: (f64, f64) = (176.0, 44.0);
const GAP: (f64, f64) = (22.0, 26.0);
const MARGIN: f64 = 12.0;

/// What a box shows.
struct Box {
    class: &'static str,
    title: String,
    shape: String,
    tip: String,
}

/// Boxes of inputs, computed nodes and outputs, and the edges between them. What depends on
/// constants alone, such as a dequantised weight, belongs to its reader and is not drawn.
struct Drawing {
    boxes: Vec<Box>,
    edges: Vec<(usize, usize)>,
}

/// The picture, in its natural size. `batch` stands in for symbolic extents.
pub fn picture(graph: &Graph, batch: usize) -> Markup {
    if graph.nodes.len() > MAX_NODES {
        return html! { p.quiet { "The graph has " (graph.nodes.len()) " nodes: too many for a picture." } };
    }
    let drawing = Drawing::new(graph, batch);
    let layout = layout(drawing.boxes.len(), &drawing.edges);
    draw(&drawing, &layout)
}

impl Drawing {
    fn new(graph: &Graph, batch: usize) -> Drawing {
        let mut drawing = Drawing { boxes: vec![], edges: vec![] };
        // Which box makes a value; none for what depends on constants alone.
        let mut maker: Vec<Option<usize>> = vec![None; graph.values().len()];
        for &input in &graph.inputs {
            maker[input.index()] = Some(drawing.port(graph, input, batch));
        }
        for node in &graph.nodes {
            let mut sources: Vec<usize> =
                node.inputs.iter().flatten().filter_map(|v| maker[v.index()]).collect();
            sources.dedup();
            if sources.is_empty() {
                continue;
            }
            let index = drawing.boxes.len();
            let more = detail(graph, node);
            let shape = extents(&graph.value(node.output()).shape.with_symbols(batch));
            let title = if more.is_empty() {
                node.op.name().to_string()
            } else {
                format!("{} {more}", node.op.name())
            };
            let tip = format!("{}\n{title}\n{shape}", node.name);
            drawing.boxes.push(Box { class: family(&node.op), title, shape, tip });
            drawing.edges.extend(sources.into_iter().map(|source| (source, index)));
            node.outputs.iter().for_each(|v| maker[v.index()] = Some(index));
        }
        for &output in &graph.outputs {
            let source = maker[output.index()];
            let index = drawing.port(graph, output, batch);
            drawing.edges.extend(source.map(|s| (s, index)));
        }
        drawing
    }

    fn port(&mut self, graph: &Graph, id: ValueId, batch: usize) -> usize {
        let value = graph.value(id);
        let shape = extents(&value.shape.with_symbols(batch));
        let tip = format!("{}\n{} {}", value.name, value.dtype, value.shape);
        self.boxes.push(Box { class: "port", title: value.name.clone(), shape, tip });
        self.boxes.len() - 1
    }
}

/// CSS class of an operator's box.
pub fn family(op: &Op) -> &'static str {
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

fn draw(drawing: &Drawing, layout: &Layout) -> Markup {
    let x = |place: &Place| MARGIN + BOX.0 / 2.0 + (place.x - layout.span.0) * (BOX.0 + GAP.0);
    let top = |place: &Place| MARGIN + place.layer as f64 * (BOX.1 + GAP.1);
    let width = 2.0 * MARGIN + BOX.0 + (layout.span.1 - layout.span.0) * (BOX.0 + GAP.0);
    let height = 2.0 * MARGIN + layout.layers as f64 * (BOX.1 + GAP.1);
    html! {
        svg.graph width=(format!("{width:.0}")) height=(format!("{height:.0}")) viewBox={ "0 0 " (format!("{width:.0}")) " " (format!("{height:.0}")) } role="img" aria-label="The graph" {
            @for route in &layout.routes {
                path.edge d=(curve(route, x, top)) {}
            }
            @for (node, place) in drawing.boxes.iter().zip(&layout.boxes) {
                g.(node.class) {
                    title { (node.tip) }
                    rect.node x=(format!("{:.1}", x(place) - BOX.0 / 2.0)) y=(format!("{:.1}", top(place))) width=(BOX.0) height=(BOX.1) rx="7" {}
                    text.name x=(format!("{:.1}", x(place))) y=(format!("{:.1}", top(place) + 18.0)) text-anchor="middle" { (shorten(&node.title, 28)) }
                    text.size x=(format!("{:.1}", x(place))) y=(format!("{:.1}", top(place) + 34.0)) text-anchor="middle" { (shorten(&node.shape, 28)) }
                }
            }
        }
    }
}

/// From box to box, upright where it passes a layer.
fn curve(route: &[Place], x: impl Fn(&Place) -> f64, top: impl Fn(&Place) -> f64) -> String {
    let Some(first) = route.first() else { return String::new() };
    let mut path = format!("M{:.1} {:.1}", x(first), top(first) + BOX.1);
    for (i, pair) in route.windows(2).enumerate() {
        let (from, to) = (top(&pair[0]) + BOX.1, top(&pair[1]));
        let middle = (from + to) / 2.0;
        let (a, b) = (x(&pair[0]), x(&pair[1]));
        path.push_str(&format!("C{a:.1} {middle:.1} {b:.1} {middle:.1} {b:.1} {to:.1}"));
        if i + 2 < route.len() {
            path.push_str(&format!("V{:.1}", to + BOX.1));
        }
    }
    path
}

/// What the colours mean.
pub fn legend() -> Markup {
    const FAMILIES: [(&str, &str); 8] = [
        ("conv", "convolution"),
        ("linear", "matrix product"),
        ("norm", "normalisation"),
        ("act", "activation"),
        ("pool", "pooling, reduction"),
        ("math", "arithmetic"),
        ("quant", "quantisation"),
        ("shape", "layout"),
    ];
    html! {
        p.legend-row { @for (class, text) in FAMILIES { span.key.(class) { (text) } } }
    }
}

/// `1,234 nodes, 56.7 k parameters`
pub fn caption(nodes: usize, parameters: u64) -> String {
    format!("{} nodes, {} parameters", term::count(nodes as u64), term::short_count(parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Builder, Window};

    #[test]
    fn a_picture_shows_ports_and_computed_nodes_only() {
        let mut b = Builder::new("tiny", 1);
        let x = b.input("image", [1.into(), 3.into(), 8.into(), 8.into()]);
        let y = b.conv(x, "stem", 4, Window::same(3, 2), 1, false).unwrap();
        let y = b.relu6(y).unwrap();
        let graph = b.finish(&[y]).unwrap();
        let svg = picture(&graph, 1).into_string();
        assert_eq!(svg.matches("<rect").count(), 1 + 2 + 1);
        assert_eq!(svg.matches("class=\"edge\"").count(), 3);
        assert!(svg.contains("Conv 3x3 /2") && svg.contains("1x4x4x4") && svg.contains("image"));
    }
}
