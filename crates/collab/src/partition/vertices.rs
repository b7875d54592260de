//! From the nodes of a graph and the steps that a runtime makes of them to a [`Problem`].
//!
//! A step is one vertex with all nodes that it computes: a convolution with the BatchNorm, clamp or
//! addition that it takes along, or a whole chain of layers. A cut inside would change what is fused,
//! and then the times would no longer be those that were measured. Nodes that no step is named after
//! were taken along by the step that makes what they read. Only those that rearrange elements are
//! vertices of their own that cost nothing. Dequantize is none: it goes to whoever reads it, as in
//! [`Halves`](crate::Halves), and its readers are readers of the integers.

use std::collections::{BTreeSet, HashMap};

use edgecut_graph::{Graph, Node, Op, ValueId};

use super::{Crossing, Problem, Transfer, Vertex};
use crate::Result;
use crate::halves::follows_its_readers;

/// What a step of a plan takes on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// Its name: that of a node, or `FIRST .. LAST` for a chain of layers.
    pub name: String,
    /// Time on the device.
    pub device_ns: u64,
    /// Time on the server.
    pub server_ns: u64,
    /// The device's energy.
    pub picojoules: u64,
}

/// Says what it takes to send a value of a graph.
pub trait Price {
    /// What value `id` takes, `bytes` bytes in memory.
    fn transfer(&self, graph: &Graph, id: ValueId, bytes: u64) -> Transfer;
}

impl<F: Fn(&Graph, ValueId, u64) -> Transfer> Price for F {
    fn transfer(&self, graph: &Graph, id: ValueId, bytes: u64) -> Transfer {
        self(graph, id, bytes)
    }
}

/// Which nodes and values the vertices and tensors of a problem are.
#[derive(Clone, Debug)]
pub struct Vertices {
    /// The vertex of each node; none for Dequantize and what is computed from constants alone.
    of_node: Vec<Option<usize>>,
    values: Vec<ValueId>,
    names: Vec<String>,
}

/// Where a node is computed: in a step, counted from 1, or, with a second number, behind it.
type Place = (usize, usize);

impl Vertices {
    /// The problem of `graph` for a batch of one, whose plan has these steps in execution order.
    ///
    /// # Errors
    /// Where a shape exceeds the limits of graphs.
    pub fn of_steps(
        graph: &Graph,
        steps: &[StepTime],
        price: &dyn Price,
    ) -> Result<(Vertices, Problem)> {
        let varying = varying(graph);
        let claims = Claims::new(graph, steps, &varying);
        let places = places(graph, &claims.step_of);
        let rank = ranks(graph, &places);
        let vertex = |(place, node): (&Option<Place>, &Node)| {
            place.filter(|_| !follows_its_readers(node)).map(|place| rank[&place])
        };
        let of_node: Vec<Option<usize>> = places.iter().zip(&graph.nodes).map(vertex).collect();
        let count = rank.values().max().map_or(0, |last| last + 1);
        let mut vertices = vec![Vertex::default(); count];
        for (step, time) in steps.iter().enumerate() {
            let place = claims.place_of[step].map(|step| (step, 0));
            let Some(&at) = place.and_then(|place| rank.get(&place)) else { continue };
            vertices[at].device_ns += time.device_ns;
            vertices[at].server_ns += time.server_ns;
            vertices[at].picojoules += time.picojoules;
        }
        let mut names: Vec<Vec<&str>> = vec![vec![]; count];
        for (node, vertex) in graph.nodes.iter().zip(&of_node) {
            vertex.iter().for_each(|&v| names[v].push(&node.name));
        }
        let names = names.iter().map(|nodes| match nodes[..] {
            [] => String::new(),
            [one] => one.to_string(),
            [first, .., last] => format!("{first} .. {last}"),
        });
        let mut found = Vertices { names: names.collect(), of_node, values: vec![] };
        found.weigh(graph, &mut vertices);
        let tensors = found.tensors(graph, &mut vertices, price)?;
        Ok((found, Problem::new(vertices, tensors)?))
    }

    /// As [`Vertices::of_steps`] with every node a step of its own, which takes on the two sides,
    /// and in picojoules, what `cost` says.
    ///
    /// # Errors
    /// As there.
    pub fn of_nodes(
        graph: &Graph,
        cost: impl Fn(usize) -> [u64; 3],
        price: &dyn Price,
    ) -> Result<(Vertices, Problem)> {
        let step = |(index, node): (usize, &Node)| {
            let [device_ns, server_ns, picojoules] = cost(index);
            StepTime { name: node.name.clone(), device_ns, server_ns, picojoules }
        };
        let steps: Vec<StepTime> = graph.nodes.iter().enumerate().map(step).collect();
        Vertices::of_steps(graph, &steps, price)
    }

