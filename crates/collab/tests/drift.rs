//! The watch on a certificate: rarely an alarm in vain, soon one with a reason.

use edgecut_collab::certify::Binomial;
use edgecut_collab::drift::{Audit, Drift, delay};
use edgecut_graph::rng::Rng;

const AUDIT: Audit = Audit { share: 0.01, seed: 3, limit: 0.02, alpha: 0.05 };

fn alarms(runs: u64, horizon: usize, rate: impl Fn(usize) -> f32) -> u64 {
    let run = |run: u64| {
        let mut rng = Rng::keyed(&[run, 5]);
        let mut drift = Drift::new(&AUDIT);
        (0..horizon).any(|t| drift.observe(rng.uniform() < rate(t)))
    };
    (0..runs).filter(|&number| run(number)).count() as u64
}

#[test]
fn alarms_in_vain_are_as_rare_as_promised() {
    // At the limit itself; close below it; and, which is no drift either, up to it again and again.
    let steady: [fn(usize) -> f32; 3] =
        [|_| 0.02, |_| 0.018, |t| if t / 400 % 2 == 0 { 0.0 } else { 0.02 }];
    for rate in steady {
        let (runs, horizon) = (1000, 6000);
        let count = alarms(runs, horizon, rate);
        let p = 1.0 - Binomial { n: runs, p: AUDIT.alpha }.at_most(count.max(1) - 1);
        assert!(p > 1e-4, "{count} of {runs}");
    }
}

#[test]
fn changes_are_noticed_whenever_they_come() {
    for change in [0, 500, 20_000] {
        let found = alarms(40, change + 2000, |t| if t < change { 0.01 } else { 0.08 });
        assert!(found >= 38, "{found} of 40 after {change}");
    }
    let after = |steady| delay(&AUDIT, [0.01, 0.1], steady, 5000, 41).unwrap();
    let (soon, late) = (after(0), after(50_000));
    // The logarithm of the time, not the time.
    assert!(soon <= late && late < 8 * soon.max(20), "{soon} {late}");
    let small = delay(&AUDIT, [0.01, 0.05], 0, 20_000, 41).unwrap();
    assert!(small > soon, "{small} {soon}");
    assert_eq!(delay(&AUDIT, [0.01, 0.01], 0, 500, 21), None);
}

#[test]
fn an_alarm_stays_and_survives_a_restart() {
    let mut drift = Drift::new(&AUDIT);
    let mut before = 0;
    while !drift.observe(true) {
        before += 1;
    }
    assert!((1..8).contains(&before), "{before}");
    assert!(drift.observe(false) && drift.tripped() && drift.evidence() >= 20.0);
    let stored = serde_json::to_string(&drift).unwrap();
    let mut again: Drift = serde_json::from_str(&stored).unwrap();
    assert_eq!(again, drift);
    assert!(again.observe(false));
    assert_eq!(again.seen(), [before + 3, before + 1]);
}

#[test]
fn requests_are_picked_by_their_ids() {
    let count =
        |audit: &Audit| (0..100_000u64).filter(|id| audit.picks(&id.to_le_bytes())).count() as f64;
    assert!((count(&AUDIT) - 1000.0).abs() < 130.0, "{}", count(&AUDIT));
    assert_eq!(count(&Audit { share: 0.0, ..AUDIT }), 0.0);
    assert_eq!(count(&Audit { share: 1.0, ..AUDIT }), 100_000.0);
    let picked = |seed| {
        let audit = Audit { share: 0.5, seed, ..AUDIT };
        (0..64u64).map(|id| audit.picks(&id.to_le_bytes())).collect::<Vec<bool>>()
    };
    assert!(picked(1) == picked(1) && picked(1) != picked(2));
}
