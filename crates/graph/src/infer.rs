//! Type and shape of every operator's outputs, from its inputs and attributes.
//!
//! Symbols (a batch of unknown size) pass through dimensions that an operator does not look at.
//! What an operator computes with, such as channels and spatial extents, must be fixed.

use crate::limits::{MAX_ELEMENTS, MAX_WINDOW};
use crate::op::{Conv, Cut, Gemm, Pool, Window};
use crate::{DType, Dim, Graph, Node, Op, Reduction, ReshapeDim, Result, Shape};

/// Type and shape of each output of `node`, whose inputs must exist in `graph`.
/// Fails, naming the node, where inputs do not fit the operator.
pub fn infer_node(graph: &Graph, node: &Node) -> Result<Vec<(DType, Shape)>> {
    let rule = Rule { graph, node };
    let typed = match &node.op {
        Op::Conv(conv) => rule.float(rule.conv(conv)?)?,
        Op::Gemm(gemm) => rule.float(rule.gemm(gemm)?)?,
        Op::MatMul => rule.float(rule.mat_mul()?)?,
        Op::BatchNorm { .. } => rule.float(rule.batch_norm()?)?,
        Op::Unary(_) => rule.float(rule.shape(0)?.clone())?,
        Op::Binary(_) => rule.binary()?,
        Op::MaxPool(pool) | Op::AveragePool(pool) => rule.float(rule.pool(pool)?)?,
        Op::GlobalAveragePool => rule.float(rule.global_pool()?)?,
        Op::Concat { axis } => rule.concat(*axis)?,
        Op::Reshape { dims } => rule.same_type(rule.reshape(dims)?)?,
        Op::Flatten { axis } => rule.same_type(rule.flatten(*axis)?)?,
        Op::Transpose { perm } => rule.same_type(rule.transpose(perm)?)?,
        Op::Pad { before, after, .. } => rule.float(rule.pad(before, after)?)?,
        Op::Slice { cuts } => rule.same_type(rule.slice(cuts)?)?,
        Op::Reduce { kind: Reduction::Mean, axes, keep_dims } => {
            rule.float(rule.reduce(axes, *keep_dims)?)?
        }
        Op::Squeeze { axes } => rule.same_type(rule.squeeze(axes)?)?,
        Op::Unsqueeze { axes } => rule.same_type(rule.unsqueeze(axes)?)?,
        Op::Softmax { axis } => rule.float(rule.with_axis(*axis)?)?,
        Op::Quantize { axis } => rule.quantize(*axis)?,
        Op::Dequantize { axis } => rule.dequantize(*axis)?,
        _ => rule.fail("has no shape rule yet")?,
    };
    typed.1.len_with(1, &node.name)?;
    Ok(vec![typed])
}

/// Output extent of a window along one dimension, or `None` where the window does not fit.
/// `floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1`, or ceil in ceil mode with
/// the last window starting inside the padded input (ONNX Pooling).
pub fn window_extent(
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
    ceil: bool,
) -> Option<usize> {
    let reach = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
    let room = size.checked_add(pads.0)?.checked_add(pads.1)?.checked_sub(reach)?;
    let mut extent = room / stride + 1;
    if ceil && room % stride != 0 && extent * stride < size + pads.0 {
        extent += 1;
    }
    Some(extent)
}

/// The shape that two values broadcast to (NumPy rules), or `None`. A symbol meets only itself
/// or 1.
pub fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let dim = |s: &Shape, i: usize| -> Dim {
        let missing = rank - s.rank();
        if i < missing { Dim::Fixed(1) } else { s.dims()[i - missing].clone() }
    };
    let dims = (0..rank).map(|i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y => Some(x),
        (Dim::Fixed(1), y) => Some(y),
        (x, Dim::Fixed(1)) => Some(x),
        _ => None,
    });
    dims.collect::<Option<Vec<Dim>>>().map(Shape::new)
}

struct Rule<'a> {
    graph: &'a Graph,
    node: &'a Node,
}

type Typed = (DType, Shape);

