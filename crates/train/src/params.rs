//! Parameters and running statistics: flat arrays in the kernels' layout, mapped to the graph.
//!
//! All parameters lie in one array, so that optimiser, moving average and checkpoint are loops
//! over a slice. Those that weight decay applies to come first, those that are frozen last, so that
//! what is treated alike is a range, not a mask.
//!
//! A constant that several nodes read becomes one parameter for each of them. Exporters merge
//! equal initialisers, so sharing says nothing about whether weights were meant to be tied.

use std::collections::BTreeMap;
use std::ops::Range;

use edgecut_graph::{DType, Graph, Tensor, ValueId};

use crate::error::Result;
use crate::qat::{LEAST_SCALE, zero_point};

/// What a parameter is to the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Weights of a convolution or linear layer: decayed.
    Weight,
    /// Added per channel: not decayed.
    Bias,
    /// BatchNorm's scale: not decayed.
    Scale,
    /// BatchNorm's running mean or variance: not trained, updated by the forward pass.
    Statistic,
}

/// How elements are reordered between ONNX and the kernels: the ONNX tensor seen as three
/// extents, and which of them becomes the first, second and third inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    dims: [usize; 3],
    perm: [usize; 3],
}

impl Layout {
    /// The same order on both sides.
    pub fn plain(len: usize) -> Layout {
        Layout { dims: [1, 1, len], perm: [0, 1, 2] }
    }

    /// Convolution weight `[m, c, kh, kw]` to `[kh*kw*c, m]`, where `taps = kh * kw`. Depthwise is
    /// the case `c = 1`.
    pub fn conv(m: usize, c: usize, taps: usize) -> Layout {
        Layout { dims: [m, c, taps], perm: [2, 1, 0] }
    }

    /// Linear weight to `[pixels*c, n]`: ONNX's columns of a flattened image run over channels
    /// first (CHW), the kernels' over pixels first (HWC). `transposed`: the tensor is `[n, k]`.
    pub fn linear(c: usize, pixels: usize, n: usize, transposed: bool) -> Layout {
        if transposed {
            Layout { dims: [n, c, pixels], perm: [2, 1, 0] }
        } else {
            Layout { dims: [c, pixels, n], perm: [1, 0, 2] }
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Calls `f(outside, inside)` with every pair of positions.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let [_, d1, d2] = self.dims;
        let strides = [d1 * d2, d2, 1];
        let extent = self.perm.map(|p| self.dims[p]);
        let stride = self.perm.map(|p| strides[p]);
        let mut inside = 0;
        for i in 0..extent[0] {
            for j in 0..extent[1] {
                for k in 0..extent[2] {
                    f(i * stride[0] + j * stride[1] + k * stride[2], inside);
                    inside += 1;
                }
            }
        }
    }

    /// From ONNX's order to the kernels'.
    pub fn to_inside(self, onnx: &[f32], inside: &mut [f32]) {
        self.for_each(|o, i| inside[i] = onnx[o]);
    }

    /// From the kernels' order to ONNX's.
    pub fn to_onnx(self, inside: &[f32], onnx: &mut [f32]) {
        self.for_each(|o, i| onnx[o] = inside[i]);
    }
}

/// Index of an entry of [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(usize);

#[derive(Clone, Debug)]
struct Entry {
    /// Node and input of the graph that it comes from, or its first values where it is none of the
    /// graph's.
    origin: Origin,
    kind: Kind,
    /// Factor of the learning rate; 0 keeps the values as they are.
    rate: f32,
    layout: Layout,
    range: Range<usize>,
    name: String,
}

#[derive(Clone, Debug)]
enum Origin {
    Graph {
        node: usize,
        input: usize,
    },
    /// A constant that is one parameter for all its readers.
    Shared(ValueId),
    Extra(Vec<f32>),
    /// The number that the smallest integer of an activation stands for. The graph has the integer
    /// `value` that stands for 0 instead.
    ZeroPoint {
        value: ValueId,
        scale: ParamId,
        integers: [f32; 2],
        first: f32,
    },
}

/// Values of all parameters and statistics, and where in the graph they belong.
#[derive(Clone, Debug, Default)]
pub struct Params {
    entries: Vec<Entry>,
    /// Trainable values, those with weight decay first; then frozen ones.
    pub values: Vec<f32>,
    /// BatchNorm's running means and variances.
    pub stats: Vec<f32>,
}

impl Params {
    /// Registers the constant at `node`'s input `input`, which learns at `rate` times the learning
    /// rate. Ranges are known after [`Params::load`].
    pub(crate) fn add(
        &mut self,
        graph: &Graph,
        node: usize,
        input: usize,
        kind: Kind,
        layout: Layout,
        rate: f32,
    ) -> Result<ParamId> {
        let reader = &graph.nodes[node];
        let len = graph.constant_f32s(reader, input)?.len();
        if len != layout.len() {
            let expected = layout.len();
            let problem = format!("input {input} has {len} elements, needs {expected}");
            return Err(reader.error(problem).into());
        }
        let name = graph.value(reader.input(input)?).name.clone();
        let origin = Origin::Graph { node, input };
        self.entries.push(Entry { origin, kind, rate, layout, range: 0..0, name });
        Ok(ParamId(self.entries.len() - 1))
    }

