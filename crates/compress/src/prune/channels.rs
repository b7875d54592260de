//! What can be removed: channels, each with everything that goes with it, in coupled groups.

use std::collections::{BTreeMap, BTreeSet};

use edgecut_graph::{Graph, Result, ValueId, passes};
use serde::Serialize;

use super::closure::{Closure, Extents};
use super::flow::{Flow, Member, Role};

/// A channel: indices of dimensions that can only be removed together.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Classes of indices that die with it, ascending.
    pub(crate) classes: Vec<u32>,
    /// Indices of each member of its group that go with it, in the order of [`Group::members`].
    pub indices: Vec<Vec<usize>>,
}

/// Channels that run through the same dimensions of the same tensors, such as those of a stage of
/// a residual network, and so compete with each other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name of the first node that makes them.
    pub name: String,
    /// The channels, in order.
    pub channels: Vec<Channel>,
    /// Dimensions of stored tensors that they run through, in order of the nodes.
    pub members: Vec<Member>,
    /// Whether removing a channel that holds zeros leaves all results as they are. It does not
    /// where a mean is taken over channels, as in LayerNorm.
    pub exact: bool,
}

impl Group {
    /// Indices of the widest dimension that go with each channel: 1 for a plain one, the width of
    /// a head for a head.
    pub fn width(&self) -> usize {
        let made = self.members.iter().enumerate().filter(|(_, m)| m.role == Role::Makes);
        let widest = made.filter_map(|(at, _)| self.channels[0].indices.get(at).map(Vec::len));
        widest.max().unwrap_or(1).max(1)
    }
}

/// Channels of a layer that stay, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// Name of the layer.
    pub node: String,
    /// How many of its channels.
    pub channels: usize,
    /// How many it has.
    pub of: usize,
    /// Name of the node that needs them; none where the model's interface does.
    pub by: Option<String>,
    /// What it does with them.
    pub why: String,
}

/// The channels of a graph.
#[derive(Clone, Debug)]
pub struct Channels {
    /// The graph that is pruned: the one given, simplified.
    pub(crate) graph: Graph,
    pub(crate) flow: Flow,
    /// Coupled groups, in order of the nodes.
    pub groups: Vec<Group>,
    /// What cannot be removed, in order of the nodes.
    pub pinned: Vec<Pinned>,
    /// How much of every dimension each class is.
    pub(crate) extents: Extents,
}

impl Channels {
    /// Follows the channels through `graph`, simplified without a change to its weights
    /// ([`passes::simplify`]). Vectors that several nodes share, as exporters do with equal ones,
    /// are shared no longer, since they would couple what has nothing to do with each other.
    ///
    /// # Errors
    /// Where the graph is not valid.
    pub fn of(graph: &Graph) -> Result<Channels> {
        let mut graph = graph.clone();
        passes::simplify(&mut graph)?;
        unshare_vectors(&mut graph);
        let flow = Flow::trace(&graph)?;
        let extents = Extents::of(&graph, &flow);
        let groups = groups(&graph, &flow, &extents);
        let pinned = pinned(&graph, &flow, &groups);
        Ok(Channels { graph, flow, groups, pinned, extents })
    }

    /// The graph that the channels are of.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

/// Gives each node a copy of its own of the vectors among its inputs.
fn unshare_vectors(graph: &mut Graph) {
    let mut seen = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        for slot in 0..graph.nodes[index].inputs.len() {
            let Some(id) = graph.nodes[index].inputs[slot] else { continue };
            let vector = graph.constant(id).filter(|t| t.shape().iter().any(|&n| n == t.len()));
            let Some(tensor) = vector.filter(|t| t.len() > 1 && !seen.insert((id, t.len()))) else {
                continue;
            };
            let tensor = tensor.clone();
            let name = graph.unique_name(&format!("{}.{slot}", graph.nodes[index].name));
            let copy = graph.add_constant(name, tensor);
            graph.nodes[index].inputs[slot] = Some(copy);
        }
    }
}

/// Groups of channels.
fn groups(graph: &Graph, flow: &Flow, extents: &Extents) -> Vec<Group> {
    let places = Places::new(flow);
    let mut closure = Closure::new(flow, extents);
    let mut known = BTreeSet::new();
    let mut groups: BTreeMap<Vec<(Member, usize)>, Vec<Channel>> = BTreeMap::new();
    for class in places.roots(flow) {
        if closure.is_cell(class) {
            continue;
        }
        let Some(classes) = closure.of(class) else { continue };
        if !known.insert(classes.clone()) {
            continue;
        }
        let members = places.members(&classes);
        if members.keys().all(|member| member.role != Role::Makes) {
            continue;
        }
        let key = members.iter().map(|(member, indices)| (*member, indices.len())).collect();
        let indices = members.into_values().collect();
        groups.entry(key).or_default().push(Channel { classes, indices });
    }
    let mut groups: Vec<Group> =
        groups.into_iter().map(|(key, channels)| group(graph, flow, &key, channels)).collect();
    groups.sort_by_key(|group| (group.members[0].node, group.channels[0].classes.clone()));
    groups
}

