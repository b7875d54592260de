//! A model in two: the head that the device runs, the tail behind the link.
//!
//! Both are ordinary graphs. Values, nodes and weights keep their names, the tail's inputs are called
//! as the values that cross, and weights that both read are in both. What depends on constants alone
//! goes to whoever reads it, and so does Dequantize: integers cross, not the floats that they stand
//! for. One after the other, on the same kernels, they compute what the whole computes, node for node.

use edgecut_graph::{Graph, Node, Op, Tensor, ValueId};

use crate::{CollabError, Result, digest, hex};

/// Key in the metadata of both halves: digest of the model and the names of the values that cross, one
/// a line.
pub const SPLIT_KEY: &str = "edgecut.split";

/// Where a tensor comes from, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The inputs of the whole model.
    Input(usize),
    /// The head's outputs.
    Head(usize),
    /// The tail's outputs.
    Tail(usize),
}

/// Names of tensors by position, and where those are.
type Named<'a> = (&'a [String], fn(usize) -> Source);

/// A model in two.
#[derive(Clone, Debug)]
pub struct Halves {
    /// What the device computes; none where the server does everything. Its outputs are what crosses,
    /// but for inputs of the model, and outputs of the model that it makes.
    pub head: Option<Graph>,
    /// What the server computes; none where the device does everything.
    pub tail: Option<Graph>,
    /// Which inputs of the model the head takes, in its order.
    pub head_inputs: Vec<usize>,
    /// What crosses: the tail's inputs in its order, from inputs or the head.
    pub crossing: Vec<Source>,
    /// The outputs of the model in its order.
    pub answer: Vec<Source>,
}

impl Halves {
    /// Splits `graph`: the device computes the nodes that `device` says. What it says of Dequantize and
    /// of nodes that depend on constants alone does not matter.
    ///
    /// # Errors
    /// Where a node of the device reads a value that the server would compute; names both.
    pub fn of(graph: &Graph, device: &[bool]) -> Result<Halves> {
        let sides = Sides::new(graph, device)?;
        let any = |here: bool| sides.of_node.contains(&Some(here));
        let both = any(true) && any(false);
        let crosses = |id: &ValueId| both && sides.crosses(*id);
        let crossing: Vec<ValueId> = graph.value_ids().filter(crosses).collect();
        let made = |id: &&ValueId| !graph.inputs.contains(id);
        // What no node computes is given by the half that exists, the head before the tail.
        let with_head = |id: &ValueId| sides.of(*id).unwrap_or(any(true) || !any(false));
        let mut head_outputs: Vec<ValueId> = crossing.iter().filter(made).copied().collect();
        let mut tail_outputs = vec![];
        let mut answer = vec![];
        for id in &graph.outputs {
            if let Some(input) = graph.inputs.iter().position(|input| input == id) {
                answer.push(Source::Input(input));
                continue;
            }
            let (outputs, source): (_, fn(usize) -> Source) = match with_head(id) {
                true => (&mut head_outputs, Source::Head),
                false => (&mut tail_outputs, Source::Tail),
            };
            let known = outputs.iter().position(|output| output == id);
            answer.push(source(known.unwrap_or(outputs.len())));
            if known.is_none() {
                outputs.push(*id);
            }
        }
        let label = label(graph, &crossing);
        let head = any(true) || !any(false);
        let head = head.then(|| half(graph, &sides, true, &crossing, head_outputs.clone(), &label));
        let tail = any(false).then(|| half(graph, &sides, false, &crossing, tail_outputs, &label));
        let position = |id: &ValueId| graph.inputs.iter().position(|input| input == id);
        let names = |half: &Option<Graph>| -> Vec<ValueId> {
            let names = half.iter().flat_map(|g| g.inputs.iter().map(|&i| g.value(i).name.clone()));
            names.filter_map(|name| graph.find_value(&name)).collect()
        };
        let head_inputs = names(&head).iter().filter_map(position).collect();
        let source = |id: &ValueId| match position(id) {
            Some(input) => Some(Source::Input(input)),
            None => head_outputs.iter().position(|output| output == id).map(Source::Head),
        };
        let crossing = names(&tail).iter().filter_map(source).collect();
        Ok(Halves { head, tail, head_inputs, crossing, answer })
    }

    /// Puts together what [`Halves::of`] made of `whole` and what was written since: values are known by
    /// their names.
    ///
    /// # Errors
    /// Where the halves do not come from `whole`, or not from the same cut; names the value.
    pub fn of_parts(whole: &Graph, head: Graph, tail: Graph) -> Result<Halves> {
        let label = |graph: &Graph| graph.metadata.get(SPLIT_KEY).cloned();
        if label(&head).is_none() || label(&head) != label(&tail) {
            let problem = "head and tail are not of the same cut: write both again";
            return Err(CollabError::Problem(problem.into()));
        }
        let names = |graph: &Graph, ids: &[ValueId]| -> Vec<String> {
            ids.iter().map(|&id| graph.value(id).name.clone()).collect()
        };
        let inputs = names(whole, &whole.inputs);
        let (made, answered) = (names(&head, &head.outputs), names(&tail, &tail.outputs));
        let lists: [Named; 3] =
            [(&inputs, Source::Input), (&made, Source::Head), (&answered, Source::Tail)];
        let find = |wanted: Vec<String>, count: usize| -> Result<Vec<Source>> {
            let one = |name: &String| {
                let at = |(list, source): &Named| {
                    list.iter().position(|known| known == name).map(source)
                };
                lists[..count].iter().find_map(at).ok_or_else(|| {
                    CollabError::Problem(format!("no half of the model gives '{name}'"))
                })
            };
            wanted.iter().map(one).collect()
        };
        let position = |source: Source| match source {
            Source::Input(index) | Source::Head(index) | Source::Tail(index) => index,
        };
        let head_inputs = find(names(&head, &head.inputs), 1)?.into_iter().map(position).collect();
        let crossing = find(names(&tail, &tail.inputs), 2)?;
        let answer = find(names(whole, &whole.outputs), 3)?;
        Ok(Halves { head: Some(head), tail: Some(tail), head_inputs, crossing, answer })
    }