    /// Registers the constant `value` as one parameter for all its readers, such as the scale of
    /// values that have one together.
    pub(crate) fn add_shared(
        &mut self,
        graph: &Graph,
        value: ValueId,
        kind: Kind,
        layout: Layout,
        rate: f32,
    ) -> ParamId {
        let known = self
            .entries
            .iter()
            .position(|e| matches!(e.origin, Origin::Shared(other) if other == value));
        if let Some(known) = known {
            return ParamId(known);
        }
        let name = graph.value(value).name.clone();
        let origin = Origin::Shared(value);
        self.entries.push(Entry { origin, kind, rate, layout, range: 0..0, name });
        ParamId(self.entries.len() - 1)
    }

    /// Registers the zero point `value` of activations whose scale is `scale`, one parameter for all
    /// readers: the number that the smallest of `integers` stands for, which is written back as the
    /// zero point that is nearest.
    pub(crate) fn add_zero_point(
        &mut self,
        graph: &Graph,
        value: ValueId,
        scale: ParamId,
        integers: [f32; 2],
        rate: f32,
    ) -> ParamId {
        let same = |e: &Entry| matches!(e.origin, Origin::ZeroPoint { value: v, .. } if v == value);
        if let Some(known) = self.entries.iter().position(same) {
            return ParamId(known);
        }
        let number = |id: ValueId| {
            graph.constant(id).and_then(|t| t.to_f32().first().copied()).unwrap_or(0.0)
        };
        let of_scale = match self.entries[scale.0].origin {
            Origin::Shared(id) => number(id),
            _ => 0.0,
        };
        let first = (integers[0] - number(value)) * of_scale.max(LEAST_SCALE);
        let origin = Origin::ZeroPoint { value, scale, integers, first };
        let (layout, name) = (Layout::plain(1), graph.value(value).name.clone());
        self.entries.push(Entry { origin, kind: Kind::Bias, rate, layout, range: 0..0, name });
        ParamId(self.entries.len() - 1)
    }

    /// Registers a parameter that is none of the graph's, such as the step of a quantiser: it is
    /// trained, averaged and saved as the others, and not written back. Names must be unique.
    pub(crate) fn add_extra(&mut self, name: String, kind: Kind, values: Vec<f32>) -> ParamId {
        let layout = Layout::plain(values.len());
        let origin = Origin::Extra(values);
        self.entries.push(Entry { origin, kind, rate: 1.0, layout, range: 0..0, name });
        ParamId(self.entries.len() - 1)
    }

