//! Choices between two operands, and sums into places of a tensor.

use edgecut_kernels::elementwise::add_to;

use super::operator::{Backward, Forward, Operator};
use super::spread::Spread;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// `z = a where condition, else b`; inputs are condition (0 is false), a and b, all broadcast.
#[derive(Debug)]
pub(crate) struct Select {
    batch: usize,
    maps: [Spread; 3],
}

impl Select {
    pub fn new(batch: usize, maps: [Spread; 3]) -> Select {
        Select { batch, maps }
    }
}

impl Operator for Select {
    fn kind(&self) -> &'static str {
        "where"
    }

    fn scratch_len(&self) -> usize {
        let fold = self.maps.iter().map(|map| map.scratch_len(self.batch)).max().unwrap_or(0);
        2 * self.batch * self.maps[0].output() + fold
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let ctx = cx.env.ctx;
        let (condition, rest) = cx.scratch.split_at_mut(z.len());
        let other = &mut rest[..z.len()];
        self.maps[0].spread(ctx, cx.reads.get(0), 0.0, condition);
        self.maps[1].spread(ctx, cx.reads.get(1), 0.0, z);
        self.maps[2].spread(ctx, cx.reads.get(2), 0.0, other);
        let (condition, other) = (&*condition, &*other);
        ctx.pool.for_each_chunk_mut(z, TASK, |task, z| {
            let range = task * TASK..task * TASK + z.len();
            for ((z, c), b) in z.iter_mut().zip(&condition[range.clone()]).zip(&other[range]) {
                *z = if *c != 0.0 { *z } else { *b };
            }
        });
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let (Some(dx), 1..) = (dx, cx.index) else { return };
        let (ctx, dz) = (cx.env.ctx, cx.dz);
        let (condition, rest) = cx.scratch.split_at_mut(dz.len());
        let (own, rest) = rest.split_at_mut(dz.len());
        self.maps[0].spread(ctx, cx.reads.get(0), 0.0, condition);
        let (condition, chosen) = (&*condition, cx.index == 1);
        ctx.pool.for_each_chunk_mut(own, TASK, |task, own| {
            let range = task * TASK..task * TASK + own.len();
            for ((d, c), dz) in own.iter_mut().zip(&condition[range.clone()]).zip(&dz[range]) {
                *d = if (*c != 0.0) == chosen { *dz } else { 0.0 };
            }
        });
        self.maps[cx.index].fold(ctx, own, dx, rest);
    }
}

/// `z = data`, with updates added to some elements; inputs are data and updates.
#[derive(Debug)]
pub(crate) struct ScatterAdd {
    batch: usize,
    /// The element that each update is added to.
    places: Spread,
}

impl ScatterAdd {
    pub fn new(batch: usize, places: Spread) -> ScatterAdd {
        ScatterAdd { batch, places }
    }
}

impl Operator for ScatterAdd {
    fn kind(&self) -> &'static str {
        "scatter"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn scratch_len(&self) -> usize {
        self.places.scratch_len(self.batch)
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        self.places.fold(cx.env.ctx, cx.reads.get(1), z, cx.scratch);
        add_to(cx.env.ctx, cx.reads.get(0), z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        match (cx.index, dx) {
            (0, Some(dx)) => dx.copy_from_slice(cx.dz),
            (_, Some(dx)) => self.places.spread(cx.env.ctx, cx.dz, 0.0, dx),
            _ => {}
        }
    }
}
