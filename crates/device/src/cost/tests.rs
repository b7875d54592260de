//! Made-up devices whose times are known.

use super::*;
use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Unary, Window};
use edgecut_runtime::{CompileOptions, compile};

/// A step whose time is a smooth function of its work.
fn step(rng: &mut Rng, kind: &str) -> Timed {
    let channels = 8 * (1 + rng.below(16));
    let pixels = [7, 14, 28][rng.below(3)];
    let macs = (channels * channels * pixels * pixels) as u64;
    let weight_bytes = 4 * (channels * channels) as u64;
    let bytes = weight_bytes + 8 * (channels * pixels * pixels) as u64;
    // What is done to the sums takes its time for every element.
    let tail = rng.below(2);
    let elements = (channels * pixels * pixels) as f64;
    let us = 0.5 + macs as f64 / 40e3 + bytes as f64 / 60e3 + tail as f64 * elements / 20e3;
    let shape = vec![1, channels, pixels, pixels];
    let form = ["1x1/1", "1x1/1 hard-swish"][tail].to_string();
    Timed { work: Work { kind: kind.into(), shape, form, macs, bytes, weight_bytes }, us }
}

fn samples(count: usize, kind: &str, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed);
    let sample = |_| {
        let steps: Vec<Timed> = (0..10 + rng.below(20)).map(|_| step(&mut rng, kind)).collect();
        // A run is faster than its steps one by one, the more so the more there are.
        let sum: f64 = steps.iter().map(|s| s.us).sum();
        let us = sum * (0.95 - 0.002 * steps.len() as f64);
        Sample { steps, us }
    };
    (0..count).map(sample).collect()
}

fn works(sample: &Sample) -> Vec<Work> {
    sample.steps.iter().map(|step| step.work.clone()).collect()
}

#[test]
fn networks_that_were_never_run_are_predicted() {
    for kind in ["pointwise", "pointwise.int8"] {
        let model = CostModel::fit(&samples(60, kind, 1), EnergyModel::default(), 1 << 20).unwrap();
        let residual = if kind.ends_with("int8") { &model.int8 } else { &model.float };
        let mut inside = 0;
        let unseen = samples(100, kind, 2);
        for sample in &unseen {
            let work = works(sample);
            let us: Vec<f64> = work.iter().map(|w| model.steps.us(w).unwrap()).collect();
            let error = residual.log_us(&us, &work) - sample.us.ln();
            assert!(error.abs() < 0.05, "{error}");
            inside += usize::from(error.abs() <= residual.width);
        }
        assert!(inside >= 88, "{inside} of 100 within an interval for 95");
    }
}

/// What took a hundred times as long, because something else ran meanwhile, is no evidence.
#[test]
fn a_disturbed_run_does_not_count() {
    let mut samples = samples(60, "pointwise", 1);
    samples[5].us *= 100.0;
    let model = CostModel::fit(&samples, EnergyModel::default(), 1 << 20).unwrap();
    let sample = &samples[6];
    let us: Vec<f64> = sample.steps.iter().map(|step| step.us).collect();
    let error = model.float.log_us(&us, &works(sample)) - sample.us.ln();
    assert!(error.abs() < 0.05, "{error}");
}

#[test]
fn of_two_measurements_the_least_times_count() {
    let [a, b] = [1, 2].map(|seed| samples(1, "pointwise", seed).remove(0));
    let mut slow = a.clone();
    slow.us *= 2.0;
    slow.steps[0].us *= 3.0;
    let mut mixed = a.clone();
    mixed.steps[1].us *= 3.0;
    assert_eq!(slow.least(mixed), a);
    assert_eq!(a.clone().least(b), a, "of other networks nothing is taken");
}

#[test]
fn too_few_networks_and_unknown_kinds_are_refused() {
    let fit = |count| CostModel::fit(&samples(count, "pointwise", 3), EnergyModel::default(), 1);
    assert!(fit(3).unwrap_err().to_string().contains("3 networks"));
    let model = fit(20).unwrap();
    let mut b = Builder::new("net", 0);
    let x = b.input("x", [1.into(), 8.into(), 14.into(), 14.into()]);
    let x = b.conv(x, "dense", 8, Window::same(3, 1), 1, false).unwrap();
    let x = b.unary(Unary::Tanh, x).unwrap();
    let plan = compile(&b.finish(&[x]).unwrap(), &CompileOptions::default()).unwrap();
    let message = model.estimate(&plan, 1).unwrap_err().to_string();
    assert!(message.contains("never measured on this device"), "{message}");
}

#[test]
fn a_measured_step_has_its_own_time() {
    let samples = samples(20, "pointwise", 5);
    let all: Vec<&Sample> = samples.iter().collect();
    let steps = Steps::fit(&all);
    let least = |work: &Work| {
        let same = samples.iter().flat_map(|s| &s.steps).filter(|s| s.work == *work);
        same.map(|s| s.us).fold(f64::INFINITY, f64::min)
    };
    for step in &samples[7].steps {
        assert_eq!(steps.us(&step.work), Some(least(&step.work)));
    }
}

#[test]
fn a_plan_is_measured_and_knows_its_memory() {
    let graph = edgecut_zoo::build("mobilenet-v2-s28", &edgecut_zoo::Options::default()).unwrap();
    let shapes = [vec![1, 1, 28, 28]];
    let plan = edgecut_runtime::compile_for(graph, &shapes, &CompileOptions::default()).unwrap();
    let plan = std::sync::Arc::new(plan);
    let pool = std::sync::Arc::new(edgecut_kernels::Pool::new(1));
    let sample = Sample::measure(&plan, &pool, std::time::Duration::from_millis(5)).unwrap();
    assert_eq!(sample.steps.len(), plan.steps().len());
    assert!(sample.us > 0.0 && sample.steps.iter().all(|s| s.us > 0.0) && !sample.int8());
    let model = CostModel::fit(&vec![sample; 8], EnergyModel::default(), 1 << 20).unwrap();
    let estimate = model.estimate(&plan, 1).unwrap();
    assert_eq!(estimate.peak_activation_bytes, plan.arena_bytes());
    assert!(estimate.memory_bytes >= plan.arena_bytes() + plan.weight_bytes());
    assert!(estimate.low_ms <= estimate.ms && estimate.ms <= estimate.high_ms);
    assert!(estimate.millijoules > 0.0);
    let steps = model.steps(&plan).unwrap();
    let sum: f64 = steps.iter().map(|(_, ms)| ms).sum();
    assert!(steps.len() == plan.steps().len() && (sum / estimate.ms - 1.0).abs() < 1e-9);
}