    /// For each node whether a plan has it on the device; what goes to its readers is on neither side.
    pub fn nodes(&self, device: &[bool]) -> Vec<bool> {
        self.of_node.iter().map(|vertex| vertex.is_some_and(|v| device[v])).collect()
    }

    /// The value that tensor `index` of the problem is.
    pub fn value(&self, tensor: usize) -> ValueId {
        self.values[tensor]
    }

    /// First and last node of a vertex.
    pub fn name(&self, vertex: usize) -> &str {
        &self.names[vertex]
    }

    /// Counts each stored tensor where it is read first, directly or through computed constants.
    fn weigh(&self, graph: &Graph, vertices: &mut [Vertex]) {
        let producers = graph.producers();
        let mut counted = vec![false; graph.values().len()];
        for (node, vertex) in graph.nodes.iter().zip(&self.of_node) {
            let Some(vertex) = *vertex else { continue };
            let mut open: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
            while let Some(id) = open.pop() {
                let constant = graph.constant(id);
                let made = producers[id.index()].filter(|&node| self.of_node[node].is_none());
                if (constant.is_none() && made.is_none())
                    || std::mem::replace(&mut counted[id.index()], true)
                {
                    continue;
                }
                vertices[vertex].weight_bytes += constant.map_or(0, |t| t.bytes() as u64);
                let from = made.map(|node| graph.nodes[node].inputs.iter().flatten());
                open.extend(from.into_iter().flatten());
            }
        }
    }

    /// The values that are read outside of where they are made, and the outputs.
    fn tensors(
        &mut self,
        graph: &Graph,
        vertices: &mut [Vertex],
        price: &dyn Price,
    ) -> Result<Vec<Crossing>> {
        let producers = graph.producers();
        let uses = Uses::new(graph, &self.of_node);
        let mut tensors = vec![];
        for id in graph.value_ids() {
            let producer = match producers[id.index()] {
                Some(node) => match self.of_node[node] {
                    Some(vertex) => Some(vertex),
                    None => continue,
                },
                None if graph.inputs.contains(&id) => None,
                None => continue,
            };
            let readers = uses.readers[id.index()].iter().copied();
            let readers: Vec<usize> = readers.filter(|&r| Some(r) != producer).collect();
            let value = graph.value(id);
            let len = value.shape.len_with(1, &value.name)?;
            let reply_bytes = (len * uses.reply[id.index()]) as u64;
            if readers.is_empty() && (reply_bytes == 0 || producer.is_none()) {
                continue;
            }
            if let Some(vertex) = producer {
                vertices[vertex].reply_bytes += reply_bytes;
            }
            let bytes = (len * value.dtype.bytes()) as u64;
            let transfer = match readers.is_empty() {
                true => Transfer::default(),
                false => price.transfer(graph, id, bytes),
            };
            tensors.push(Crossing { transfer, bytes, producer, readers });
            self.values.push(id);
        }
        Ok(tensors)
    }
}

/// Who reads each value, dequantised or not.
struct Uses {
    /// The vertices, ascending.
    readers: Vec<BTreeSet<usize>>,
    /// Bytes of each element that the model returns.
    reply: Vec<usize>,
}

impl Uses {
    fn new(graph: &Graph, of_node: &[Option<usize>]) -> Uses {
        let count = graph.values().len();
        let mut uses = Uses { readers: vec![BTreeSet::new(); count], reply: vec![0; count] };
        let mut origin: Vec<usize> = (0..count).collect();
        for (node, vertex) in graph.nodes.iter().zip(of_node) {
            if let Some(integers) = node.inputs.first().copied().flatten()
                && follows_its_readers(node)
            {
                node.outputs.iter().for_each(|o| origin[o.index()] = origin[integers.index()]);
            }
            for id in node.inputs.iter().flatten() {
                uses.readers[origin[id.index()]].extend(vertex);
            }
        }
        for id in &graph.outputs {
            uses.reply[origin[id.index()]] += graph.value(*id).dtype.bytes();
        }
        uses
    }
}

/// Whether each node depends on an input.
fn varying(graph: &Graph) -> Vec<bool> {
    let mut values = vec![false; graph.values().len()];
    graph.inputs.iter().for_each(|input| values[input.index()] = true);
    let node = |node: &Node| {
        let varies = node.inputs.iter().flatten().any(|id| values[id.index()]);
        node.outputs.iter().for_each(|output| values[output.index()] = varies);
        varies
    };
    graph.nodes.iter().map(node).collect()
}

