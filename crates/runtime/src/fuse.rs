//! Joining neighbouring layers into chains that keep their intermediate rows in the caches.
//!
//! Every convolution and pooling is lowered to a chain of one layer. Here a run of them grows as long
//! as each reads what the run makes, the layers that end it have equal heights, and the tensor that is
//! saved is worth it; rules say where, or a measurement ([`crate::tune`]). A tensor that nobody outside
//! of the run reads becomes a ring of rows and takes no place in the arena.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use edgecut_kernels::fused::int8::Int8;
use edgecut_kernels::fused::{Chain, Float, Layer, MAX_LAYERS, MAX_OUTERS, Operand, Place};
use edgecut_kernels::{ConvShape, Isa};

use crate::Result;
use crate::lower::Lowered;
use crate::plan::{Buffer, Emitted, Slot, StepInfo};
use crate::step::{Layers, Pixels, Step, Steps};
use crate::tune::Tuner;

/// When neighbouring layers are tried as a chain.
#[derive(Clone, Copy)]
struct Rules {
    /// A tensor smaller than this stays in the second-level cache from one step to the next anyway.
    worthwhile_bytes: usize,
    /// Lower maps than this are not cut into bands: the rows that two threads both compute, and the
    /// weights that both read, would cost more than is saved.
    lowest_map: usize,
}

/// What is joined without a measurement.
const RULES: Rules = Rules { worthwhile_bytes: 512 * 1024, lowest_map: 28 };

/// What is worth a measurement.
const TRIED: Rules = Rules { worthwhile_bytes: 64 * 1024, lowest_map: 10 };

/// Most steps that are tuned together: bounds the time that it takes to find them.
const MAX_TRIED: usize = 128;

/// Pixels of the last layer that are computed at a time: enough for full register tiles.
const STEP_PIXELS: usize = 56;

/// Neighbouring steps that become one, or a step that stays alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// How many.
    pub steps: usize,
    /// Rows of the last layer that are computed at a time; 0 for a step that stays alone.
    pub rows: usize,
}

impl Part {
    /// A step that stays as it is.
    pub const ALONE: Part = Part { steps: 1, rows: 0 };
}

/// Joins the steps of `lowered` where that saves memory traffic: by rule, or as the tuner finds.
pub(crate) fn fuse(lowered: &mut Lowered, isa: Isa, tuner: Option<&Tuner>) -> Result<()> {
    let uses = uses(lowered);
    let steps = std::mem::take(&mut lowered.steps);
    let whole = Run { lowered, uses: &uses, steps: &steps };
    let parts = match tuner {
        None => whole.by_rule(),
        Some(tuner) => tuner.parts(&whole.worth_trying(), isa)?,
    };
    let fused = join(lowered, &uses, steps, &parts);
    lowered.steps = fused;
    Ok(())
}

/// The steps, each part one of them.
fn join(lowered: &Lowered, uses: &Uses, steps: Vec<Emitted>, parts: &[Part]) -> Vec<Emitted> {
    let mut rest = steps.into_iter();
    let join = |part: &Part| {
        let steps: Vec<Emitted> = rest.by_ref().take(part.steps).collect();
        match Group::of(lowered, uses, &steps, part.rows).filter(|_| *part != Part::ALONE) {
            Some(group) if is::<Int8>(&steps[0]) => {
                vec![group.join::<Int8>(steps, &lowered.buffers)]
            }
            Some(group) => vec![group.join::<Float>(steps, &lowered.buffers)],
            None => steps,
        }
    };
    parts.iter().flat_map(join).collect()
}

/// Neighbouring steps, and what is needed to join them.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub lowered: &'a Lowered,
    uses: &'a Uses,
    pub steps: &'a [Emitted],
}

