//! Packed weights that several plans of one model read, stored once.
//!
//! How weights are packed depends on the operator, hardly ever on the size of the image; so the
//! plans of one model for other sizes come out with equal weights, and all but the first copy can
//! go. Equality is that of the content: no rule about which shapes matter can be wrong.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::depthwise::DepthwiseWeights;
use edgecut_kernels::gemm::PackedB;
use edgecut_kernels::quant::{self, PackedWeights};
use edgecut_kernels::{bf16, sparse};

use crate::plan::Constant;

/// What the living plans of a model hold.
#[derive(Default)]
pub(crate) struct SharedWeights {
    pub constants: Known<Constant>,
    pub convolutions: Known<ConvWeights>,
    pub depthwise: Known<DepthwiseWeights>,
    pub matrices: Known<PackedB>,
    pub bf16: Known<bf16::Weights>,
    pub sparse: Known<sparse::Weights>,
    pub quant_convolutions: Known<quant::ConvWeights>,
    pub quant_depthwise: Known<quant::DepthwiseWeights>,
    pub quant_matrices: Known<PackedWeights>,
}

/// Contents of one type by their size.
pub(crate) struct Known<T>(HashMap<usize, Vec<Weak<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        Known(HashMap::new())
    }
}

impl<T: PartialEq> Known<T> {
    /// Makes `own`, of about `size` bytes, the copy that is known already, or remembers it.
    pub fn share(&mut self, size: usize, own: &mut Arc<T>) {
        let alike = self.0.entry(size).or_default();
        alike.retain(|known| known.strong_count() > 0);
        match alike.iter().filter_map(Weak::upgrade).find(|known| known == own) {
            Some(known) => *own = known,
            None => alike.push(Arc::downgrade(own)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::plan::Place;
    use crate::step::Step;
    use edgecut_graph::{Builder, Window};
    use edgecut_kernels::Pool;
    use edgecut_kernels::fused::Op;

    /// Addresses of all weights and constants of a plan.
    fn addresses(model: &Model, batch: usize) -> Vec<usize> {
        let plan = model.plan(batch).unwrap();
        let weights = plan.steps.iter().filter_map(|step| match step {
            Step::Conv(step) => Some(Arc::as_ptr(&step.weights) as usize),
            Step::Layers(step) => match &step.chain.layers()[0].op {
                Op::Conv(weights) | Op::PlanarConv(weights) => Some(Arc::as_ptr(weights) as usize),
                Op::ConvBf16(weights) => Some(Arc::as_ptr(weights) as usize),
                Op::SparseConv(weights) => Some(Arc::as_ptr(weights) as usize),
                Op::Depthwise(weights) => Some(Arc::as_ptr(weights) as usize),
                Op::MaxPool | Op::AveragePool(_) => None,
            },
            Step::Linear(step) => Some(Arc::as_ptr(&step.weights) as usize),
            _ => None,
        });
        let constants = plan.places.iter().filter_map(|place| match place {
            Place::Constant(constant) => Some(Arc::as_ptr(constant) as usize),
            Place::Arena(_) => None,
        });
        weights.chain(constants).collect()
    }

    #[test]
    fn plans_of_a_model_read_the_same_weights() {
        let mut b = Builder::new("net", 5);
        let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
        let x = b.conv(x, "stem", 8, Window::same(3, 1), 1, true).unwrap();
        let x = b.conv(x, "depthwise", 8, Window::same(3, 1), 8, false).unwrap();
        let x = b.relu(x).unwrap();
        let shift = b.constant("shift", edgecut_graph::Tensor::zeros([8, 1, 1]).unwrap());
        let x = b.add(x, shift).unwrap();
        let x = b.global_average_pool(x).unwrap();
        let x = b.flatten(x).unwrap();
        let x = b.linear(x, "linear", 4).unwrap();
        let model = Model::new(b.finish(&[x]).unwrap(), Arc::new(Pool::new(1)));
        let first = addresses(&model, 1);
        assert_eq!(first.len(), 4);
        assert_eq!(first, addresses(&model, 3));
    }
}
