//! Combinations of methods, and the search for the best.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use edgecut_compress::{
    BiasCorrection, Bits, CompressError, Control, Found, Limits, QuantizeConfig, RangeMethod,
    Recipe, Rounding, WeightRange, portfolio, quantize_with,
};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Tensor, ValueId, Window, onnx};
use edgecut_kernels::Pool;
use edgecut_testkit::{random_graph, random_inputs};

fn pool(threads: usize) -> Arc<Pool> {
    Arc::new(Pool::new(threads))
}

/// Images one by one.
fn images(graph: &Graph, count: u64) -> Vec<Tensor> {
    (0..count).flat_map(|seed| random_inputs(graph, 1, 77 + seed)).collect()
}

fn vary(graph: &mut Graph, name: &str, factor: impl Fn(usize) -> f32) {
    let id: ValueId = graph.find_value(name).unwrap();
    let tensor = graph.constant(id).unwrap();
    let per = tensor.len() / tensor.shape()[0];
    let values = tensor.f32s().unwrap().iter().enumerate().map(|(i, v)| v * factor(i / per));
    let changed = Tensor::new(tensor.shape().to_vec(), values.collect::<Vec<f32>>()).unwrap();
    graph.set_constant(id, changed);
}

fn bias(graph: &mut Graph, name: &str, seed: u64) {
    let id = graph.find_value(name).unwrap();
    let mut rng = Rng::new(seed);
    let len = graph.constant(id).unwrap().len();
    let values: Vec<f32> = (0..len).map(|_| 0.3 * rng.normal()).collect();
    graph.set_constant(id, Tensor::vector(values));
}

/// Inverted residuals whose hidden channels differ in size by a factor of 60, as MobileNetV2's do
/// once BatchNorm is folded.
fn uneven() -> Graph {
    let mut b = Builder::new("uneven", 11);
    let image = b.input("image", ["batch".into(), 3.into(), 12.into(), 12.into()]);
    let mut x = b.conv(image, "stem", 8, Window::same(3, 1), 1, true).unwrap();
    x = b.relu6(x).unwrap();
    for i in 0..2 {
        let y = b.conv(x, &format!("expand{i}"), 24, Window::same(1, 1), 1, true).unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, &format!("depth{i}"), 24, Window::same(3, 1), 24, true).unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, &format!("project{i}"), 8, Window::same(1, 1), 1, true).unwrap();
        x = b.add(x, y).unwrap();
    }
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "fc", 10).unwrap();
    let mut graph = b.finish(&[x]).unwrap();
    for i in 0..2 {
        let size = |c: usize| 2f32.powi(-((c % 7) as i32));
        vary(&mut graph, &format!("expand{i}.weight"), size);
        vary(&mut graph, &format!("depth{i}.weight"), |c| size(c + 3));
        bias(&mut graph, &format!("project{i}.bias"), i);
    }
    graph
}

fn score(graph: &Graph, recipe: &Recipe) -> Found {
    let images = images(graph, 48);
    quantize_with(graph, &images, recipe, &pool(2), &Control::unlimited()).unwrap()
}

fn four_bits() -> Recipe {
    let config = QuantizeConfig { bits: Bits::Four, ..QuantizeConfig::default() };
    Recipe { config, ..Recipe::default() }
}

/// Every method does on this network what it is for.
#[test]
fn methods_gain_what_they_promise() {
    let graph = uneven();
    let plain = score(&graph, &Recipe::default()).score.sqnr_db;
    let equalised = Recipe { equalise: true, ..Recipe::default() };
    let equalised = score(&graph, &equalised).score.sqnr_db;
    assert!(equalised > plain + 0.5, "equalisation: {equalised} after {plain}");

    let four = score(&graph, &four_bits()).score.sqnr_db;
    let mut saturating = four_bits();
    saturating.config.weights = WeightRange::Mse;
    assert!(score(&graph, &saturating).score.sqnr_db > four, "saturating weights after {four}");
    for how in [BiasCorrection::Fast, BiasCorrection::Full] {
        let corrected = score(&graph, &Recipe { bias: how, ..four_bits() }).score.sqnr_db;
        assert!(corrected > four, "{how:?} bias correction: {corrected} after {four}");
    }
    let recipe = Recipe { rounding: Rounding::Learned, ..four_bits() };
    let learned = score(&graph, &recipe).score.sqnr_db;
    assert!(learned > four + 6.0, "learned rounding: {learned} after {four}");
    // Learned biases make up for rounding already: correcting them again has next to nothing to do.
    for bias in [BiasCorrection::Fast, BiasCorrection::Full] {
        let both = score(&graph, &Recipe { bias, ..recipe.clone() }).score.sqnr_db;
        assert!((both - learned).abs() < 1.0, "{bias:?} after learned: {both} after {learned}");
    }
}

/// Every combination works on every kind of graph, and is not worse than noise.
#[test]
fn combinations_work_on_generated_graphs() {
    for seed in 0..24 {
        let graph = random_graph(seed);
        let images = images(&graph, 9);
        let recipe = Recipe {
            config: QuantizeConfig { method: RangeMethod::MinMax, ..Default::default() },
            equalise: true,
            bias: [BiasCorrection::None, BiasCorrection::Fast, BiasCorrection::Full]
                [seed as usize % 3],
            rounding: if seed % 2 == 0 { Rounding::Learned } else { Rounding::Nearest },
        };
        let control = Control::unlimited();
        let found = quantize_with(&graph, &images, &recipe, &pool(2), &control).unwrap();
        assert!(found.score.sqnr_db > 15.0, "seed {seed}: {:?}", found.score);
    }
}

