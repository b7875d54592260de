//! Early exits: answers of their own inside a network.
//!
//! An exit is a mean over a value's pixels and a linear layer, which learns alone: the network stays as it
//! is, bit for bit. The result has one output for each exit, in order, and the network's own last; cut at
//! an exit's value, the device's half has an answer of its own.

use edgecut_graph::{Builder, Graph, Result as GraphResult, ValueId};

use crate::{CollabError, Result, graft};

/// What the names of all new nodes and constants begin with.
pub const PREFIX: &str = "exit.";

/// Exits at most.
pub const MAX_EXITS: usize = 16;

/// `graph` with an exit for `classes` classes at each value of `at`, images `[n, c, h, w]`, fresh
/// weights drawn by `seed`.
///
/// # Errors
/// Where there are none or too many of them, one is no image, or the graph has exits already.
pub fn attach(graph: &Graph, at: &[ValueId], classes: usize, seed: u64) -> Result<Graph> {
    let fail = |problem: String| Err(CollabError::Problem(format!("exits: {problem}")));
    if at.is_empty() || at.len() > MAX_EXITS {
        return fail(format!("{} of them, must be 1 to {MAX_EXITS}", at.len()));
    }
    if graph.values().iter().any(|value| value.name.starts_with(PREFIX)) {
        return fail("the graph has some already".into());
    }
    let mut with = graph.clone();
    let mut outputs = vec![];
    for (number, &id) in at.iter().enumerate() {
        let value = graph.value(id);
        let &[_, channels, _, _] = &value.shape.with_symbols(1)[..] else {
            return fail(format!("'{}' is {}, no image", value.name, value.shape));
        };
        let head = head(number, channels, classes, seed)?;
        let output = graft::append(&mut with, &head, id)?;
        with.value_mut(output).name = output_name(number);
        outputs.push(output);
    }
    with.outputs.splice(0..0, outputs);
    with.validate()?;
    Ok(with)
}

/// Name of the output of exit `number`.
pub fn output_name(number: usize) -> String {
    format!("{PREFIX}{number}")
}

/// One exit of a graph with some, and what it needs: a classifier to be trained.
///
/// # Errors
/// Where there is no such exit.
pub fn alone(graph: &Graph, number: usize) -> Result<Graph> {
    let name = output_name(number);
    let Some(output) = graph.find_value(&name).filter(|id| graph.is_output(*id)) else {
        return Err(CollabError::Problem(format!("exits: there is no output '{name}'")));
    };
    let mut alone = graph.clone();
    alone.outputs = vec![output];
    alone.remove_unused();
    Ok(alone)
}

/// Takes the weights of one exit from `trained`, which is that exit alone.
pub fn adopt(graph: &mut Graph, trained: &Graph, number: usize) {
    let own = format!("{}.", output_name(number));
    for value in trained.values().iter().filter(|value| value.name.starts_with(&own)) {
        let (Some(tensor), Some(id)) = (&value.constant, graph.find_value(&value.name)) else {
            continue;
        };
        graph.set_constant(id, tensor.clone());
    }
}

/// Names of the nodes that learn.
pub fn learners(graph: &Graph) -> Vec<String> {
    let own = graph.nodes.iter().filter(|node| node.name.starts_with(PREFIX));
    own.map(|node| node.name.clone()).collect()
}

fn head(number: usize, channels: usize, classes: usize, seed: u64) -> GraphResult<Graph> {
    let mut b = Builder::new("exit", seed);
    let name = output_name(number);
    let x =
        b.input(&format!("{name}.input"), ["n".into(), channels.into(), "h".into(), "w".into()]);
    let x = b.global_average_pool(x)?;
    let x = b.flatten(x)?;
    let x = b.linear(x, &format!("{name}.linear"), classes)?;
    b.finish(&[x])
}