impl<'a> Run<'a> {
    /// Some of the steps.
    pub fn part(&self, range: Range<usize>) -> Run<'a> {
        Run { steps: &self.steps[range], ..*self }
    }

    /// Runs of steps that may gain by being joined; together they are all steps.
    pub fn worth_trying(&self) -> Vec<Run<'a>> {
        self.runs(&TRIED, MAX_TRIED)
    }

    fn runs(&self, rules: &Rules, most: usize) -> Vec<Run<'a>> {
        let mut runs = vec![];
        let mut first = 0;
        for end in 1..=self.steps.len() {
            let run = self.part(first..end);
            let next = self.steps.get(end).filter(|_| run.steps.len() < most);
            if !next.is_some_and(|next| run.extends(rules, next)) {
                runs.push(run);
                first = end;
            }
        }
        runs
    }

    /// The parts that these steps have without a measurement: the longest that make a chain.
    pub fn by_rule(&self) -> Vec<Part> {
        let mut parts = vec![];
        for mut run in self.runs(&RULES, MAX_LAYERS) {
            while !run.steps.is_empty() {
                let longest = (2..=run.steps.len()).rev();
                let part = longest.map(|count| run.part(0..count)).find_map(|r| r.part_by_rule());
                let part = part.unwrap_or(Part::ALONE);
                run = run.part(part.steps..run.steps.len());
                parts.push(part);
            }
        }
        parts
    }

    /// All steps as one part with the usual number of rows at a time, if they make a chain.
    pub fn part_by_rule(&self) -> Option<Part> {
        let last = shape(self.steps.last()?)?;
        let rows = STEP_PIXELS.div_ceil(last.ow.max(1)).max(2).min(last.oh.max(1));
        let part = Part { steps: self.steps.len(), rows };
        self.fits(&part).then_some(part)
    }

    /// Rows of the last layer.
    pub fn rows(&self) -> usize {
        self.steps.last().and_then(shape).map_or(0, |shape| shape.oh)
    }

    /// Whether all steps together can be this part.
    pub fn fits(&self, part: &Part) -> bool {
        let alone = *part == Part::ALONE;
        let chain = || {
            let sizes =
                (2..=MAX_LAYERS).contains(&part.steps) && (1..=self.rows()).contains(&part.rows);
            sizes && Group::of(self.lowered, self.uses, self.steps, part.rows).is_some()
        };
        part.steps == self.steps.len() && (alone || chain())
    }

    /// What decides how long the steps take in any split: their geometry, how they hang together,
    /// and which results are read elsewhere.
    pub fn outline(&self) -> String {
        let mut known: Vec<Slot> = vec![];
        let mut text = String::new();
        for step in self.steps {
            let outline = outline::<Float>(step).or_else(|| outline::<Int8>(step));
            text += &format!("{} {outline:?}", step.info.kind);
            for (kind, slots) in [("reads", &step.reads), ("writes", &step.writes)] {
                for &slot in slots {
                    let number = known.iter().position(|s| *s == slot).unwrap_or_else(|| {
                        known.push(slot);
                        known.len() - 1
                    });
                    let buffer = &self.lowered.buffers[slot.index()];
                    let inside = |slots: fn(&Emitted) -> &Vec<Slot>| {
                        self.steps.iter().filter(|s| slots(s).contains(&slot)).count()
                    };
                    let inside = [inside(|s| &s.reads), inside(|s| &s.writes)];
                    let kept = buffer.pinned || self.uses.get(&slot) != Some(&inside);
                    text += &format!(" {kind} {number} of {} kept {kept}", buffer.bytes);
                }
            }
            text.push('\n');
        }
        text
    }

    /// Copies of the steps, each part one of them; `None` where a step is no layer.
    pub fn joined(&self, parts: &[Part]) -> Option<Vec<Emitted>> {
        let steps = self.steps.iter().map(copy).collect::<Option<_>>()?;
        Some(join(self.lowered, self.uses, steps, parts))
    }

    /// Whether `next` reads a large enough tensor that the steps make, on a large enough map.
    fn extends(&self, rules: &Rules, next: &Emitted) -> bool {
        let run = self.steps;
        let family = |is: fn(&Emitted) -> bool| is(next) && run.iter().all(is);
        let Some(shape) = shape(next) else { return false };
        if !family(is::<Float>) && !family(is::<Int8>) {
            return false;
        }
        let made = |slot: &&Slot| run.iter().any(|step| step.writes.contains(slot));
        let joins = next.reads.iter().filter(made).any(|slot| {
            let buffer = &self.lowered.buffers[slot.index()];
            !buffer.pinned && buffer.bytes >= rules.worthwhile_bytes
        });
        let sibling = run.iter().any(|step| step.writes == next.writes || step.reads == next.reads);
        shape.h >= rules.lowest_map && (joins || sibling)
    }
}

