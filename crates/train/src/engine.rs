//! Runs a [`TrainPlan`]: forward, loss, backward. Allocates nothing after construction.

use std::time::Instant;

use edgecut_kernels::elementwise::add_to;
use edgecut_kernels::{Ctx, Isa, Pool};

use crate::error::Result;
use crate::grad::{Dx, Env, Loss, Reads};
use crate::params::Params;
use crate::plan::{Target, TrainPlan};
use crate::targets::Targets;

/// Nanoseconds that one layer has taken since [`Engine::reset_times`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTime {
    /// In forward passes.
    pub forward: u64,
    /// In backward passes.
    pub backward: u64,
}

/// A plan with its buffers.
pub struct Engine {
    plan: TrainPlan,
    pool: Pool,
    isa: Isa,
    /// Activations, by the plan's buffer number.
    buffers: Vec<Vec<f32>>,
    /// Gradients of activations, by the plan's slot number.
    slots: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    loss: Loss,
    /// Gradients of the parameters, in their order.
    gradients: Vec<f32>,
    /// Whether layers hold packed copies of older parameters.
    stale: bool,
    /// Images of the last forward pass.
    images: usize,
    times: Vec<LayerTime>,
}

impl Engine {
    /// Allocates all buffers of `plan`. `isa` and the number of threads of `pool` change no bit of
    /// any result.
    pub fn new(plan: TrainPlan, pool: Pool, isa: Isa) -> Engine {
        let batch = plan.batch;
        let allocate = |sizes: &[usize]| -> Vec<Vec<f32>> {
            sizes.iter().map(|len| vec![0.0; len * batch]).collect()
        };
        let threads = pool.threads();
        let scratch = plan.steps.iter().map(|s| s.layer.scratch_len(threads)).max().unwrap_or(0);
        Engine {
            buffers: allocate(&plan.buffers),
            slots: allocate(&plan.slots),
            scratch: vec![0.0; scratch],
            loss: Loss::new(batch),
            gradients: vec![0.0; plan.params.values.len()],
            stale: true,
            images: 0,
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
        self.stale = true;
        &mut self.plan.params
    }

    /// Gradients of [`Params::values`] after [`Engine::backward`].
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// Parameters to be changed, their gradients, and the threads to do it on.
    pub fn update(&mut self) -> (&mut Params, &[f32], &Pool) {
        self.stale = true;
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
        if self.stale {
            let params = &self.plan.params;
            self.plan.steps.iter_mut().for_each(|s| s.layer.prepare(params));
            self.stale = false;
        }
        self.images = n;
        self.buffers[0][..x.len()].copy_from_slice(x);
        let env = Env { ctx: Ctx { isa: self.isa, pool: &self.pool }, n, training };
        let plan = &mut self.plan;
        for (step, time) in plan.steps.iter_mut().zip(&mut self.times) {
            let start = Instant::now();
            let to = plan.activations[step.output];
            let mut out = std::mem::take(&mut self.buffers[to.buffer]);
            let reads = Reads {
                buffers: &self.buffers,
                activations: &plan.activations,
                inputs: &step.inputs,
                n,
            };
            let y = &mut out[..to.len * n];
            let env = Env { n: n * step.repeat, ..env };
            step.layer.forward(&env, &mut plan.params, &reads, to.buffer, y, &mut self.scratch);
            self.buffers[to.buffer] = out;
            time.forward += start.elapsed().as_nanos() as u64;
        }
    }

    /// Logits of the last forward pass, `[n, classes]`.
    pub fn logits(&self) -> &[f32] {
        let at = self.plan.activations[self.plan.logits];
        &self.buffers[at.buffer][..at.len * self.images]
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
        let mut gradient = std::mem::take(&mut self.slots[self.plan.loss_slot]);
        let ctx = Ctx { isa: self.isa, pool: &self.pool };
        let d_logits = &mut gradient[..targets.len()];
        let at = self.plan.activations[self.plan.logits];
        let logits = &self.buffers[at.buffer][..at.len * self.images];
        let loss = self.loss.cross_entropy(ctx, logits, targets, classes, d_logits);
        self.slots[self.plan.loss_slot] = gradient;
        loss
    }

    /// What the tap with this number holds after the last forward pass, in the engine's order.
    pub fn tap(&self, index: usize) -> &[f32] {
        let at = self.plan.activations[self.plan.taps[index].activation];
        &self.buffers[at.buffer][..at.len * self.images]
    }

    /// The gradient of the loss by the logits of the last forward pass, to be set instead of or
    /// after [`Engine::loss`].
    pub fn logits_gradient(&mut self) -> &mut [f32] {
        &mut self.slots[self.plan.loss_slot][..self.plan.classes * self.images]
    }

    /// The values of the extra parameter with this number, and its gradient, which is the caller's
    /// to set.
    pub fn extra(&mut self, index: usize) -> (&[f32], &mut [f32]) {
        let range = self.plan.params.range(self.plan.extras[index]);
        (&self.plan.params.values[range.clone()], &mut self.gradients[range])
    }

    /// The gradient of the loss by a tap, in the engine's order. It must be set after each forward
    /// pass and before [`Engine::backward`]; layers behind the tap add theirs.
    pub fn tap_gradient(&mut self, index: usize) -> &mut [f32] {
        let tap = &self.plan.taps[index];
        let len = self.plan.activations[tap.activation].len;
        &mut self.slots[tap.slot][..len * self.images]
    }

    /// Gradients of all parameters for the last [`Engine::loss`] of a training forward pass.
    pub fn backward(&mut self) {
        let n = self.images;
        let env = Env { ctx: Ctx { isa: self.isa, pool: &self.pool }, n, training: true };
        let plan = &mut self.plan;
        // Layers that share a parameter add up their gradients.
        plan.params.shared().for_each(|range| self.gradients[range].fill(0.0));
        for back in &plan.backward {
            let start = Instant::now();
            let step = &mut plan.steps[back.step];
            for &(from, to) in &back.copies {
                let mut own = std::mem::take(&mut self.slots[to]);
                let len = own.len().min(self.slots[from].len());
                own[..len].copy_from_slice(&self.slots[from][..len]);
                self.slots[to] = own;
            }
            let mut dz = std::mem::take(&mut self.slots[back.slot]);
            let to = plan.activations[step.output];
            let reads = Reads {
                buffers: &self.buffers,
                activations: &plan.activations,
                inputs: &step.inputs,
                n,
            };
            let output = &self.buffers[to.buffer][..to.len * n];
            let env = Env { n: n * step.repeat, ..env };
            // A layer without inputs has parameters too.
            for index in (0..back.targets.len().max(1)).rev() {
                let target = back.targets.get(index).copied().unwrap_or(Target::Skip);
                let len = step.inputs.get(index).map_or(0, |&i| plan.activations[i].len * n);
                let (slot, dx) = match target {
                    Target::Share => continue,
                    Target::Skip if index > 0 => continue,
                    Target::Skip => (None, Dx::Skip),
                    Target::InPlace => (None, Dx::InPlace),
                    Target::Write(slot) => (Some(slot), Dx::Write),
                    Target::Accumulate(slot) => (Some(slot), Dx::Accumulate),
                    Target::Add { temporary, .. } => (Some(temporary), Dx::Write),
                };
                let mut own = slot.map(|s| std::mem::take(&mut self.slots[s])).unwrap_or_default();
                let dx_slice = if slot.is_some() { &mut own[..len] } else { &mut [] };
                step.layer.backward(
                    &env,
                    &plan.params,
                    &mut self.gradients,
                    &reads,
                    output,
                    index,
                    &mut dz[..to.len * n],
                    dx,
                    dx_slice,
                    &mut self.scratch,
                );
                if let Some(slot) = slot {
                    self.slots[slot] = own;
                }
                if let Target::Add { temporary, to } = target {
                    let mut sum = std::mem::take(&mut self.slots[to]);
                    add_to(env.ctx, &self.slots[temporary][..len], &mut sum[..len]);
                    self.slots[to] = sum;
                }
            }
            self.slots[back.slot] = dz;
            self.times[back.step].backward += start.elapsed().as_nanos() as u64;
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
