//! What layers are made of, for networks whose layers differ from the usual ones.

use super::{Builder, name_key};
use crate::rng::Rng;
use crate::{Op, Result, Tensor, ValueId};

impl Builder {
    /// Any operator under a name of its own, which must be unique.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|&x| Some(x)).collect();
        self.graph.add_node(name, op, &inputs)
    }

    /// Weights called `name`, uniform between `-bound` and `bound`.
    pub fn uniform(&mut self, name: &str, shape: &[usize], bound: f32) -> Result<ValueId> {
        let len = crate::checked_len(shape, name)?;
        let mut rng = Rng::keyed(&[self.seed, name_key(name)]);
        let values: Vec<f32> = (0..len).map(|_| rng.range(-bound, bound)).collect();
        Ok(self.graph.add_constant(name, Tensor::new(shape, values)?))
    }
}