/// Which step computes which node.
struct Claims {
    /// The step that is named after each node, counted from 1.
    step_of: Vec<Option<usize>>,
    /// For each step the one, counted from 1, whose vertex it belongs to: itself, where it is named
    /// after a node.
    place_of: Vec<Option<usize>>,
}

impl Claims {
    fn new(graph: &Graph, steps: &[StepTime], varying: &[bool]) -> Claims {
        let known = graph.nodes.iter().enumerate();
        let known = known.filter(|(i, node)| varying[*i] && !follows_its_readers(node));
        let known: HashMap<&str, usize> = known.map(|(i, node)| (&*node.name, i)).collect();
        let mut claims = Claims { step_of: vec![None; graph.nodes.len()], place_of: vec![] };
        for (index, step) in steps.iter().enumerate() {
            let ends = match known.get(&*step.name) {
                Some(&node) => vec![node],
                // A chain's name is of its first and last layer; names may contain the dots too.
                None => step
                    .name
                    .match_indices(" .. ")
                    .filter_map(|(at, dots)| {
                        let (first, last) = (&step.name[..at], &step.name[at + dots.len()..]);
                        Some(vec![*known.get(first)?, *known.get(last)?])
                    })
                    .next()
                    .unwrap_or_default(),
            };
            let earlier = ends.iter().find_map(|&node| claims.step_of[node]);
            let place = earlier.unwrap_or(index + 1);
            ends.iter().for_each(|&node| claims.step_of[node] = Some(place));
            claims.place_of.push((!ends.is_empty()).then_some(place));
        }
        claims.adopt();
        claims
    }

    /// Conversions are named after values, and made for the step that follows. So are steps that are
    /// named after what is no vertex.
    fn adopt(&mut self) {
        let mut next = None;
        for place in self.place_of.iter_mut().rev() {
            next = place.or(next);
            *place = next;
        }
        let mut last = None;
        for place in &mut self.place_of {
            last = place.or(last);
            *place = last;
        }
    }
}

/// Where each node is computed; nowhere what depends on constants alone.
fn places(graph: &Graph, step_of: &[Option<usize>]) -> Vec<Option<Place>> {
    let mut place_of: Vec<Option<Place>> = vec![None; graph.values().len()];
    graph.inputs.iter().for_each(|input| place_of[input.index()] = Some((0, 0)));
    let mut places = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let latest = node.inputs.iter().flatten().filter_map(|v| place_of[v.index()]).max();
        let place = latest.map(|latest| match step_of[index] {
            Some(step) => (step, 0),
            None if follows_its_readers(node) => latest,
            None if latest.0 == 0 || rearranges(&node.op) => (latest.0, index + 1),
            None => latest,
        });
        node.outputs.iter().for_each(|output| place_of[output.index()] = place);
        places.push(place);
    }
    places
}

/// Whether the runtime reads through this operator instead of computing it.
fn rearranges(op: &Op) -> bool {
    op.only_moves() || matches!(op, Op::Concat { .. })
}

/// The vertex of each place, in order of execution. Where data seems to flow back, because a step
/// computes nodes before and behind a place, all places in between are one vertex.
fn ranks(graph: &Graph, places: &[Option<Place>]) -> HashMap<Place, usize> {
    let computed = places.iter().zip(&graph.nodes).filter(|(_, node)| !follows_its_readers(node));
    let order: BTreeSet<Place> = computed.filter_map(|(place, _)| *place).collect();
    let order: Vec<Place> = order.into_iter().collect();
    let rank: HashMap<Place, usize> = order.iter().enumerate().map(|(i, &p)| (p, i)).collect();
    let mut joined = vec![false; order.len() + 1];
    let producers = graph.producers();
    for (node, place) in graph.nodes.iter().zip(places) {
        let Some(&reader) = place.and_then(|place| rank.get(&place)) else { continue };
        let from = node.inputs.iter().flatten().filter_map(|v| producers[v.index()]);
        let from = from.filter_map(|node| places[node]);
        for &producer in from.filter_map(|place| rank.get(&place)) {
            joined[(reader + 1).min(producer + 1)..producer + 1].fill(true);
        }
    }
    let mut next = 0;
    let number = |(index, &place): (usize, &Place)| {
        next += usize::from(index > 0 && !joined[index]);
        (place, next)
    };
    order.iter().enumerate().map(number).collect()
}
