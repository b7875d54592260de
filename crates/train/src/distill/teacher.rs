//! Trained networks that answer while another one learns.

use std::collections::HashMap;
use std::sync::Arc;

use edgecut_graph::{Graph, Op, Tensor, ValueId};
use edgecut_kernels::{Isa, Pool};
use edgecut_runtime::{Model, Session};

use crate::data::{Channels, Preprocess, rescaled};
use crate::error::{Result, TrainError};
use crate::plan::Extent;

/// A teacher: any graph that runs, float or with 8-bit layers inside, with one picture as its input.
#[derive(Clone, Debug)]
pub struct TeacherModel {
    /// The network. Its first output has a logit or a softmax probability per class.
    pub graph: Graph,
    /// How pictures become its input; `None` takes the student's.
    pub preprocess: Option<Preprocess>,
}

/// A teacher at work.
pub(super) struct Teacher {
    name: String,
    model: Model,
    sessions: HashMap<usize, Session>,
    /// From the student's input to the teacher's, for each channel: which one, factor and addend.
    channels: Vec<(usize, f32, f32)>,
    /// As the student takes them.
    pictures: Extent,
    /// As it takes them itself: pictures of another size are rescaled.
    input: Extent,
    classes: usize,
    /// Whether its output is probabilities instead of logits.
    probabilities: bool,
    /// Extents of the inner values that it tells beside its answer.
    pub features: Vec<Extent>,
}

impl Teacher {
    /// Prepares `model` for pictures as `student` makes them. It tells the values called `features`,
    /// too.
    ///
    /// # Errors
    /// Another number of classes, an input that the student's cannot be turned into, a value that it
    /// has not.
    pub fn new(
        model: &TeacherModel,
        student: &Preprocess,
        classes: usize,
        features: &[&str],
        pool: &Arc<Pool>,
        isa: Isa,
    ) -> Result<Teacher> {
        let mut graph = model.graph.clone();
        let name = graph.name.clone();
        let fail =
            |problem: String| TrainError::Model { model: format!("teacher {name}"), problem };
        let (&[input], Some(&output)) = (&graph.inputs[..], graph.outputs.first()) else {
            return Err(fail("needs one input and an output".into()));
        };
        let own = model.preprocess.as_ref().unwrap_or(student);
        own.validate()?;
        let shape = graph.value(input).shape.with_symbols(1);
        let [h, w, c] = own.shape();
        if shape != [1, c, h, w] {
            return Err(fail(format!(
                "takes {shape:?}, its pictures are {h}x{w} with {c} channels"
            )));
        }
        let found = graph.value(output).shape.with_symbols(1).iter().product::<usize>();
        if found != classes {
            return Err(fail(format!("has {found} classes, the student {classes}")));
        }
        let probabilities = graph
            .nodes
            .iter()
            .any(|node| matches!(node.op, Op::Softmax { .. }) && node.outputs.contains(&output));
        let values: Vec<ValueId> = features
            .iter()
            .map(|name| {
                let found = graph.find_value(name);
                found.ok_or_else(|| fail(format!("has no value '{name}'")))
            })
            .collect::<Result<_>>()?;
        let features = values.iter().map(|&value| extent(&graph, value)).collect();
        graph.outputs = std::iter::once(output).chain(values).collect();
        graph.remove_unused();
        Ok(Teacher {
            name,
            channels: channels(student, own),
            model: Model::new(graph, pool.clone()).with_isa(isa),
            sessions: HashMap::new(),
            pictures: Extent { h: student.height, w: student.width, c: student.channels.count() },
            input: Extent { h, w, c },
            classes,
            probabilities,
            features,
        })
    }