/// Channels of the same members, with the number of indices of each, in order of the nodes.
fn group(graph: &Graph, flow: &Flow, key: &[(Member, usize)], channels: Vec<Channel>) -> Group {
    let mut order: Vec<usize> = (0..key.len()).collect();
    order.sort_by_key(|&at| (key[at].0.node, key[at].0));
    let members: Vec<Member> = order.iter().map(|&at| key[at].0).collect();
    let sorted = |channel: Channel| {
        let indices = order.iter().map(|&at| channel.indices[at].clone()).collect();
        Channel { indices, ..channel }
    };
    let channels: Vec<Channel> = channels.into_iter().map(sorted).collect();
    let maker = members.iter().find(|m| m.role == Role::Makes).map_or(0, |m| m.node);
    let mut classes = channels.iter().flat_map(|channel| &channel.classes);
    let exact = !classes.any(|&class| flow.space.in_a_mean(class));
    Group { name: graph.nodes[maker].name.clone(), channels, members, exact }
}

/// Indices of stored tensors by class.
struct Places {
    of: BTreeMap<u32, Vec<(Member, usize)>>,
}

impl Places {
    fn new(flow: &Flow) -> Places {
        let mut of: BTreeMap<u32, Vec<(Member, usize)>> = BTreeMap::new();
        let members: BTreeSet<Member> = flow.members.iter().copied().collect();
        for member in members {
            let axis = flow.space.of(member.value)[member.dim];
            for (i, index) in axis.indices().enumerate() {
                of.entry(flow.space.class(index)).or_default().push((member, i));
            }
        }
        Places { of }
    }

    /// Classes that may be removed by themselves, ascending: those of stored tensors, and lines.
    fn roots(&self, flow: &Flow) -> impl Iterator<Item = u32> + use<> {
        let lines = flow.grids.iter().flat_map(|grid| &grid.sides);
        let lines = lines.flat_map(|side| side.indices().map(|index| flow.space.class(index)));
        let all: BTreeSet<u32> = self.of.keys().copied().chain(lines).collect();
        all.into_iter()
    }

    /// The dimensions that `classes` run through, with their indices there, ascending.
    fn members(&self, classes: &[u32]) -> BTreeMap<Member, Vec<usize>> {
        let mut members: BTreeMap<Member, Vec<usize>> = BTreeMap::new();
        let places = classes.iter().filter_map(|class| self.of.get(class));
        for &(member, index) in places.flatten() {
            members.entry(member).or_default().push(index);
        }
        members.values_mut().for_each(|indices| indices.sort_unstable());
        members
    }
}

/// Why channels stay that nobody needs as they are.
const ALL_OR_NONE: &str = "is coupled to all others of a layer";

/// Layers with channels that stay.
fn pinned(graph: &Graph, flow: &Flow, groups: &[Group]) -> Vec<Pinned> {
    let channels = groups.iter().flat_map(|group| &group.channels);
    let removable: BTreeSet<u32> = channels.flat_map(|channel| &channel.classes).copied().collect();
    let mut all = vec![];
    let mut seen: BTreeSet<(ValueId, usize)> = BTreeSet::new();
    for member in flow.members.iter().filter(|m| m.role == Role::Makes) {
        if !seen.insert((member.value, member.dim)) {
            continue;
        }
        let axis = flow.space.of(member.value)[member.dim];
        let mut reasons: BTreeMap<(Option<usize>, &str), usize> = BTreeMap::new();
        for index in axis.indices() {
            if let Some(pin) = flow.space.pinned(index) {
                *reasons.entry((pin.node, pin.why)).or_default() += 1;
            } else if !removable.contains(&flow.space.class(index)) {
                *reasons.entry((None, ALL_OR_NONE)).or_default() += 1;
            }
        }
        all.extend(reasons.into_iter().map(|((by, why), channels)| Pinned {
            node: graph.nodes[member.node].name.clone(),
            channels,
            of: axis.len(),
            by: by.map(|node| graph.nodes[node].name.clone()),
            why: why.into(),
        }));
    }
    all
}
