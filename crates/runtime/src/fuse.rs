//! Joining neighbouring layers into chains that keep their intermediate rows in the caches.
//!
//! Every convolution and pooling is lowered to a chain of one layer. Here a run of them grows
//! as long as each reads what the run makes, the layers that end it have equal heights, and the
//! tensor that is saved is worth it. A tensor that nobody outside of the run reads becomes a ring of
//! rows and takes no place in the arena.

use std::collections::{BTreeMap, HashMap};

use edgecut_kernels::fused::int8::Int8;
use edgecut_kernels::fused::{Chain, Float, Layer, MAX_LAYERS, MAX_OUTERS, Operand, Place};

use crate::lower::Lowered;
use crate::plan::{Buffer, Emitted, Slot, StepInfo};
use crate::step::{Layers, Pixels, Steps};

/// A tensor smaller than this stays in the second-level cache from one step to the next anyway.
const WORTHWHILE_BYTES: usize = 512 * 1024;

/// Lower maps than this are not cut into bands: the rows that two threads both compute, and the
/// weights that both read, would cost more than is saved.
const LOWEST_MAP: usize = 28;

/// Pixels of the last layer that are computed at a time: enough for full register tiles.
const STEP_PIXELS: usize = 56;

/// Joins the steps of `lowered` where that saves memory traffic.
pub(crate) fn fuse(lowered: &mut Lowered) {
    fuse_family::<Float>(lowered);
    fuse_family::<Int8>(lowered);
}

/// Joins steps of one family of layers.
fn fuse_family<F: Steps>(lowered: &mut Lowered) {
    let uses = uses(lowered);
    let steps = std::mem::take(&mut lowered.steps);
    let mut pending: Vec<Emitted> = vec![];
    let mut fused = vec![];
    let mut rest = steps.into_iter().peekable();
    while let Some(step) = rest.next() {
        pending.push(step);
        // The longest run from here on, then what is left of the look-ahead goes on.
        while let Some(next) = rest.peek()
            && pending.len() < MAX_LAYERS
            && extends::<F>(lowered, &pending, next)
        {
            pending.extend(rest.next());
        }
        while !pending.is_empty() {
            let (count, group) = (1..=pending.len())
                .rev()
                .find_map(|count| {
                    Some((count, Group::new::<F>(lowered, &uses, &pending[..count])?))
                })
                .unwrap_or((1, Group::default()));
            let run: Vec<Emitted> = pending.drain(..count).collect();
            fused.extend(if count == 1 {
                run
            } else {
                vec![group.join::<F>(run, &lowered.buffers)]
            });
        }
    }
    lowered.steps = fused;
}

/// How many steps read and write each slot.
fn uses(lowered: &Lowered) -> HashMap<Slot, [usize; 2]> {
    let mut uses = HashMap::new();
    for step in &lowered.steps {
        for (kind, slots) in [&step.reads, &step.writes].into_iter().enumerate() {
            for (i, &slot) in slots.iter().enumerate() {
                if !slots[..i].contains(&slot) {
                    uses.entry(slot).or_insert([0; 2])[kind] += 1;
                }
            }
        }
    }
    uses
}

fn layers<F: Steps>(step: &Emitted) -> Option<&Layers<F>> {
    F::of(&step.step)
}

/// Whether `next` reads a large enough tensor that the run makes, on a large enough map.
fn extends<F: Steps>(lowered: &Lowered, run: &[Emitted], next: &Emitted) -> bool {
    let all = run.iter().all(|step| layers::<F>(step).is_some());
    let Some(layers) = layers::<F>(next).filter(|_| all) else { return false };
    let shape = &layers.chain.layers()[0].shape;
    let made = |slot: &&Slot| run.iter().any(|step| step.writes.contains(slot));
    let joins = next.reads.iter().filter(made).any(|slot| {
        let buffer = &lowered.buffers[slot.index()];
        !buffer.pinned && buffer.bytes >= WORTHWHILE_BYTES
    });
    let sibling = run.iter().any(|step| step.writes == next.writes || step.reads == next.reads);
    shape.h >= LOWEST_MAP && (joins || sibling)
}

/// How the tensors of a run of steps become the rings and outer tensors of one chain.
#[derive(Default)]
struct Group {
    /// Slots that nobody outside of the run reads, with their ring.
    rings: BTreeMap<Slot, usize>,
    /// Pixels of a row and channels of a pixel of each ring, and the rows of the whole tensor.
    sizes: Vec<[usize; 2]>,
    heights: Vec<usize>,
    outers: Vec<Pixels>,
    step: usize,
}

