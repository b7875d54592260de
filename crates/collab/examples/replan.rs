//! How long it takes to plan again for another link: the median over many links, for graphs of 500
//! vertices and for networks of the zoo, every node a vertex.
//!
//! cargo run --release -p edgecut-collab --example replan

use std::time::Instant;

use edgecut_collab::partition::{
    Conditions, Crossing, Objective, Planner, Problem, Radio, Transfer, Vertex, Vertices,
};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, ValueId, cost};

const LINKS: usize = 500;

/// Blocks of `width` branches of `length` vertices, of 500 vertices together; each block adds its
/// input. Tensors shrink and grow again, as those of networks do.
fn blocks(rng: &mut Rng, width: usize, length: usize) -> Problem {
    let block = width * length + 1;
    let count = 500 / block * block;
    let mut readers: Vec<Vec<usize>> = vec![vec![]; count + 1];
    for first in (0..count).step_by(block) {
        let join = first + block - 1;
        for branch in 0..width {
            let at = first + branch * length;
            readers[first].push(at);
            (at..at + length - 1).for_each(|v| readers[v + 1].push(v + 1));
            readers[at + length].push(join);
        }
        readers[first].push(join);
    }
    let vertex = |_| {
        let device_ns = 10_000 + rng.below(200_000) as u64;
        Vertex { device_ns, server_ns: device_ns / (2 + rng.below(20) as u64), ..Vertex::default() }
    };
    let vertices: Vec<Vertex> = (0..count).map(vertex).collect();
    let tensor = |(index, readers): (usize, Vec<usize>)| {
        let bytes = 1_000 + rng.below(200_000) as u64 * (count - index) as u64 / count as u64;
        let transfer = Transfer { bytes, ..Transfer::default() };
        Crossing { transfer, bytes, producer: index.checked_sub(1), readers }
    };
    let tensors = readers.into_iter().enumerate().map(tensor).collect();
    Problem::new(vertices, tensors).expect("readers come later")
}

fn of_graph(graph: &Graph) -> Problem {
    let nodes = cost::cost(graph, 1).expect("networks of the zoo are valid").nodes;
    let node = |index: usize| {
        let ns = nodes[index].macs / 2 + nodes[index].live_bytes / 2;
        [ns, ns / 10, 0]
    };
    let price =
        |_: &Graph, _: ValueId, bytes: u64| Transfer { bytes: bytes / 8, ..Transfer::default() };
    Vertices::of_nodes(graph, node, &price).expect("networks of the zoo are valid").1
}

fn report(name: &str, problem: Problem) {
    let vertices = problem.vertices().len();
    let start = Instant::now();
    let planner = Planner::new(problem, Radio::WIFI, None);
    let built = start.elapsed();
    let mut rng = Rng::new(7);
    let mut times: Vec<f64> = (0..LINKS)
        .map(|_| {
            let megabits = 10f64.powf(f64::from(rng.range(-1.5, 3.5)));
            let now = Conditions::idle(megabits, f64::from(rng.range(1.0, 100.0)));
            let start = Instant::now();
            std::hint::black_box(planner.least(Objective::Latency, &now));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name:28} {vertices:4} vertices, {:5} plans, built in {:7.2} ms, planned again in {:6.0} us \
         (99 %: {:6.0})",
        planner.family().plans.len(),
        built.as_secs_f64() * 1e3,
        times[LINKS / 2],
        times[LINKS * 99 / 100]
    );
}

fn main() {
    let mut rng = Rng::new(1);
    for (name, width, length) in
        [("chain", 1, 9), ("residual blocks", 1, 4), ("two branches", 2, 4), ("wide", 4, 6)]
    {
        report(name, blocks(&mut rng, width, length));
    }
    for architecture in edgecut_zoo::list() {
        let graph = architecture.build(&edgecut_zoo::Options::default());
        report(architecture.name, of_graph(&graph.expect("the zoo builds")));
    }
}