/// Whether a step consists of layers of this family.
fn is<F: Steps>(step: &Emitted) -> bool {
    F::of(&step.step).is_some()
}

/// The shape of a step's layer.
fn shape(step: &Emitted) -> Option<ConvShape> {
    fn of<F: Steps>(step: &Emitted) -> Option<ConvShape> {
        Some(F::of(&step.step)?.chain.layers().first()?.shape)
    }
    of::<Float>(step).or_else(|| of::<Int8>(step))
}

/// [`Layers::outline`] of a step of this family.
fn outline<F: Steps>(step: &Emitted) -> Option<String> {
    F::of(&step.step).map(Layers::outline)
}

/// A step of layers once more; weights are shared.
fn copy(step: &Emitted) -> Option<Emitted> {
    fn of<F: Steps>(step: &Emitted) -> Option<Step> {
        F::of(&step.step).map(|layers| F::step(layers.clone()))
    }
    let (reads, writes) = (step.reads.clone(), step.writes.clone());
    let copied = of::<Float>(step).or_else(|| of::<Int8>(step))?;
    Some(Emitted { step: copied, info: step.info.clone(), reads, writes, in_place: None })
}

/// How many steps read and write each slot.
type Uses = HashMap<Slot, [usize; 2]>;

/// How many steps read and write each slot.
fn uses(lowered: &Lowered) -> Uses {
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

/// How the tensors of a run of steps become the rings and outer tensors of one chain.
#[derive(Default)]
struct Group {
    /// Slots that nobody outside of the run reads, with their ring.
    rings: BTreeMap<Slot, usize>,
    /// Pixels of a row and channels of a pixel of each ring, and the rows of the whole tensor.
    sizes: Vec<[usize; 2]>,
    heights: Vec<usize>,
    outers: Vec<Pixels>,
    /// Rows of the last layer that are computed at a time.
    rows: usize,
}

impl Group {
    /// `None` where the steps do not make a chain.
    fn of(lowered: &Lowered, uses: &Uses, run: &[Emitted], rows: usize) -> Option<Group> {
        let float = Group::new::<Float>(lowered, uses, run, rows);
        float.or_else(|| Group::new::<Int8>(lowered, uses, run, rows))
    }

    /// As [`Group::of`] for layers of one family.
    fn new<F: Steps>(
        lowered: &Lowered,
        uses: &Uses,
        run: &[Emitted],
        rows: usize,
    ) -> Option<Group> {
        fn layers<F: Steps>(step: &Emitted) -> Option<&Layers<F>> {
            F::of(&step.step)
        }
        let layers = layers::<F>;
        let mut group = Group { rows, ..Group::default() };
        let last = layers(run.last()?)?.chain.layers().last()?.shape;
        for step in run {
            for &slot in &step.writes {
                let inside = run.iter().filter(|s| s.reads.contains(&slot)).count();
                let written = run.iter().filter(|s| s.writes.contains(&slot)).count();
                let all = uses.get(&slot).copied().unwrap_or_default();
                let kept = lowered.buffers[slot.index()].pinned || all != [inside, written];
                // A ring is whole before it is read.
                let last_write = run.iter().rposition(|s| s.writes.contains(&slot));
                let first_read = run.iter().position(|s| s.reads.contains(&slot));
                if inside > 0 && (kept || first_read <= last_write) {
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
        let chain = Chain::new(layers, &self.sizes, self.rows);
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
