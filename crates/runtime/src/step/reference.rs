//! Any operator, through the interpreter of the graph crate.
//!
//! Slow and allocating, but right: it makes every valid graph run, and a kernel is then only a
//! matter of speed.

use edgecut_graph::{DType, Data, Graph, Node, Shape, Tensor, interpret, onnx};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Result;
use crate::layout;
use crate::plan::{Slot, flip};
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product};

/// One node in a graph of its own, with the constants that it reads.
pub(crate) struct Reference {
    graph: Graph,
    /// For each input of the graph: the buffer it comes from.
    inputs: Vec<Operand>,
    outputs: Vec<Slot>,
}

/// What a buffer holds.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Operand {
    pub slot: Slot,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

/// An input of the node.
pub(crate) enum Source {
    Constant(Tensor),
    Buffer(Operand),
}

impl Reference {
    /// `node` with its inputs replaced by `sources` (`None` where an optional one is absent).
    ///
    /// # Errors
    /// Where the operator does not fit them.
    pub fn new(node: &Node, sources: Vec<Option<Source>>, outputs: Vec<Slot>) -> Result<Reference> {
        let mut graph = Graph::new(&node.name);
        let (mut inputs, mut values) = (vec![], vec![]);
        for (i, source) in sources.into_iter().enumerate() {
            let name = format!("input{i}");
            values.push(match source {
                None => None,
                Some(Source::Constant(tensor)) => Some(graph.add_constant(name, tensor)),
                Some(Source::Buffer(buffer)) => {
                    let value = graph.add_input(name, buffer.dtype, Shape::fixed(&buffer.shape));
                    inputs.push(buffer);
                    Some(value)
                }
            });
        }
        graph.add_node(&node.name, node.op.clone(), &values)?;
        graph.outputs = graph.nodes.last().map_or(vec![], |node| node.outputs.clone());
        graph.outputs.truncate(outputs.len());
        Ok(Reference { graph, inputs, outputs })
    }

    pub fn weight_bytes(&self) -> usize {
        self.graph.values().iter().filter_map(|v| v.constant.as_ref()).map(Tensor::bytes).sum()
    }

    pub fn check(&self, c: &mut Check) -> Checked {
        let declared = self.graph.inputs.iter().map(|&id| self.graph.value(id));
        let same = |(value, operand): (&edgecut_graph::Value, &Operand)| {
            value.dtype == operand.dtype && value.shape == Shape::fixed(&operand.shape)
        };
        let count = self.graph.inputs.len() == self.inputs.len()
            && self.graph.outputs.len() == self.outputs.len();
        ensure(count && declared.zip(&self.inputs).all(same), || "other operands".into())?;
        for operand in &self.inputs {
            let len = product(&operand.shape)?;
            by_type!(operand.dtype, T => c.peek::<T>(operand.slot, len))?;
        }
        for (&id, &slot) in self.graph.outputs.iter().zip(&self.outputs) {
            let value = self.graph.value(id);
            let len = product(&value.shape.with_symbols(1))?;
            by_type!(value.dtype, T => c.write::<T>(slot, len))?;
        }
        Ok(())
    }

    pub fn run(&self, env: &mut Env) -> Result<()> {
        let tensors =
            self.inputs.iter().map(|buffer| load(env, buffer)).collect::<Result<Vec<_>>>()?;
        let results = interpret::run(&self.graph, &tensors)?;
        for (slot, tensor) in self.outputs.iter().zip(&results) {
            store(env, *slot, tensor);
        }
        Ok(())
    }
}

/// A [`Reference`] in a packed model: its graph in ONNX, which reads back as the same function.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    onnx: Vec<u8>,
    inputs: Vec<Operand>,
    outputs: Vec<Slot>,
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let onnx = onnx::to_bytes(&self.graph).map_err(S::Error::custom)?;
        let (inputs, outputs) = (self.inputs.clone(), self.outputs.clone());
        Stored { name: self.graph.name.clone(), onnx, inputs, outputs }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let Stored { name, onnx, inputs, outputs } = Stored::deserialize(deserializer)?;
        let graph = onnx::from_bytes(&name, &onnx).map_err(D::Error::custom)?;
        Ok(Reference { graph, inputs, outputs })
    }
}

/// Position in the physical order of each element in ONNX order.
fn physical_places(shape: &[usize]) -> impl Iterator<Item = usize> {
    crate::plan::places(shape.to_vec(), layout::strides(shape))
}

fn load(env: &mut Env, &Operand { slot, dtype, ref shape }: &Operand) -> Result<Tensor> {
    let places = physical_places(shape);
    let data: Data = match dtype {
        DType::F32 => gather(env.peek::<f32>(slot), places, |x| x).into(),
        DType::U8 => gather(env.peek::<u8>(slot), places, |x| x).into(),
        DType::I8 => gather(env.peek::<u8>(slot), places, |x: u8| (x ^ 0x80) as i8).into(),
        DType::Bool => gather(env.peek::<u8>(slot), places, |x| x != 0).into(),
        DType::I32 => gather(env.peek::<i32>(slot), places, |x| x).into(),
        DType::I64 => gather(env.peek::<i64>(slot), places, |x| x).into(),
    };
    Ok(Tensor::new(&shape[..], data)?)
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
