//! The cut against brute force, on random graphs and on those of the zoo.

use edgecut_collab::partition::{
    Conditions, Cost, Crossing, Limits, Objective, Placement, Planner, Problem, Radio, Transfer,
    Vertex, Vertices,
};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, ValueId, cost};

/// Up to eleven vertices, tensors with any number of readers, several inputs and outputs.
fn random_problem(rng: &mut Rng) -> Problem {
    let count = 1 + rng.below(11);
    let number =
        |rng: &mut Rng, most: usize| if rng.below(5) == 0 { 0 } else { rng.below(most) as u64 };
    let vertices = (0..count).map(|_| Vertex {
        device_ns: number(rng, 1000),
        server_ns: number(rng, 300),
        picojoules: number(rng, 1_000_000),
        weight_bytes: number(rng, 100),
        reply_bytes: number(rng, 20),
    });
    let vertices: Vec<Vertex> = vertices.collect();
    let mut tensors = vec![];
    // Where tensors are read soon, some vertices are passed by all computation.
    let reach = [count, 1 + rng.below(3)][rng.below(2)];
    for at in 0..count + 1 + rng.below(3) {
        let producer = at.checked_sub(1).filter(|&p| p < count);
        let first = producer.map_or(0, |p| p + 1);
        let last = count.min(first + reach);
        let rare = if reach < count { 2 } else { 3 };
        let mut readers: Vec<usize> = (first..last).filter(|_| rng.below(rare) == 0).collect();
        if rng.below(2) == 0 {
            readers.truncate(1);
        }
        let bytes = number(rng, 500);
        let transfer = Transfer { bytes, encode_ns: number(rng, 50), decode_ns: number(rng, 20) };
        tensors.push(Crossing { transfer, bytes: 4 * bytes, producer, readers });
    }
    Problem::new(vertices, tensors).unwrap()
}

fn random_conditions(rng: &mut Rng) -> Conditions {
    Conditions {
        up_bits: [0, 1 << 20, 1 << 30, 8_000_000_000, 80_000_000_000][rng.below(5)],
        down_bits: [0, 8_000_000_000][rng.below(2)],
        rtt_ns: rng.below(500) as u64,
        queue_ns: rng.below(300) as u64,
        slowdown_permille: [100, 1000, 4000][rng.below(3)],
    }
}

/// The sums of the documentation, written out once more.
fn plainly(problem: &Problem, device: u32, now: &Conditions, radio: &Radio) -> Option<[u64; 4]> {
    let here = |v: usize| device >> v & 1 == 1;
    let [mut own, mut link, mut server, mut fixed, mut bytes, mut energy] = [0u64; 6];
    for (v, vertex) in problem.vertices().iter().enumerate() {
        if here(v) {
            own += vertex.device_ns;
            energy += vertex.picojoules;
        } else {
            server += vertex.server_ns * u64::from(now.slowdown_permille) / 1000;
            fixed += if now.down_bits > 0 {
                (vertex.reply_bytes * 8_000_000_000).div_ceil(now.down_bits)
            } else {
                0
            };
        }
    }
    for tensor in problem.tensors() {
        let made = tensor.producer.is_none_or(here);
        if !made && tensor.readers.iter().any(|&r| here(r)) {
            return None;
        }
        if made && tensor.readers.iter().any(|&r| !here(r)) {
            let t = tensor.transfer;
            own += t.encode_ns;
            link += match (t.bytes, now.up_bits) {
                (0, _) => 0,
                (_, 0) => 1 << 45,
                (bytes, rate) => (bytes * 8_000_000_000).div_ceil(rate).min(1 << 45),
            };
            server += t.decode_ns * u64::from(now.slowdown_permille) / 1000;
            bytes += t.bytes;
        }
    }
    if (0..problem.vertices().len()).any(|v| !here(v)) {
        fixed += now.rtt_ns + now.queue_ns;
    }
    let on = (link + server + fixed) * radio.on_mw;
    energy += bytes * 8 * radio.pj_per_bit + on;
    Some([own + link + server + fixed, energy, server, own.max(link).max(server)])
}

const OBJECTIVES: [Objective; 4] =
    [Objective::Latency, Objective::Energy, Objective::Server, Objective::Throughput];