    /// Places all entries and takes their values from the graph.
    pub(crate) fn load(&mut self, graph: &Graph) -> Result<()> {
        let (mut values, mut stats) = (0, 0);
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        // Decayed, others, frozen; each in the order of registration.
        order.sort_by_key(|&i| self.entries[i].section());
        for i in order {
            let entry = &mut self.entries[i];
            let end = if entry.kind == Kind::Statistic { &mut stats } else { &mut values };
            entry.range = *end..*end + entry.layout.len();
            *end = entry.range.end;
        }
        (self.values, self.stats) = (vec![0.0; values], vec![0.0; stats]);
        for entry in &self.entries {
            let first = match &entry.origin {
                Origin::Graph { node, input } => {
                    graph.constant_f32s(&graph.nodes[*node], *input)?
                }
                Origin::Shared(value) => {
                    let tensor = graph.constant(*value).map(|tensor| tensor.f32s()).transpose()?;
                    tensor.unwrap_or_default()
                }
                Origin::Extra(values) => values,
                Origin::ZeroPoint { first, .. } => std::slice::from_ref(first),
            };
            let array =
                if entry.kind == Kind::Statistic { &mut self.stats } else { &mut self.values };
            entry.layout.to_inside(first, &mut array[entry.range.clone()]);
        }
        Ok(())
    }

    /// Whether a parameter is trained.
    pub fn trains(&self, id: ParamId) -> bool {
        self.entries[id.0].trains()
    }

    /// Position of a parameter in `values`, or of a statistic in `stats`.
    pub fn range(&self, id: ParamId) -> Range<usize> {
        self.entries[id.0].range.clone()
    }

    /// Names of the constants, their kinds, and their positions in `values` or `stats`.
    pub fn names(&self) -> impl Iterator<Item = (&str, Kind, Range<usize>)> {
        self.entries.iter().map(|e| (e.name.as_str(), e.kind, e.range.clone()))
    }

    /// What parameters are to the optimiser, their positions in `values`, and their factors of the
    /// learning rate: 0 where they are frozen.
    pub fn rates(&self) -> impl Iterator<Item = (Kind, Range<usize>, f32)> {
        let parameters = self.entries.iter().filter(|e| e.kind != Kind::Statistic);
        parameters.map(|e| (e.kind, e.range.clone(), e.rate))
    }

    /// Positions in `values` of the elements of the constant `name`, in ONNX's order, once for each
    /// layer that has it as a parameter of its own; none where it is not trained.
    pub fn positions(&self, name: &str) -> Vec<Vec<u32>> {
        let trained = self.entries.iter().filter(|e| e.name == name && e.trains());
        let of = |entry: &Entry| {
            let mut positions = vec![0; entry.layout.len()];
            let start = entry.range.start;
            entry.layout.for_each(|o, i| positions[o] = (start + i) as u32);
            positions
        };
        trained.map(of).collect()
    }

    /// Positions in `values` of parameters that several layers read.
    pub(crate) fn shared(&self) -> impl Iterator<Item = Range<usize>> {
        let several = |e: &&Entry| matches!(e.origin, Origin::Shared(_) | Origin::ZeroPoint { .. });
        let shared = self.entries.iter().filter(several);
        shared.map(|e| e.range.clone())
    }

    /// The array that `kind` lives in, in ONNX's order: `values` laid out as the trainable
    /// constants' tensors. For tests and tools that compare with other frameworks.
    pub fn to_onnx(&self, name: &str, array: &[f32]) -> Option<Vec<f32>> {
        let entry = self.entries.iter().find(|e| e.name == name)?;
        let mut onnx = vec![0.0; entry.layout.len()];
        entry.layout.to_onnx(&array[entry.range.clone()], &mut onnx);
        Some(onnx)
    }

    /// `array`, laid out as [`Params::values`], in ONNX's order by the constants of `graph`, which
    /// these parameters came from: gradients by weight. Of a constant with several readers it is
    /// the sum over them.
    ///
    /// # Errors
    /// Where `graph` is another one.
    pub fn by_constant(&self, graph: &Graph, array: &[f32]) -> Result<BTreeMap<ValueId, Vec<f32>>> {
        let mut all: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.kind != Kind::Statistic) {
            let value = match entry.origin {
                Origin::Graph { node, input } => graph.nodes[node].input(input)?,
                Origin::Shared(value) => value,
                Origin::Extra(_) | Origin::ZeroPoint { .. } => continue,
            };
            let mut onnx = vec![0.0; entry.layout.len()];
            entry.layout.to_onnx(&array[entry.range.clone()], &mut onnx);
            match all.get_mut(&value) {
                Some(sum) => sum.iter_mut().zip(onnx).for_each(|(sum, own)| *sum += own),
                None => drop(all.insert(value, onnx)),
            }
        }
        Ok(all)
    }