impl Group {
    /// `None` where the steps do not make a chain.
    fn new<F: Steps>(
        lowered: &Lowered,
        uses: &HashMap<Slot, [usize; 2]>,
        run: &[Emitted],
    ) -> Option<Group> {
        let layers = layers::<F>;
        let mut group = Group::default();
        let last = layers(run.last()?)?.chain.layers().last()?.shape;
        group.step = (STEP_PIXELS.div_ceil(last.ow.max(1))).max(2);
        for step in run {
            for &slot in &step.writes {
                let inside = run.iter().filter(|s| s.reads.contains(&slot)).count();
                let written = run.iter().filter(|s| s.writes.contains(&slot)).count();
                let all = uses.get(&slot).copied().unwrap_or_default();
                let kept = lowered.buffers[slot.index()].pinned || all != [inside, written];
                if kept && inside > 0 {
                    return None;
                }
                let layer = layers(step)?.chain.layers().first()?;
                if kept || inside == 0 {
                    (layer.shape.oh == last.oh && layer.shape.n == last.n).then_some(())?;
                } else if !group.rings.contains_key(&slot) {
                    let pixels = layers(step)?.outers.iter().find(|p| p.slot == slot)?;
                    group.rings.insert(slot, group.sizes.len());
                    group.sizes.push([layer.shape.ow, ring_stride::<F>(pixels.stride)]);
                    group.heights.push(layer.shape.oh);
                }
            }
        }
        let pixels = run.iter().filter_map(layers).flat_map(|l| &l.outers);
        for &pixels in pixels.filter(|p| !group.rings.contains_key(&p.slot)) {
            if !group.outers.contains(&pixels) {
                group.outers.push(pixels);
            }
        }
        let finds = |layers: &Layers<F>| group.finds(layers, last.n);
        let fits = run.iter().filter_map(layers).all(finds) && group.outers.len() <= MAX_OUTERS;
        fits.then_some(group)
    }

    /// Whether a layer reads rings with the extents that they are written with: a reshape may lie
    /// in between.
    fn finds<F: Steps>(&self, layers: &Layers<F>, images: usize) -> bool {
        let layer = &layers.chain.layers()[0];
        let s = &layer.shape;
        let others = layer.residual.iter().chain(&layer.interleave).map(|o| (o, [s.oh, s.ow]));
        let mut reads = std::iter::once((&layer.x, [s.h, s.w])).chain(others);
        let found = |(operand, [height, width]): (&Operand, [usize; 2])| {
            let Place::Outer(index) = operand.place else { return false };
            let pixels = &layers.outers[index];
            self.rings.get(&pixels.slot).is_none_or(|&ring| {
                self.heights[ring] == height && self.sizes[ring] == [width, pixels.stride]
            })
        };
        s.n == images && reads.all(found)
    }

    /// One step in place of all.
    fn join<F: Steps>(self, run: Vec<Emitted>, buffers: &[Buffer]) -> Emitted {
        let mut info = joined_info(&run);
        let keeps = |slot: &Slot| !self.rings.contains_key(slot);
        let mut slots = [vec![], vec![]];
        let mut layers = vec![];
        for step in run {
            for (to, from) in slots.iter_mut().zip([&step.reads, &step.writes]) {
                to.extend(from.iter().copied().filter(keeps));
                to.sort();
                to.dedup();
            }
            let Layers { chain, outers } = F::take(step.step).expect("all steps have layers");
            layers.extend(chain.into_layers().into_iter().map(|l| self.moved(l, &outers)));
        }
        let [reads, writes] = slots;
        let chain = Chain::new(layers, &self.sizes, self.step);
        let step = F::step(Layers { chain, outers: self.outers });
        let tensors = reads.iter().chain(&writes).map(|slot| buffers[slot.index()].bytes as u64);
        info.bytes = tensors.sum::<u64>() + step.weight_bytes() as u64;
        Emitted { step, info, reads, writes, in_place: None }
    }

    /// The layer with its operands where the chain has them.
    fn moved<F: Steps>(&self, mut layer: Layer<F>, outers: &[Pixels]) -> Layer<F> {
        let place = |operand: &mut Operand| {
            let Place::Outer(index) = operand.place else { unreachable!("one layer has no rings") };
            let pixels = outers[index];
            operand.place = match self.rings.get(&pixels.slot) {
                Some(&ring) => Place::Ring(ring),
                None => {
                    let outer = self.outers.iter().position(|p| *p == pixels);
                    Place::Outer(outer.expect("every other tensor is an outer one"))
                }
            };
        };
        place(&mut layer.x);
        place(&mut layer.y);
        layer.residual.iter_mut().for_each(place);
        layer.interleave.iter_mut().for_each(place);
        layer
    }
}

/// Elements between the pixels of a ring. Rows of pixels that are a multiple of 512 bytes apart would
/// meet in few sets of the first-level cache.
fn ring_stride<F: Steps>(channels: usize) -> usize {
    let size = size_of::<F::Element>();
    if (channels * size).is_multiple_of(512) { channels + 64 / size } else { channels }
}

/// The report's line for a chain, but for its bytes: those of the tensors that remain, and the
/// weights.
fn joined_info(run: &[Emitted]) -> StepInfo {
    let (first, last) = (&run[0].info, &run[run.len() - 1].info);
    StepInfo {
        name: format!("{} .. {}", first.name, last.name),
        kind: "chain".into(),
        shape: last.shape.clone(),
        macs: run.iter().map(|step| step.info.macs).sum(),
        bytes: 0,
    }
}
