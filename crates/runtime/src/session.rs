//! The memory in which a plan runs.

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::{DType, Data, Tensor};
use edgecut_kernels::arena::{Arena, Span};
use edgecut_kernels::{Ctx, Pool};

use crate::plan::{Element, Place, Plan, Port, flip};
use crate::step::Env;
use crate::{Profile, Result, RuntimeError};

/// A plan with memory and threads. Sessions of one plan share its weights; sessions on one pool
/// take turns with its threads, step by step.
///
/// Inputs keep their content from run to run, outputs until the next run.
pub struct Session {
    plan: Arc<Plan>,
    pool: Arc<Pool>,
    arena: Arena,
    scratch: Arena,
}

impl Session {
    /// Allocates the memory that `plan` needs. Inputs are zeros at first.
    pub fn new(plan: Arc<Plan>, pool: Arc<Pool>) -> Session {
        let arena = Arena::new(plan.arena_bytes());
        let scratch = Arena::new(plan.scratch_bytes(pool.threads()));
        Session { plan, pool, arena, scratch }
    }

    #[cfg(feature = "compile")]
    /// Sets every byte of the memory between steps.
    pub(crate) fn fill(&mut self, byte: u8) {
        let bytes = self.arena.bytes();
        self.arena.slice_mut::<u8>(Span { offset: 0, bytes }).fill(byte);
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The threads.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Bytes of this session's own memory.
    pub fn memory_bytes(&self) -> usize {
        self.arena.bytes() + self.scratch.bytes()
    }

    /// Copies `tensor` into input `index`.
    ///
    /// # Errors
    /// Where there is no such input, or it has another type or shape.
    pub fn set_input(&mut self, index: usize, tensor: &Tensor) -> Result<()> {
        let (port, span) = self.input(index)?;
        if tensor.dtype() != port.dtype || tensor.shape() != port.shape {
            return Err(RuntimeError::Input {
                name: port.name.clone(),
                found: tensor.dtype(),
                found_shape: tensor.shape().to_vec(),
                expected: port.dtype,
                expected_shape: port.shape.clone(),
            });
        }
        match tensor.data() {
            Data::F32(d) => self.arena.slice_mut(span).copy_from_slice(d),
            Data::U8(d) => self.arena.slice_mut(span).copy_from_slice(d),
            Data::I8(d) => convert(d, self.arena.slice_mut::<u8>(span), flip),
            Data::Bool(d) => convert(d, self.arena.slice_mut::<u8>(span), u8::from),
            Data::I32(d) => self.arena.slice_mut(span).copy_from_slice(d),
            Data::I64(d) => self.arena.slice_mut(span).copy_from_slice(d),
        }
        Ok(())
    }

    /// The elements of float32 input `index` in ONNX order, to be filled in place.
    ///
    /// # Errors
    /// Where there is no such input or it has another type.
    pub fn input_mut(&mut self, index: usize) -> Result<&mut [f32]> {
        let span = self.typed_input(index, DType::F32)?;
        Ok(self.arena.slice_mut(span))
    }

    /// The elements of uint8 input `index` in ONNX order, to be filled in place.
    ///
    /// # Errors
    /// Where there is no such input or it has another type.
    pub fn input_u8_mut(&mut self, index: usize) -> Result<&mut [u8]> {
        let span = self.typed_input(index, DType::U8)?;
        Ok(self.arena.slice_mut(span))
    }

    /// Computes the outputs. Allocates nothing, unless the plan has steps of kind `reference`.
    ///
    /// # Errors
    /// Only from steps of kind `reference`.
    pub fn run(&mut self) -> Result<()> {
        for index in 0..self.plan.steps.len() {
            self.step(index)?;
        }
        Ok(())
    }

    /// Runs `runs` times and reports how long each step took.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_profiled(&mut self, runs: usize) -> Result<Profile> {
        let steps = self.plan.steps.len();
        let mut times = vec![vec![0; steps]; runs];
        for run in &mut times {
            for (index, ns) in run.iter_mut().enumerate() {
                let start = Instant::now();
                self.step(index)?;
                *ns = start.elapsed().as_nanos() as u64;
            }
        }
        Ok(Profile::new(&self.plan, &times))
    }

