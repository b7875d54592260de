//! Values of the graph, seen from the plan, and the layers that make them.

use edgecut_graph::{DType, Node, Tensor, ValueId, interpret};

use super::super::{Activation, Extent, Step};
use super::{Compiler, extent};
use crate::error::{Result, TrainError};
use crate::grad::{Constant, Convert, Layer, Operator};
use crate::params::{Kind, Layout};

/// A value of the graph, seen from the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub activation: usize,
    /// The image whose elements are ordered by pixel, then channel. The graph may see the same
    /// elements as a row. `None`: the graph's own order.
    pub pixels: Option<Extent>,
    /// Whether a layer with weights lies between the image and this value.
    pub learned: bool,
}

impl Seen {
    /// Whether the graph's order and channels last are the same.
    pub fn is_rows(&self) -> bool {
        self.pixels.is_none_or(|e| e.pixels() == 1 || e.c == 1)
    }
}

impl Compiler<'_> {
    /// Extents of a value for one image; the batch is a dimension of 1.
    pub fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.value(value).shape.with_symbols(1)
    }

    pub fn len(&self, value: ValueId) -> usize {
        self.shape(value).iter().product()
    }

    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.constants[value.index()].as_ref()
    }

    /// Computes a node that reads constants alone.
    pub fn fold(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let inputs: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|i| i.and_then(|id| self.constant(id))).collect();
        let computed = node.inputs.iter().zip(&inputs).any(|(id, t)| id.is_some() && t.is_none());
        if computed || node.inputs.is_empty() {
            return Ok(false);
        }
        let results = interpret::run_node(&self.graph, node, &inputs)?;
        for (output, tensor) in self.graph.nodes[index].outputs.clone().into_iter().zip(results) {
            self.constants[output.index()] = Some(tensor);
        }
        Ok(true)
    }

    /// A value that depends on the image; a constant becomes an activation.
    pub fn input(&mut self, node: &Node, index: usize) -> Result<Seen> {
        let id = node.input(index)?;
        if let Some(seen) = self.seen[id.index()] {
            return Ok(seen);
        }
        match self.constants[id.index()].clone() {
            Some(tensor) => self.constant_input(node, index, &tensor),
            None => {
                let name = &self.graph.value(id).name;
                Err(TrainError::unsupported(
                    node,
                    format!("input '{name}' must depend on the image"),
                ))
            }
        }
    }

    /// Copies a constant for each image. It is trained where it looks like weights.
    fn constant_input(&mut self, node: &Node, index: usize, tensor: &Tensor) -> Result<Seen> {
        let id = node.input(index)?;
        let at = self.index_of(node);
        let stored = self.source.constant(id).is_some();
        let values = tensor.to_f32();
        let trained = stored && tensor.dtype() == DType::F32 && looks_learned(&values);
        let param = match trained {
            true => Some(self.param(at, index, Kind::Bias, Layout::plain(values.len()))?),
            false => None,
        };
        let len = values.len();
        let layer = Constant::new(self.batch, values, param);
        let learned = param.is_some();
        let activation = self.step(
            &format!("{}.constant{index}", node.name),
            Layer::Operator(Box::new(layer)),
            vec![],
            len,
        );
        // Not remembered: another reader has a parameter of its own.
        Ok(Seen { activation, pixels: None, learned })
    }

    pub fn index_of(&self, node: &Node) -> usize {
        self.producers[node.output().index()].expect("a node makes its output")
    }

    /// An input that kernels can treat as `[n*h*w, c]`, and its extent.
    pub fn image(&mut self, node: &Node, index: usize) -> Result<(Seen, Extent)> {
        let id = node.input(index)?;
        let seen = self.input(node, index)?;
        let Some(wanted) = extent(&self.graph, id) else {
            let shape = &self.source.value(id).shape;
            let problem = format!("input {index} is {shape}, needs images or rows");
            return Err(TrainError::unsupported(node, problem));
        };
        if seen.pixels == Some(wanted) {
            return Ok((seen, wanted));
        }
        let rows = self.in_rows(node, seen);
        let image = if wanted.pixels() == 1 || wanted.c == 1 {
            Seen { pixels: Some(wanted), ..rows }
        } else {
            let (channels, pixels) = (wanted.c, wanted.pixels());
            let layer = Convert { channels, pixels, to_pixels: true };
            let activation = self.convert(node, rows, layer);
            Seen { activation, pixels: Some(wanted), ..rows }
        };
        // The next reader finds it converted.
        if self.seen[id.index()].is_some() && !self.is_kept(id) {
            self.seen[id.index()] = Some(image);
        }
        Ok((image, wanted))
    }

    /// An input in the graph's own order.
    pub fn rows(&mut self, node: &Node, index: usize) -> Result<Seen> {
        let seen = self.input(node, index)?;
        Ok(self.in_rows(node, seen))
    }

    fn in_rows(&mut self, node: &Node, seen: Seen) -> Seen {
        match seen.pixels {
            Some(e) if !seen.is_rows() => {
                let layer = Convert { channels: e.c, pixels: e.pixels(), to_pixels: false };
                let activation = self.convert(node, seen, layer);
                Seen { activation, pixels: None, ..seen }
            }
            _ => Seen { pixels: None, ..seen },
        }
    }

    fn convert(&mut self, node: &Node, seen: Seen, layer: Convert) -> usize {
        let len = self.out.activations[seen.activation].len;
        let name = format!("{}.layout", node.name);
        self.step(&name, Layer::Operator(Box::new(layer)), vec![seen.activation], len)
    }

    pub fn output_extent(&self, node: &Node) -> Result<Extent> {
        extent(&self.graph, node.output()).ok_or_else(|| {
            let shape = &self.source.value(node.output()).shape;
            TrainError::unsupported(node, format!("output {shape} is neither images nor rows"))
        })
    }

    pub fn define(&mut self, value: ValueId, seen: Seen) {
        self.seen[value.index()] = Some(seen);
    }

    /// Adds a layer; returns the activation that it writes, of `len` elements an image.
    pub fn step(&mut self, name: &str, layer: Layer, inputs: Vec<usize>, len: usize) -> usize {
        let output = self.out.activations.len();
        let trains = std::mem::take(&mut self.trains);
        let passes = layer.passes_gradient() && inputs.iter().any(|&i| self.out.needs[i]);
        self.out.activations.push(Activation { len, place: 0 });
        self.out.needs.push(trains || passes);
        self.out.steps.push(Step { name: name.to_string(), layer, inputs, output, repeat: 1 });
        output
    }

    /// Adds the layer that computes `node` from `inputs`, channels last for `pixels`.
    pub fn push(
        &mut self,
        node: &Node,
        layer: Layer,
        inputs: &[Seen],
        pixels: Option<Extent>,
    ) -> Seen {
        let learned = self.trains
            || inputs.iter().any(|s| s.learned)
            || matches!(layer, Layer::Convolution(_) | Layer::Depthwise(_) | Layer::Linear(_));
        let activations = inputs.iter().map(|s| s.activation).collect();
        let activation = self.step(&node.name, layer, activations, self.len(node.output()));
        let seen = Seen { activation, pixels, learned };
        self.define(node.output(), seen);
        seen
    }

    /// As [`Compiler::push`], for a layer that sees `repeat` images in each image of the batch.
    pub fn push_images(
        &mut self,
        node: &Node,
        layer: Layer,
        x: Seen,
        pixels: Extent,
        repeat: usize,
    ) -> Seen {
        let seen = self.push(node, layer, &[x], Some(pixels));
        if let Some(step) = self.out.steps.last_mut() {
            step.repeat = repeat;
        }
        seen
    }

    /// Images in each image of the batch: the first extent of `node`'s first input.
    pub fn repeat(&self, node: &Node) -> usize {
        node.input(0).map_or(1, |id| self.shape(id)[0])
    }

    /// As [`Compiler::push`], for a layer without special treatment.
    pub fn operator(
        &mut self,
        node: &Node,
        operator: impl Operator + 'static,
        inputs: &[Seen],
        pixels: Option<Extent>,
    ) {
        self.push(node, Layer::Operator(Box::new(operator)), inputs, pixels);
    }

    /// The output is the first input.
    pub fn alias(&mut self, node: &Node) -> Result<()> {
        let x = self.input(node, 0)?;
        self.define(node.output(), x);
        Ok(())
    }
}

/// Whether numbers may be weights: several, and none so large that it must be a mask.
pub(super) fn looks_learned(values: &[f32]) -> bool {
    const MASK: f32 = 1e4;
    values.len() > 1 && values.iter().all(|v| v.abs() < MASK)
}
