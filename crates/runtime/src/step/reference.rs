//! Any operator, through the interpreter of the graph crate.
//!
//! Slow and allocating, but right: it makes every valid graph run, and a kernel is then only a
//! matter of speed.

use edgecut_graph::{DType, Data, Graph, Node, Shape, Tensor, interpret};

use crate::Result;
use crate::layout;
use crate::plan::{Slot, flip};
use crate::step::Env;

/// One node in a graph of its own, with the constants that it reads.
pub(crate) struct Reference {
    graph: Graph,
    node: Node,
    /// For each input of the node: the buffer it comes from, `None` where it is absent or constant.
    inputs: Vec<Option<(Slot, DType, Vec<usize>)>>,
    outputs: Vec<Slot>,
}

/// An input of the node: a constant, or the type and shape of what a buffer holds.
pub(crate) enum Source {
    Constant(Tensor),
    Buffer(Slot, DType, Vec<usize>),
}

impl Reference {
    /// `node` with its inputs replaced by `sources` (`None` where an optional one is absent).
    pub fn new(node: &Node, sources: Vec<Option<Source>>, outputs: Vec<Slot>) -> Reference {
        let mut graph = Graph::new(&node.name);
        let mut inputs = vec![];
        let mut own = Node { inputs: vec![], outputs: vec![], ..node.clone() };
        for (i, source) in sources.into_iter().enumerate() {
            let name = format!("input{i}");
            let (value, buffer) = match source {
                None => (None, None),
                Some(Source::Constant(tensor)) => (Some(graph.add_constant(name, tensor)), None),
                Some(Source::Buffer(slot, dtype, shape)) => {
                    let value = graph.add_value(name, dtype, Shape::fixed(&shape));
                    (Some(value), Some((slot, dtype, shape)))
                }
            };
            own.inputs.push(value);
            inputs.push(buffer);
        }
        Reference { graph, node: own, inputs, outputs }
    }

    pub fn weight_bytes(&self) -> usize {
        self.graph.values().iter().filter_map(|v| v.constant.as_ref()).map(Tensor::bytes).sum()
    }

    pub fn run(&self, env: &mut Env) -> Result<()> {
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            tensors.push(match input {
                Some((slot, dtype, shape)) => Some(load(env, *slot, *dtype, shape)?),
                None => None,
            });
        }
        let borrowed: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        let results = interpret::run_node(&self.graph, &self.node, &borrowed)?;
        for (slot, tensor) in self.outputs.iter().zip(&results) {
            store(env, *slot, tensor);
        }
        Ok(())
    }
}

/// Position in the physical order of each element in ONNX order.
fn physical_places(shape: &[usize]) -> impl Iterator<Item = usize> {
    crate::plan::places(shape.to_vec(), layout::strides(shape))
}

fn load(env: &mut Env, slot: Slot, dtype: DType, shape: &[usize]) -> Result<Tensor> {
    let places = physical_places(shape);
    let data: Data = match dtype {
        DType::F32 => gather(env.peek::<f32>(slot), places, |x| x).into(),
        DType::U8 => gather(env.peek::<u8>(slot), places, |x| x).into(),
        DType::I8 => gather(env.peek::<u8>(slot), places, |x: u8| (x ^ 0x80) as i8).into(),
        DType::Bool => gather(env.peek::<u8>(slot), places, |x| x != 0).into(),
        DType::I32 => gather(env.peek::<i32>(slot), places, |x| x).into(),
        DType::I64 => gather(env.peek::<i64>(slot), places, |x| x).into(),
    };
    Ok(Tensor::new(shape, data)?)
}

fn gather<T: Copy, U>(x: &[T], places: impl Iterator<Item = usize>, f: impl Fn(T) -> U) -> Vec<U> {
    places.map(|i| f(x[i])).collect()
}

fn store(env: &mut Env, slot: Slot, tensor: &Tensor) {
    let places = physical_places(tensor.shape());
    match tensor.data() {
        Data::F32(d) => scatter(d, env.write(slot), places, |x| x),
        Data::U8(d) => scatter(d, env.write(slot), places, |x| x),
        Data::I8(d) => scatter(d, env.write(slot), places, flip),
        Data::Bool(d) => scatter(d, env.write(slot), places, u8::from),
        Data::I32(d) => scatter(d, env.write(slot), places, |x| x),
        Data::I64(d) => scatter(d, env.write(slot), places, |x| x),
    }
}

fn scatter<T: Copy, U>(
    from: &[T],
    to: &mut [U],
    places: impl Iterator<Item = usize>,
    f: impl Fn(T) -> U,
) {
    from.iter().zip(places).for_each(|(&x, i)| to[i] = f(x));
}