impl Rule<'_> {
    fn shape(&self, input: usize) -> Result<&Shape> {
        Ok(&self.graph.value(self.node.input(input)?).shape)
    }

    fn dtype(&self, input: usize) -> Result<DType> {
        Ok(self.graph.value(self.node.input(input)?).dtype)
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(self.node.error(problem))
    }

    fn float(&self, shape: Shape) -> Result<Typed> {
        for index in 0..self.node.inputs.len() {
            if self.node.inputs[index].is_some() && self.dtype(index)? != DType::F32 {
                return self
                    .fail(format!("input {index} is {}, needs float32", self.dtype(index)?));
            }
        }
        Ok((DType::F32, shape))
    }

    fn same_type(&self, shape: Shape) -> Result<Typed> {
        Ok((self.dtype(0)?, shape))
    }

    fn rank(&self, input: usize, rank: usize) -> Result<&[Dim]> {
        let shape = self.shape(input)?;
        if shape.rank() != rank {
            return self.fail(format!("input {input} is {shape}, needs {rank} dimensions"));
        }
        Ok(shape.dims())
    }

    fn extent(&self, input: usize, axis: usize) -> Result<usize> {
        self.shape(input)?.extent(axis, &self.node.name)
    }

    fn vector(&self, input: usize, len: usize) -> Result<()> {
        if self.node.inputs.get(input).copied().flatten().is_none() {
            return Ok(());
        }
        if self.shape(input)? != &Shape::fixed(&[len]) {
            let shape = self.shape(input)?;
            return self.fail(format!("input {input} is {shape}, needs [{len}]"));
        }
        Ok(())
    }

    fn slide(&self, window: &Window, ceil: bool) -> Result<[usize; 2]> {
        let Window { kernel, strides, dilations, pads } = window;
        let parts = kernel.iter().chain(strides).chain(dilations);
        if parts.clone().any(|&v| v == 0) || parts.chain(pads).any(|&v| v > MAX_WINDOW) {
            return self.fail(format!(
                "kernel {kernel:?}, strides {strides:?} and dilations {dilations:?} must be 1 to \
                 {MAX_WINDOW}, pads {pads:?} at most {MAX_WINDOW}"
            ));
        }
        let mut out = [0; 2];
        for i in 0..2 {
            let size = self.extent(0, 2 + i)?;
            let pad = (pads[i], pads[i + 2]);
            out[i] = window_extent(size, kernel[i], strides[i], dilations[i], pad, ceil)
                .map_or_else(
                    || self.fail(format!("window {kernel:?} exceeds its input {size}")),
                    Ok,
                )?;
        }
        Ok(out)
    }

    fn conv(&self, conv: &Conv) -> Result<Shape> {
        let batch = self.rank(0, 4)?[0].clone();
        self.rank(1, 4)?;
        let (c, m) = (self.extent(0, 1)?, self.extent(1, 0)?);
        let kernel = [self.extent(1, 2)?, self.extent(1, 3)?];
        let groups = conv.groups;
        if groups == 0 || c % groups != 0 || m % groups != 0 || self.extent(1, 1)? != c / groups {
            let weight = self.shape(1)?;
            return self
                .fail(format!("weight {weight} does not fit {c} channels in {groups} groups"));
        }
        if kernel != conv.window.kernel {
            return self
                .fail(format!("weight is {kernel:?}, kernel_shape {:?}", conv.window.kernel));
        }
        self.vector(2, m)?;
        let [h, w] = self.slide(&conv.window, false)?;
        Ok(Shape::new(vec![batch, m.into(), h.into(), w.into()]))
    }

    fn pool(&self, pool: &Pool) -> Result<Shape> {
        let dims = self.rank(0, 4)?;
        let (n, c) = (dims[0].clone(), dims[1].clone());
        // A pad as wide as the kernel would leave windows without any input.
        let Window { kernel, pads, .. } = &pool.window;
        if (0..4).any(|i| pads[i] >= kernel[i % 2].max(1)) && pads.iter().any(|&p| p > 0) {
            return self.fail(format!("pads {pads:?} must be smaller than the kernel {kernel:?}"));
        }
        let [h, w] = self.slide(&pool.window, pool.ceil_mode)?;
        Ok(Shape::new(vec![n, c, h.into(), w.into()]))
    }

    fn gemm(&self, gemm: &Gemm) -> Result<Shape> {
        let (a, b) = (self.rank(0, 2)?, self.rank(1, 2)?);
        let (m, k) = if gemm.trans_a { (&a[1], &a[0]) } else { (&a[0], &a[1]) };
        let (k2, n) = if gemm.trans_b { (&b[1], &b[0]) } else { (&b[0], &b[1]) };
        if k != k2 {
            return self.fail(format!("inner dimensions differ: {k} and {k2}"));
        }
        let out = Shape::new(vec![m.clone(), n.clone()]);
        if self.node.inputs.get(2).copied().flatten().is_some()
            && broadcast(&out, self.shape(2)?).as_ref() != Some(&out)
        {
            return self.fail(format!("C is {}, does not broadcast to {out}", self.shape(2)?));
        }
        Ok(out)
    }

    fn mat_mul(&self) -> Result<Shape> {
        let (a, b) = (self.shape(0)?.dims(), self.shape(1)?.dims());
        if a.len() < 2 || b.len() < 2 {
            return self.fail("inputs need at least 2 dimensions");
        }
        let (m, n) = (&a[a.len() - 2], &b[b.len() - 1]);
        if a[a.len() - 1] != b[b.len() - 2] {
            let (k, k2) = (&a[a.len() - 1], &b[b.len() - 2]);
            return self.fail(format!("inner dimensions differ: {k} and {k2}"));
        }
        let outer = |s: &[Dim]| Shape::new(s[..s.len() - 2].to_vec());
        let Some(batch) = broadcast(&outer(a), &outer(b)) else {
            return self.fail("outer dimensions do not broadcast");
        };
        let mut dims = batch.dims().to_vec();
        dims.extend([m.clone(), n.clone()]);
        Ok(Shape::new(dims))
    }

    fn batch_norm(&self) -> Result<Shape> {
        if self.shape(0)?.rank() < 2 {
            return self.fail("input needs at least 2 dimensions");
        }
        let channels = self.extent(0, 1)?;
        for index in 1..5 {
            self.node.input(index)?;
            self.vector(index, channels)?;
        }
        Ok(self.shape(0)?.clone())
    }

    fn binary(&self) -> Result<Typed> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        match broadcast(a, b) {
            Some(shape) => self.float(shape),
            None => self.fail(format!("shapes {a} and {b} do not broadcast")),
        }
    }

    fn global_pool(&self) -> Result<Shape> {
        let dims = self.rank(0, 4)?;
        Ok(Shape::new(vec![dims[0].clone(), dims[1].clone(), 1.into(), 1.into()]))
    }

    fn with_axis(&self, axis: usize) -> Result<Shape> {
        let shape = self.shape(0)?;
        if axis >= shape.rank() {
            return self.fail(format!("axis {axis} is outside {shape}"));
        }
        Ok(shape.clone())
    }

    fn concat(&self, axis: usize) -> Result<Typed> {
        let mut dims = self.with_axis(axis)?.dims().to_vec();
        let mut total = 0usize;
        for index in 0..self.node.inputs.len() {
            let other = self.shape(index)?.dims();
            let fits = other.len() == dims.len()
                && (0..dims.len()).all(|i| i == axis || dims[i] == other[i])
                && self.dtype(index)? == self.dtype(0)?;
            if !fits {
                return self
                    .fail(format!("input {index} does not fit the others beside axis {axis}"));
            }
            total = total.saturating_add(self.extent(index, axis)?);
        }
        dims[axis] = total.min(MAX_ELEMENTS + 1).into();
        self.same_type(Shape::new(dims))
    }

    /// Symbols stay symbols: copied by position, or taken by the inferred dimension when all
    /// fixed extents cancel.
    fn reshape(&self, rules: &[ReshapeDim]) -> Result<Shape> {
        let input = self.shape(0)?;
        let mut remaining: Vec<Dim> = input.dims().to_vec();
        let mut dims = Vec::with_capacity(rules.len());
        let mut product = 1usize;
        for (i, rule) in rules.iter().enumerate() {
            let dim = match rule {
                ReshapeDim::Infer => Dim::Fixed(0),
                ReshapeDim::Fixed(n) => Dim::Fixed(*n),
                ReshapeDim::Copy => match input.dims().get(i) {
                    Some(dim) => dim.clone(),
                    None => return self.fail(format!("copies dimension {i}, which {input} lacks")),
                },
            };
            match (&dim, rule) {
                (_, ReshapeDim::Infer) => {}
                (Dim::Fixed(n), _) => product = product.saturating_mul(*n),
                (symbol, _) => match remaining.iter().position(|d| d == symbol) {
                    Some(at) => drop(remaining.remove(at)),
                    None => return self.fail(format!("{symbol} appears twice in the new shape")),
                },
            }
            dims.push(dim);
        }
        self.close_reshape(rules, dims, &remaining, product)
    }

    fn close_reshape(
        &self,
        rules: &[ReshapeDim],
        mut dims: Vec<Dim>,
        remaining: &[Dim],
        product: usize,
    ) -> Result<Shape> {
        let symbols: Vec<&Dim> = remaining.iter().filter(|d| d.fixed().is_none()).collect();
        let total = remaining.iter().filter_map(Dim::fixed).fold(1, usize::saturating_mul);
        let inferred = rules.iter().position(|r| *r == ReshapeDim::Infer);
        let ok = match (inferred, symbols.as_slice()) {
            (None, []) => product == total,
            (Some(at), []) if product > 0 && total % product == 0 => {
                dims[at] = (total / product).into();
                true
            }
            (Some(at), [symbol]) if product == total => {
                dims[at] = (*symbol).clone();
                true
            }
            _ => false,
        };
        let twice = rules.iter().filter(|r| **r == ReshapeDim::Infer).count() > 1;
        if !ok || twice {
            return self.fail(format!("cannot reshape {} to {rules:?}", self.shape(0)?));
        }
        Ok(Shape::new(dims))
    }

    fn flatten(&self, axis: usize) -> Result<Shape> {
        let shape = self.shape(0)?;
        if axis > shape.rank() {
            return self.fail(format!("axis {axis} is outside {shape}"));
        }
        let join = |dims: &[Dim]| -> Option<Dim> {
            let fixed = dims.iter().filter_map(Dim::fixed).fold(1, usize::saturating_mul);
            match dims.iter().filter(|d| d.fixed().is_none()).collect::<Vec<_>>().as_slice() {
                [] => Some(fixed.into()),
                [symbol] if fixed == 1 => Some((*symbol).clone()),
                _ => None,
            }
        };
        match (join(&shape.dims()[..axis]), join(&shape.dims()[axis..])) {
            (Some(rows), Some(columns)) => Ok(Shape::new(vec![rows, columns])),
            _ => {
                self.fail(format!("cannot flatten {shape} at axis {axis}: a symbol meets a number"))
            }
        }
    }

    fn transpose(&self, perm: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.rank()) {
            return self.fail(format!("{perm:?} does not permute {shape}"));
        }
        Ok(Shape::new(perm.iter().map(|&p| shape.dims()[p].clone()).collect()))
    }

    fn pad(&self, before: &[usize], after: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        if before.len() != shape.rank() || after.len() != shape.rank() {
            return self.fail(format!("pads for {} dimensions, input is {shape}", before.len()));
        }
        let mut dims = shape.dims().to_vec();
        for (axis, dim) in dims.iter_mut().enumerate() {
            let extra = before[axis].saturating_add(after[axis]);
            if extra > 0 {
                *dim = self.extent(0, axis)?.saturating_add(extra).min(MAX_ELEMENTS + 1).into();
            }
        }
        Ok(Shape::new(dims))
    }

    fn slice(&self, cuts: &[Cut]) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(&cuts.iter().map(|c| c.axis).collect::<Vec<_>>(), shape.rank())?;
        let mut dims = shape.dims().to_vec();
        for cut in cuts {
            let size = self.extent(0, cut.axis)?;
            let last = cut.len.saturating_sub(1).saturating_mul(cut.step).saturating_add(cut.start);
            if cut.step == 0 || (cut.len > 0 && last >= size) {
                return self.fail(format!("{cut:?} is outside {shape}"));
            }
            dims[cut.axis] = cut.len.into();
        }
        Ok(Shape::new(dims))
    }

    fn reduce(&self, axes: &[usize], keep_dims: bool) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(axes, shape.rank())?;
        let dims = shape.dims().iter().enumerate().filter_map(|(i, dim)| {
            match (axes.contains(&i), keep_dims) {
                (false, _) => Some(dim.clone()),
                (true, true) => Some(Dim::Fixed(1)),
                (true, false) => None,
            }
        });
        Ok(Shape::new(dims.collect()))
    }

    fn squeeze(&self, axes: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(axes, shape.rank())?;
        if let Some(axis) = axes.iter().find(|&&a| shape.dims()[a] != Dim::Fixed(1)) {
            return self.fail(format!("dimension {axis} of {shape} is not 1"));
        }
        self.reduce(axes, false)
    }

    fn unsqueeze(&self, axes: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        let rank = shape.rank() + axes.len();
        self.ascending(axes, rank)?;
        let mut rest = shape.dims().iter();
        let dims = (0..rank).map(|i| {
            if axes.contains(&i) { Dim::Fixed(1) } else { rest.next().expect("rank").clone() }
        });
        Ok(Shape::new(dims.collect()))
    }

    fn ascending(&self, axes: &[usize], rank: usize) -> Result<()> {
        if axes.windows(2).any(|p| p[0] >= p[1]) || axes.last().is_some_and(|&a| a >= rank) {
            return self.fail(format!("axes {axes:?} must be ascending and below {rank}"));
        }
        Ok(())
    }

    fn scale(&self, axis: usize) -> Result<()> {
        let scale = self.shape(1)?.clone();
        if self.dtype(1)? != DType::F32 {
            return self.fail(format!("scale is {}, needs float32", self.dtype(1)?));
        }
        let count = if scale.rank() == 1 { self.extent(1, 0)? } else { 1 };
        let per_axis = scale.rank() == 1 && (count != 1 || self.shape(0)?.rank() == 1);
        if scale.rank() > 1 || (per_axis && count != 1 && self.extent(0, axis)? != count) {
            return self
                .fail(format!("scale {scale} does not fit axis {axis} of {}", self.shape(0)?));
        }
        if self.node.inputs.get(2).copied().flatten().is_some() {
            let zero = self.shape(2)?;
            if zero.rank() > 1 || zero.len_with(1, &self.node.name)? != count {
                return self.fail(format!("zero point {zero} does not fit scale {scale}"));
            }
        }
        Ok(())
    }

    fn quantize(&self, axis: usize) -> Result<Typed> {
        self.scale(axis)?;
        if self.dtype(0)? != DType::F32 {
            return self.fail(format!("input is {}, needs float32", self.dtype(0)?));
        }
        match self.dtype(2)? {
            dtype @ (DType::U8 | DType::I8) => Ok((dtype, self.shape(0)?.clone())),
            other => self.fail(format!("zero point is {other}, needs uint8 or int8")),
        }
    }

    fn dequantize(&self, axis: usize) -> Result<Typed> {
        self.scale(axis)?;
        let dtype = self.dtype(0)?;
        if !matches!(dtype, DType::U8 | DType::I8 | DType::I32) {
            return self.fail(format!("input is {dtype}, needs uint8, int8 or int32"));
        }
        if self.node.inputs.get(2).copied().flatten().is_some() && self.dtype(2)? != dtype {
            return self.fail(format!("zero point is {}, input {dtype}", self.dtype(2)?));
        }
        Ok((DType::F32, self.shape(0)?.clone()))
    }
}
