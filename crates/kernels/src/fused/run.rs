//! Computing a chain, band by band.

use super::demand::{demand, nothing};
use super::memory::{Memory, Outer, Shared};
use super::{Chain, Family};
use crate::pool::SharedMut;
use crate::{Ctx, Isa};
use std::ops::Range;

/// Computes all layers. `outers` are the tensors that operands name, `scratch` holds at least
/// [`Chain::scratch_len`] elements.
///
/// # Panics
/// If a tensor is smaller than a layer's shape says, or one that is read only is to be written.
pub fn run<F: Family>(
    ctx: Ctx,
    chain: &Chain<F>,
    outers: &mut [Outer<F::Element>],
    scratch: &mut [F::Element],
) {
    let mut shared = [Shared::None; super::MAX_OUTERS];
    for (to, outer) in shared.iter_mut().zip(outers) {
        *to = Shared::of(outer);
    }
    let (images, rows, threads) = (chain.images(), chain.rows(), ctx.pool.threads());
    if images == 0 || rows == 0 {
        return;
    }
    if let [layer] = &chain.layers[..] {
        let rings = SharedMut::new(&mut []);
        let memory = Memory { chain, image: 0, outers: &shared, rings, first: 0 };
        if F::alone(ctx, &memory, layer, scratch) {
            return;
        }
    }
    let bands = if images >= threads { 1 } else { threads.div_ceil(images).min(rows) };
    let worker_len = chain.worker_len();
    let rings = SharedMut::new(&mut scratch[..chain.scratch_len(threads)]);
    ctx.pool.for_each_worker(images * bands, &|worker, task| {
        let (image, band) = (task / bands, task % bands);
        let memory = Memory { chain, image, outers: &shared, rings, first: worker * worker_len };
        compute(ctx.isa, &memory, rows * band / bands..rows * (band + 1) / bands);
    });
}

/// Rows `band` of the last layers of one image.
fn compute<F: Family>(isa: Isa, memory: &Memory<F>, band: Range<usize>) {
    let chain = memory.chain;
    let mut done = nothing();
    for first in band.clone().step_by(chain.step) {
        let needs = demand(chain, first..(first + chain.step).min(band.end));
        for (index, layer) in chain.layers.iter().enumerate() {
            let need = needs[index].clone();
            let mut y = need.start.max(done[index].end);
            while y < need.end {
                y += F::produce(isa, memory, layer, y, need.end);
            }
            done[index].end = done[index].end.max(need.end);
        }
    }
}
