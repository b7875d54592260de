//! Gradients of the loss by stored tensors, image by image.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::{Isa, Pool};
use edgecut_train::engine::Engine;
use edgecut_train::plan::{PlanOptions, TrainPlan};

use crate::{CompressError, Control, Images, Result};

/// Gradients of one image's loss, by stored tensor.
pub(crate) type Gradients = BTreeMap<ValueId, Vec<f32>>;

/// Shows `visit` the gradients of the cross entropy of one image after the other. BatchNorm
/// normalises by its running statistics, as it does in the finished network.
///
/// # Errors
/// Images without classes, and a graph that does not train.
pub(crate) fn each_image(
    graph: &Graph,
    images: &dyn Images,
    threads: usize,
    control: &Control,
    mut visit: impl FnMut(&Gradients) -> Result<()>,
) -> Result<()> {
    let options = PlanOptions { fixed_statistics: true, ..PlanOptions::default() };
    let plan = TrainPlan::with(graph, 1, &options)?;
    let (classes, input) = (plan.classes(), plan.input());
    let mut engine = Engine::new(plan, Pool::new(threads), Isa::detect());
    let count = images.len();
    for index in 0..count {
        control.check()?;
        let image = images.read(index)?;
        if image.shape() != [1, input.c, input.h, input.w] {
            return Err(CompressError::NoLabels);
        }
        let label = images.label(index).filter(|&label| (label as usize) < classes);
        let label = label.ok_or(CompressError::NoLabels)?;
        engine.forward(&pixels(&image, input.pixels())?, 1, true);
        engine.loss(&[label], 0.0);
        engine.backward();
        visit(&engine.params().by_constant(graph, engine.gradients())?)?;
        (control.say)(&format!("gradients of image {} of {count}", index + 1));
    }
    Ok(())
}

/// An image `[1, c, h, w]` as pixels of c numbers.
fn pixels(image: &Tensor, pixels: usize) -> Result<Vec<f32>> {
    let values = image.f32s()?;
    let channels = values.len() / pixels.max(1);
    let mut rows = vec![0.0; values.len()];
    for (at, &value) in values.iter().enumerate() {
        rows[at % pixels * channels + at / pixels] = value;
    }
    Ok(rows)
}
