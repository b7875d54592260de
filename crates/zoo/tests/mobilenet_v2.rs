//! MobileNetV2 against the paper, its reference implementations, and arithmetic by hand.

use edgecut_graph::cost::{Cost, cost};
use edgecut_graph::{Graph, Op, interpret, onnx, passes};
use edgecut_testkit::{assert_close, random_inputs, randomise_statistics, shared_data};
use edgecut_zoo::{MobileNetV2, Options, ZooError, build, make_divisible};

fn of(net: &MobileNetV2) -> (Graph, Cost) {
    let graph = net.build().unwrap();
    let cost = cost(&graph, 1).unwrap();
    (graph, cost)
}

/// Parameters and multiply-adds layer by layer from the stage table, without the graph.
fn by_hand(net: &MobileNetV2) -> (u64, u64) {
    let width = (f64::from(net.width) * 100.0).round() / 100.0;
    let scale = |c: usize| make_divisible(c as f64 * width, 8);
    let (mut parameters, mut macs) = (0, 0);
    // Weights per output pixel; two numbers of BatchNorm a channel.
    let mut layer = |weights: usize, channels: usize, pixels: usize| {
        parameters += weights + 2 * channels;
        macs += weights * pixels;
    };
    let mut size = net.resolution.div_ceil(net.stem_stride);
    let mut c = scale(net.stem_channels);
    layer(9 * net.in_channels * c, c, size * size);
    for stage in &net.stages {
        for block in 0..stage.blocks {
            let (hidden, out) = (c * stage.expansion, scale(stage.channels));
            if stage.expansion > 1 {
                layer(c * hidden, hidden, size * size);
            }
            size = if block == 0 { size.div_ceil(stage.stride) } else { size };
            layer(9 * hidden, hidden, size * size);
            layer(hidden * out, out, size * size);
            c = out;
        }
    }
    let head = make_divisible(net.head_channels as f64 * width.max(1.0), 8);
    layer(c * head, head, size * size);
    parameters += head * net.classes + net.classes;
    macs += head * net.classes;
    (parameters as u64, macs as u64)
}

#[test]
fn counts_equal_the_reference_implementation() {
    let (graph, cost) = of(&MobileNetV2::imagenet());
    assert_eq!(cost.parameters, 3_504_872);
    assert_eq!(cost.macs, 300_774_272);
    assert_eq!(graph.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_))).count(), 52);
    let residuals = graph.nodes.iter().filter(|n| matches!(n.op, Op::Binary(_))).count();
    assert_eq!(residuals, 10);
}

#[test]
fn counts_equal_the_arithmetic_at_every_width() {
    for width in [0.35, 0.5, 0.75, 1.0, 1.3, 1.4] {
        for net in [MobileNetV2::imagenet(), MobileNetV2::small_image(), MobileNetV2::tiny_image()]
        {
            let net = MobileNetV2 { width, ..net };
            let (_, cost) = of(&net);
            assert_eq!((cost.parameters, cost.macs), by_hand(&net), "{} {width}", net.name);
        }
    }
}

/// The table of the authors' release (width, millions of multiply-adds, millions of parameters).
/// It does not count BatchNorm.
#[test]
fn counts_equal_the_published_table() {
    for (width, macs, parameters) in [
        (0.35, 59, 1.66),
        (0.5, 97, 1.95),
        (0.75, 209, 2.61),
        (1.0, 300, 3.47),
        (1.3, 509, 5.34),
        (1.4, 582, 6.06),
    ] {
        let (_, cost) = of(&MobileNetV2 { width, ..MobileNetV2::imagenet() });
        let norms = cost.nodes.iter().filter(|n| n.op == "BatchNormalization");
        let weights = cost.parameters - norms.map(|n| n.parameters).sum::<u64>();
        println!("{width}: {} MACs, {weights} weights", cost.macs);
        assert!((cost.macs as f64 / 1e6 - f64::from(macs)).abs() < 1.0, "{width}: {}", cost.macs);
        assert!((weights as f64 / 1e6 - parameters).abs() < 0.006, "{width}: {weights}");
    }
}

#[test]
fn the_tiny_network_is_about_five_million_multiply_adds() {
    let (graph, cost) = of(&MobileNetV2::tiny_image());
    println!(
        "{} parameters, {} MACs, {} B",
        cost.parameters, cost.macs, cost.peak_activation_bytes
    );
    assert!((4_500_000..5_500_000).contains(&cost.macs), "{}", cost.macs);
    assert_eq!(graph.value(graph.inputs[0]).shape.to_string(), "[batch, 1, 28, 28]");
    let last_map = cost.nodes.iter().rev().find(|n| n.op == "Conv").unwrap();
    assert_eq!(last_map.output[2..], [7, 7]);
}

