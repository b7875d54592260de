//! The networks that fill the table: what lightweight networks are made of, at several widths and
//! resolutions, so that a step of another network has near ones on all sides.

use std::sync::Arc;

use edgecut_compress::{QuantizeConfig, RangeMethod, calibrate, prepare, quantize};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Data, Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_zoo::{Options, build};

use crate::Result;

/// Architecture, width and resolution.
const FLOAT: [(&str, f32, usize); 22] = [
    ("mobilenet-v1", 0.25, 128),
    ("mobilenet-v1", 0.5, 160),
    ("mobilenet-v1", 1.0, 224),
    ("mobilenet-v2", 0.35, 96),
    ("mobilenet-v2", 0.5, 160),
    ("mobilenet-v2", 0.75, 192),
    ("mobilenet-v2", 1.0, 224),
    ("mobilenet-v2-s32", 0.35, 32),
    ("mobilenet-v2-s32", 1.0, 32),
    ("mobilenet-v2-s28", 1.0, 28),
    ("mobilenet-v3-small", 0.75, 160),
    ("mobilenet-v3-small", 1.0, 224),
    ("mobilenet-v3-large", 0.75, 192),
    ("mobilenet-v3-large", 1.0, 224),
    ("shufflenet-v1-g3", 1.0, 224),
    ("shufflenet-v2-0.5", 1.0, 160),
    ("shufflenet-v2-1.0", 1.0, 224),
    ("squeezenet-1.1", 1.0, 160),
    ("squeezenet-1.1", 1.0, 224),
    ("efficientnet-lite0", 1.0, 224),
    ("resnet-20", 1.0, 32),
    ("resnet-18", 1.0, 112),
];

/// A network of the table.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Architecture, width, resolution and precision.
    pub name: String,
    arch: &'static str,
    width: f32,
    resolution: usize,
    int8: bool,
}

/// All networks of the table, in float and in int8.
pub fn subjects() -> Vec<Subject> {
    let both = [false, true].into_iter();
    let of = |int8: bool| {
        FLOAT.into_iter().map(move |(arch, width, resolution)| {
            let precision = if int8 { "int8" } else { "float" };
            let name = format!("{arch} {width} {resolution} {precision}");
            Subject { name, arch, width, resolution, int8 }
        })
    };
    both.flat_map(of).collect()
}

/// The networks whose name has one of `parts` in it; all of them where there is no part.
pub fn chosen(parts: &[&str]) -> Vec<Subject> {
    let has = |net: &Subject| parts.is_empty() || parts.iter().any(|part| net.name.contains(part));
    subjects().into_iter().filter(has).collect()
}

impl Subject {
    /// Its graph, with fresh weights: time does not depend on them.
    ///
    /// # Errors
    /// Where it cannot be built or quantised.
    pub fn graph(&self, pool: &Arc<Pool>) -> Result<Graph> {
        // Architectures of one width refuse another.
        let width = (self.width != 1.0).then_some(self.width);
        let options = Options { width, resolution: Some(self.resolution), ..Options::default() };
        let float = build(self.arch, &options)?;
        if self.int8 { quantised(&float, pool) } else { Ok(float) }
    }
}

/// `float` in int8, with the ranges that noise gives: time does not depend on them.
///
/// # Errors
/// Where it cannot be quantised.
pub fn quantised(float: &Graph, pool: &Arc<Pool>) -> Result<Graph> {
    quantised_with(float, &[], pool)
}

/// As [`quantised`], the weights of the nodes named `int4` in 4 bits.
///
/// # Errors
/// Where it cannot be quantised, or has no such node.
pub fn quantised_with(float: &Graph, int4: &[String], pool: &Arc<Pool>) -> Result<Graph> {
    let float = prepare(float)?;
    let calibration = calibrate(&float, [noise(&float)?], pool)?;
    let config = QuantizeConfig {
        method: RangeMethod::MinMax,
        int4: int4.to_vec(),
        ..QuantizeConfig::default()
    };
    Ok(quantize(&float, &calibration, &config)?.graph)
}

/// A picture of noise: ranges that are wide enough for the integers to vary.
fn noise(graph: &Graph) -> Result<Tensor> {
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
    let mut rng = Rng::new(1);
    let len = shape.iter().product::<usize>();
    let data: Data = (0..len).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>().into();
    Ok(Tensor::new(shape, data)?)
}
