//! What compilation produces: steps with everything decided, and where their data lies.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use edgecut_graph::{DType, Data, Tensor};
use edgecut_kernels::arena::{Plain, Span};
use edgecut_kernels::{Blob, Isa};
use serde::{Deserialize, Serialize};

#[cfg(feature = "compile")]
use crate::share::SharedWeights;
use crate::step::check::{ensure, product};
use crate::step::{Check, Checked, Step};
use crate::{MAX_ARENA_BYTES, layout};

/// Index of a buffer or constant of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Elements that are known at compile time and read like a buffer. int8 is stored as uint8 with
/// its sign bit flipped, as everywhere inside a plan; bool as 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Constant {
    F32(Blob<f32>),
    U8(Blob<u8>),
    I32(Blob<i32>),
    I64(Blob<i64>),
}

impl Constant {
    /// The elements of `tensor` in physical order.
    pub fn physical(tensor: &Tensor) -> Constant {
        let shape = tensor.shape();
        let (order, strides) = (layout::order(shape.len()), layout::row_major_strides(shape));
        let dims: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let strides: Vec<usize> = order.iter().map(|&a| strides[a]).collect();
        Constant::picked(tensor, places(dims, strides))
    }

    /// The elements of `tensor` as they are.
    pub fn row_major(tensor: &Tensor) -> Constant {
        Constant::picked(tensor, 0..tensor.len())
    }

    fn picked(tensor: &Tensor, places: impl Iterator<Item = usize>) -> Constant {
        match tensor.data() {
            Data::F32(d) => Constant::F32(places.map(|i| d[i]).collect()),
            Data::U8(d) => Constant::U8(places.map(|i| d[i]).collect()),
            Data::I8(d) => Constant::U8(places.map(|i| flip(d[i])).collect()),
            Data::Bool(d) => Constant::U8(places.map(|i| d[i].into()).collect()),
            Data::I32(d) => Constant::I32(places.map(|i| d[i]).collect()),
            Data::I64(d) => Constant::I64(places.map(|i| d[i]).collect()),
        }
    }

    /// One element: the number nearest to `value`, as buffers of this type hold it.
    pub fn number(dtype: DType, value: f32) -> Constant {
        match dtype {
            DType::F32 => Constant::F32([value].into_iter().collect()),
            DType::U8 => Constant::U8([value as u8].into_iter().collect()),
            DType::I8 => Constant::U8([flip(value as i8)].into_iter().collect()),
            DType::Bool => Constant::U8([u8::from(value != 0.0)].into_iter().collect()),
            DType::I32 => Constant::I32([value as i32].into_iter().collect()),
            DType::I64 => Constant::I64([value as i64].into_iter().collect()),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Constant::F32(d) => d.bytes(),
            Constant::U8(d) => d.bytes(),
            Constant::I32(d) => d.bytes(),
            Constant::I64(d) => d.bytes(),
        }
    }
}

/// int8 as a plan stores it.
pub(crate) fn flip(x: i8) -> u8 {
    x as u8 ^ 0x80
}

/// The position of every element of `dims`, in order, when dimension i has stride `strides[i]`.
pub(crate) fn places(dims: Vec<usize>, strides: Vec<usize>) -> impl Iterator<Item = usize> {
    (0..dims.iter().product::<usize>()).map(move |mut index| {
        let mut at = 0;
        for (&dim, &stride) in dims.iter().zip(&strides).rev() {
            at += index % dim * stride;
            index /= dim;
        }
        at
    })
}

/// Element types of buffers.
pub(crate) trait Element: Plain {
    /// The elements of a constant of this type.
    fn of(constant: &Constant) -> Option<&[Self]>;
}

macro_rules! element {
    ($($t:ty: $variant:ident),*) => {$(
        impl Element for $t {
            fn of(constant: &Constant) -> Option<&[$t]> {
                match constant {
                    Constant::$variant(d) => Some(d),
                    _ => None,
                }
            }
        }
    )*};
}
element!(f32: F32, u8: U8, i32: I32, i64: I64);

/// A buffer before memory is planned.
pub(crate) struct Buffer {
    /// Size in bytes.
    pub bytes: usize,
    /// Its content, where that is known: then it takes no place in the arena.
    pub constant: Option<Constant>,
    /// Whether it keeps its content from the caller's last access to the next: inputs and outputs.
    pub pinned: bool,
}

/// A step before memory is planned.
pub(crate) struct Emitted {
    pub step: Step,
    pub info: StepInfo,
    pub reads: Vec<Slot>,
    pub writes: Vec<Slot>,
    /// A read that may share its buffer with this write.
    pub in_place: Option<(Slot, Slot)>,
}

/// Where the data of a slot lies.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    Arena(Span),
    Constant(Arc<Constant>),
}

