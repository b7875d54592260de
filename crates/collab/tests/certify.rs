//! Thresholds with a guarantee: p-values against every possible outcome, sequences against brute
//! force, and the guarantee itself against fresh samples.

use edgecut_collab::certify::{
    Binomial, Certificate, Goal, Ledger, Losses, Measured, Risk, Sample, Score, Sequence, VERSION,
    certify, pvalue,
};
use edgecut_collab::drift::Audit;
use edgecut_graph::rng::Rng;
use proptest::prelude::*;

const LEVELS: [f64; 6] = [0.001, 0.01, 0.05, 0.1, 0.3, 0.7];

/// Probability that the p-value of losses is `level` or less, over all outcomes of `n` samples that
/// are worse with probability `up` and better with `down`.
fn exceedance(n: u64, [up, down]: [f64; 2], p: impl Fn(u64, u64) -> f64) -> [f64; 6] {
    let mut sums = [0.0; 6];
    for worse in 0..=n {
        let first = Binomial { n, p: up }.mass(worse);
        for better in 0..=n - worse {
            let rest = if up < 1.0 { (down / (1.0 - up)).min(1.0) } else { 0.0 };
            let mass = first * Binomial { n: n - worse, p: rest }.mass(better);
            let value = p(worse, better);
            assert!((0.0..=1.0).contains(&value), "{worse} {better}: {value}");
            LEVELS
                .iter()
                .zip(&mut sums)
                .filter(|(l, _)| value <= **l)
                .for_each(|(_, s)| *s += mass);
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The definition of a p-value, by all outcomes.
    #[test]
    fn p_values_are_valid(
        n in 5u64..70,
        limit in 0.005f64..0.4,
        differ in 0.0f64..1.0,
        beyond in 0.0f64..0.3,
        spare in 0.0005f64..0.02,
    ) {
        // The mean is at the limit or above it, the models differ as often as that takes or more.
        let mean = (limit + if beyond < 0.1 { 0.0 } else { beyond }).min(1.0);
        let d = mean + differ * (1.0 - mean);
        let rates = [0.5 * (d + mean), 0.5 * (d - mean)];
        let paired = exceedance(n, rates, |w, b| pvalue::paired(w, b, n, limit, spare));
        let binary = exceedance(n, [mean, 0.0], |w, _| pvalue::exact(w, n, limit));
        let bounded = exceedance(n, [mean, 0.0], |w, _| {
            pvalue::hoeffding_bentkus(w as f64 / n as f64, n, limit)
        });
        for (index, level) in LEVELS.iter().enumerate() {
            for (name, found) in [("paired", paired), ("exact", binary), ("bounded", bounded)] {
                prop_assert!(found[index] <= level + 1e-9, "{name} at {level}: {}", found[index]);
            }
        }
    }

    #[test]
    fn fewer_losses_and_more_samples_never_weigh_less(
        worse in 0u64..60, better in 0u64..40, more in 0u64..3000, limit in 0.005f64..0.1,
    ) {
        let n = 100 + more;
        let p = |worse, better, n| pvalue::paired(worse, better, n, limit, 0.0025);
        prop_assert!(p(worse, better, n) <= p(worse + 1, better, n) + 1e-12);
        prop_assert!(p(worse, better, n + 50) <= p(worse, better, n) + 1e-12);
    }

    #[test]
    fn ledgers_are_brute_force(seed in 0u64..10_000, exits in 1usize..4, gap: bool) {
        let mut rng = Rng::new(seed);
        let samples: Vec<Sample> = (0..40).map(|_| sample(&mut rng, exits)).collect();
        let sequence = sequence(&mut rng, exits);
        let risk = if gap { Risk::Gap } else { Risk::Disagreement };
        let ledger = Ledger::new(&samples, &sequence, risk).unwrap();
        let picked = [3usize, 4, 9, 9, 17, 33, 39];
        let (losses, n) = ledger.losses(picked);
        prop_assert_eq!(n, 7);
        for (found, thresholds) in losses.iter().zip(sequence.configurations()) {
            let mut expected = Losses::default();
            for &index in &picked {
                let sample = &samples[index];
                let class = sample.exit(thresholds).map_or(sample.full, |e| sample.exits[e].1);
                let loss = match risk {
                    Risk::Disagreement => i8::from(class != sample.full),
                    Risk::Gap => i8::from(sample.label == Some(sample.full))
                        - i8::from(sample.label == Some(class)),
                };
                expected.worse += u64::from(loss == 1);
                expected.better += u64::from(loss == -1);
            }
            prop_assert_eq!(found, &expected);
        }
    }

    #[test]
    fn certificates_are_read_or_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = certificate().to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(other) = Certificate::from_json(&bytes) {
            prop_assert!(other.thresholds.iter().all(|t| (0.0..=1.0).contains(t)));
            prop_assert!(other.goal.epsilon > 0.0 && other.audit.share <= 1.0);
        }
    }
}

/// Exits that know more and more, all of them in three classes.
fn sample(rng: &mut Rng, exits: usize) -> Sample {
    let label = rng.below(3) as u32;
    let class = |rng: &mut Rng, right: f32| match rng.uniform() < right {
        true => label,
        false => rng.below(3) as u32,
    };
    let score = |rng: &mut Rng| f64::from(rng.below(9) as u8) / 8.0;
    let exits = (0..exits).map(|_| (score(rng), class(rng, 0.6))).collect();
    Sample { exits, full: class(rng, 0.8), label: Some(label) }
}

fn sequence(rng: &mut Rng, exits: usize) -> Sequence {
    let mut thresholds = vec![1.2; exits];
    let mut configurations = vec![];
    for _ in 0..12 {
        configurations.push(thresholds.clone());
        thresholds.iter_mut().for_each(|t| *t -= 0.25 * f64::from(rng.uniform()));
    }
    Sequence::new(configurations).unwrap()
}

/// Of many samples, betting is valid at whatever time one stops.
#[test]
fn bets_against_a_true_limit_are_lost() {
    for (limit, up, down) in [(0.02, 0.02, 0.0), (0.02, 0.06, 0.04), (0.2, 0.5, 0.3)] {
        let runs = 2000;
        let mut won = 0;
        for run in 0..runs {
            let mut rng = Rng::keyed(&[run, 7]);
            let losses = (0..1500).map(|_| {
                let u = rng.uniform();
                if u < up { 1.0 } else { -f64::from(u8::from(u < up + down)) }
            });
            won += u64::from(pvalue::betting(losses, [-1.0, 1.0], limit) <= 0.05);
        }
        let p = 1.0 - Binomial { n: runs, p: 0.05 }.at_most(won.max(1) - 1);
        assert!(p > 1e-6, "{won} of {runs} at {limit}");
    }
    // And a mean below it is found.
    let mut rng = Rng::new(1);
    let losses: Vec<f64> = (0..4000).map(|_| f64::from(u8::from(rng.uniform() < 0.005))).collect();
    assert!(pvalue::betting(losses, [0.0, 1.0], 0.02) < 0.001);
}

/// Where models mostly agree, what they differ in is worth more than bounds for any losses.
#[test]
fn the_paired_test_finds_what_others_do_not() {
    let (worse, better, n, limit) = (120, 100, 5000, 0.01);
    let paired = pvalue::paired(worse, better, n, limit, 0.0025);
    let shifted = 0.5 * ((worse - better) as f64 / n as f64 + 1.0);
    let bounded = pvalue::hoeffding_bentkus(shifted, n, 0.5 * (limit + 1.0));
    assert!(paired < 0.05 && bounded > 0.3, "{paired} {bounded}");
    // A normal approximation with the variance that was seen, which promises nothing, says 0.0216.
    let z = (n as f64 * limit - 20.0) / 220f64.sqrt();
    assert!(z > 2.0 && paired < 0.04, "{z} {paired}");
}

/// A population whose risk under each threshold is known: confidence u, and the small model is worse with
/// probability (1 - u) / 5, better with half of that.
fn draw(rng: &mut Rng) -> Sample {
    let u = f64::from(rng.uniform());
    let v = f64::from(rng.uniform());
    let worse = 0.2 * (1.0 - u);
    let (full, edge) = match v {
        v if v < worse => (0, 1),
        v if v < 1.5 * worse => (1, 0),
        _ => (0, 0),
    };
    Sample { exits: vec![(u, edge)], full, label: Some(0) }
}

/// By integration of the above from t to 1.
fn truth(risk: Risk, t: f64) -> f64 {
    let area = 0.5 * (1.0 - t).powi(2);
    match risk {
        Risk::Gap => 0.1 * area,
        Risk::Disagreement => 0.3 * area,
    }
}

#[test]
fn the_guarantee_holds_on_fresh_samples_and_is_not_wasted() {
    let sequence = Sequence::common(1);
    for risk in [Risk::Gap, Risk::Disagreement] {
        let goal = Goal { risk, epsilon: 0.02, delta: 0.1 };
        let runs = 300;
        let (mut violated, mut mean) = (0, 0.0);
        for run in 0..runs {
            let mut rng = Rng::keyed(&[run, 11]);
            let samples: Vec<Sample> = (0..1500).map(|_| draw(&mut rng)).collect();
            let step = certify(&samples, &sequence, &goal).unwrap().unwrap();
            let risk = truth(risk, sequence.configurations()[step][0]);
            violated += u64::from(risk > goal.epsilon);
            mean += risk / runs as f64;
        }
        let p = 1.0 - Binomial { n: runs, p: goal.delta }.at_most(violated.max(1) - 1);
        assert!(p > 1e-4, "{risk:?}: {violated} of {runs}");
        assert!(mean > 0.5 * goal.epsilon, "{risk:?}: {mean} of {} is used", goal.epsilon);
    }
}

#[test]
fn resplits_count_violations_and_repeat_to_the_bit() {
    let mut rng = Rng::new(5);
    let samples: Vec<Sample> = (0..3000).map(|_| draw(&mut rng)).collect();
    let sequence = Sequence::common(1);
    let ledger = Ledger::new(&samples, &sequence, Risk::Disagreement).unwrap();
    let goal = Goal { risk: Risk::Disagreement, epsilon: 0.02, delta: 0.1 };
    let found = ledger.resplit(200, 1500, &goal, 3);
    assert_eq!(found.steps.iter().sum::<u64>(), 200);
    assert!(found.on_all.rate <= 0.1 && found.on_all.p_value > 0.5, "{found:?}");
    assert_eq!(found, ledger.resplit(200, 1500, &goal, 3));
    // A promise that is never kept is noticed: delta for epsilon that is far too small a test.
    let careless = Goal { delta: 0.999, ..goal };
    let found = ledger.resplit(200, 1500, &careless, 3);
    assert!(found.on_the_rest.rate > 0.3, "{found:?}");
}

#[test]
fn too_few_samples_certify_nothing() {
    let goal = Goal { risk: Risk::Disagreement, epsilon: 0.01, delta: 0.05 };
    assert_eq!(goal.fewest(), 299);
    let perfect = Sample { exits: vec![(1.0, 2)], full: 2, label: None };
    let sequence = Sequence::common(1);
    for (count, step) in [(0, None), (298, None), (299, Some(320))] {
        let samples = vec![perfect.clone(); count];
        assert_eq!(certify(&samples, &sequence, &goal).unwrap(), step, "{count}");
    }
}

#[test]
fn figures_of_a_configuration() {
    let sample = |first: (f64, u32), second: (f64, u32), full, label| Sample {
        exits: vec![first, second],
        full,
        label,
    };
    let samples = [
        sample((0.9, 1), (0.2, 2), 2, Some(1)),
        sample((0.3, 1), (0.8, 2), 2, Some(1)),
        sample((0.3, 0), (0.1, 0), 1, Some(1)),
        sample((0.95, 0), (0.1, 1), 1, None),
    ];
    let found = Measured::of(&samples, &[0.9, 0.5]);
    assert_eq!((found.exits.as_slice(), found.escalated), (&[2, 1][..], 1));
    assert_eq!((found.agree, found.labelled, found.right), (2, 3, [2, 2, 1]));
    assert_eq!((found.saved(), found.gap()), (0.75, -1.0 / 3.0));
    assert_eq!(Measured::of(&samples, &[]).escalated, 4);
}

fn certificate() -> Certificate {
    Certificate {
        version: VERSION,
        edge: "0f".repeat(32),
        cloud: "a1".repeat(32),
        score: Score::Margin,
        distribution: false,
        same_input: true,
        thresholds: vec![0.875, 0.5],
        goal: Goal { risk: Risk::Gap, epsilon: 0.01, delta: 0.05 },
        samples: 5000,
        measured: 0.004,
        saved: 0.71,
        audit: Audit { share: 0.005, seed: 1, limit: 0.03, alpha: 0.01 },
    }
}

#[test]
fn certificates_come_back_and_decide() {
    let one = certificate();
    assert_eq!(Certificate::from_json(one.to_json().as_bytes()).unwrap(), one);
    // Margins: 0.9 - 0.1, then 0.76.
    let logits = |margin: f32| [((1.0 + margin) / (1.0 - margin)).ln(), 0.0];
    let (unsure, sure) = (logits(0.8), logits(0.76));
    assert_eq!(one.exit(&[&unsure, &sure]), Some(1));
    assert_eq!(one.exit(&[&logits(0.9), &sure]), Some(0));
    assert_eq!(one.exit(&[&unsure, &logits(0.3)]), None);
    assert_eq!(Certificate { thresholds: vec![], ..one.clone() }.exit(&[&sure]), None);
    assert!(one.check_models(&[0x0f; 32], Some(&[0xa1; 32])).is_ok());
    let other = one.check_models(&[0x0e; 32], None).unwrap_err().to_string();
    assert!(other.contains("another edge model"), "{other}");
    assert!(one.check_models(&[0x0f; 32], Some(&[0; 32])).is_err());
    for (from, to, says) in [
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("0.875", "-0.1", "threshold of -0.1"),
        ("\"epsilon\": 0.01", "\"epsilon\": 0", "epsilon is 0"),
        ("\"alpha\": 0.01", "\"alpha\": 1", "alpha is 1"),
        ("0f0f", "0g0f", "SHA-256"),
        ("\"margin\"", "\"luck\"", "luck"),
    ] {
        let text = one.to_json().replacen(from, to, 1);
        let error = Certificate::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says), "{from}: {error}");
    }
}

#[test]
fn wrong_samples_and_sequences_are_explained() {
    let goal = Goal { risk: Risk::Gap, epsilon: 0.01, delta: 0.05 };
    let unlabelled = Sample { exits: vec![(0.5, 1)], full: 1, label: None };
    let fails = |sequence: &Sequence, goal: &Goal, says: &str| {
        let samples = std::slice::from_ref(&unlabelled);
        let error = certify(samples, sequence, goal).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    fails(&Sequence::common(1), &goal, "has no label");
    fails(&Sequence::common(2), &goal, "has 1 exits");
    fails(&Sequence::common(1), &Goal { delta: 1.0, ..goal }, "delta is 1");
    for (configurations, says) in [
        (vec![], "no configuration"),
        (vec![vec![]], "one threshold"),
        (vec![vec![0.5], vec![0.5, 0.4]], "one threshold"),
        (vec![vec![0.5], vec![0.6]], "rises after configuration 0"),
        (vec![vec![f64::NAN]], "no number"),
    ] {
        let error = Sequence::new(configurations).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
