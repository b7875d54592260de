//! When each activation and each gradient is needed, and what is computed again for it.
//!
//! The backward pass looks at activations again, so most live from the layer that makes them to the
//! backward pass of their last reader. Those that are dropped live only as long as the forward pass
//! reads them. Before the first step of the backward pass that looks at one, it is computed again,
//! from the nearest ones that are there, and lives from then on: nothing is computed more than twice.
//!
//! A layer that works in place writes over an input that no other layer reads and no backward pass
//! looks at. Such an input is never there later, and is computed again on the way to its reader.

use super::{Activation, Backward, Step};

/// What does not depend on which activations are dropped.
pub(super) struct Timeline<'a> {
    steps: &'a [Step],
    backward: &'a [Backward],
    activations: &'a [Activation],
    /// Elements of one image of each gradient slot.
    slots: &'a [usize],
    /// Activations that are looked at from outside, to the end.
    roots: &'a [usize],
    root_slots: &'a [usize],
    /// The step that makes each activation; the image has none.
    makers: Vec<Option<usize>>,
    /// The activation whose place each one takes.
    over: Vec<Option<usize>>,
    overwritten: Vec<bool>,
    /// What each step of the backward pass looks at.
    reads: Vec<Vec<usize>>,
    /// What each step of the forward pass costs.
    costs: Vec<f64>,
}

/// Memory that is needed for some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Elements of one image.
    pub len: usize,
    pub first: usize,
    pub last: usize,
}

/// What happens when, for one choice of what is dropped. Times count the steps of the forward pass,
/// the loss, and then those of the backward pass, each behind what is computed again for it.
#[derive(Default)]
pub(super) struct Schedule {
    pub blocks: Vec<Block>,
    /// Block of each activation in the forward pass.
    pub forward: Vec<usize>,
    /// Block of each activation that is computed again.
    pub again: Vec<Option<usize>>,
    /// Block of each gradient slot.
    pub slots: Vec<usize>,
    /// Steps that are computed again before each step of the backward pass, in order.
    pub before: Vec<Vec<usize>>,
    /// The forward or backward step that each time belongs to.
    pub stages: Vec<usize>,
    /// What computing again costs, in the unit of [`Timeline::forward_cost`].
    pub cost: f64,
}

