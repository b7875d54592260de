//! Looking at values inside a graph while it runs over images.

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::{Graph, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{Model, Session};

use crate::images::{Images, batch};
use crate::{CompressError, Result};

/// Inputs of about this many elements run together: below it a run costs more than its arithmetic.
const WORTH_A_RUN: usize = 3 * 96 * 96;
/// Most images that run together.
const MAX_BATCH: usize = 16;

/// Called with the index of an image, that of a value, and its elements.
type Visit<'a> = &'a mut dyn FnMut(usize, usize, &[f32]) -> Result<()>;

/// When to stop, and who hears how it goes.
pub struct Control<'a> {
    /// Whether somebody asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// When the time is over.
    pub deadline: Option<Instant>,
    /// Hears what is done, and which share of the time or of the work.
    pub say: &'a dyn Fn(&str),
}

impl Control<'_> {
    /// Without limit, and silent.
    pub fn unlimited() -> Control<'static> {
        Control { stop: &|| false, deadline: None, say: &|_| () }
    }

    /// Fails once it is time to stop.
    pub(crate) fn check(&self) -> Result<()> {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || (self.stop)() { Err(CompressError::Stopped) } else { Ok(()) }
    }
}

/// What graphs are run with.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    pub images: &'a dyn Images,
    pub pool: &'a Arc<Pool>,
    pub control: &'a Control<'a>,
}

impl Probe<'_> {
    /// Runs `graph` over the images in order and shows each of `values` of each image to
    /// `visit(image, position in values, elements)`. Elements are in ONNX order; the batch is one.
    ///
    /// # Errors
    /// Where the graph does not have one input, an image does not fit it, the time is over, and
    /// what `visit` returns.
    pub fn run(&self, graph: &Graph, values: &[ValueId], visit: Visit) -> Result<()> {
        // What the caller supplies is no output of a plan.
        let computed = |value: &ValueId| !graph.inputs.contains(value);
        let positions: Vec<Option<usize>> = values
            .iter()
            .scan(0, |next, value| {
                let position = computed(value).then_some(*next);
                *next += usize::from(position.is_some());
                Some(position)
            })
            .collect();
        let outputs = values.iter().copied().filter(computed).collect();
        let mut graph = graph.clone();
        graph.outputs = outputs;
        graph.remove_unused();
        let &[input] = &graph.inputs[..] else {
            return Err(CompressError::Inputs { found: graph.inputs.len() });
        };
        let elements = graph.value(input).shape.with_symbols(1).iter().product::<usize>();
        let model = Model::new(graph, self.pool.clone());
        let fixed = model.fixed_batch();
        let size = fixed.unwrap_or((WORTH_A_RUN / elements.max(1)).clamp(1, MAX_BATCH));
        let mut session: Option<(usize, Session)> = None;
        for first in (0..self.images.len()).step_by(size) {
            self.control.check()?;
            let count = size.min(self.images.len() - first);
            let fed = if fixed.is_some() { size } else { count };
            // A batch of fixed size is filled up with its last image, which nobody looks at.
            let indices: Vec<usize> = (0..fed).map(|i| first + i.min(count - 1)).collect();
            let tensor = batch(self.images, &indices)?;
            if session.as_ref().is_none_or(|&(batch, _)| batch != fed) {
                session = Some((fed, model.session(fed)?));
            }
            let Some((_, session)) = &mut session else { continue };
            session.set_input(0, &tensor)?;
            session.run()?;
            for (position, output) in positions.iter().enumerate() {
                let all = match output {
                    Some(output) => session.output_f32(*output)?,
                    None => tensor.f32s()?,
                };
                let len = all.len() / fed;
                for image in 0..count {
                    visit(first + image, position, &all[image * len..][..len])?;
                }
            }
        }
        Ok(())
    }
}