    /// A copy of `graph`, which these parameters came from, with `values` and `stats` written
    /// back. A constant with other readers is left alone and the reader gets its own.
    pub fn write_back(&self, graph: &Graph, values: &[f32], stats: &[f32]) -> Result<Graph> {
        let mut out = graph.clone();
        for entry in &self.entries {
            let array = if entry.kind == Kind::Statistic { stats } else { values };
            let (old, reader) = match entry.origin {
                Origin::Graph { node, input } => {
                    (out.nodes[node].input(input)?, Some((node, input)))
                }
                Origin::Shared(value) => (value, None),
                Origin::Extra(_) => continue,
                Origin::ZeroPoint { value, scale, integers, .. } => {
                    let scale = values[self.range(scale)][0].max(LEAST_SCALE);
                    let zero = zero_point(values[entry.range.start], scale, integers);
                    let shape = out.value(value).shape.with_symbols(1);
                    let tensor = match out.value(value).dtype {
                        DType::U8 => Tensor::new(shape, vec![zero as u8])?,
                        _ => Tensor::new(shape, vec![zero as i8])?,
                    };
                    out.set_constant(value, tensor);
                    continue;
                }
            };
            let shape = out.value(old).shape.to_fixed().unwrap_or_default();
            let mut onnx = vec![0.0; entry.layout.len()];
            entry.layout.to_onnx(&array[entry.range.clone()], &mut onnx);
            let tensor = Tensor::new(shape, onnx)?;
            let readers = out.nodes.iter().flat_map(|n| n.inputs.iter().flatten());
            let several = readers.filter(|&&v| v == old).count() > 1 || out.is_output(old);
            match reader.filter(|_| several) {
                Some((node, input)) => {
                    let name = out.unique_name(&entry.name);
                    let own = out.add_constant(name, tensor);
                    out.nodes[node].inputs[input] = Some(own);
                }
                None => out.set_constant(old, tensor),
            }
        }
        Ok(out)
    }
}

impl Entry {
    fn trains(&self) -> bool {
        self.kind != Kind::Statistic && self.rate > 0.0
    }

    fn section(&self) -> u8 {
        match (self.trains(), self.kind) {
            (true, Kind::Weight) => 0,
            (true, _) => 1,
            (false, _) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_permutations_that_invert() {
        let layouts = [
            Layout::plain(7),
            Layout::conv(4, 3, 9),
            Layout::conv(5, 1, 25),
            Layout::linear(3, 4, 5, true),
            Layout::linear(3, 4, 5, false),
        ];
        for layout in layouts {
            let onnx: Vec<f32> = (0..layout.len()).map(|i| i as f32).collect();
            let (mut inside, mut back) = (vec![-1.0; onnx.len()], vec![-1.0; onnx.len()]);
            layout.to_inside(&onnx, &mut inside);
            layout.to_onnx(&inside, &mut back);
            assert_eq!(onnx, back);
        }
    }

    #[test]
    fn convolution_weights_become_output_minor() {
        // [m = 2, c = 2, taps = 3]; element (m, c, t) is 100 m + 10 c + t.
        let onnx: Vec<f32> =
            (0..12).map(|i| (100 * (i / 6) + 10 * (i / 3 % 2) + i % 3) as f32).collect();
        let mut inside = vec![0.0; 12];
        Layout::conv(2, 2, 3).to_inside(&onnx, &mut inside);
        assert_eq!(inside[..6], [0.0, 100.0, 10.0, 110.0, 1.0, 101.0]);
    }
}