#[test]
fn the_cut_equals_brute_force_on_random_graphs() {
    for seed in 0..1000 {
        let mut rng = Rng::keyed(&[seed, 0x63_7574]);
        let problem = random_problem(&mut rng);
        let radio = [Radio::WIFI, Radio::LTE][rng.below(2)];
        let planner = Planner::new(problem.clone(), radio, None);
        for _ in 0..3 {
            let now = random_conditions(&mut rng);
            let sets = (0..1u32 << problem.vertices().len())
                .filter_map(|set| plainly(&problem, set, &now, &radio));
            let sets: Vec<[u64; 4]> = sets.collect();
            assert_eq!(planner.family().plans.len(), sets.len(), "closed sets of seed {seed}");
            for (index, objective) in OBJECTIVES.into_iter().enumerate() {
                let best = sets.iter().map(|values| values[index]).min();
                let found = planner.decide(objective, &Limits::default(), &now).unwrap();
                let value = objective.of(&found.cost);
                assert_eq!(Some(value), best, "seed {seed}, {objective:?}, {now:?}");
                assert_eq!(found.bound, value);
                assert!(problem.is_closed(&found.device));
            }
            // Of equally good plans, the family's choice and the cut's are the same one.
            let least = planner.least(Objective::Latency, &now);
            let first = planner
                .candidates(&now)
                .into_iter()
                .filter(|d| d.cost.total_ns() == least.cost.total_ns());
            let first = first.min_by_key(|d| {
                (d.placement != Placement::Local, d.device.iter().filter(|&&h| h).count())
            });
            assert_eq!(first.unwrap().device, least.device, "seed {seed}");
        }
    }
}

#[test]
fn limits_are_kept_and_the_best_within_them_is_found() {
    for seed in 0..300 {
        let mut rng = Rng::keyed(&[seed, 0x6c_696d]);
        let problem = random_problem(&mut rng);
        let planner = Planner::new(problem, Radio::WIFI, None);
        let now = random_conditions(&mut rng);
        let all = planner.candidates(&now);
        let some = all[rng.below(all.len())].cost;
        let limits =
            Limits { memory_bytes: Some(some.memory_bytes), latency_ns: Some(some.total_ns()) };
        for objective in OBJECTIVES {
            let best =
                all.iter().filter(|d| limits.admit(&d.cost)).map(|d| objective.of(&d.cost)).min();
            let found = planner.decide(objective, &limits, &now);
            assert_eq!(found.map(|d| objective.of(&d.cost)), best, "seed {seed} {objective:?}");
        }
        let impossible = Limits { memory_bytes: None, latency_ns: Some(0) };
        let free = all.iter().any(|d| d.cost.total_ns() == 0);
        assert_eq!(planner.decide(Objective::Server, &impossible, &now).is_some(), free);
    }
}

/// A device of 2 GMAC/s that moves 1 GB/s, and a server ten times as fast.
fn of_graph(graph: &Graph) -> (Vertices, Problem) {
    let macs: Vec<u64> = cost::cost(graph, 1).unwrap().nodes.iter().map(|n| n.macs).collect();
    let node = |index: usize| {
        let value = graph.value(graph.nodes[index].output());
        let ns = macs[index] / 2 + 4 * value.shape.with_symbols(1).iter().product::<usize>() as u64;
        [ns, ns / 10, 5 * macs[index]]
    };
    let price =
        |_: &Graph, _: ValueId, bytes: u64| Transfer { bytes: bytes / 8, ..Transfer::default() };
    Vertices::of_nodes(graph, node, &price).unwrap()
}

