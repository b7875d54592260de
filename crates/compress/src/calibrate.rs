//! Running the float graph over images to see which values its activations take.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{Model, Session};

use crate::images::{Images, batch};
use crate::{ChannelStats, CompressError, Control, Histogram, Result, placement, prepare};

/// What calibration saw of every activation that may be quantised, by value name.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    values: BTreeMap<String, Seen>,
    images: usize,
}

/// What was seen of one value.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    histogram: Histogram,
    channels: ChannelStats,
}

impl Calibration {
    /// The histogram of the value called `name`.
    pub fn histogram(&self, name: &str) -> Option<&Histogram> {
        self.values.get(name).map(|seen| &seen.histogram)
    }

    /// Extremes and moments of the channels of the value called `name`.
    pub fn channels(&self, name: &str) -> Option<&ChannelStats> {
        self.values.get(name).map(|seen| &seen.channels).filter(|channels| !channels.is_empty())
    }

    /// Names and histograms, by name.
    pub fn histograms(&self) -> impl Iterator<Item = (&str, &Histogram)> {
        self.values.iter().map(|(name, seen)| (name.as_str(), &seen.histogram))
    }

    /// Number of images seen.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// Runs `graph` over `batches` of images (each as the graph's input, `[n, c, h, w]`) and counts
/// the values of its activations.
///
/// Memory is a histogram and a few numbers a channel for each value, and one session, whatever the
/// number of images. The result is the same for any thread count and any split of the images into
/// batches.
///
/// # Errors
/// Where the graph does not have one input, no batch is given, a batch does not fit the input, or
/// an activation is not finite.
pub fn calibrate(
    graph: &Graph,
    batches: impl IntoIterator<Item = Tensor>,
    pool: &Arc<Pool>,
) -> Result<Calibration> {
    let mut observer = Observer::new(prepare(graph)?, pool)?;
    for batch in batches {
        observer.add(&batch)?;
    }
    observer.finish()
}

/// As [`calibrate`], of a graph that is prepared already.
pub(crate) fn calibrate_prepared(
    graph: &Graph,
    images: &dyn Images,
    pool: &Arc<Pool>,
    control: &Control,
) -> Result<Calibration> {
    let mut observer = Observer::new(graph.clone(), pool)?;
    let size = observer.model.fixed_batch().unwrap_or(1);
    for first in (0..images.len()).step_by(size) {
        control.check()?;
        let indices: Vec<usize> = (first..first + size).collect();
        // An incomplete batch of fixed size would count an image twice.
        if first + size <= images.len() {
            observer.add(&batch(images, &indices)?)?;
        }
    }
    observer.finish()
}

/// A calibration that is going on.
struct Observer {
    pool: Arc<Pool>,
    model: Model,
    session: Option<(usize, Session)>,
    input: (String, Seen),
    outputs: Vec<Output>,
    images: usize,
}

/// A value that the graph computes.
struct Output {
    name: String,
    /// Dimension 1, where there is one.
    channels: Option<usize>,
    seen: Seen,
    finite: bool,
}

impl Observer {
    fn new(mut graph: Graph, pool: &Arc<Pool>) -> Result<Observer> {
        let &[input] = &graph.inputs[..] else {
            return Err(CompressError::Inputs { found: graph.inputs.len() });
        };
        let observed = placement::observed(&graph);
        let output = |&id: &ValueId| Output {
            name: graph.value(id).name.clone(),
            channels: graph.value(id).shape.dims().get(1).and_then(|dim| dim.fixed()),
            seen: Seen::default(),
            finite: true,
        };
        let outputs = observed.iter().map(output).collect();
        let name = graph.value(input).name.clone();
        graph.outputs = observed;
        Ok(Observer {
            pool: pool.clone(),
            model: Model::new(graph, pool.clone()),
            session: None,
            input: (name, Seen::default()),
            outputs,
            images: 0,
        })
    }

    fn add(&mut self, batch: &Tensor) -> Result<()> {
        let size = batch.shape().first().copied().unwrap_or(1);
        let (name, seen) = &mut self.input;
        let channels = batch.shape().get(1).copied();
        if !seen.add(batch.f32s()?, size, channels) {
            return Err(CompressError::NotFinite { value: name.clone() });
        }
        self.images += size;
        if self.outputs.is_empty() {
            return Ok(());
        }
        if self.session.as_ref().is_none_or(|&(batch, _)| batch != size) {
            self.session = Some((size, self.model.session(size)?));
        }
        let Some((_, session)) = &mut self.session else { return Ok(()) };
        session.set_input(0, batch)?;
        session.run()?;
        let values: Vec<&[f32]> =
            (0..self.outputs.len()).map(|i| session.output_f32(i)).collect::<Result<_, _>>()?;
        self.pool.for_each_chunk_mut(&mut self.outputs, 1, |index, output| {
            let output = &mut output[0];
            output.finite = output.seen.add(values[index], size, output.channels);
        });
        match self.outputs.iter().find(|output| !output.finite) {
            Some(output) => Err(CompressError::NotFinite { value: output.name.clone() }),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Calibration> {
        if self.images == 0 {
            return Err(CompressError::NoImages);
        }
        let outputs = self.outputs.into_iter().map(|output| (output.name, output.seen));
        let values = outputs.chain([self.input]).collect();
        Ok(Calibration { values, images: self.images })
    }
}

impl Seen {
    /// Counts a batch; false where an element is not finite.
    fn add(&mut self, values: &[f32], batch: usize, channels: Option<usize>) -> bool {
        if !self.histogram.add(values) {
            return false;
        }
        if let Some(channels) =
            channels.filter(|&c| batch * c > 0 && values.len().is_multiple_of(batch * c))
        {
            let len = values.len() / batch.max(1);
            for image in values.chunks_exact(len.max(1)) {
                self.channels.add(image, channels);
            }
        }
        true
    }
}
