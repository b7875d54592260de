//! Arithmetic read as formulas, so that one rule covers every order in which exporters write it.

use super::rewrite::{View, operands, scalar, with_scalar};
use crate::{Binary, Graph, Node, Op, Unary, ValueId};

/// Deepest nesting that is read: real formulas have at most six levels, and the bound keeps the
/// work per node constant.
const MAX_DEPTH: usize = 8;

/// Coefficients of 1, x, x^2 and x^3.
pub(super) type Cubic = [f64; 4];

/// Reads formulas in a graph and notes the nodes they consist of.
pub(super) struct Formula<'a> {
    pub(super) graph: &'a Graph,
    pub(super) view: &'a View,
    /// Indices of the nodes read so far, the root excluded.
    pub(super) inner: Vec<usize>,
}

impl<'a> Formula<'a> {
    pub(super) fn new(graph: &'a Graph, view: &'a View) -> Formula<'a> {
        Formula { graph, view, inner: vec![] }
    }

    /// The node that computes `id`, noted as part of the formula.
    pub(super) fn node(&mut self, id: ValueId) -> Option<&'a Node> {
        let (index, node) = self.view.node(self.graph, id)?;
        self.inner.push(index);
        Some(node)
    }

    /// The argument where `id` is this function of it.
    pub(super) fn argument(&mut self, id: ValueId, function: Unary) -> Option<ValueId> {
        let (_, node) = self.view.node(self.graph, id)?;
        if node.op != Op::Unary(function) {
            return None;
        }
        self.node(id)?.input(0).ok()
    }

    /// `root` as a number times other values: through multiplications and divisions by numbers
    /// whose results have no other reader. `None` where it is no product.
    pub(super) fn product(&mut self, root: &Node) -> Option<(f64, Vec<ValueId>)> {
        let (mut number, mut factors) = (1.0, vec![]);
        self.multiply(root, &mut number, &mut factors, 0)?;
        Some((number, factors))
    }

    fn multiply(
        &mut self,
        node: &Node,
        number: &mut f64,
        factors: &mut Vec<ValueId>,
        depth: usize,
    ) -> Option<()> {
        let parts = match (with_scalar(self.graph, node), operands(node, Binary::Mul)) {
            (Some((Binary::Mul, x, c, _)), _) => {
                *number *= c;
                vec![x]
            }
            (Some((Binary::Div, x, c, false)), _) => {
                *number /= c;
                vec![x]
            }
            (_, Some((a, b))) => vec![a, b],
            _ => return None,
        };
        for id in parts {
            let inner = self.view.node(self.graph, id);
            let reads = |n: &Node| {
                matches!(n.op, Op::Binary(Binary::Mul))
                    || matches!(with_scalar(self.graph, n), Some((Binary::Div, _, _, false)))
            };
            match inner {
                Some((index, node))
                    if depth < MAX_DEPTH && self.view.is_private(self.graph, id) && reads(node) =>
                {
                    self.inner.push(index);
                    self.multiply(node, number, factors, depth + 1)?;
                }
                _ => factors.push(id),
            }
        }
        Some(())
    }

    /// `id` as a polynomial of `x` of at most the third degree.
    pub(super) fn polynomial(&mut self, id: ValueId, x: ValueId) -> Option<Cubic> {
        self.read(id, x, 0)
    }

    fn read(&mut self, id: ValueId, x: ValueId, depth: usize) -> Option<Cubic> {
        if id == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Some(number) = scalar(self.graph, id) {
            return Some([number, 0.0, 0.0, 0.0]);
        }
        if depth == MAX_DEPTH {
            return None;
        }
        let (index, node) = self.view.node(self.graph, id)?;
        let result = match node.op {
            Op::Unary(Unary::Neg) => self.read(node.input(0).ok()?, x, depth + 1)?.map(|c| -c),
            Op::Binary(function) => {
                let (a, b) = operands(node, function)?;
                let a = self.read(a, x, depth + 1)?;
                let b = self.read(b, x, depth + 1)?;
                combine(function, a, b)?
            }
            _ => return None,
        };
        self.inner.push(index);
        Some(result)
    }

    /// The value that `id` is an affine function of, through additions and multiplications of
    /// numbers without other readers; `id` itself where there are none.
    pub(super) fn affine_base(&self, id: ValueId) -> ValueId {
        let mut base = id;
        for _ in 0..MAX_DEPTH {
            let next =
                self.view.node(self.graph, base).and_then(|(_, n)| with_scalar(self.graph, n));
            base = match next {
                Some((Binary::Add | Binary::Mul | Binary::Sub, x, ..))
                | Some((Binary::Div, x, _, false))
                    if self.view.is_private(self.graph, base) =>
                {
                    x
                }
                _ => break,
            };
        }
        base
    }
}

fn combine(function: Binary, a: Cubic, b: Cubic) -> Option<Cubic> {
    let constant = |c: Cubic| (c[1..] == [0.0; 3]).then_some(c[0]);
    match function {
        Binary::Add => Some(std::array::from_fn(|i| a[i] + b[i])),
        Binary::Sub => Some(std::array::from_fn(|i| a[i] - b[i])),
        Binary::Mul => multiply(a, b),
        Binary::Div => constant(b).map(|c| a.map(|v| v / c)),
        Binary::Pow => match constant(b)? {
            2.0 => multiply(a, a),
            3.0 => multiply(multiply(a, a)?, a),
            _ => None,
        },
        _ => None,
    }
}

/// The product of two polynomials; `None` beyond the third degree.
fn multiply(a: Cubic, b: Cubic) -> Option<Cubic> {
    let mut result = [0.0; 4];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            match result.get_mut(i + j) {
                Some(sum) => *sum += x * y,
                None if x * y != 0.0 => return None,
                None => {}
            }
        }
    }
    Some(result)
}
