//! Loss of a small graph in float64, with BatchNorm in training mode: the oracle of gradients.
//! Plain loops in NCHW, nothing shared with the engine.

use std::collections::HashMap;

use edgecut_graph::{Binary, Graph, Node, Op, Reduction, Window};

/// A float64 tensor.
#[derive(Clone, Debug, Default)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    fn new(shape: Vec<usize>) -> Array {
        let len = shape.iter().product();
        Array { shape, data: vec![0.0; len] }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }
}

/// Constants of a graph by value index, in float64.
pub type Constants = HashMap<usize, Array>;

pub fn constants(graph: &Graph) -> Constants {
    let values = graph.values().iter().enumerate();
    values
        .filter_map(|(i, v)| {
            let tensor = v.constant.as_ref()?;
            let data = tensor.to_f32().into_iter().map(f64::from).collect();
            Some((i, Array { shape: tensor.shape().to_vec(), data }))
        })
        .collect()
}

/// Mean cross entropy with label smoothing of `graph` on `x` (NCHW), and the batch mean and
/// biased variance that every BatchNorm node saw, by node index.
pub fn loss(
    graph: &Graph,
    constants: &Constants,
    x: &Array,
    labels: &[u32],
    smoothing: f64,
    training: bool,
) -> (f64, HashMap<usize, [Vec<f64>; 2]>) {
    let (logits, statistics) = forward(graph, constants, x, training);
    let classes = logits.shape[1];
    let mut total = 0.0;
    for (row, &label) in logits.data.chunks(classes).zip(labels) {
        let max = row.iter().cloned().fold(f64::MIN, f64::max);
        let log_sum = row.iter().map(|v| (v - max).exp()).sum::<f64>().ln() + max;
        for (class, v) in row.iter().enumerate() {
            let own = if class == label as usize { 1.0 - smoothing } else { 0.0 };
            total += (own + smoothing / classes as f64) * (log_sum - v);
        }
    }
    (total / labels.len() as f64, statistics)
}

/// Logits (input of a final Softmax) and statistics.
pub fn forward(
    graph: &Graph,
    constants: &Constants,
    x: &Array,
    training: bool,
) -> (Array, HashMap<usize, [Vec<f64>; 2]>) {
    let mut values: HashMap<usize, Array> = HashMap::new();
    let mut statistics = HashMap::new();
    values.insert(graph.inputs[0].index(), x.clone());
    for (index, node) in graph.nodes.iter().enumerate() {
        let get = |i: usize| -> Option<&Array> {
            let id = node.inputs.get(i).copied().flatten()?.index();
            values.get(&id).or_else(|| constants.get(&id))
        };
        let inputs: Vec<&Array> = (0..node.inputs.len()).filter_map(get).collect();
        let out = match &node.op {
            Op::BatchNorm { epsilon, .. } => {
                let (out, seen) = batch_norm(&inputs, f64::from(*epsilon), training);
                statistics.insert(index, seen);
                out
            }
            _ => apply(node, &inputs),
        };
        values.insert(node.output().index(), out);
    }
    (values.remove(&graph.outputs[0].index()).unwrap(), statistics)
}

fn apply(node: &Node, inputs: &[&Array]) -> Array {
    let x = inputs[0];
    if let Some((low, high)) = node.op.clamp_bounds() {
        return x.map(|v| v.max(low.into()).min(high.into()));
    }
    match &node.op {
        Op::Conv(conv) => convolve(x, inputs[1], inputs.get(2).copied(), &conv.window, conv.groups),
        Op::Gemm(gemm) => linear(x, inputs[1], inputs.get(2).copied(), gemm.trans_b),
        Op::MatMul => linear(x, inputs[1], None, false),
        Op::Binary(Binary::Add) => {
            let data = x.data.iter().zip(&inputs[1].data).map(|(a, b)| a + b).collect();
            Array { shape: x.shape.clone(), data }
        }
        Op::MaxPool(p) => pool(x, &p.window, node_extent(x, &p.window), |taps, _| {
            taps.iter().cloned().fold(f64::MIN, f64::max)
        }),
        Op::AveragePool(p) => pool(x, &p.window, node_extent(x, &p.window), |taps, all| {
            let count = if p.count_include_pad { all } else { taps.len() };
            taps.iter().sum::<f64>() / count as f64
        }),
        Op::GlobalAveragePool | Op::Reduce { kind: Reduction::Mean, .. } => {
            let pixels = x.shape[2] * x.shape[3];
            let data = x.data.chunks(pixels).map(|c| c.iter().sum::<f64>() / pixels as f64);
            let shape = match &node.op {
                Op::Reduce { kind: Reduction::Mean, keep_dims: false, .. } => {
                    vec![x.shape[0], x.shape[1]]
                }
                _ => vec![x.shape[0], x.shape[1], 1, 1],
            };
            Array { shape, data: data.collect() }
        }
        Op::Flatten { .. } | Op::Reshape { .. } | Op::Squeeze { .. } => {
            let n = x.shape[0];
            Array { shape: vec![n, x.data.len() / n], data: x.data.clone() }
        }
        Op::Concat { axis: 1 } => concat(inputs),
        Op::Softmax { .. } => x.clone(),
        op => panic!("the oracle lacks {op:?}"),
    }
}

