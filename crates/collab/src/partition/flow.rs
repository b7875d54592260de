//! Minimum s-t cuts by Dinic's algorithm (1970).
//!
//! The set that is returned is the smallest one: what is still reachable from the source. It is the
//! same for every maximum flow, so that the answer does not depend on the order of arcs.

use super::blocks::Block;
use super::{Crossing, Problem};

/// A capacity that no finite cut reaches. Times are below 2^45 and tensors below 2^33 bytes; weighed
/// against the sums of one another over 2^17 nodes, that is 2^(45 + 50 + 17) at most.
const NEVER: u128 = 1 << 126;

const NONE: u32 = u32::MAX;

/// An arc and, at the index with the last bit flipped, the one against it.
#[derive(Clone, Copy)]
struct Arc {
    to: u32,
    next: u32,
    left: u128,
}

/// A network of arcs with capacities.
struct Flow {
    arcs: Vec<Arc>,
    /// The first arc of each vertex.
    first: Vec<u32>,
    level: Vec<u32>,
    /// The arc of each vertex that is tried next.
    current: Vec<u32>,
    queue: Vec<u32>,
}

impl Flow {
    fn new(vertices: usize, arcs: usize) -> Flow {
        Flow {
            arcs: Vec::with_capacity(2 * arcs),
            first: vec![NONE; vertices],
            level: vec![0; vertices],
            current: vec![NONE; vertices],
            queue: Vec::with_capacity(vertices),
        }
    }

    /// An arc of capacity `there`, and one against it of capacity `back`.
    fn connect(&mut self, from: u32, to: u32, there: u128, back: u128) {
        for (at, to, left) in [(from, to, there), (to, from, back)] {
            let next = std::mem::replace(&mut self.first[at as usize], self.arcs.len() as u32);
            self.arcs.push(Arc { to, next, left });
        }
    }

    /// Numbers the vertices by their distance to `sink`; says whether `source` can reach it.
    fn rank(&mut self, source: u32, sink: u32) -> bool {
        self.level.fill(NONE);
        self.level[sink as usize] = 0;
        self.queue.clear();
        self.queue.push(sink);
        let mut done = 0;
        while let Some(&at) = self.queue.get(done) {
            done += 1;
            let mut index = self.first[at as usize];
            while index != NONE {
                let arc = self.arcs[index as usize];
                let open = self.arcs[(index ^ 1) as usize].left > 0;
                if open && self.level[arc.to as usize] == NONE {
                    self.level[arc.to as usize] = self.level[at as usize] + 1;
                    if arc.to == source {
                        return true;
                    }
                    self.queue.push(arc.to);
                }
                index = arc.next;
            }
        }
        false
    }

    /// Fills every shortest path. A path is a stack of arcs: networks may be deeper than threads'
    /// stacks.
    fn block(&mut self, source: u32, sink: u32) {
        self.current.copy_from_slice(&self.first);
        let mut path: Vec<u32> = vec![];
        let mut at = source;
        loop {
            if at == sink {
                let narrowest = path.iter().map(|&i| self.arcs[i as usize].left).min();
                let amount = narrowest.unwrap_or(0);
                let mut full = None;
                for (place, &index) in path.iter().enumerate() {
                    self.arcs[index as usize].left -= amount;
                    self.arcs[(index ^ 1) as usize].left += amount;
                    if full.is_none() && self.arcs[index as usize].left == 0 {
                        full = Some(place);
                    }
                }
                // Goes on from where the first full arc begins.
                let keep = full.unwrap_or(0);
                at = self.arcs[(path[keep] ^ 1) as usize].to;
                path.truncate(keep);
                continue;
            }
            let index = self.current[at as usize];
            if index == NONE {
                self.level[at as usize] = NONE;
                let Some(last) = path.pop() else { return };
                at = self.arcs[(last ^ 1) as usize].to;
                self.current[at as usize] = self.arcs[last as usize].next;
                continue;
            }
            let arc = self.arcs[index as usize];
            let level = self.level[at as usize];
            if arc.left > 0 && level != NONE && self.level[arc.to as usize] == level.wrapping_sub(1)
            {
                path.push(index);
                at = arc.to;
            } else {
                self.current[at as usize] = arc.next;
            }
        }
    }

    /// Sends as much as possible, then says what `source` still reaches.
    fn source_side(mut self, source: u32, sink: u32) -> Vec<bool> {
        while self.rank(source, sink) {
            self.block(source, sink);
        }
        let mut reached = vec![false; self.first.len()];
        reached[source as usize] = true;
        let mut stack = vec![source];
        while let Some(at) = stack.pop() {
            let mut index = self.first[at as usize];
            while index != NONE {
                let arc = self.arcs[index as usize];
                if arc.left > 0 && !std::mem::replace(&mut reached[arc.to as usize], true) {
                    stack.push(arc.to);
                }
                index = arc.next;
            }
        }
        reached
    }
}

