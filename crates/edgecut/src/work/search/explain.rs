//! One network of a search: its blocks, where it comes from, and where its time goes.

use std::path::Path;

use edgecut_graph::cost::cost;
use edgecut_search::Space;
use edgecut_search::arch::ArchSpace;
use edgecut_zoo::BlockNet;
use serde::{Deserialize, Serialize};

use super::device::DeviceCosts;
use super::found::{Ancestor, Found, Net, Part, Winner};
use super::together::Shared;
use crate::errors::{Failure, Result};
use crate::term;

/// What can be said of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explained {
    pub net: Net,
    /// Whether no other network of the search beats it.
    pub on_front: bool,
    pub macs: u64,
    pub parameters: u64,
    /// Predicted milliseconds, and nineteen of twenty lie between these.
    pub predicted: [f64; 3],
    /// With the server, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
    /// Its parts in order.
    pub parts: Vec<Part>,
    /// From its ancestors to itself, each with what it changed in the one before it.
    pub lineage: Vec<Ancestor>,
    /// What became of it, where it was trained to the end.
    pub winner: Option<Winner>,
}

/// Explains network `trial` of the search in `folder`.
pub fn explain(folder: &Path, trial: usize) -> Result<Explained> {
    let nothing = || {
        Failure::input("has no search in it")
            .at(folder)
            .hint("name the folder that edgecut search wrote")
    };
    let found = Found::read(folder)?.ok_or_else(nothing)?;
    let net = found.net(trial).cloned().ok_or_else(|| {
        let count = found.trials.len();
        Failure::input(format!("network {trial} was not judged"))
            .hint(format!("{count} were; those on the front are {:?}", found.front))
    })?;
    let [channels, side, classes] = found.input;
    let space = ArchSpace::new(found.searched.clone(), [channels, side], classes)?;
    let costs = DeviceCosts::reopen(folder, &found)?;
    let network = space.network(&net.genome, 0)?;
    let estimate = costs.estimate(&network)?;
    let counts = cost(&network.graph, 1)?;
    Ok(Explained {
        on_front: found.front.contains(&trial),
        macs: counts.macs,
        parameters: counts.parameters,
        predicted: [estimate.ms, estimate.low_ms, estimate.high_ms],
        shared: costs.shared(&network, None)?,
        parts: parts(&space.net(&net.genome), costs.steps(&network)?),
        lineage: lineage(&found, space.space(), trial),
        winner: found.winners.iter().find(|winner| winner.trial == trial).cloned(),
        net,
    })
}

/// Steps summed up by the part of the network that they belong to.
pub fn parts(net: &BlockNet, steps: Vec<(String, edgecut_device::Work, f64)>) -> Vec<Part> {
    let mut parts: Vec<Part> = vec![];
    for (name, work, ms) in steps {
        let name = part_of(&name, parts.is_empty());
        if parts.last().is_none_or(|part| part.name != name) {
            parts.push(Part { what: describe(net, &name), name, ..Part::default() });
        }
        let Some(part) = parts.last_mut() else { continue };
        part.ms += ms;
        part.macs += work.macs;
        part.weight_bytes += work.weight_bytes;
    }
    parts
}

/// `stage 2 block 1` of `stages.1.0.expand.conv`; the head of what is behind the stages.
fn part_of(step: &str, first: bool) -> String {
    let mut words = step.split(['.', '/']);
    match words.next() {
        Some("stem") => "stem".into(),
        Some("stages") => {
            let number =
                |word: Option<&str>| word.and_then(|w| w.parse::<usize>().ok()).unwrap_or(0);
            format!("stage {} block {}", number(words.next()) + 1, number(words.next()) + 1)
        }
        Some("last") => "last".into(),
        // Before the stem there is the input, which becomes integers.
        _ if first => "input".into(),
        _ => "head".into(),
    }
}

