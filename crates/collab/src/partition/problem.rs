//! The abstract problem: vertices that run on one side or the other, tensors that may cross.

use serde::Serialize;

use super::blocks::Block;
use super::conditions::FOREVER_NS;
use super::{Conditions, Radio};
use crate::{CollabError, Result};

/// What is computed together on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vertex {
    /// Time on the device.
    pub device_ns: u64,
    /// Time on the server.
    pub server_ns: u64,
    /// The device's energy for it.
    pub picojoules: u64,
    /// Bytes of weights.
    pub weight_bytes: u64,
    /// Bytes of the model's outputs that it makes: sent back where the server makes them.
    pub reply_bytes: u64,
}

/// What it takes to move a tensor from the device to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Time that the device needs to code it.
    pub encode_ns: u64,
    /// Time that the server needs to decode it.
    pub decode_ns: u64,
}

/// A tensor that is made in one vertex, or is an input of the model, and read in others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// What sending it takes.
    pub transfer: Transfer,
    /// Bytes in memory.
    pub bytes: u64,
    /// The vertex that makes it; none for an input, which the device has.
    pub producer: Option<usize>,
    /// The vertices that read it, each once, none of them the producer.
    pub readers: Vec<usize>,
}

/// Vertices in topological order and the tensors between them.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    vertices: Vec<Vertex>,
    tensors: Vec<Crossing>,
    blocks: Vec<Block>,
}

/// What a plan costs. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The device's computation, and its coding of what it sends.
    pub device_ns: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Their time on the uplink.
    pub link_ns: u64,
    /// The server's computation under its load, and its decoding.
    pub server_ns: u64,
    /// Round trip, queue, and the answer on the downlink.
    pub fixed_ns: u64,
    /// The device's energy by model, its radio included.
    pub picojoules: u64,
    /// Memory of the device's part by model: weights and the largest set of live tensors.
    pub memory_bytes: u64,
}

impl Cost {
    /// From the input to the answer.
    pub fn total_ns(&self) -> u64 {
        self.device_ns + self.link_ns + self.server_ns + self.fixed_ns
    }

    /// The slowest of device, uplink and server: what limits a pipeline of them.
    pub fn stage_ns(&self) -> u64 {
        self.device_ns.max(self.link_ns).max(self.server_ns)
    }
}

impl Problem {
    /// A problem of these vertices and tensors.
    ///
    /// # Errors
    /// Where a tensor names a vertex that does not exist, or is read by one that does not come after
    /// its producer.
    pub fn new(mut vertices: Vec<Vertex>, tensors: Vec<Crossing>) -> Result<Problem> {
        for (index, tensor) in tensors.iter().enumerate() {
            let first = tensor.producer.map_or(0, |producer| producer + 1);
            let ascending = tensor.readers.is_sorted_by(|a, b| a < b);
            let after = tensor.readers.iter().all(|r| (first..vertices.len()).contains(r));
            if !(ascending && after) || first > vertices.len() {
                return Err(CollabError::Problem(format!(
                    "tensor {index}: its readers must be distinct vertices behind its producer"
                )));
            }
        }
        for v in &mut vertices {
            v.device_ns = v.device_ns.min(FOREVER_NS);
            v.server_ns = v.server_ns.min(FOREVER_NS);
            v.picojoules = v.picojoules.min(FOREVER_NS);
        }
        let blocks = Block::all(&vertices, &tensors);
        Ok(Problem { vertices, tensors, blocks })
    }

    /// The vertices, in topological order.
    pub fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// The tensors between them.
    pub fn tensors(&self) -> &[Crossing] {
        &self.tensors
    }

    /// What lies between the vertices that all computation passes, in order.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Whether nothing in `device`, which tells for each vertex whether the device computes it,
    /// depends on anything outside.
    pub fn is_closed(&self, device: &[bool]) -> bool {
        let inside = |tensor: &Crossing| tensor.readers.iter().any(|&r| device[r]);
        let made = |tensor: &Crossing| tensor.producer.is_none_or(|p| device[p]);
        device.len() == self.vertices.len() && self.tensors.iter().all(|t| made(t) || !inside(t))
    }

    /// The tensors, by index, that leave the device.
    pub fn crossing<'a>(&'a self, device: &'a [bool]) -> impl Iterator<Item = usize> + 'a {
        let leaves = |tensor: &Crossing| {
            tensor.producer.is_none_or(|p| device[p]) && tensor.readers.iter().any(|&r| !device[r])
        };
        (0..self.tensors.len()).filter(move |&t| leaves(&self.tensors[t]))
    }

    /// What a closed set costs.
    pub fn cost(&self, device: &[bool], now: &Conditions, radio: &Radio) -> Cost {
        let mut cost = Cost::default();
        let mut reply = 0;
        for (vertex, &here) in self.vertices.iter().zip(device) {
            if here {
                cost.device_ns += vertex.device_ns;
                cost.picojoules += vertex.picojoules;
            } else {
                cost.server_ns += now.loaded_ns(vertex.server_ns);
                reply += now.reply_ns(vertex.reply_bytes);
            }
        }
        for tensor in self.crossing(device) {
            self.tensors[tensor].transfer.add_to(&mut cost, now);
        }
        if device.contains(&false) {
            cost.fixed_ns = now.fixed_ns() + reply;
        }
        cost.picojoules = cost.picojoules.saturating_add(radio_energy(&cost, radio));
        cost.memory_bytes = self.memory(device);
        cost
    }

    /// Bytes that the device's part needs: its weights, and the most bytes of tensors that are alive
    /// at one time when its vertices run in order. What leaves the device lives to the end.
    pub fn memory(&self, device: &[bool]) -> u64 {
        let end = self.vertices.len();
        let mut changes = vec![(0u64, 0u64); end + 1];
        for tensor in &self.tensors {
            if tensor.producer.is_some_and(|p| !device[p]) {
                continue;
            }
            let leaves = tensor.readers.is_empty() || tensor.readers.iter().any(|&r| !device[r]);
            let last = if leaves { end } else { *tensor.readers.last().unwrap_or(&end) };
            changes[tensor.producer.unwrap_or(0)].0 += tensor.bytes;
            changes[last].1 += tensor.bytes;
        }
        let (mut alive, mut most) = (0, 0);
        for (made, freed) in changes {
            alive += made;
            most = most.max(alive);
            alive -= freed;
        }
        let here = self.vertices.iter().zip(device).filter(|(_, here)| **here);
        most + here.map(|(vertex, _)| vertex.weight_bytes).sum::<u64>()
    }
}

impl Transfer {
    pub(super) fn add_to(&self, cost: &mut Cost, now: &Conditions) {
        cost.bytes += self.bytes;
        cost.link_ns += now.send_ns(self.bytes);
        cost.device_ns += self.encode_ns.min(FOREVER_NS);
        cost.server_ns += now.loaded_ns(self.decode_ns);
    }
}

/// The radio's part of a plan's energy: each bit, and the time from the first one to the answer.
pub(super) fn radio_energy(cost: &Cost, radio: &Radio) -> u64 {
    let on_ns = cost.link_ns + cost.server_ns + cost.fixed_ns;
    let bits = cost.bytes.saturating_mul(8).saturating_mul(radio.pj_per_bit);
    bits.saturating_add(on_ns.saturating_mul(radio.on_mw))
}