    /// Answers `n` pictures `x`, `[n, h, w, c]` as the student takes them: `[n, classes]` logits, and
    /// the inner values as matrices of pixels by channels.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn answer(&mut self, x: &[f32], n: usize) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let fail = |e: edgecut_runtime::RuntimeError| TrainError::Model {
            model: format!("teacher {}", self.name),
            problem: e.to_string(),
        };
        let session = match self.sessions.entry(n) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(self.model.session(n).map_err(fail)?)
            }
        };
        let Extent { h, w, c } = self.input;
        let (pixels, from) = (h * w, self.pictures.c);
        let x = rescaled(x, self.pictures, Extent { h, w, c: from })?;
        let mut input = vec![0.0; n * c * pixels];
        for (image, planes) in x.chunks_exact(pixels * from).zip(input.chunks_exact_mut(c * pixels))
        {
            let planes = planes.chunks_exact_mut(pixels).zip(&self.channels);
            for (plane, &(channel, factor, addend)) in planes {
                let values = image.iter().skip(channel).step_by(from);
                plane.iter_mut().zip(values).for_each(|(p, x)| *p = x * factor + addend);
            }
        }
        let input = Tensor::new(vec![n, c, h, w], input)?;
        session.set_input(0, &input).and_then(|()| session.run()).map_err(fail)?;
        let mut logits = session.output(0).map_err(fail)?.to_f32();
        if logits.len() != n * self.classes {
            let problem = format!("gave {} numbers for {n} pictures", logits.len());
            return Err(TrainError::Model { model: format!("teacher {}", self.name), problem });
        }
        if self.probabilities {
            logits.iter_mut().for_each(|p| *p = libm::logf(p.max(1e-12)));
        }
        let features = self.features.iter().enumerate().map(|(i, &extent)| {
            let planes = session.output(i + 1).map_err(fail)?.to_f32();
            Ok(to_rows(&planes, extent))
        });
        Ok((logits, features.collect::<Result<_>>()?))
    }
}

/// Extent of one image of a value; what is no image is one pixel.
fn extent(graph: &Graph, value: ValueId) -> Extent {
    match graph.value(value).shape.with_symbols(1)[..] {
        [_, c, h, w] => Extent { h, w, c },
        ref other => Extent { h: 1, w: 1, c: other.iter().product() },
    }
}

/// Planes of channels to pixels of channels.
fn to_rows(planes: &[f32], extent: Extent) -> Vec<f32> {
    let (pixels, c) = (extent.pixels(), extent.c);
    let mut rows = vec![0.0; planes.len()];
    for (planes, rows) in planes.chunks_exact(extent.len()).zip(rows.chunks_exact_mut(extent.len()))
    {
        for (i, &value) in planes.iter().enumerate() {
            rows[i % pixels * c + i / pixels] = value;
        }
    }
    rows
}

/// For each channel of the teacher's input: the student's channel, and what turns its numbers into
/// the teacher's. With `x = (pixel a - m) / s` of the one and `(pixel b - n) / t` of the other:
/// `x (s b) / (a t) + (m b / a - n) / t`.
fn channels(student: &Preprocess, teacher: &Preprocess) -> Vec<(usize, f32, f32)> {
    let (from, to) = (student.channels, teacher.channels);
    (0..to.count())
        .map(|i| {
            let channel = match (from, to) {
                (Channels::Gray, _) => 0,
                // Green is most of a picture's luma.
                (_, Channels::Gray) => 1,
                (a, b) if a == b => i,
                _ => 2 - i,
            };
            let scale = teacher.scale / student.scale;
            let factor = student.std[channel] * scale / teacher.std[i];
            let addend = (student.mean[channel] * scale - teacher.mean[i]) / teacher.std[i];
            (channel, factor, addend)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;

    #[test]
    fn the_students_numbers_become_the_teachers() {
        let (student, teacher) = (Preprocess::torchvision(4), Preprocess::caffe(4));
        let teacher = Preprocess { resize: student.resize, ..teacher };
        let pixels = (0..48).map(|i| (i * 5) as u8).collect();
        let image = Image { h: 4, w: 4, c: 3, pixels };
        let apply = |preprocess: &Preprocess| {
            let exact = Preprocess { resize: crate::data::Resize::Exact, ..preprocess.clone() };
            let mut x = vec![0.0; 48];
            exact.apply(&image, &mut x).unwrap();
            x
        };
        let (own, expected) = (apply(&student), apply(&teacher));
        for (i, (channel, factor, addend)) in channels(&student, &teacher).into_iter().enumerate() {
            for (x, e) in own.chunks(3).zip(expected.chunks(3)) {
                let found = x[channel] * factor + addend;
                assert!((found - e[i]).abs() < 1e-3, "{found}, not {}", e[i]);
            }
        }
    }
}
