//! Weights and biases of a layer as integers.
//!
//! Each output channel has its own scale, `max |w| / 127`: depthwise filters differ in size by
//! orders of magnitude (Nagel et al. 2021, section 4.2). The bias is an i32 of scale `sx * sw`, so
//! that it adds to the products as it is. Channels of tiny weights would make that scale so small
//! that the bias overflows; theirs is raised until the bias fits, which costs precision only in
//! weights that hardly matter beside it.

use edgecut_graph::{Graph, Node, Op, Tensor};

use crate::{CompressError, Result};

/// Longest sum of products: with a bias below 2^30 in magnitude, 2^30 / (255 * 127) more products
/// cannot overflow an i32.
const MAX_K: usize = 33_155;
/// Largest magnitude of an integer bias.
const MAX_BIAS: f64 = (1u32 << 30) as f64;
/// Smallest weight scale; times the smallest activation scale it is still a normal float32.
const MIN_SCALE: f32 = 1e-20;

/// The weights of one layer as integers.
pub(crate) struct LayerWeights {
    /// s8 codes in -127..=127, in the original shape.
    pub codes: Tensor,
    /// One scale an output channel.
    pub scales: Vec<f32>,
    /// Dimension of the output channels.
    pub axis: usize,
    /// One bias an output channel, in units of `x_scale * scales`.
    pub bias: Option<Vec<i32>>,
    /// Signal to quantisation noise of the weights in decibels; `None` where there is no noise.
    pub sqnr_db: Option<f64>,
    /// Output channels whose weights are all 0.
    pub zero_channels: usize,
}

/// Where the output channels of a weight tensor are.
struct Layout {
    axis: usize,
    channels: usize,
    /// Elements from one channel to the next.
    inner: usize,
    /// Products per output.
    k: usize,
}

impl Layout {
    fn of(node: &Node, shape: &[usize]) -> Layout {
        let outermost = match &node.op {
            Op::Conv(_) => true,
            Op::Gemm(gemm) => gemm.trans_b,
            _ => false,
        };
        let axis = if outermost { 0 } else { 1 };
        let channels = shape[axis];
        let k = shape.iter().product::<usize>() / channels.max(1);
        Layout { axis, channels, inner: if outermost { k } else { 1 }, k }
    }

    fn channel(&self, index: usize) -> usize {
        index / self.inner.max(1) % self.channels
    }
}

/// Why the layer `node` (Conv, Gemm or MatMul) must stay float, if it must.
pub(crate) fn obstacle(graph: &Graph, node: &Node) -> Result<Option<String>> {
    let weight = node.input(1)?;
    let Some(weight) = graph.constant(weight).filter(|w| w.f32s().is_ok()) else {
        return Ok(Some("its weights are not float32 constants".into()));
    };
    if matches!(&node.op, Op::Gemm(gemm) if gemm.trans_a) {
        return Ok(Some("its input is transposed".into()));
    }
    if node.op == Op::MatMul && weight.rank() != 2 {
        return Ok(Some("its weights are not a matrix".into()));
    }
    let layout = Layout::of(node, weight.shape());
    if layout.k == 0 || layout.channels == 0 {
        return Ok(Some("its weights are empty".into()));
    }
    if layout.k > MAX_K {
        let k = layout.k;
        return Ok(Some(format!("sums of {k} products could overflow an int32 ({MAX_K} fit)")));
    }
    let Some(bias) = node.inputs.get(2).copied().flatten() else { return Ok(None) };
    Ok(match graph.constant(bias) {
        Some(b) if b.f32s().is_ok() && fits_channels(b, layout.channels) => None,
        Some(_) => Some("its bias is not one float32 number a channel".into()),
        None => Some("its bias is not a constant".into()),
    })
}

fn fits_channels(bias: &Tensor, channels: usize) -> bool {
    let last = bias.shape().last().copied().unwrap_or(1);
    bias.len() == 1 || (bias.len() == channels && last == channels)
}

/// Quantises the weights and bias of `node`, which has no [`obstacle`], for inputs of `x_scale`.
/// Gemm's factors alpha and beta go into the weights and the bias.
pub(crate) fn quantise(graph: &Graph, node: &Node, x_scale: f32) -> Result<LayerWeights> {
    let (alpha, beta) = match &node.op {
        Op::Gemm(gemm) => (gemm.alpha, gemm.beta),
        _ => (1.0, 1.0),
    };
    let shape = graph.value(node.input(1)?).shape.with_symbols(1);
    let layout = Layout::of(node, &shape);
    let scaled = |index: usize, factor: f32, what: &'static str| -> Result<Vec<f32>> {
        let values: Vec<f32> =
            graph.constant_f32s(node, index)?.iter().map(|v| v * factor).collect();
        match values.iter().all(|v| v.is_finite()) {
            true => Ok(values),
            false => Err(CompressError::BadWeight { node: node.name.clone(), what }),
        }
    };
    let weight = scaled(1, alpha, "weight")?;
    let bias = match node.inputs.get(2).copied().flatten() {
        Some(_) => Some(scaled(2, beta, "bias")?),
        None => None,
    };
    let bias_of = |c: usize| bias.as_ref().map_or(0.0, |b| if b.len() == 1 { b[0] } else { b[c] });
    let mut largest = vec![0f32; layout.channels];
    for (i, w) in weight.iter().enumerate() {
        let c = layout.channel(i);
        largest[c] = largest[c].max(w.abs());
    }
    let scales: Vec<f32> =
        (0..layout.channels).map(|c| channel_scale(largest[c], bias_of(c), x_scale)).collect();
    let code = |(i, w): (usize, &f32)| {
        (w / scales[layout.channel(i)]).round_ties_even().clamp(-127.0, 127.0) as i8
    };
    let codes: Vec<i8> = weight.iter().enumerate().map(code).collect();
    let real = |i: usize| f64::from(codes[i]) * f64::from(scales[layout.channel(i)]);
    let sqnr_db = sqnr_db(weight.iter().enumerate().map(|(i, &w)| (f64::from(w), real(i))));
    let unit = |c: usize| f64::from(x_scale * scales[c]);
    let integer = |c: usize| {
        let q = (f64::from(bias_of(c)) / unit(c)).round_ties_even();
        q.clamp(-MAX_BIAS, MAX_BIAS) as i32
    };
    Ok(LayerWeights {
        bias: bias.is_some().then(|| (0..layout.channels).map(integer).collect()),
        codes: Tensor::new(shape, codes)?,
        axis: layout.axis,
        sqnr_db,
        zero_channels: largest.iter().filter(|&&w| w == 0.0).count(),
        scales,
    })
}

/// The scale of a channel of weights up to `largest` in magnitude with this bias.
fn channel_scale(largest: f32, bias: f32, x_scale: f32) -> f32 {
    if largest == 0.0 && bias == 0.0 {
        return 1.0;
    }
    let for_weights = f64::from(largest) / 127.0;
    let for_bias = f64::from(bias.abs()) / (f64::from(x_scale) * MAX_BIAS);
    (for_weights.max(for_bias) as f32).max(MIN_SCALE)
}

/// `10 log10(signal / noise)` of (true, approximate) pairs; `None` without noise or signal.
pub(crate) fn sqnr_db(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (x, y) in pairs {
        signal += x * x;
        noise += (x - y) * (x - y);
    }
    (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}
