//! Matrix products.

use super::{Rule, broadcast};
use crate::{Dim, Gemm, Result, Shape};

impl Rule<'_> {
    pub(super) fn gemm(&self, gemm: &Gemm) -> Result<Shape> {
        let (a, b) = (self.rank(0, 2)?, self.rank(1, 2)?);
        let (m, k) = if gemm.trans_a { (&a[1], &a[0]) } else { (&a[0], &a[1]) };
        let (k2, n) = if gemm.trans_b { (&b[1], &b[0]) } else { (&b[0], &b[1]) };
        if k != k2 {
            return self.fail(format!("inner dimensions differ: {k} and {k2}"));
        }
        let out = Shape::new(vec![m.clone(), n.clone()]);
        if self.present(2) && broadcast(&out, self.shape(2)?).as_ref() != Some(&out) {
            return self.fail(format!("C is {}, does not broadcast to {out}", self.shape(2)?));
        }
        Ok(out)
    }

    /// The last two dimensions multiply, the others broadcast. Vectors are not taken: import
    /// gives them a second dimension.
    pub(super) fn mat_mul(&self) -> Result<Shape> {
        let (a, b) = (self.shape(0)?.dims(), self.shape(1)?.dims());
        if a.len() < 2 || b.len() < 2 {
            return self.fail("inputs need at least 2 dimensions");
        }
        let (m, n) = (&a[a.len() - 2], &b[b.len() - 1]);
        if a[a.len() - 1] != b[b.len() - 2] {
            let (k, k2) = (&a[a.len() - 1], &b[b.len() - 2]);
            return self.fail(format!("inner dimensions differ: {k} and {k2}"));
        }
        let outer = |s: &[Dim]| Shape::new(s[..s.len() - 2].to_vec());
        let Some(batch) = broadcast(&outer(a), &outer(b)) else {
            return self.fail("outer dimensions do not broadcast");
        };
        let mut dims = batch.dims().to_vec();
        dims.extend([m.clone(), n.clone()]);
        Ok(Shape::new(dims))
    }
}