#[test]
fn small_images_keep_their_maps() {
    let (_, cost) = of(&MobileNetV2::small_image());
    let last_map = cost.nodes.iter().rev().find(|n| n.op == "Conv").unwrap();
    assert_eq!(last_map.output, [1, 1280, 4, 4]);
}

#[test]
fn weights_start_with_the_stated_deviations() {
    let graph = MobileNetV2::imagenet().build().unwrap();
    let check = |name: &str, deviation: f32| {
        let values = graph.constant(graph.find_value(name).unwrap()).unwrap().to_f32();
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
        // Five standard errors of a mean and of a deviation.
        assert!(mean.abs() < 5.0 * deviation / n.sqrt(), "{name}: mean {mean}");
        let error = (variance.sqrt() / deviation - 1.0).abs();
        assert!(error < 5.0 / (2.0 * n).sqrt(), "{name}: {} for {deviation}", variance.sqrt());
    };
    check("features.0.0.weight", (2.0f32 / (32.0 * 9.0)).sqrt());
    check("features.17.conv.1.0.weight", (2.0f32 / 9.0).sqrt());
    check("features.18.0.weight", (2.0f32 / 1280.0).sqrt());
    check("classifier.1.weight", 0.01);
    for (part, value) in
        [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)]
    {
        let id = graph.find_value(&format!("features.0.1.{part}")).unwrap();
        assert!(graph.constant(id).unwrap().to_f32().iter().all(|&v| v == value));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let weights = |seed| -> Vec<_> {
        let graph = build("mobilenet-v2-s28", &Options { seed, ..Options::default() }).unwrap();
        graph.values().iter().map(|v| v.constant.clone()).collect()
    };
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn folding_leaves_no_batch_norm_and_the_same_logits() {
    for name in ["mobilenet-v2-s28", "mobilenet-v2"] {
        let mut graph =
            build(name, &Options { resolution: Some(32), ..Options::default() }).unwrap();
        randomise_statistics(&mut graph, 4);
        let inputs = random_inputs(&graph, 1, 5);
        let before = interpret::run(&graph, &inputs).unwrap();
        let norms = graph.nodes.iter().filter(|n| n.op.name() == "BatchNormalization").count();
        assert_eq!(passes::fold_batch_norm(&mut graph).unwrap(), norms);
        let after = interpret::run(&graph, &inputs).unwrap();
        assert_close(&after[0], &before[0], 1e-5, name);
        assert_eq!(graph.value(graph.outputs[0]).name, "logits");
    }
}

#[test]
fn options_out_of_range_are_errors() {
    let fails = |options: Options| match build("mobilenet-v2", &options) {
        Err(ZooError::OutOfRange { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(fails(Options { width: Some(f32::NAN), ..Options::default() }), "width");
    assert_eq!(fails(Options { width: Some(1e9), ..Options::default() }), "width");
    assert_eq!(fails(Options { resolution: Some(0), ..Options::default() }), "resolution");
    assert_eq!(fails(Options { classes: Some(usize::MAX), ..Options::default() }), "classes");
    assert_eq!(fails(Options { in_channels: Some(0), ..Options::default() }), "in_channels");
    // One pixel is enough: padding keeps every map at one.
    assert!(build("mobilenet-v2", &Options { resolution: Some(1), ..Options::default() }).is_ok());
}

/// The graph that PyTorch exported has the same layers: parameters, multiply-adds and output
/// shape of every convolution and of the classifier.
#[test]
fn layers_equal_the_torchvision_export() {
    let Some(path) = shared_data("models/mobilenet_v2_torchvision.onnx") else { return };
    let layers = |cost: Cost| -> Vec<_> {
        let counted = cost.nodes.into_iter().filter(|n| n.macs > 0 || n.parameters > 0);
        counted.map(|n| (n.op, n.parameters, n.macs, n.output)).collect()
    };
    let theirs = cost(&onnx::import(&path).unwrap(), 1).unwrap();
    assert_eq!(theirs.parameters, 3_504_872);
    assert_eq!(layers(theirs), layers(of(&MobileNetV2::imagenet()).1));
}
