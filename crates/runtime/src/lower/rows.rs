//! Operators that join the elements along dimensions: reductions, softmax, layer normalisation.

use edgecut_graph::{Node, Reduction};
use edgecut_kernels::Blob;
use edgecut_kernels::reduce;

use super::order::{Found, order};
use super::{Effects, Lowering, count};
use crate::Result;
use crate::step::{LayerNorm, Reduce, Softmax, Step};

impl Lowering<'_> {
    /// Softmax or its logarithm along any dimension.
    pub(super) fn softmax(&mut self, node: &Node, axis: usize, log: bool) -> Result<bool> {
        let shape = self.shape(node.output());
        let Found { slot: x, row_major } = self.found(node.input(0)?)?;
        let (len, inner) = line(&shape, &[axis], row_major).expect("one dimension is one run");
        let y = self.produce_as(node.output(), row_major);
        let step = Step::Softmax(Softmax { x, y, len, inner, log });
        self.emit(node, step, Effects::new("softmax", &[x], &[y]));
        Ok(true)
    }

    /// A reduction along dimensions that lie side by side in one of the two orders.
    pub(super) fn reduce(&mut self, node: &Node, kind: Reduction, axes: &[usize]) -> Result<bool> {
        let Some(kind) = reduction(kind) else { return Ok(false) };
        let (input, output) = (node.input(0)?, node.output());
        let (shape, keeps) =
            (self.shape(input), self.shape(output).len() == self.shape(input).len());
        let fits = |row_major: bool| {
            let run = line(&shape, axes, row_major)?;
            // What remains without its dimension is row-major where its order did not change.
            let rest = order(shape.len(), row_major).into_iter();
            let rest: Vec<usize> = rest.filter(|a| !axes.contains(a) && shape[*a] != 1).collect();
            (keeps || rest.is_sorted()).then_some(run)
        };
        let first = self.is_row_major_only(input);
        let found = [first, !first].into_iter().find_map(|order| Some((order, fits(order)?)));
        let Some((row_major, (len, inner))) = found else { return Ok(false) };
        let x = if row_major { self.stored_row_major(input)? } else { self.stored(input)? };
        // A result of another rank has no channels-last order of the input's.
        let y = self.produce_as(output, row_major || !keeps);
        let step = Step::Reduce(Reduce { x, y, kind, len, inner });
        self.emit(node, step, Effects::new("reduce", &[x], &[y]));
        Ok(true)
    }

    /// Normalisation over the last dimensions with constant scale and bias.
    pub(super) fn layer_norm(&mut self, node: &Node, epsilon: f32) -> Result<bool> {
        let Some(scale) = self.constant(node.input(1)?)? else { return Ok(false) };
        let Some(bias) = self.optional_constant(node, 2)? else { return Ok(false) };
        let x = self.stored_row_major(node.input(0)?)?;
        let y = self.produce_as(node.output(), true);
        let bias = bias.map(|b| b.f32s().map(Blob::from)).transpose()?;
        let scale = scale.f32s()?.into();
        let step = Step::LayerNorm(Box::new(LayerNorm { x, y, epsilon, scale, bias }));
        self.emit(node, step, Effects::new("layer_norm", &[x], &[y]));
        Ok(true)
    }
}

/// The kernel's name for a reduction that has one.
fn reduction(kind: Reduction) -> Option<reduce::Reduction> {
    Some(match kind {
        Reduction::Mean => reduce::Reduction::Mean,
        Reduction::Sum => reduce::Reduction::Sum,
        Reduction::Prod => reduce::Reduction::Prod,
        Reduction::Max => reduce::Reduction::Max,
        Reduction::Min => reduce::Reduction::Min,
        Reduction::L1 => reduce::Reduction::L1,
        Reduction::L2 => reduce::Reduction::L2,
        Reduction::SumSquare => reduce::Reduction::SumSquare,
        Reduction::LogSum => reduce::Reduction::LogSum,
        Reduction::LogSumExp => return None,
    })
}

/// Number of elements along `axes` and inside of them, where these dimensions are neighbours in
/// memory; dimensions of extent 1 do not matter.
fn line(shape: &[usize], axes: &[usize], row_major: bool) -> Option<(usize, usize)> {
    let order: Vec<usize> =
        order(shape.len(), row_major).into_iter().filter(|&a| shape[a] != 1).collect();
    let joined = |a: &&usize| axes.contains(*a);
    let first = order.iter().position(|a| axes.contains(a)).unwrap_or(order.len());
    let run = order[first..].iter().take_while(joined).count();
    if order[first + run..].iter().any(|a| axes.contains(a)) {
        return None;
    }
    let extent = |dims: &[usize]| count(&dims.iter().map(|&a| shape[a]).collect::<Vec<_>>());
    Some((extent(&order[first..first + run]), extent(&order[first + run..])))
}