/// The search returns the best of its trials, the same bytes on any number of threads.
#[test]
fn the_portfolio_finds_the_best_on_any_number_of_threads() {
    let graph = uneven();
    let images = images(&graph, 24);
    let find = |threads| {
        let control = Control::unlimited();
        portfolio(&graph, &images, &Recipe::default(), Limits::default(), &pool(threads), &control)
            .unwrap()
    };
    let (one, two) = (find(1), find(2));
    assert!(!one.stopped && one.trials.len() >= 6, "{:?}", one.trials.len());
    // Of near equals chance may choose another than the one with the least noise.
    let most = one.trials.iter().map(|trial| trial.score.sqnr_db).fold(f64::MIN, f64::max);
    assert!(one.score.sqnr_db >= most - 0.3, "{:?} after {most}", one.score);
    assert!(one.score.sqnr_db > one.trials[0].score.sqnr_db + 1.5, "{:?}", one.trials);
    let bytes = |found: &Found| onnx::to_bytes(&found.quantized.graph).unwrap();
    assert_eq!(bytes(&one), bytes(&two));
    assert!(one.quantized.report.layers.iter().all(|layer| layer.output_sqnr_db.is_some()));
}

/// Whenever somebody stops it, the best so far comes back; before the first, an error.
#[test]
fn a_stopped_search_returns_the_best_so_far() {
    let graph = uneven();
    let images = images(&graph, 16);
    let (mut nothing, mut early) = (0, 0);
    for patience in (0..160).step_by(32) {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= patience;
        let control = Control { stop: &stop, deadline: None, say: &|_| () };
        match portfolio(&graph, &images, &Recipe::default(), Limits::default(), &pool(1), &control)
        {
            Ok(found) => early += usize::from(found.stopped && !found.trials.is_empty()),
            Err(error) => {
                assert!(matches!(error, CompressError::Stopped), "{error}");
                nothing += 1;
            }
        }
    }
    assert!(nothing > 0 && early > 0, "{nothing} without a result, {early} with one");
    let late = Control { deadline: Some(std::time::Instant::now()), ..Control::unlimited() };
    let found =
        portfolio(&graph, &images, &Recipe::default(), Limits::default(), &pool(1), &late).unwrap();
    assert!(found.stopped && found.trials.len() == 1, "the first is always finished");
}

/// Under a size that 8 bits do not fit some layers become 4-bit, no more than needed; under a limit
/// on lost answers some stay float.
#[test]
fn limits_choose_the_width_of_each_layer() {
    let graph = uneven();
    let images = images(&graph, 24);
    let find = |limits| {
        let control = Control { deadline: Some(std::time::Instant::now()), ..Control::unlimited() };
        portfolio(&graph, &images, &Recipe::default(), limits, &pool(2), &control).unwrap()
    };
    let eight = find(Limits { max_bytes: Some(1 << 20), ..Limits::default() });
    let mixed = eight.mixed.as_ref().unwrap();
    assert!(mixed.met && mixed.layers.iter().all(|layer| layer.bits == 8));
    let narrow = find(Limits { max_bytes: Some(mixed.bytes - 400), ..Limits::default() });
    let narrow = narrow.mixed.unwrap();
    let halved: usize = narrow.layers.iter().filter(|l| l.bits == 4).map(|l| l.weights / 2).sum();
    assert!(narrow.met && narrow.bytes <= mixed.bytes - 400, "{} bytes", narrow.bytes);
    assert!((400..600).contains(&halved), "{halved} bytes saved, 400 needed");
    let exact = find(Limits { max_drop: Some(0.0), ..Limits::default() });
    let exact = exact.mixed.unwrap();
    assert!(exact.met && exact.drop == Some(0.0), "{exact:?}");
    let sensitive = exact.layers.windows(2).all(|pair| pair[0].int8_db <= pair[1].int8_db);
    assert!(sensitive && exact.layers.iter().all(|layer| !layer.reason.is_empty()));
}

/// Under a limit on latency layers stay float as long as there is time; what cannot be met is the
/// fastest choice, and says so.
#[test]
fn a_limit_on_latency_is_measured() {
    let graph = uneven();
    let images = images(&graph, 12);
    let find = |ms: f64| {
        let control = Control { deadline: Some(std::time::Instant::now()), ..Control::unlimited() };
        let limits = Limits { max_latency_ms: Some(ms), ..Limits::default() };
        portfolio(&graph, &images, &Recipe::default(), limits, &pool(1), &control).unwrap()
    };
    let ample = find(1e4).mixed.unwrap();
    assert!(ample.met && ample.latency_ms.unwrap() < 1e4, "{ample:?}");
    assert!(ample.layers.iter().all(|layer| layer.bits == 32 && layer.float_us.unwrap() > 0.0));
    assert_eq!(ample.drop, Some(0.0));
    let none = find(1e-6);
    let mixed = none.mixed.unwrap();
    assert!(!mixed.met && mixed.latency_ms.unwrap() > 1e-6);
    assert!(mixed.layers.iter().all(|layer| layer.reason.contains("µs")));
}