/// The part of a network in words.
fn describe(net: &BlockNet, part: &str) -> String {
    let number = |word: Option<&&str>| word.and_then(|w| w.parse::<usize>().ok()).unwrap_or(1) - 1;
    let words: Vec<&str> = part.split(' ').collect();
    match words[..] {
        ["stage", ..] => {
            let Some(stage) = net.stages.get(number(words.get(1))) else { return String::new() };
            let at = number(words.get(3));
            let Some(block) = stage.blocks.get(at) else { return String::new() };
            let family = serde_json::to_value(stage.family).ok();
            let family = family.and_then(|f| f.as_str().map(String::from)).unwrap_or_default();
            let mut text = format!("{family}, {} channels", stage.channels);
            if stage.family.has_kernel() {
                text += &format!(", {0}x{0}", block.kernel);
            }
            if stage.family.has_expansion() {
                text += &format!(", expansion {}", block.expansion);
            }
            if stage.family.has_excite() && block.excite {
                text += ", squeeze-and-excitation";
            }
            if at == 0 && stage.stride > 1 {
                text += ", halves the map";
            }
            text
        }
        ["stem"] => format!("3x3, {} channels, {} pixels", net.stem, net.input[1]),
        ["input"] => "the picture as integers".into(),
        ["last"] => format!("1x1, {} channels", net.last.unwrap_or(0)),
        _ => format!("mean and {} classes", net.classes),
    }
}

/// The first parents of a network, oldest first, and itself.
pub fn lineage(found: &Found, space: &Space, trial: usize) -> Vec<Ancestor> {
    let mut line = vec![trial];
    // Parents have smaller numbers, so this ends.
    while let Some(&parent) = line.last().and_then(|&last| found.net(last)?.parents.first()) {
        line.push(parent);
    }
    line.reverse();
    let ancestor = |(at, &trial): (usize, &usize)| {
        let net = found.net(trial)?;
        let before = at.checked_sub(1).and_then(|before| found.net(line[before]));
        let changes = before.map_or(vec![], |b| space.changes(&b.genome, &net.genome));
        Some(Ancestor { trial, accuracy: net.accuracy, ms: net.ms, changes })
    };
    line.iter().enumerate().filter_map(ancestor).collect()
}

impl Explained {
    /// For a terminal.
    pub fn text(&self) -> String {
        let [ms, low, high] = self.predicted.map(term::milliseconds);
        let front = if self.on_front { "on the front" } else { "beaten by others" };
        let mut text = format!(
            "network {}: {:.2} % with shared weights, {ms} predicted ({low} to {high}), {} multiply-adds, \
             {} parameters, {front}\n{}\n\n",
            self.net.trial,
            self.net.accuracy,
            term::short_count(self.macs),
            term::short_count(self.parameters),
            self.net.genes,
        );
        let row = |part: &Part| {
            vec![
                part.name.clone(),
                part.what.clone(),
                term::milliseconds(part.ms),
                term::percent(100.0 * part.ms / self.predicted[0].max(1e-12)),
                term::short_count(part.macs),
                term::bytes(part.weight_bytes),
            ]
        };
        let rows: Vec<Vec<String>> = self.parts.iter().map(row).collect();
        let header = ["part", "what", "predicted", "share", "multiply-adds", "weights"];
        text += &term::table(&header, &[2, 3, 4, 5], &rows);
        if let Some(shared) = &self.shared {
            text += &format!("\n\nwith the server: {}", shared.words());
        }
        if self.lineage.len() > 1 {
            let row = |a: &Ancestor| {
                let accuracy = format!("{:.2} %", a.accuracy);
                vec![a.trial.to_string(), accuracy, term::milliseconds(a.ms), a.changes.join(", ")]
            };
            let rows: Vec<Vec<String>> = self.lineage.iter().map(row).collect();
            let header = ["comes from", "accuracy", "predicted", "what it changed"];
            text += &format!("\n\n{}", term::table(&header, &[0, 1, 2], &rows));
        }
        if let Some(winner) = &self.winner {
            let measured = winner.latency.as_ref();
            let measured = measured.map_or("not yet".into(), |t| term::milliseconds(t.min_ms));
            text += &format!("\n\nmeasured: {measured}, {}", winner.files[0]);
        }
        text
    }
}
