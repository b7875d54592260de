//! Resampling.

use edgecut_graph::{DType, Node, Op, Resize, ResizeMode, Tensor, interpret};

use super::super::Extent;
use super::Compiler;
use super::values::Seen;
use crate::error::{Result, TrainError};
use crate::grad::{Layer, Resample, Weights};

impl Compiler<'_> {
    pub fn resize(&mut self, node: &Node, resize: &Resize) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        let outside = resize.coordinates == edgecut_graph::Coordinates::CropAndResize;
        if matches!(resize.mode, ResizeMode::Nearest(_)) && !outside {
            return self.moves(node);
        }
        if outside && resize.extrapolation != 0.0 {
            return Err(TrainError::unsupported(node, "extrapolation_value must be 0"));
        }
        let shape = self.shape(node.input(0)?);
        if shape.len() == 4 && resize.axes.iter().all(|axis| axis.axis >= 2) {
            let (x, e) = self.image(node, 0)?;
            let rows = self.weights(node, resize, 2, e.h)?;
            let columns = self.weights(node, resize, 3, e.w)?;
            let out = Extent { h: rows.len(), w: columns.len(), c: e.c };
            self.operator(node, Resample::new([e.h, e.w, e.c], &rows, &columns), &[x], Some(out));
            return Ok(());
        }
        self.resize_rows(node, resize, shape)
    }

    /// One dimension after the other, each as the rows of an image.
    fn resize_rows(&mut self, node: &Node, resize: &Resize, mut shape: Vec<usize>) -> Result<()> {
        let mut x = self.rows(node, 0)?;
        for axis in &resize.axes {
            let (size, inner) = (shape[axis.axis], shape[axis.axis + 1..].iter().product());
            let rows = self.weights(node, resize, axis.axis, size)?;
            let layer = Resample::new([size, 1, inner], &rows, &vec![vec![(0, 1.0)]]);
            shape[axis.axis] = axis.len;
            let name = format!("{}.axis{}", node.name, axis.axis);
            let layer = Layer::Operator(Box::new(layer));
            let activation = self.step(&name, layer, vec![x.activation], shape.iter().product());
            x = Seen { activation, ..x };
        }
        self.define(node.output(), x);
        Ok(())
    }

    /// The weights of each output position along `axis`: what becomes of an input that is 1 in one
    /// place, for each place.
    fn weights(&self, node: &Node, resize: &Resize, axis: usize, size: usize) -> Result<Weights> {
        let Some(own) = resize.axes.iter().find(|a| a.axis == axis) else {
            return Ok((0..size).map(|i| vec![(i, 1.0)]).collect());
        };
        let mut single = node.clone();
        let own = edgecut_graph::ResizeAxis { axis: 1, ..*own };
        single.op = Op::Resize(Resize { axes: vec![own], ..resize.clone() });
        let units = (0..size * size).map(|i| f32::from(u8::from(i / size == i % size)));
        let units = Tensor::new([size, size], units.collect::<Vec<_>>())?;
        let results = interpret::run_node(&self.graph, &single, &[Some(&units)])?;
        let responses = results[0].f32s()?;
        let len = own.len;
        let taps = |i: usize| {
            let response = |place: usize| (place, responses[place * len + i]);
            (0..size).map(response).filter(|(_, weight)| *weight != 0.0).collect()
        };
        Ok((0..len).map(taps).collect())
    }
}