fn node_extent(x: &Array, window: &Window) -> [usize; 2] {
    [0, 1].map(|i| {
        let reach = window.dilations[i] * (window.kernel[i] - 1) + 1;
        (x.shape[2 + i] + window.pads[i] + window.pads[i + 2] - reach) / window.strides[i] + 1
    })
}

/// Input position of a window's tap, where it is inside.
fn position(window: &Window, i: usize, out: usize, tap: usize, size: usize) -> Option<usize> {
    let at = out * window.strides[i] + tap * window.dilations[i];
    at.checked_sub(window.pads[i]).filter(|&p| p < size)
}

fn convolve(x: &Array, w: &Array, bias: Option<&Array>, window: &Window, groups: usize) -> Array {
    let [n, c, h, width] = x.shape[..] else { panic!("rank") };
    let [m, cg, kh, kw] = w.shape[..] else { panic!("rank") };
    let [oh, ow] = node_extent(x, window);
    let mut out = Array::new(vec![n, m, oh, ow]);
    for image in 0..n {
        for map in 0..m {
            let first = map / (m / groups) * cg;
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = bias.map_or(0.0, |b| b.data[map]);
                    for ch in 0..cg {
                        for ky in 0..kh {
                            let Some(iy) = position(window, 0, oy, ky, h) else { continue };
                            for kx in 0..kw {
                                let Some(ix) = position(window, 1, ox, kx, width) else { continue };
                                let at = ((image * c + first + ch) * h + iy) * width + ix;
                                sum += x.data[at] * w.data[((map * cg + ch) * kh + ky) * kw + kx];
                            }
                        }
                    }
                    out.data[((image * m + map) * oh + oy) * ow + ox] = sum;
                }
            }
        }
    }
    out
}

fn linear(x: &Array, w: &Array, bias: Option<&Array>, transposed: bool) -> Array {
    let (n, k) = (x.shape[0], x.shape[1]);
    let m = w.shape[usize::from(!transposed)];
    let mut out = Array::new(vec![n, m]);
    for row in 0..n {
        for col in 0..m {
            let weight = |i: usize| w.data[if transposed { col * k + i } else { i * m + col }];
            let sum: f64 = (0..k).map(|i| x.data[row * k + i] * weight(i)).sum();
            out.data[row * m + col] = sum + bias.map_or(0.0, |b| b.data[col]);
        }
    }
    out
}

fn pool(
    x: &Array,
    window: &Window,
    [oh, ow]: [usize; 2],
    reduce: impl Fn(&[f64], usize) -> f64,
) -> Array {
    let [n, c, h, w] = x.shape[..] else { panic!("rank") };
    let mut out = Array::new(vec![n, c, oh, ow]);
    for plane in 0..n * c {
        for oy in 0..oh {
            for ox in 0..ow {
                let mut taps = vec![];
                for ky in 0..window.kernel[0] {
                    for kx in 0..window.kernel[1] {
                        let iy = position(window, 0, oy, ky, h);
                        if let (Some(iy), Some(ix)) = (iy, position(window, 1, ox, kx, w)) {
                            taps.push(x.data[(plane * h + iy) * w + ix]);
                        }
                    }
                }
                let all = window.kernel[0] * window.kernel[1];
                out.data[(plane * oh + oy) * ow + ox] = reduce(&taps, all);
            }
        }
    }
    out
}

fn concat(inputs: &[&Array]) -> Array {
    let channels = inputs.iter().map(|x| x.shape[1]).sum();
    let mut shape = inputs[0].shape.clone();
    shape[1] = channels;
    let pixels: usize = shape[2..].iter().product();
    let mut data = vec![];
    for image in 0..shape[0] {
        for x in inputs {
            let len = x.shape[1] * pixels;
            data.extend_from_slice(&x.data[image * len..][..len]);
        }
    }
    Array { shape, data }
}

fn batch_norm(inputs: &[&Array], epsilon: f64, training: bool) -> (Array, [Vec<f64>; 2]) {
    let [x, scale, bias, mean, var] = inputs else { panic!("BatchNorm has five inputs") };
    let (n, c) = (x.shape[0], x.shape[1]);
    let pixels: usize = x.shape[2..].iter().product();
    let channel =
        |ch: usize| (0..n).flat_map(move |i| (0..pixels).map(move |p| (i * c + ch) * pixels + p));
    let mut out = Array::new(x.shape.clone());
    let mut seen = [vec![], vec![]];
    for ch in 0..c {
        let count = (n * pixels) as f64;
        let m = channel(ch).map(|i| x.data[i]).sum::<f64>() / count;
        let v = channel(ch).map(|i| (x.data[i] - m).powi(2)).sum::<f64>() / count;
        seen[0].push(m);
        seen[1].push(v);
        let (m, v) = if training { (m, v) } else { (mean.data[ch], var.data[ch]) };
        for i in channel(ch) {
            let normal = (x.data[i] - m) / (v + epsilon).sqrt();
            out.data[i] = normal * scale.data[ch] + bias.data[ch];
        }
    }
    (out, seen)
}