#[test]
fn the_cut_equals_brute_force_on_the_zoo() {
    let mut exhaustive = vec![];
    for architecture in edgecut_zoo::list() {
        let graph = architecture.build(&edgecut_zoo::Options::default()).unwrap();
        let (vertices, problem) = of_graph(&graph);
        let picture = Transfer { bytes: 16_000, encode_ns: 2_000_000, decode_ns: 500_000 };
        let planner = Planner::new(problem, Radio::WIFI, Some(picture));
        let mut splits = 0;
        for megabits in [0.1, 0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0] {
            let now = Conditions::idle(megabits, 20.0);
            for objective in [Objective::Latency, Objective::Energy] {
                let least = planner.least(objective, &now);
                let best =
                    planner.candidates(&now).into_iter().map(|d| objective.of(&d.cost)).min();
                let value = objective.of(&least.cost);
                match planner.family().exhaustive {
                    true => assert_eq!(Some(value), best, "{} {megabits}", architecture.name),
                    false => assert!(Some(value) <= best, "{} {megabits}", architecture.name),
                }
                splits += usize::from(least.placement == Placement::Split);
                let cut: Vec<usize> = planner.problem().crossing(&least.device).collect();
                cut.iter().for_each(|&t| assert!(graph.values().len() > vertices.value(t).index()));
            }
        }
        println!("{}: {} plans, {splits} splits", architecture.name, planner.family().plans.len());
        exhaustive.push(planner.family().exhaustive);
    }
    let small = exhaustive.iter().filter(|&&e| e).count();
    assert!(10 * small >= 9 * exhaustive.len(), "{small} of {} are enumerated", exhaustive.len());
}

#[test]
fn throughput_of_wide_graphs_has_a_bound_and_a_plan_near_it() {
    let mut rng = Rng::new(5);
    let (width, length) = (8, 6);
    let count = width * length;
    let vertex = |rng: &mut Rng| Vertex {
        device_ns: 500 + rng.below(1000) as u64,
        server_ns: 100 + rng.below(300) as u64,
        ..Vertex::default()
    };
    let vertices: Vec<Vertex> = (0..count).map(|_| vertex(&mut rng)).collect();
    let tensors = (0..count).map(|at| {
        let transfer = Transfer { bytes: 10 + rng.below(90) as u64, ..Transfer::default() };
        let producer = (at % length > 0).then(|| at - 1);
        Crossing { transfer, bytes: 0, producer, readers: vec![at] }
    });
    let problem = Problem::new(vertices, tensors.collect()).unwrap();
    let planner = Planner::new(problem, Radio::WIFI, None);
    assert!(!planner.family().exhaustive);
    let now = Conditions { up_bits: 1_000_000_000, ..Conditions::idle(0.0, 0.0) };
    let found = planner.decide(Objective::Throughput, &Limits::default(), &now).unwrap();
    let value = found.cost.stage_ns();
    assert!(found.bound <= value && value < found.bound * 5 / 4, "{} {value}", found.bound);
}

#[test]
fn a_tensor_that_two_read_is_paid_once() {
    let vertex = |device_ns| Vertex { device_ns, server_ns: 1, ..Vertex::default() };
    let tensor = |bytes, producer, readers: &[usize]| Crossing {
        transfer: Transfer { bytes, ..Transfer::default() },
        bytes,
        producer,
        readers: readers.to_vec(),
    };
    let tensors = vec![
        tensor(1000, None, &[0]),
        tensor(100, Some(0), &[1, 2]),
        tensor(90, Some(1), &[3]),
        tensor(90, Some(2), &[3]),
    ];
    let problem =
        Problem::new(vec![vertex(1), vertex(40), vertex(40), vertex(40)], tensors).unwrap();
    let planner = Planner::new(problem, Radio::WIFI, None);
    // 8 Gbit/s: a byte is a nanosecond.
    let least = planner.least(Objective::Latency, &Conditions::idle(8000.0, 0.0));
    assert_eq!(least.device, [true, false, false, false]);
    assert_eq!(
        least.cost,
        Cost { device_ns: 1, bytes: 100, link_ns: 100, server_ns: 3, ..least.cost }
    );
    // With a round trip that is not worth it, everything stays.
    let far = planner.least(Objective::Latency, &Conditions::idle(8000.0, 1.0));
    assert_eq!(far.placement, Placement::Local);
}

#[test]
fn tensors_that_flow_back_are_refused() {
    let backwards = Crossing { producer: Some(1), readers: vec![0], ..Crossing::default() };
    let error = Problem::new(vec![Vertex::default(); 2], vec![backwards]).unwrap_err();
    assert!(error.to_string().contains("tensor 0"), "{error}");
}
