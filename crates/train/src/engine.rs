//! Runs a [`TrainPlan`]: forward, loss, backward. Allocates nothing after construction.

use std::ops::Range;
use std::time::Instant;

use edgecut_kernels::arena::{Arena, Span};
use edgecut_kernels::elementwise::add_to;
use edgecut_kernels::{Ctx, Isa, Pool};

use crate::error::Result;
use crate::grad::{Dx, Env, Loss, Reads, with_parts};
use crate::params::Params;
use crate::plan::{Target, TrainPlan};
use crate::targets::Targets;

/// Nanoseconds that one layer has taken since [`Engine::reset_times`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTime {
    /// In forward passes, and when it is computed again.
    pub forward: u64,
    /// In backward passes.
    pub backward: u64,
}

/// A plan with its buffers.
pub struct Engine {
    plan: TrainPlan,
    pool: Pool,
    isa: Isa,
    /// Activations and their gradients.
    arena: Arena,
    /// Where each activation lies now: elsewhere when it has been computed again.
    places: Vec<usize>,
    scratch: Vec<f32>,
    loss: Loss,
    /// Gradients of the parameters, in their order.
    gradients: Vec<f32>,
    /// Whether layers hold packed copies of older parameters for evaluation, and for training.
    stale: [bool; 2],
    /// Images of the last forward pass.
    images: usize,
    /// Whether a backward pass has written over its activations.
    spent: bool,
    times: Vec<LayerTime>,
}

impl Engine {
    /// Allocates all buffers of `plan`. `isa` and the number of threads of `pool` change no bit of
    /// any result.
    pub fn new(plan: TrainPlan, pool: Pool, isa: Isa) -> Engine {
        let batch = plan.batch;
        let threads = pool.threads();
        let scratch = plan.steps.iter().map(|s| s.layer.scratch_len(threads)).max().unwrap_or(0);
        Engine {
            arena: Arena::new(plan.arena),
            places: plan.activations.iter().map(|a| a.place).collect(),
            scratch: vec![0.0; scratch],
            loss: Loss::new(batch),
            gradients: vec![0.0; plan.params.values.len()],
            stale: [true; 2],
            images: 0,
            spent: false,
            times: vec![LayerTime::default(); plan.steps.len()],
            plan,
            pool,
            isa,
        }
    }

    /// The plan that is run.
    pub fn plan(&self) -> &TrainPlan {
        &self.plan
    }

    /// The threads that it runs on.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Parameters and running statistics.
    pub fn params(&self) -> &Params {
        &self.plan.params
    }