impl<'a> Timeline<'a> {
    pub fn new(
        steps: &'a [Step],
        activations: &'a [Activation],
        (backward, slots): (&'a [Backward], &'a [usize]),
        (roots, root_slots): (&'a [usize], &'a [usize]),
        batch: usize,
    ) -> Timeline<'a> {
        let count = activations.len();
        let mut makers = vec![None; count];
        let mut readers = vec![0; count];
        for (index, step) in steps.iter().enumerate() {
            makers[step.output] = Some(index);
            step.inputs.iter().for_each(|&input| readers[input] += 1);
        }
        // Activation 0 is the input image.
        let mut pinned = vec![false; count];
        pinned[0] = true;
        roots.iter().for_each(|&root| pinned[root] = true);
        let (mut over, mut overwritten) = (vec![None; count], vec![false; count]);
        for step in steps {
            pinned[step.output] |= step.layer.keeps_output();
            let reusable = |&&a: &&usize| readers[a] == 1 && !pinned[a];
            if let Some(&input) = step.inputs.iter().find(reusable)
                && step.layer.in_place()
            {
                over[step.output] = Some(input);
                overwritten[input] = true;
            }
        }
        let reads = backward.iter().map(|back| {
            let Step { layer, inputs, output, .. } = &steps[back.step];
            let looked = inputs.iter().enumerate().filter(|(i, _)| layer.reads_again(*i));
            let mut reads: Vec<usize> = looked.map(|(_, &input)| input).collect();
            reads.extend(layer.keeps_output().then_some(*output));
            reads
        });
        let cost = |step: &Step| {
            let moved = step.inputs.iter().chain([&step.output]).map(|&a| activations[a].len);
            let floats = moved.sum::<usize>() as f64;
            floats * step.layer.weight_of_element() + step.layer.macs() as f64 / batch as f64 / 40.0
        };
        Timeline {
            steps,
            backward,
            activations,
            slots,
            roots,
            root_slots,
            makers,
            over,
            overwritten,
            reads: reads.collect(),
            costs: steps.iter().map(cost).collect(),
        }
    }

    /// How many activations there are.
    pub fn activations(&self) -> usize {
        self.activations.len()
    }

    /// The cost of the forward pass. The unit is about the time in which a float is read from memory
    /// or written, and 40 products are added up.
    pub fn forward_cost(&self) -> f64 {
        self.costs.iter().sum()
    }

    /// Activations that can be dropped, those first that free most memory for their cost.
    pub fn candidates(&self) -> Vec<usize> {
        let schedule = self.schedule(&vec![false; self.activations.len()]);
        let turn = self.steps.len();
        let gain = |a: usize| {
            let Block { len, first, last } = schedule.blocks[schedule.forward[a]];
            let cost = self.makers[a].map_or(f64::INFINITY, |step| self.costs[step]);
            len as f64 * (last - first) as f64 / cost.max(1.0)
        };
        let free = |&a: &usize| {
            let outlives = schedule.blocks[schedule.forward[a]].last > turn;
            outlives && !self.overwritten[a] && !self.roots.contains(&a)
        };
        let mut all: Vec<usize> = (1..self.activations.len()).filter(free).collect();
        all.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
        all
    }

    /// What happens when `dropped` activations are not kept.
    pub fn schedule(&self, dropped: &[bool]) -> Schedule {
        let (steps, turn) = (self.steps, self.steps.len());
        let mut schedule = Schedule::default();
        schedule.stages.extend(0..=turn);
        self.forward_lives(&mut schedule);
        schedule.again = vec![None; self.activations.len()];
        let mut there: Vec<bool> = dropped.iter().map(|dropped| !dropped).collect();
        there.iter_mut().zip(&self.overwritten).for_each(|(there, over)| *there &= !over);
        let mut times = vec![];
        for (index, reads) in self.reads.iter().enumerate() {
            let before = self.missing(reads, &there);
            for &step in &before {
                let time = schedule.stages.len();
                schedule.stages.push(turn + 1 + index);
                schedule.cost += self.costs[step];
                let Step { inputs, output, .. } = &steps[step];
                inputs.iter().for_each(|&a| schedule.touch(a, time));
                let block = match self.over[*output] {
                    // It was computed again just for this.
                    Some(input) => schedule.again[input],
                    None => None,
                };
                let len = self.activations[*output].len;
                schedule.again[*output] =
                    block.or_else(|| Some(schedule.block(Block { len, first: time, last: time })));
                schedule.touch(*output, time);
                there[*output] = true;
            }
            let time = schedule.stages.len();
            schedule.stages.push(turn + 1 + index);
            reads.iter().for_each(|&a| schedule.touch(a, time));
            times.push(time);
            schedule.before.push(before);
        }
        let end = schedule.stages.len() - 1;
        for &root in self.roots {
            let block = schedule.forward[root];
            schedule.blocks[block].last = end;
        }
        self.slot_lives(&mut schedule, &times);
        schedule
    }

    fn forward_lives(&self, schedule: &mut Schedule) {
        schedule.forward = vec![0; self.activations.len()];
        let block =
            |a: usize, time| Block { len: self.activations[a].len, first: time, last: time };
        schedule.forward[0] = schedule.block(block(0, 0));
        for (time, Step { inputs, output, .. }) in self.steps.iter().enumerate() {
            schedule.forward[*output] = match self.over[*output] {
                Some(input) => schedule.forward[input],
                None => schedule.block(block(*output, time)),
            };
            for &a in inputs.iter().chain([output]) {
                let block = schedule.forward[a];
                schedule.blocks[block].last = time;
            }
        }
    }

    /// The steps that must run again until all of `wanted` are there, in order.
    fn missing(&self, wanted: &[usize], there: &[bool]) -> Vec<usize> {
        let mut stack: Vec<usize> = wanted.iter().copied().filter(|&a| !there[a]).collect();
        let mut steps = vec![];
        while let Some(a) = stack.pop() {
            let Some(step) = self.makers[a] else { continue };
            if !steps.contains(&step) {
                steps.push(step);
                stack.extend(self.steps[step].inputs.iter().filter(|&&input| !there[input]));
            }
        }
        steps.sort_unstable();
        steps
    }

    /// `times` are those of the backward steps. A gradient lives as long as steps mention it; those
    /// of roots come with the loss, and that of the image, where it is one, is there to be read.
    fn slot_lives(&self, schedule: &mut Schedule, times: &[usize]) {
        let turn = self.steps.len();
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; self.slots.len()];
        self.root_slots.iter().for_each(|&slot| lives[slot] = Some((turn, turn)));
        for (back, &time) in self.backward.iter().zip(times) {
            for slot in back.slots() {
                lives[slot] = Some((lives[slot].map_or(time, |life| life.0), time));
            }
        }
        let end = schedule.stages.len() - 1;
        let image = self.roots.iter().zip(self.root_slots).find(|&(&root, _)| root == 0);
        image.iter().for_each(|&(_, &slot)| lives[slot] = Some((turn, end)));
        for (&len, life) in self.slots.iter().zip(lives) {
            let (first, last) = life.unwrap_or((turn, turn));
            let block = schedule.block(Block { len, first, last });
            schedule.slots.push(block);
        }
    }
}

impl Schedule {
    fn block(&mut self, block: Block) -> usize {
        self.blocks.push(block);
        self.blocks.len() - 1
    }

    /// Activation `a` is needed at `time` of the backward pass.
    fn touch(&mut self, a: usize, time: usize) {
        let block = self.again[a].unwrap_or(self.forward[a]);
        self.blocks[block].last = self.blocks[block].last.max(time);
    }

    /// The most that is needed at once during each forward and backward step, where `bytes` says what
    /// so many elements of one image take.
    pub fn stages(&self, bytes: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut change = vec![0isize; self.stages.len() + 1];
        for block in &self.blocks {
            let bytes = bytes(block.len) as isize;
            change[block.first] += bytes;
            change[block.last + 1] -= bytes;
        }
        let mut most = vec![0; self.stages.last().map_or(0, |&last| last + 1)];
        let mut live = 0;
        for (&stage, change) in self.stages.iter().zip(change) {
            live += change;
            most[stage] = most[stage].max(live as usize);
        }
        most
    }
}