/// What a step does and how much, for reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepInfo {
    /// Name of the (first) node that the step computes.
    pub name: String,
    /// Kind of the step, such as `conv`, `depthwise.int8` or `layout`.
    pub kind: Cow<'static, str>,
    /// Extents of its result in ONNX order.
    pub shape: Vec<usize>,
    /// Multiply-accumulate operations.
    pub macs: u64,
    /// Bytes of everything that it reads and writes, weights included.
    pub bytes: u64,
}

/// An input or output of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents in ONNX order, the batch included.
    pub shape: Vec<usize>,
    pub(crate) slot: Slot,
}

/// A compiled model: immutable, shared by any number of sessions.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) infos: Vec<StepInfo>,
    pub(crate) places: Vec<Place>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) arena_bytes: usize,
    pub(crate) isa: Isa,
}

impl Plan {
    /// What the caller supplies, in the order of the graph's inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What a run returns, in the order of the graph's outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The first extent of the first input: images per run.
    pub fn batch(&self) -> usize {
        self.inputs.first().and_then(|p| p.shape.first().copied()).unwrap_or(1)
    }

    /// Whether its inputs have these shapes, in order.
    pub(crate) fn takes(&self, shapes: &[Vec<usize>]) -> bool {
        self.inputs.iter().map(|port| &port.shape).eq(shapes)
    }

    /// The shapes of its inputs, in order.
    pub(crate) fn input_shapes(&self) -> Vec<Vec<usize>> {
        self.inputs.iter().map(|port| port.shape.clone()).collect()
    }

    /// The instruction set that the plan uses.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of the one block that holds inputs, outputs and everything in between.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Bytes of gathered windows that a session on `threads` threads adds to the arena.
    pub fn scratch_bytes(&self, threads: usize) -> usize {
        self.steps.iter().map(|s| s.scratch_bytes(threads)).max().unwrap_or(0)
    }

    /// Bytes of packed weights and constants, shared by all sessions.
    pub fn weight_bytes(&self) -> usize {
        let constants = self.places.iter().map(|place| match place {
            Place::Constant(constant) => constant.bytes(),
            Place::Arena(_) => 0,
        });
        constants.sum::<usize>() + self.steps.iter().map(Step::weight_bytes).sum::<usize>()
    }

    /// Of [`Plan::weight_bytes`], those that step `index` owns.
    pub fn step_weight_bytes(&self, index: usize) -> usize {
        self.steps.get(index).map_or(0, Step::weight_bytes)
    }

    /// What the time of step `index` depends on beside its counts: windows and strides of its layers,
    /// and what happens to their sums, such as `3x3/2 hard-swish`. Empty for a step without layers.
    pub fn step_form(&self, index: usize) -> String {
        self.steps.get(index).map_or(String::new(), Step::form)
    }

    /// What each step does, in execution order.
    pub fn steps(&self) -> &[StepInfo] {
        &self.infos
    }

    /// Multiply-accumulate operations of one run.
    pub fn macs(&self) -> u64 {
        self.infos.iter().map(|s| s.macs).sum()
    }

    #[cfg(feature = "compile")]
    /// Replaces weights and constants that `known` holds already by those.
    pub(crate) fn share_weights(&mut self, known: &mut SharedWeights) {
        for place in &mut self.places {
            if let Place::Constant(constant) = place {
                let bytes = constant.bytes();
                known.constants.share(bytes, constant);
            }
        }
        self.steps.iter_mut().for_each(|step| step.share_weights(known));
    }

    /// What is wrong with a plan that comes from a file; nothing is with one that was compiled.
    pub(crate) fn check(&self) -> Checked {
        let limit = self.arena_bytes <= MAX_ARENA_BYTES;
        ensure(limit, || format!("{} bytes of buffers", self.arena_bytes))?;
        ensure(self.steps.len() == self.infos.len(), || "steps without a description".into())?;
        let check = || Check::new(&self.places, self.arena_bytes);
        for port in self.inputs.iter().chain(&self.outputs) {
            let len = product(&port.shape)?;
            let found = by_type!(port.dtype, T => check().len::<T>(port.slot))?;
            ensure(len == found, || format!("'{}' has {found} elements, not {len}", port.name))?;
        }
        let constant = |port: &&Port| matches!(self.place(port.slot), Place::Constant(_));
        ensure(!self.inputs.iter().any(|port| constant(&port)), || "an input is constant".into())?;
        for (step, info) in self.steps.iter().zip(&self.infos) {
            let problem = step.check(&mut check()).err();
            problem.map_or(Ok(()), |problem| Err(format!("step '{}': {problem}", info.name)))?;
        }
        Ok(())
    }

    pub(crate) fn place(&self, slot: Slot) -> &Place {
        &self.places[slot.index()]
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("isa", &self.isa.name())
            .field("batch", &self.batch())
            .field("steps", &self.steps.len())
            .field("arena_bytes", &self.arena_bytes)
            .field("weight_bytes", &self.weight_bytes())
            .finish()
    }
}
