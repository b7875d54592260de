//! Running the float graph over images to see which values its activations take.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;

use crate::placement;
use crate::{CompressError, Histogram, Result, prepare};

/// What calibration saw: a histogram of every activation that may be quantised, by value name.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    histograms: BTreeMap<String, Histogram>,
    images: usize,
}

impl Calibration {
    /// The histogram of the value called `name`.
    pub fn histogram(&self, name: &str) -> Option<&Histogram> {
        self.histograms.get(name)
    }

    /// Names and histograms, by name.
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &Histogram)> {
        self.histograms.iter().map(|(name, histogram)| (name.as_str(), histogram))
    }

    /// Number of images seen.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// Runs `graph` over `batches` of images (each as the graph's input, `[n, c, h, w]`) and counts
/// the values of its activations.
///
/// Memory is a histogram a value and one session, whatever the number of images. The result is
/// the same for any thread count and any split of the images into batches.
///
/// # Errors
/// Where the graph does not have one input, no batch is given, a batch does not fit the input, or
/// an activation is not finite.
pub fn calibrate(
    graph: &Graph,
    batches: impl IntoIterator<Item = Tensor>,
    pool: &Arc<Pool>,
) -> Result<Calibration> {
    let mut graph = prepare(graph)?;
    let &[input] = &graph.inputs[..] else {
        return Err(CompressError::Inputs { found: graph.inputs.len() });
    };
    let observed: Vec<ValueId> = placement::observed(&graph);
    let input_name = graph.value(input).name.clone();
    let names: Vec<String> = observed.iter().map(|&id| graph.value(id).name.clone()).collect();
    graph.outputs = observed;
    let has_outputs = !graph.outputs.is_empty();
    let model = Model::new(graph, pool.clone());
    let mut seen = Histogram::new();
    let mut histograms = vec![Histogram::new(); names.len()];
    let (mut session, mut images) = (None, 0);
    for batch in batches {
        let size = batch.shape().first().copied().unwrap_or(1);
        count(&mut seen, batch.f32s()?, &input_name)?;
        images += size;
        if !has_outputs {
            continue;
        }
        if session.as_ref().is_none_or(|&(batch, _)| batch != size) {
            session = Some((size, model.session(size)?));
        }
        let Some((_, session)) = &mut session else { continue };
        session.set_input(0, &batch)?;
        session.run()?;
        for (index, (histogram, name)) in histograms.iter_mut().zip(&names).enumerate() {
            count(histogram, session.output_f32(index)?, name)?;
        }
    }
    if images == 0 {
        return Err(CompressError::NoImages);
    }
    let mut histograms: BTreeMap<String, Histogram> = names.into_iter().zip(histograms).collect();
    histograms.insert(input_name, seen);
    Ok(Calibration { histograms, images })
}

fn count(histogram: &mut Histogram, values: &[f32], name: &str) -> Result<()> {
    if histogram.add(values) {
        return Ok(());
    }
    Err(CompressError::NotFinite { value: name.into() })
}
