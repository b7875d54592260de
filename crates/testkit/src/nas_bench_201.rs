//! Networks of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): the space whose every network
//! has been trained, and scored by published proxies, so that own scores can be checked.
//!
//! A cell has four nodes, each the sum of what the edges from earlier nodes bring; an edge is one of
//! five operations. A network is a 3x3 convolution to 16 channels, three stages of five equal cells
//! with 16, 32 and 64 channels, a residual block with stride 2 between stages, BatchNorm, ReLU, mean
//! over space, and a linear layer. Convolutions have no bias; each convolution of a cell is ReLU,
//! convolution, BatchNorm, and that ReLU is its own node, as in the published code.

use edgecut_graph::{Binary, Builder, Graph, GraphError, Op, Result, Tensor, ValueId, Window};

/// Channels of the three stages.
pub const CHANNELS: [usize; 3] = [16, 32, 64];
/// Cells of each stage.
pub const CELLS: usize = 5;

/// What an edge of a cell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Brings zeros.
    None,
    /// Brings its input.
    Skip,
    /// ReLU, 1x1 convolution, BatchNorm.
    Conv1,
    /// ReLU, 3x3 convolution, BatchNorm.
    Conv3,
    /// Mean over 3x3 pixels without padding's.
    Average,
}

impl Edge {
    /// All of them with their published names.
    pub const NAMES: [(Edge, &str); 5] = [
        (Edge::None, "none"),
        (Edge::Skip, "skip_connect"),
        (Edge::Conv1, "nor_conv_1x1"),
        (Edge::Conv3, "nor_conv_3x3"),
        (Edge::Average, "avg_pool_3x3"),
    ];
}

/// A cell: the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(pub [Edge; 6]);

impl Cell {
    /// Reads `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Cell> {
        let mut edges = vec![];
        for (node, group) in text.split('+').enumerate() {
            let inner = group.strip_prefix('|')?.strip_suffix('|')?;
            for (from, edge) in inner.split('|').enumerate() {
                let name = edge.strip_suffix(&format!("~{from}"))?;
                edges.push(Edge::NAMES.iter().find(|(_, known)| *known == name)?.0);
            }
            // Node i has edges from all i + 1 nodes before it.
            (edges.len() == (node + 1) * (node + 2) / 2).then_some(())?;
        }
        edges.try_into().ok().map(Cell)
    }

    /// The network with this cell for pictures `[batch, 3, 32, 32]` of so many `classes`.
    ///
    /// # Errors
    /// No classes.
    pub fn network(&self, classes: usize) -> Result<Graph> {
        if classes == 0 {
            let (place, problem) = ("classes".into(), "must be at least 1".into());
            return Err(GraphError::Malformed { place, problem });
        }
        let mut b = Builder::new("nas-bench-201", 0);
        let x = b.input("input", ["batch".into(), 3.into(), 32.into(), 32.into()]);
        let x = b.conv(x, "stem.conv", CHANNELS[0], Window::same(3, 1), 1, false)?;
        let mut x = b.batch_norm(x, "stem.bn")?;
        for (stage, &channels) in CHANNELS.iter().enumerate() {
            if stage > 0 {
                x = reduction(&mut b, x, &format!("reduction{stage}"), channels)?;
            }
            for cell in 0..CELLS {
                x = self.nodes(&mut b, x, &format!("stage{stage}.cell{cell}"), channels)?;
            }
        }
        let x = b.batch_norm(x, "last.bn")?;
        let x = b.relu(x)?;
        let x = b.global_average_pool(x)?;
        let x = b.flatten(x)?;
        let x = b.linear(x, "classifier", classes)?;
        b.finish(&[x])
    }

    fn nodes(&self, b: &mut Builder, x: ValueId, name: &str, channels: usize) -> Result<ValueId> {
        let mut nodes = vec![x];
        let mut edges = self.0.iter();
        for to in 1..4 {
            let mut sum = None;
            for (from, edge) in (0..to).zip(&mut edges) {
                let edge_name = format!("{name}.edge{from}{to}");
                if let Some(y) = apply(b, *edge, nodes[from], &edge_name, channels)? {
                    sum = Some(sum.map_or(Ok(y), |sum| b.add(sum, y))?);
                }
            }
            let node = sum.map_or_else(|| zeros(b, x, &format!("{name}.node{to}")), Ok)?;
            nodes.push(node);
        }
        Ok(nodes[3])
    }
}

fn apply(
    b: &mut Builder,
    edge: Edge,
    x: ValueId,
    name: &str,
    channels: usize,
) -> Result<Option<ValueId>> {
    Ok(match edge {
        Edge::None => None,
        Edge::Skip => Some(x),
        Edge::Conv1 => Some(relu_conv_norm(b, x, name, channels, Window::same(1, 1))?),
        Edge::Conv3 => Some(relu_conv_norm(b, x, name, channels, Window::same(3, 1))?),
        Edge::Average => Some(b.average_pool(x, Window::same(3, 1))?),
    })
}

/// Zeros of `x`'s shape.
fn zeros(b: &mut Builder, x: ValueId, name: &str) -> Result<ValueId> {
    let zero = b.constant(&format!("{name}.zero"), Tensor::scalar(0.0));
    b.apply("zeros", Op::Binary(Binary::Mul), &[x, zero])
}

fn relu_conv_norm(
    b: &mut Builder,
    x: ValueId,
    name: &str,
    channels: usize,
    window: Window,
) -> Result<ValueId> {
    let x = b.relu(x)?;
    let x = b.conv(x, &format!("{name}.conv"), channels, window, 1, false)?;
    b.batch_norm(x, &format!("{name}.bn"))
}

/// Halves the map: two convolutions beside the mean over 2x2 pixels and a 1x1 convolution.
fn reduction(b: &mut Builder, x: ValueId, name: &str, channels: usize) -> Result<ValueId> {
    let y = relu_conv_norm(b, x, &format!("{name}.a"), channels, Window::same(3, 2))?;
    let y = relu_conv_norm(b, y, &format!("{name}.b"), channels, Window::same(3, 1))?;
    let shortcut = b.average_pool(x, Window::new([2, 2], [2, 2]))?;
    let point = Window::same(1, 1);
    let shortcut = b.conv(shortcut, &format!("{name}.shortcut"), channels, point, 1, false)?;
    b.add(shortcut, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::cost::cost;

    /// Without operations in the cell: worked by hand from the description above.
    #[test]
    fn the_skeleton_costs_what_it_should() {
        let cell = Cell([Edge::Skip; 6]);
        let cost = cost(&cell.network(10).unwrap(), 1).unwrap();
        assert_eq!((cost.parameters, cost.macs), (73_306, 7_783_040));
    }

    #[test]
    fn cells_are_read_as_they_are_published() {
        let text =
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|none~2|";
        let edges = [Edge::Average, Edge::Conv1, Edge::Skip, Edge::None, Edge::Conv3, Edge::None];
        assert_eq!(Cell::parse(text), Some(Cell(edges)));
        for broken in [
            "",
            "|none~0|",
            "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|",
            "|none~0|+|none~0|none~1|+|none~0|none~1|other~2|",
            "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+",
        ] {
            assert_eq!(Cell::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn any_cell_is_a_valid_network() {
        for edge in Edge::NAMES.map(|(edge, _)| edge) {
            let graph = Cell([edge; 6]).network(10).unwrap();
            assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "[batch, 10]");
        }
    }
}