    /// Parameters and running statistics, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        self.stale = [true; 2];
        &mut self.plan.params
    }

    /// Gradients of [`Params::values`] after [`Engine::backward`].
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// Parameters to be changed, their gradients, and the threads to do it on.
    pub fn update(&mut self) -> (&mut Params, &[f32], &Pool) {
        self.stale = [true; 2];
        (&mut self.plan.params, &self.gradients, &self.pool)
    }

    /// Computes the logits of `n` images `x`, `[n, h, w, c]`. With `training`, BatchNorm
    /// normalises by the batch's own statistics and moves the running ones; without, it uses the
    /// running ones.
    ///
    /// # Panics
    /// If `x` is not `n` images or `n` is more than the plan's batch.
    pub fn forward(&mut self, x: &[f32], n: usize, training: bool) {
        assert!(n <= self.plan.batch && x.len() == n * self.plan.input.len(), "{n} images");
        if std::mem::take(&mut self.stale[usize::from(training)]) {
            let (params, steps) = (&self.plan.params, &mut self.plan.steps[..]);
            self.pool.for_each_chunk_mut(steps, 1, |_, steps| {
                steps.iter_mut().for_each(|step| step.layer.prepare(params, training));
            });
        }
        (self.images, self.spent) = (n, false);
        self.places.iter_mut().zip(&self.plan.activations).for_each(|(at, a)| *at = a.place);
        let image = self.plan.activations[0].place;
        floats(&mut self.arena)[run(image, x.len())].copy_from_slice(x);
        for step in 0..self.plan.steps.len() {
            self.compute(step, training, false);
        }
    }

    /// Computes the output of one step, for the first time or `again`.
    fn compute(&mut self, step: usize, training: bool, again: bool) {
        let (start, n, plan) = (Instant::now(), self.images, &mut self.plan);
        let (index, step) = (step, &mut plan.steps[step]);
        let ctx = Ctx { isa: self.isa, pool: &self.pool };
        let env = Env { ctx, n: n * step.repeat, training, again };
        let place = self.places[step.output];
        let own = run(place, plan.activations[step.output].len * n);
        let none = own.end..own.end;
        with_parts(floats(&mut self.arena), own, none, |parts, y, _| {
            let (activations, places) = (&plan.activations, &self.places);
            let reads = Reads { parts, activations, places, inputs: &step.inputs, n };
            step.layer.forward(&env, &mut plan.params, &reads, place, y, &mut self.scratch);
        });
        self.times[index].forward += start.elapsed().as_nanos() as u64;
    }

    /// Logits of the last forward pass, `[n, classes]`.
    pub fn logits(&self) -> &[f32] {
        self.activation(self.plan.logits)
    }

    fn activation(&self, a: usize) -> &[f32] {
        let len = self.plan.activations[a].len * self.images;
        self.arena.slice(Span { offset: self.places[a], bytes: len * size_of::<f32>() })
    }

    /// The gradient of the activation `a` in `slot`.
    fn gradient(&mut self, slot: usize, a: usize) -> &mut [f32] {
        let len = self.plan.activations[a].len * self.images;
        &mut floats(&mut self.arena)[run(self.plan.slots[slot], len)]
    }

    /// [`Engine::loss_against`] `labels`, of which a share `smoothing` is spread over all classes.
    ///
    /// # Panics
    /// If there is not one label per image.
    pub fn loss(&mut self, labels: &[u32], smoothing: f32) -> f64 {
        let mut targets = Targets::new(self.plan.classes, smoothing, None);
        self.loss_against(targets.of_labels(labels))
    }

    /// Mean cross entropy of the last forward pass against `targets`, `[n, classes]` (see
    /// [`Targets`]), and its gradient, from which [`Engine::backward`] starts.
    ///
    /// # Panics
    /// If there is not one row of targets per image.
    pub fn loss_against(&mut self, targets: &[f32]) -> f64 {
        let classes = self.plan.classes;
        assert_eq!(targets.len(), self.images * classes, "one row of targets per image");
        let ctx = Ctx { isa: self.isa, pool: &self.pool };
        let d_logits = run(self.plan.slots[self.plan.loss_slot], targets.len());
        let none = d_logits.end..d_logits.end;
        with_parts(floats(&mut self.arena), d_logits, none, |parts, d_logits, _| {
            let (activations, places) = (&self.plan.activations, &self.places);
            let reads = Reads { parts, activations, places, inputs: &[], n: self.images };
            let logits = reads.activation(self.plan.logits);
            self.loss.cross_entropy(ctx, logits, targets, classes, d_logits)
        })
    }

    /// What the tap with this number holds after the last forward pass, in the engine's order.
    pub fn tap(&self, index: usize) -> &[f32] {
        self.activation(self.plan.taps[index].activation)
    }

    /// The gradient of the loss by the logits of the last forward pass, to be set instead of or
    /// after [`Engine::loss`].
    pub fn logits_gradient(&mut self) -> &mut [f32] {
        self.gradient(self.plan.loss_slot, self.plan.logits)
    }

    /// The values of the extra parameter with this number, and its gradient, which is the caller's
    /// to set.
    pub fn extra(&mut self, index: usize) -> (&[f32], &mut [f32]) {
        let range = self.plan.params.range(self.plan.extras[index]);
        (&self.plan.params.values[range.clone()], &mut self.gradients[range])
    }

    /// The gradient of the loss by a tap, in the engine's order. It must be set after each forward
    /// pass and before [`Engine::backward`]; layers behind the tap add theirs. That of the image is
    /// complete after [`Engine::backward`]; those of other taps are no longer there.
    pub fn tap_gradient(&mut self, index: usize) -> &mut [f32] {
        let (slot, activation) = (self.plan.taps[index].slot, self.plan.taps[index].activation);
        self.gradient(slot, activation)
    }

    /// Gradients of all parameters for the last [`Engine::loss`] of a training forward pass, whose
    /// activations but for logits and taps make room on the way.
    ///
    /// # Panics
    /// If this is the second one since that forward pass.
    pub fn backward(&mut self) {
        assert!(!std::mem::replace(&mut self.spent, true), "a backward pass needs a forward pass");
        // Layers that share a parameter add up their gradients.
        self.plan.params.shared().for_each(|range| self.gradients[range].fill(0.0));
        for index in 0..self.plan.backward.len() {
            for at in 0..self.plan.backward[index].again.len() {
                let (step, place) = self.plan.backward[index].again[at];
                self.places[self.plan.steps[step].output] = place;
                self.compute(step, true, true);
            }
            let (start, step) = (Instant::now(), self.plan.backward[index].step);
            self.propagate(index);
            self.times[step].backward += start.elapsed().as_nanos() as u64;
        }
    }

    /// One step of the backward pass.
    fn propagate(&mut self, index: usize) {
        let (back, slots) = (&self.plan.backward[index], &self.plan.slots);
        let step = &self.plan.steps[back.step];
        let len = self.plan.activations[step.output].len * self.images;
        for &(from, to) in &back.copies {
            floats(&mut self.arena).copy_within(run(slots[from], len), slots[to] / FLOAT);
        }
        // A layer without inputs has parameters too.
        for input in (0..back.targets.len().max(1)).rev() {
            self.input_gradient(index, input);
        }
    }

    /// What one step of the backward pass does for one of its inputs.
    fn input_gradient(&mut self, index: usize, input: usize) {
        let (n, plan) = (self.images, &mut self.plan);
        let (back, slots) = (&plan.backward[index], &plan.slots);
        let target = back.targets.get(input).copied().unwrap_or(Target::Skip);
        let (slot, dx) = match target {
            Target::Share => return,
            Target::Skip if input > 0 => return,
            Target::Skip => (None, Dx::Skip),
            Target::InPlace => (None, Dx::InPlace),
            Target::Write(slot) => (Some(slot), Dx::Write),
            Target::Accumulate(slot) => (Some(slot), Dx::Accumulate),
            Target::Add { temporary, .. } => (Some(temporary), Dx::Write),
        };
        let step = &mut plan.steps[back.step];
        let ctx = Ctx { isa: self.isa, pool: &self.pool };
        let env = Env { ctx, n: n * step.repeat, training: true, again: false };
        let len = |a: usize| plan.activations[a].len * n;
        let dz = run(slots[back.slot], len(step.output));
        let own = slot.map_or(dz.end..dz.end, |slot| run(slots[slot], len(step.inputs[input])));
        with_parts(floats(&mut self.arena), dz, own.clone(), |parts, dz, own| {
            let (activations, places) = (&plan.activations, &self.places);
            let reads = Reads { parts, activations, places, inputs: &step.inputs, n };
            let kept = step.layer.keeps_output();
            let z = if kept { reads.activation(step.output) } else { &[] };
            let (gradients, scratch) = (&mut self.gradients[..], &mut self.scratch[..]);
            step.layer.backward(
                &env,
                &plan.params,
                gradients,
                &reads,
                z,
                input,
                dz,
                dx,
                own,
                scratch,
            );
        });
        if let Target::Add { to, .. } = target {
            let sum = run(slots[to], own.len());
            with_parts(floats(&mut self.arena), own, sum, |_, own, sum| add_to(ctx, own, sum));
        }
    }

    /// Forgets the time that layers have taken.
    pub fn reset_times(&mut self) {
        self.times.fill(LayerTime::default());
    }

    /// Name, kind and time of every layer.
    pub fn times(&self) -> impl Iterator<Item = (&str, &'static str, LayerTime)> {
        let steps = self.plan.steps.iter().zip(&self.times);
        steps.map(|(step, &time)| (step.name.as_str(), step.layer.kind(), time))
    }

    /// A copy of `graph`, which the plan was made from, with the parameters as they are now.
    ///
    /// # Errors
    /// Where `graph` is another one.
    pub fn write_back(&self, graph: &edgecut_graph::Graph) -> Result<edgecut_graph::Graph> {
        let params = &self.plan.params;
        params.write_back(graph, &params.values, &params.stats)
    }
}

/// Bytes of a float.
const FLOAT: usize = size_of::<f32>();

/// All floats of an arena.
fn floats(arena: &mut Arena) -> &mut [f32] {
    let bytes = arena.bytes();
    arena.slice_mut(Span { offset: 0, bytes })
}

/// `len` floats of an arena from byte `place` on.
fn run(place: usize, len: usize) -> Range<usize> {
    place / FLOAT..place / FLOAT + len
}
