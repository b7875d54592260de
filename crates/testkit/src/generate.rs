//! Graphs and tensors from a seed.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, DType, Data, Graph, Op, Tensor, ValueId, Window};

/// A kind of layer that [`random_graph_of`] may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Convolution with one group: kernels 1 to 3 in each direction, strides 1 to 2, any padding.
    Conv,
    /// Convolution with two groups.
    GroupedConv,
    /// Depthwise convolution, 3x3 or 5x5.
    Depthwise,
    /// Batch normalisation.
    BatchNorm,
    /// Relu.
    Relu,
    /// Clip to [0, 6].
    Relu6,
    /// Sum with an earlier value of the same shape, or with itself.
    Add,
    /// Concatenation along channels with an earlier value of the same extent, or with itself.
    Concat,
    /// Max pooling.
    MaxPool,
    /// Average pooling.
    AveragePool,
}

/// Every kind.
pub const ALL_LAYERS: &[Layer] = &[
    Layer::Conv,
    Layer::GroupedConv,
    Layer::Depthwise,
    Layer::BatchNorm,
    Layer::Relu,
    Layer::Relu6,
    Layer::Add,
    Layer::Concat,
    Layer::MaxPool,
    Layer::AveragePool,
];

/// A small network of all kinds of layers; see [`random_graph_of`].
pub fn random_graph(seed: u64) -> Graph {
    random_graph_of(seed, ALL_LAYERS)
}

/// A network of 2 to 9 layers of these kinds over an image `[batch, 1..=6, 5..=12, 5..=12]`, ending
/// in the last map or, as often, in global pooling and a linear layer. Biases and statistics of
/// BatchNorm are random, so that ignoring them shows.
pub fn random_graph_of(seed: u64, kinds: &[Layer]) -> Graph {
    let mut rng = Rng::keyed(&[seed, 0x6772_6170]);
    let mut builder = Builder::new(format!("random {seed}"), seed);
    let mut dims = vec!["batch".into(), (1 + rng.below(6)).into()];
    dims.extend((0..2).map(|_| (5 + rng.below(8)).into()));
    let mut values = vec![builder.input("image", dims)];
    for index in 0..2 + rng.below(8) {
        let layer = kinds[rng.below(kinds.len())];
        values.push(add_layer(&mut builder, &mut rng, layer, &values, index));
    }
    let mut last = values[values.len() - 1];
    if rng.below(2) == 0 {
        last = classify(&mut builder, last, 1 + rng.below(9));
    }
    let mut graph = builder.finish(&[last]).expect("generated graphs are valid");
    randomise_statistics(&mut graph, seed);
    graph
}

fn classify(b: &mut Builder, x: ValueId, classes: usize) -> ValueId {
    let x = b.global_average_pool(x).expect("a map");
    let x = b.flatten(x).expect("a map");
    b.linear(x, "linear", classes).expect("a matrix")
}

fn add_layer(
    b: &mut Builder,
    rng: &mut Rng,
    layer: Layer,
    values: &[ValueId],
    index: usize,
) -> ValueId {
    let x = values[values.len() - 1];
    let [channels, height, width] = extents(b, x);
    let name = format!("layer{index}");
    let bias = rng.below(2) == 0;
    let result = match layer {
        Layer::Conv => {
            let (maps, window) = (1 + rng.below(20), random_window(rng, height, width, true));
            b.conv(x, &name, maps, window, 1, bias)
        }
        Layer::GroupedConv => {
            let groups = if channels.is_multiple_of(2) { 2 } else { 1 };
            let (maps, window) =
                (groups * (1 + rng.below(5)), random_window(rng, height, width, true));
            b.conv(x, &name, maps, window, groups, bias)
        }
        Layer::Depthwise => {
            let window = Window::same(3 + 2 * rng.below(2), 1 + rng.below(2));
            b.conv(x, &name, channels, window, channels, bias)
        }
        Layer::BatchNorm => b.batch_norm(x, &name),
        Layer::Relu => b.relu(x),
        Layer::Relu6 => b.relu6(x),
        Layer::Add => {
            let other = partner(b, rng, values, |shape| shape == [channels, height, width]);
            b.add(x, other)
        }
        Layer::Concat => {
            let other = partner(b, rng, values, |shape| shape[1..] == [height, width]);
            b.concat(&[x, other], 1)
        }
        Layer::MaxPool => b.max_pool(x, random_window(rng, height, width, false)),
        Layer::AveragePool => b.average_pool(x, random_window(rng, height, width, false)),
    };
    result.expect("generated layers fit their input")
}