    /// The head's inputs out of the model's.
    pub fn head_inputs(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        self.head_inputs.iter().filter_map(|&i| inputs.get(i).cloned()).collect()
    }

    /// What crosses, in the order of the tail's inputs.
    pub fn crossing(&self, inputs: &[Tensor], head: &[Tensor]) -> Vec<Tensor> {
        gather(&self.crossing, inputs, head, &[])
    }

    /// The model's outputs out of those of its halves.
    pub fn answer(&self, inputs: &[Tensor], head: &[Tensor], tail: &[Tensor]) -> Vec<Tensor> {
        gather(&self.answer, inputs, head, tail)
    }
}

fn gather(sources: &[Source], inputs: &[Tensor], head: &[Tensor], tail: &[Tensor]) -> Vec<Tensor> {
    let tensor = |source: &Source| match *source {
        Source::Input(i) => inputs.get(i).cloned(),
        Source::Head(i) => head.get(i).cloned(),
        Source::Tail(i) => tail.get(i).cloned(),
    };
    sources.iter().filter_map(tensor).collect()
}

/// Whether a node goes to whoever reads its result.
pub(crate) fn follows_its_readers(node: &Node) -> bool {
    matches!(node.op, Op::Dequantize { .. })
}

/// Which half computes what.
struct Sides {
    /// Whether each node is the device's; none for those that go to their readers.
    of_node: Vec<Option<bool>>,
    /// The same for the node that makes each value.
    of_value: Vec<Option<bool>>,
    /// What a value stands for: the integers of a dequantised one, else itself.
    origin: Vec<ValueId>,
    /// Whether it depends on an input.
    varies: Vec<bool>,
    /// Whether a node of the server reads it, dequantised or not.
    read_there: Vec<bool>,
}

impl Sides {
    fn new(graph: &Graph, device: &[bool]) -> Result<Sides> {
        if device.len() != graph.nodes.len() {
            let (given, nodes) = (device.len(), graph.nodes.len());
            return Err(CollabError::Problem(format!("{given} sides for {nodes} nodes")));
        }
        let count = graph.values().len();
        let mut sides = Sides {
            of_node: vec![],
            of_value: vec![None; count],
            origin: graph.value_ids().collect(),
            varies: vec![false; count],
            read_there: vec![false; count],
        };
        graph.inputs.iter().for_each(|input| sides.varies[input.index()] = true);
        for (node, &here) in graph.nodes.iter().zip(device) {
            let side = sides.visit(graph, node, here)?;
            sides.of_node.push(side);
        }
        Ok(sides)
    }

    fn visit(&mut self, graph: &Graph, node: &Node, here: bool) -> Result<Option<bool>> {
        let varies = node.inputs.iter().flatten().any(|id| self.varies[id.index()]);
        let follows = follows_its_readers(node);
        let side = Some(here).filter(|_| varies && !follows);
        for output in &node.outputs {
            self.varies[output.index()] = varies;
            self.of_value[output.index()] = side;
            if let Some(integers) = node.inputs.first().copied().flatten().filter(|_| follows) {
                self.origin[output.index()] = self.origin[integers.index()];
            }
        }
        for &id in node.inputs.iter().flatten().filter(|_| side.is_some()) {
            if here && self.of(id) == Some(false) {
                let (name, read) = (&node.name, &graph.value(id).name);
                return Err(CollabError::Problem(format!(
                    "node '{name}' on the device reads '{read}', which the server computes"
                )));
            }
            self.read_there[self.origin[id.index()].index()] |= !here;
        }
        Ok(side)
    }

    /// Whether the device computes `id` or what it stands for; none where no node of a side does.
    fn of(&self, id: ValueId) -> Option<bool> {
        self.of_value[self.origin[id.index()].index()]
    }

    fn crosses(&self, id: ValueId) -> bool {
        let index = id.index();
        self.varies[index] && self.of_value[index] != Some(false) && self.read_there[index]
    }
}

/// One half: the nodes of its side, and what they need.
fn half(
    graph: &Graph,
    sides: &Sides,
    here: bool,
    crossing: &[ValueId],
    outputs: Vec<ValueId>,
    label: &str,
) -> Graph {
    let mut half = graph.clone();
    let mut side = sides.of_node.iter();
    half.nodes.retain(|_| side.next().is_some_and(|side| side.is_none_or(|side| side == here)));
    half.outputs = outputs;
    if !here {
        half.inputs.extend(crossing.iter().filter(|id| !graph.inputs.contains(id)));
    }
    half.name = format!("{} ({})", graph.name, if here { "head" } else { "tail" });
    half.metadata.insert(SPLIT_KEY.into(), label.into());
    half.remove_unused();
    let read: Vec<ValueId> =
        half.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).copied().collect();
    half.inputs.retain(|input| read.contains(input));
    half.remove_unused();
    half
}

/// What both halves say of where they come from.
fn label(graph: &Graph, crossing: &[ValueId]) -> String {
    let digest = hex(&digest(graph));
    let names = crossing.iter().map(|id| graph.value(*id).name.replace('\n', " "));
    std::iter::once(digest).chain(names).collect::<Vec<_>>().join("\n")
}