/// Prices of a cut: what each vertex costs on either side, and each tensor where it crosses.
pub(super) trait Prices {
    /// Of vertex `index` on the device and on the server.
    fn vertex(&self, index: usize) -> [u128; 2];
    /// Of tensor `index`.
    fn tensor(&self, index: usize) -> u128;
}

/// The closed set of least price; of several, the smallest. The border of a closed set lies in one block:
/// what is before it is on the device, what is behind it on the server.
pub(super) fn least(problem: &Problem, prices: &impl Prices) -> Vec<bool> {
    let sides: Vec<[u128; 2]> = (0..problem.vertices().len()).map(|v| prices.vertex(v)).collect();
    let mut behind: u128 = sides.iter().map(|[_, server]| server).sum();
    let (mut before, mut settled) = (0, 0);
    let mut best: Option<(u128, Vec<bool>)> = None;
    for block in problem.blocks() {
        let inner = &sides[block.inner.clone()];
        for [device, server] in &sides[settled..block.inner.start] {
            before += device;
            behind -= server;
        }
        settled = block.inner.start;
        let own: u128 = inner.iter().map(|[_, server]| server).sum();
        let around = before + behind - own;
        // No cut in it takes less than each vertex at its cheaper side. Of equal ones the first stays.
        let bound = around + inner.iter().map(|sides| sides[0].min(sides[1])).sum::<u128>();
        if best.as_ref().is_some_and(|(price, _)| *price <= bound) {
            continue;
        }
        let (price, cut) = in_block(problem, block, inner, prices);
        if best.as_ref().is_none_or(|(least, _)| around + price < *least) {
            let mut side = vec![true; block.inner.start];
            side.extend(cut);
            side.resize(sides.len(), false);
            best = Some((around + price, side));
        }
    }
    best.map(|(_, side)| side).unwrap_or_default()
}

/// The cheapest cut of a block, whose vertices cost `sides`, and its price.
fn in_block(
    problem: &Problem,
    block: &Block,
    sides: &[[u128; 2]],
    prices: &impl Prices,
) -> (u128, Vec<bool>) {
    let tensors: Vec<(&Crossing, u128)> =
        block.tensors.iter().map(|&t| (&problem.tensors()[t], prices.tensor(t))).collect();
    let start = block.inner.start;
    let cut = if sides.is_empty() { vec![] } else { minimum(start, sides, &tensors) };
    // What is behind the block is not on the device.
    let here = |v: usize| v < start || cut.get(v - start).is_some_and(|&here| here);
    let crosses = |tensor: &Crossing| {
        tensor.producer.is_none_or(here) && !tensor.readers.iter().all(|&reader| here(reader))
    };
    let sent = tensors.iter().filter(|(tensor, _)| crosses(tensor)).map(|(_, price)| price);
    let computed = sides.iter().zip(&cut).map(|(sides, &here)| sides[usize::from(!here)]);
    (sent.sum::<u128>() + computed.sum::<u128>(), cut)
}

/// The minimum cut of vertices that are numbered from `start`: what comes before them is the source, what
/// comes behind them the sink.
fn minimum(start: usize, sides: &[[u128; 2]], tensors: &[(&Crossing, u128)]) -> Vec<bool> {
    let count = sides.len();
    let (source, sink) = (count as u32, count as u32 + 1);
    let place = |v: usize| if v < start + count { (v - start) as u32 } else { sink };
    let forks = tensors.iter().filter(|(t, _)| t.readers.len() > 1).count();
    let reads: usize = tensors.iter().map(|(t, _)| 2 * t.readers.len() + 1).sum();
    let mut flow = Flow::new(count + 2 + forks, count + reads);
    for (index, &[device, server]) in sides.iter().enumerate() {
        // Only the difference matters to the cut.
        if server > device {
            flow.connect(source, index as u32, server - device, 0);
        } else if device > server {
            flow.connect(index as u32, sink, device - server, 0);
        }
    }
    let mut fork = sink;
    for &(tensor, price) in tensors {
        let from = tensor.producer.filter(|&p| p >= start).map_or(source, place);
        // Against the direction of data nothing flows: a reader on the device has its producer there.
        match tensor.readers[..] {
            [] => {}
            [reader] => flow.connect(from, place(reader), price, NEVER),
            _ => {
                // One more vertex for the tensor, so that any number of readers pays once.
                fork += 1;
                flow.connect(from, fork, price, 0);
                for reader in tensor.readers.iter().map(|&reader| place(reader)) {
                    flow.connect(fork, reader, NEVER, 0);
                    flow.connect(from, reader, 0, NEVER);
                }
            }
        }
    }
    let mut side = flow.source_side(source, sink);
    side.truncate(count);
    side
}
