//! Functions of single elements.

use edgecut_kernels::elementwise::{Unary, unary, unary_backward};

use super::operator::{Backward, Forward, Operator};

/// `z = f(x)`.
#[derive(Debug)]
pub(crate) struct Function(pub Unary);

impl Operator for Function {
    fn kind(&self) -> &'static str {
        "function"
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        unary(cx.env.ctx, self.0, cx.reads.get(0), z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            unary_backward(cx.env.ctx, self.0, cx.reads.get(0), cx.dz, dx, false);
        }
    }
}