    fn step(&mut self, index: usize) -> Result<()> {
        let plan = &*self.plan;
        let mut env = Env {
            ctx: Ctx { isa: plan.isa, pool: &self.pool },
            places: &plan.places,
            views: self.arena.views(),
            scratch: self.scratch.views(),
        };
        plan.steps[index].run(&mut env)
    }

    /// A copy of output `index`.
    ///
    /// # Errors
    /// Where there is no such output.
    pub fn output(&self, index: usize) -> Result<Tensor> {
        let port = self.output_port(index)?;
        let data: Data = match port.dtype {
            DType::F32 => self.elements::<f32>(port).to_vec().into(),
            DType::U8 => self.elements::<u8>(port).to_vec().into(),
            DType::I8 => self
                .elements::<u8>(port)
                .iter()
                .map(|q| (q ^ 0x80) as i8)
                .collect::<Vec<_>>()
                .into(),
            DType::Bool => {
                self.elements::<u8>(port).iter().map(|&b| b != 0).collect::<Vec<_>>().into()
            }
            DType::I32 => self.elements::<i32>(port).to_vec().into(),
            DType::I64 => self.elements::<i64>(port).to_vec().into(),
        };
        Ok(Tensor::new(port.shape.clone(), data)?)
    }

    /// The elements of float32 output `index` in ONNX order, where they lie.
    ///
    /// # Errors
    /// Where there is no such output or it has another type.
    pub fn output_f32(&self, index: usize) -> Result<&[f32]> {
        let port = self.output_port(index)?;
        check_type(port, DType::F32)?;
        Ok(self.elements(port))
    }

    /// Sets all inputs, runs, and copies all outputs.
    ///
    /// # Errors
    /// Where the inputs do not fit the model, and as [`Session::run`].
    pub fn infer(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        if inputs.len() != self.plan.inputs.len() {
            let (found, expected) = (inputs.len(), self.plan.inputs.len());
            return Err(RuntimeError::InputCount { found, expected });
        }
        for (index, tensor) in inputs.iter().enumerate() {
            self.set_input(index, tensor)?;
        }
        self.run()?;
        (0..self.plan.outputs.len()).map(|index| self.output(index)).collect()
    }

    fn elements<T: Element>(&self, port: &Port) -> &[T] {
        match self.plan.place(port.slot) {
            Place::Arena(span) => self.arena.slice(*span),
            Place::Constant(constant) => T::of(constant).expect("a slot has one type"),
        }
    }

    fn input(&self, index: usize) -> Result<(&Port, Span)> {
        let count = self.plan.inputs.len();
        let missing = RuntimeError::NoSuch { what: "input", index, count };
        let port = self.plan.inputs.get(index).ok_or(missing)?;
        match self.plan.place(port.slot) {
            Place::Arena(span) => Ok((port, *span)),
            Place::Constant(_) => unreachable!("inputs are never constants"),
        }
    }

    fn typed_input(&self, index: usize, dtype: DType) -> Result<Span> {
        let (port, span) = self.input(index)?;
        check_type(port, dtype)?;
        Ok(span)
    }

    fn output_port(&self, index: usize) -> Result<&Port> {
        let count = self.plan.outputs.len();
        let missing = RuntimeError::NoSuch { what: "output", index, count };
        self.plan.outputs.get(index).ok_or(missing)
    }
}

fn check_type(port: &Port, expected: DType) -> Result<()> {
    if port.dtype == expected {
        return Ok(());
    }
    Err(RuntimeError::Type { name: port.name.clone(), found: port.dtype, expected })
}

fn convert<T: Copy, U>(from: &[T], to: &mut [U], f: impl Fn(T) -> U) {
    from.iter().zip(to).for_each(|(&x, y)| *y = f(x));
}