/// A window that fits a map of this size. Padding stays below the kernel, so that no window of a
/// pool is empty; convolutions also dilate where there is room.
fn random_window(rng: &mut Rng, height: usize, width: usize, dilate: bool) -> Window {
    let size = [height, width];
    let kernel = size.map(|s| 1 + rng.below(3.min(s)));
    let mut window = Window::new(kernel, size.map(|_| 1 + rng.below(2)));
    window.pads = std::array::from_fn(|i| rng.below(kernel[i % 2]));
    if dilate && rng.below(4) == 0 {
        window.dilations = std::array::from_fn(|i| if 2 * kernel[i] <= size[i] { 2 } else { 1 });
    }
    window
}

/// A random earlier value whose `[channels, height, width]` suits; the last value always does.
fn partner(
    b: &Builder,
    rng: &mut Rng,
    values: &[ValueId],
    suits: impl Fn([usize; 3]) -> bool,
) -> ValueId {
    let fitting: Vec<ValueId> = values.iter().copied().filter(|&v| suits(extents(b, v))).collect();
    fitting[rng.below(fitting.len())]
}

fn extents(b: &Builder, x: ValueId) -> [usize; 3] {
    let shape = &b.graph().value(x).shape;
    std::array::from_fn(|i| shape.extent(i + 1, "map").expect("maps have fixed extents"))
}

/// Replaces biases by normal numbers and the parameters of every BatchNorm by plausible ones:
/// scale and variance in [0.5, 1.5], bias and mean in [-0.5, 0.5].
pub fn randomise_statistics(graph: &mut Graph, seed: u64) {
    let mut replace = vec![];
    for node in &graph.nodes {
        let ranges: &[(usize, f32, f32)] = match node.op {
            Op::BatchNorm { .. } => &[(1, 0.5, 1.5), (2, -0.5, 0.5), (3, -0.5, 0.5), (4, 0.5, 1.5)],
            Op::Conv(_) | Op::Gemm(_) => &[(2, -1.0, 1.0)],
            _ => &[],
        };
        for &(index, low, high) in ranges {
            if let Some(id) = node.inputs.get(index).copied().flatten() {
                replace.push((id, low, high));
            }
        }
    }
    for (id, low, high) in replace {
        let Some(old) = graph.constant(id) else { continue };
        let mut rng = Rng::keyed(&[seed, id.index() as u64, 0x7374_6174]);
        let values: Vec<f32> = (0..old.len()).map(|_| rng.range(low, high)).collect();
        let new = Tensor::new(old.shape(), values).expect("as many as before");
        graph.set_constant(id, new);
    }
}

/// A float32 tensor of standard normal numbers.
pub fn random_tensor(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::keyed(&[seed, 0x7465_6e73]);
    let len = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
    Tensor::new(shape, values).expect("a tensor within the limits")
}

/// An input for `graph` with every symbol replaced by `batch`. All inputs must be float32, uint8 or
/// int8; integers are drawn from their whole range.
pub fn random_inputs(graph: &Graph, batch: usize, seed: u64) -> Vec<Tensor> {
    let tensor = |(index, &id): (usize, &ValueId)| {
        let value = graph.value(id);
        let shape = value.shape.with_symbols(batch);
        let mut rng = Rng::keyed(&[seed, index as u64]);
        let mut bytes =
            || -> Vec<u8> { (0..shape.iter().product()).map(|_| rng.below(256) as u8).collect() };
        let data: Data = match value.dtype {
            DType::F32 => return random_tensor(&shape, rng.next_u64()),
            DType::U8 => bytes().into(),
            DType::I8 => bytes().into_iter().map(|b| b as i8).collect::<Vec<_>>().into(),
            other => panic!("input '{}' is {other}", value.name),
        };
        Tensor::new(shape, data).expect("a tensor within the limits")
    };
    graph.inputs.iter().enumerate().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::interpret::run;

    #[test]
    fn generated_graphs_run_and_are_functions_of_their_seed() {
        for seed in 0..200 {
            let graph = random_graph(seed);
            let inputs = random_inputs(&graph, 2, seed);
            let outputs = run(&graph, &inputs).unwrap();
            assert!(outputs[0].to_f32().iter().all(|v| v.is_finite()), "seed {seed}");
            assert_eq!(outputs, run(&random_graph(seed), &inputs).unwrap());
        }
    }

    #[test]
    fn every_kind_of_layer_appears() {
        let names: std::collections::BTreeSet<&str> =
            (0..200).flat_map(|s| random_graph(s).nodes.into_iter().map(|n| n.op.name())).collect();
        for name in [
            "Conv",
            "BatchNormalization",
            "Clip",
            "Relu",
            "Add",
            "Concat",
            "MaxPool",
            "AveragePool",
            "Gemm",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}
