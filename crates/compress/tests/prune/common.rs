//! Networks to prune, plans, and channels that hold zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use edgecut_compress::prune::{Bounds, Channels, Order, Plan, Ranking, Role};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Data, Graph, Op, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::randomise_statistics;
use edgecut_zoo::{Options, list};

/// Every network of the zoo, as small as its windows allow, with biases and statistics that show
/// when they are ignored.
pub fn zoo() -> impl Iterator<Item = (&'static str, Graph)> {
    list().iter().map(|architecture| {
        let resolution = if architecture.input[1] > 64 { Some(64) } else { None };
        let options = Options { resolution, classes: Some(10), ..Options::default() };
        let mut graph = architecture.build(&options).unwrap();
        randomise_statistics(&mut graph, 1);
        (architecture.name, graph)
    })
}

/// A plan that removes `share` of each group at random.
pub fn random_plan(channels: &Channels, share: f64, seed: u64) -> Plan {
    let mut rng = Rng::keyed(&[seed]);
    let groups = channels.groups.iter();
    let scores: Vec<Vec<f64>> =
        groups.map(|g| g.channels.iter().map(|_| f64::from(rng.normal())).collect()).collect();
    let order = Order::new(channels, &scores, Ranking::Layer);
    let count = (order.len() as f64 * share).round() as usize;
    order.plan(channels, count, &Bounds::default())
}

/// The plan without groups in which zeros count.
pub fn exact(channels: &Channels, mut plan: Plan) -> Plan {
    for (group, removed) in channels.groups.iter().zip(&mut plan.removed) {
        if !group.exact {
            removed.clear();
        }
    }
    plan
}

/// The graph of `channels` with weights, factors and shifts of the channels of `plan` zero.
pub fn zeroed(channels: &Channels, plan: &Plan) -> Graph {
    let mut zeros: BTreeMap<(ValueId, usize), BTreeSet<usize>> = BTreeMap::new();
    for (group, removed) in channels.groups.iter().zip(&plan.removed) {
        for channel in removed.iter().map(|&number| &group.channels[number]) {
            for (member, indices) in group.members.iter().zip(&channel.indices) {
                if matches!(member.role, Role::Makes | Role::Scale | Role::Shift) {
                    zeros.entry((member.value, member.dim)).or_default().extend(indices);
                }
            }
        }
    }
    let mut graph = channels.graph().clone();
    for ((value, dim), indices) in zeros {
        zero(&mut graph, value, dim, &indices);
    }
    graph
}

/// Makes the indices of a dimension zero: numbers, or the code that stands for zero.
fn zero(graph: &mut Graph, value: ValueId, dim: usize, indices: &BTreeSet<usize>) {
    if graph.constant(value).is_some() {
        return fill(graph, value, dim, indices, 0);
    }
    let producer = graph.producers()[value.index()].expect("a stored tensor is computed");
    let node = graph.nodes[producer].clone();
    assert!(matches!(node.op, Op::Dequantize { .. }), "{} makes a weight", node.name);
    let codes = node.inputs.get(2).copied().flatten();
    let codes = codes.and_then(|id| graph.constant(id)).map(|t| t.to_i64().unwrap());
    let codes = codes.unwrap_or(vec![0]);
    assert!(codes.iter().all(|code| *code == codes[0]), "zero points of {} differ", node.name);
    fill(graph, node.input(0).unwrap(), dim, indices, codes[0]);
}

fn fill(graph: &mut Graph, id: ValueId, dim: usize, indices: &BTreeSet<usize>, code: i64) {
    let tensor = graph.constant(id).expect("a stored tensor");
    let shape = tensor.shape().to_vec();
    let inner: usize = shape[dim + 1..].iter().product();
    let hit = |at: usize| indices.contains(&(at / inner % shape[dim]));
    fn filled<T: Copy>(values: &[T], code: T, hit: impl Fn(usize) -> bool) -> Vec<T> {
        values.iter().enumerate().map(|(at, &v)| if hit(at) { code } else { v }).collect()
    }
    let data: Data = match tensor.data() {
        Data::F32(v) => filled(v, code as f32, hit).into(),
        Data::I8(v) => filled(v, code as i8, hit).into(),
        Data::U8(v) => filled(v, code as u8, hit).into(),
        Data::I32(v) => filled(v, code as i32, hit).into(),
        other => panic!("{:?} weights", other.dtype()),
    };
    graph.set_constant(id, Tensor::new(shape, data).unwrap());
}

/// Outputs of the runtime for one set of random inputs.
pub fn outputs(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let model = Model::new(graph.clone(), Arc::new(Pool::new(1)));
    model.infer(inputs).unwrap()
}
