//! The graph as an SVG picture: boxes from top to bottom, colours by what an operator does.

use maud::{Markup, html};

use super::drawing::Drawing;
use super::layout::{Layout, Place, layout};
use crate::report::charts::shorten;
use crate::term;

/// Most boxes that are drawn; beyond, a browser could not scroll the picture.
pub const MAX_BOXES: usize = 20_000;
/// Most edges that are drawn.
pub const MAX_EDGES: usize = 80_000;

const BOX: (f64, f64) = (176.0, 44.0);
const GAP: (f64, f64) = (22.0, 26.0);
const MARGIN: f64 = 16.0;

/// The picture, in its natural size.
pub fn picture(drawing: &Drawing) -> Markup {
    let (boxes, edges) = (drawing.boxes.len(), drawing.edges.len());
    if boxes > MAX_BOXES || edges > MAX_EDGES {
        return html! {
            p.quiet.pad { (term::count(boxes as u64)) " nodes with " (term::count(edges as u64)) " edges are too many for a picture." }
        };
    }
    draw(drawing, &layout(boxes, &drawing.edges))
}

fn draw(drawing: &Drawing, layout: &Layout) -> Markup {
    let x = |place: &Place| MARGIN + BOX.0 / 2.0 + (place.x - layout.span.0) * (BOX.0 + GAP.0);
    let top = |place: &Place| MARGIN + place.layer as f64 * (BOX.1 + GAP.1);
    let width = 2.0 * MARGIN + BOX.0 + (layout.span.1 - layout.span.0) * (BOX.0 + GAP.0);
    let height = 2.0 * MARGIN + layout.layers as f64 * (BOX.1 + GAP.1) - GAP.1;
    html! {
        svg.graph width=(format!("{width:.0}")) height=(format!("{height:.0}")) viewBox={ "0 0 " (format!("{width:.0}")) " " (format!("{height:.0}")) } role="img" aria-label="The graph" {
            @for (edge, route) in drawing.edges.iter().zip(&layout.routes) {
                path.edge data-from=(edge.0) data-to=(edge.1) d=(curve(route, x, top)) {}
            }
            @for (i, (node, place)) in drawing.boxes.iter().zip(&layout.boxes).enumerate() {
                g.(node.class) data-box=(i) transform=(format!("translate({:.1} {:.1})", x(place) - BOX.0 / 2.0, top(place))) {
                    title { (node.name) }
                    rect.node width=(BOX.0) height=(BOX.1) rx="7" {}
                    text.name x=(BOX.0 / 2.0) y="18" { (shorten(&node.title, 27)) }
                    text.size x=(BOX.0 / 2.0) y="34" { (shorten(&node.shape, 28)) }
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
        let svg = picture(&Drawing::new(&graph, 1)).into_string();
        assert_eq!(svg.matches("<rect").count(), 1 + 2 + 1);
        assert_eq!(svg.matches("class=\"edge\"").count(), 3);
        assert!(svg.contains("Conv 3x3 /2") && svg.contains("1x4x4x4") && svg.contains("image"));
    }
}
