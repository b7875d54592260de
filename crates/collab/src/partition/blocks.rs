//! Blocks between the vertices that all computation passes.
//!
//! Every other vertex comes before or behind such a *narrow* one. A closed set that has one has all
//! before it, and one that lacks it has nothing behind it: so the border of a closed set lies between
//! two narrow vertices that follow each other, and each block between them has a cut of its own.
//! Networks are chains of small blocks.

use std::ops::Range;

use super::{Crossing, Vertex};

/// What lies between two narrow vertices; the input counts as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Its vertices. The one before them, or the input, is narrow, and the one behind them, if any is.
    pub inner: Range<usize>,
    /// Tensors that are made by the narrow one before it or inside, and read.
    pub tensors: Vec<usize>,
}

impl Block {
    /// The blocks of a problem in order, at least one.
    pub fn all(vertices: &[Vertex], tensors: &[Crossing]) -> Vec<Block> {
        let narrow = narrow(vertices.len(), tensors);
        let starts = std::iter::once(0).chain(narrow.iter().map(|v| v + 1));
        let ends = narrow.iter().copied().chain([vertices.len()]);
        let mut blocks: Vec<Block> = starts
            .zip(ends)
            .map(|(start, end)| Block { inner: start..end, tensors: vec![] })
            .collect();
        for (index, tensor) in tensors.iter().enumerate().filter(|(_, t)| !t.readers.is_empty()) {
            let made = tensor.producer.map_or(0, |producer| producer + 1);
            // The narrow vertices up to the producer lie before the block.
            blocks[narrow.partition_point(|&v| v < made)].tensors.push(index);
        }
        blocks
    }
}

/// The narrow vertices, ascending: those that no tensor passes by. One that nothing reads is passed by
/// until the end, one that reads nothing from the start on.
fn narrow(count: usize, tensors: &[Crossing]) -> Vec<usize> {
    // How many pass begins and ends at each place.
    let mut change = vec![0isize; count + 1];
    let mut pass = |first: usize, end: usize| {
        if first < end {
            change[first] += 1;
            change[end] -= 1;
        }
    };
    let (mut is_read, mut reads) = (vec![false; count], vec![false; count]);
    for tensor in tensors {
        tensor.readers.iter().for_each(|&reader| reads[reader] = true);
        let Some(&last) = tensor.readers.last() else { continue };
        tensor.producer.into_iter().for_each(|producer| is_read[producer] = true);
        pass(tensor.producer.map_or(0, |producer| producer + 1), last);
    }
    for v in 0..count {
        if !is_read[v] {
            pass(v + 1, count);
        }
        if !reads[v] {
            pass(0, v);
        }
    }
    let mut passing = 0;
    let mut alone = |v: &usize| {
        passing += change[*v];
        passing == 0
    };
    (0..count).filter(|v| alone(v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(producer: Option<usize>, readers: &[usize]) -> Crossing {
        Crossing { producer, readers: readers.to_vec(), ..Crossing::default() }
    }

    fn narrow_of(count: usize, tensors: &[(Option<usize>, &[usize])]) -> Vec<usize> {
        narrow(count, &tensors.iter().map(|(p, r)| tensor(*p, r)).collect::<Vec<_>>())
    }

    #[test]
    fn narrow_is_what_nothing_passes_by() {
        assert_eq!(narrow_of(3, &[(None, &[0]), (Some(0), &[1]), (Some(1), &[2])]), [0, 1, 2]);
        // The sum 2 reads what is before 1.
        assert_eq!(narrow_of(3, &[(None, &[0]), (Some(0), &[1, 2]), (Some(1), &[2])]), [0, 2]);
        assert_eq!(narrow_of(3, &[(None, &[0, 2]), (Some(0), &[1]), (Some(1), &[2])]), [2]);
        // Nobody reads 0, so that it may be anywhere; nothing is read by 1.
        assert_eq!(narrow_of(3, &[(None, &[0, 1]), (Some(1), &[2])]), [0; 0]);
        assert_eq!(narrow_of(3, &[(None, &[0]), (Some(0), &[2]), (Some(1), &[2])]), [2]);
        assert_eq!(narrow_of(0, &[(None, &[])]), [0; 0]);
    }

    #[test]
    fn a_tensor_is_of_the_block_behind_its_producer() {
        let tensors = [
            tensor(None, &[0]),
            tensor(Some(0), &[1, 2]),
            tensor(Some(1), &[2]),
            tensor(Some(2), &[]),
        ];
        let blocks = Block::all(&[Vertex::default(); 3], &tensors);
        let found: Vec<_> = blocks.iter().map(|b| (b.inner.clone(), b.tensors.clone())).collect();
        assert_eq!(found, [(0..0, vec![0]), (1..2, vec![1, 2]), (3..3, vec![])]);
    }
}
