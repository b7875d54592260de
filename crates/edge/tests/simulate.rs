//! The policy on links that change, in virtual time: near to what knows all, never late.

use edgecut_collab::Trace;
use edgecut_collab::partition::Placement;
use edgecut_edge::clock::MS;
use edgecut_edge::policy::{Candidate, Policy, Reserve};
use edgecut_edge::simulate::{self, Arrivals};
use edgecut_graph::rng::Rng;

/// Ten minutes of a link whose rate wanders over a factor of a hundred, with outages.
fn trace(seed: u64) -> Trace {
    let mut rng = Rng::keyed(&[seed, 11]);
    let mut log_rate = rng.range(6.0, 9.0);
    let mut row = |_| {
        log_rate = (log_rate + 0.3 * rng.normal()).clamp(5.0, 10.0);
        let rate = if rng.below(40) == 0 { 0.0 } else { log_rate.exp() };
        format!(r#"{{"duration_ms": 1000, "bandwidth_kbps": {rate:.0}, "latency_ms": 40}}"#)
    };
    let rows: Vec<String> = (0..600).map(&mut row).collect();
    Trace::parse(format!("[{}]", rows.join(",")).as_bytes()).unwrap()
}

fn plans() -> Vec<Candidate> {
    let plan = |placement, own, bytes, server, rest| Candidate {
        placement,
        own_ns: own * MS,
        bytes,
        server_ns: server * MS,
        rest_ns: rest * MS,
    };
    vec![
        plan(Placement::Local, 300, 0, 0, 0),
        plan(Placement::Raw, 0, 150_000, 15, 300),
        plan(Placement::Split, 90, 5_000, 10, 215),
        plan(Placement::Picture, 2, 19_000, 15, 300),
    ]
}

#[test]
fn near_the_oracle_and_never_late() {
    let arrivals = Arrivals { period_ns: 600 * MS, deadline_ns: 600 * MS };
    for seed in 0..20 {
        let (trace, plans) = (trace(seed), plans());
        let mut policy = Policy::new(plans.clone(), Reserve::AtOnce).unwrap();
        let ours = simulate::policy(&mut policy, &trace, &arrivals);
        let oracle = simulate::oracle(&plans, &trace, &arrivals);
        let [local, jpeg] =
            [&plans[0], &plans[3]].map(|plan| simulate::fixed(plan, &trace, &arrivals));
        let (mean, best) = (ours.mean_ms(), oracle.mean_ms());
        assert!(mean <= 1.1 * best, "seed {seed}: {mean} ms, the oracle {best}");
        let bound = local.quantile_ms(0.95).min(jpeg.quantile_ms(0.95));
        assert!(ours.quantile_ms(0.95) <= 1.05 * bound, "seed {seed}: {}", ours.quantile_ms(0.95));
        assert_eq!(ours.marks[3], 0, "seed {seed}");
    }
}

#[test]
fn a_late_reserve_is_never_late_either() {
    let arrivals = Arrivals { period_ns: 600 * MS, deadline_ns: 330 * MS };
    for seed in 0..20 {
        let trace = trace(seed);
        let mut policy = Policy::new(plans(), Reserve::Late).unwrap();
        let ours = simulate::policy(&mut policy, &trace, &arrivals);
        assert_eq!(ours.marks[3], 0, "seed {seed}");
        let local = simulate::fixed(&plans()[0], &trace, &arrivals);
        assert!(ours.mean_ms() < 1.02 * local.mean_ms(), "seed {seed}: {}", ours.mean_ms());
    }
}
