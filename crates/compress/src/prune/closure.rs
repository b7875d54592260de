//! Which classes of indices die together, where dimensions are grids of others.

use edgecut_graph::Graph;

use super::flow::{Flow, Grid};

/// Number of indices of every dimension, and how many of them are of each class.
#[derive(Clone, Debug)]
pub(crate) struct Extents {
    /// By dimension of all values.
    pub lens: Vec<usize>,
    /// By class: dimensions, and number of indices.
    of: Vec<Vec<(usize, usize)>>,
}

impl Extents {
    pub fn of(graph: &Graph, flow: &Flow) -> Extents {
        let mut lens = vec![];
        let mut of: Vec<Vec<(usize, usize)>> = vec![vec![]; flow.space.len()];
        for axis in graph.value_ids().flat_map(|id| flow.space.of(id)) {
            for index in axis.indices().filter(|&index| flow.space.pinned(index).is_none()) {
                let counts = &mut of[flow.space.class(index) as usize];
                match counts.last_mut() {
                    Some((at, count)) if *at == lens.len() => *count += 1,
                    _ => counts.push((lens.len(), 1)),
                }
            }
            lens.push(axis.len());
        }
        Extents { lens, of }
    }

    /// Dimensions that `class` runs through, and how many of their indices are of it.
    pub fn of_class(&self, class: u32) -> &[(usize, usize)] {
        &self.of[class as usize]
    }
}

/// Finds everything that dies with a class.
pub(crate) struct Closure<'a> {
    flow: &'a Flow,
    extents: &'a Extents,
    /// By class: places of its indices as lines, (grid, side, index).
    lines: Vec<Vec<(usize, usize, usize)>>,
    /// By class: places of its indices as cells, (grid, cell).
    cells: Vec<Vec<(usize, usize)>>,
    /// By class: whether it was found that it cannot die, so that nothing else takes it along.
    stays: Vec<bool>,
    /// By class.
    is_dead: Vec<bool>,
    /// By dimension: indices that are gone.
    gone: Vec<usize>,
    /// Dead classes, in order of death.
    dead: Vec<u32>,
    /// Whether the dead leave nothing of a dimension, or one of them cannot die.
    refused: bool,
}

impl<'a> Closure<'a> {
    pub fn new(flow: &'a Flow, extents: &'a Extents) -> Closure<'a> {
        let classes = flow.space.len();
        let (mut lines, mut cells) = (vec![vec![]; classes], vec![vec![]; classes]);
        for (g, grid) in flow.grids.iter().enumerate() {
            for (s, side) in grid.sides.iter().enumerate() {
                for (i, index) in side.indices().enumerate() {
                    lines[flow.space.class(index) as usize].push((g, s, i));
                }
            }
            for (cell, index) in grid.cells.indices().enumerate() {
                cells[flow.space.class(index) as usize].push((g, cell));
            }
        }
        Closure {
            flow,
            extents,
            lines,
            cells,
            stays: vec![false; classes],
            is_dead: vec![false; classes],
            gone: vec![0; extents.lens.len()],
            dead: vec![],
            refused: false,
        }
    }

    /// Whether `class` is a cell of a grid, which cannot go without a line.
    pub fn is_cell(&self, class: u32) -> bool {
        !self.cells[class as usize].is_empty()
    }

    /// All classes that die with `class`, ascending, or `None` where one of them cannot, or nothing
    /// would be left of a dimension.
    ///
    /// A line takes its cells along. A cell that dies in no dead line takes one of its lines, so
    /// that its grid stays one: a line of which nothing is left, or else the shortest that may go,
    /// whose other cells follow.
    pub fn of(&mut self, class: u32) -> Option<Vec<u32>> {
        self.kill(class);
        // First dead, first served: what a line takes along is all dead before another is chosen.
        let mut next = 0;
        while next < self.dead.len() && !self.refused {
            self.follow(self.dead[next]);
            next += 1;
        }
        self.stays[class as usize] |= self.refused;
        let found = (!self.refused).then(|| {
            let mut dead = self.dead.clone();
            dead.sort_unstable();
            dead
        });
        self.bury();
        found
    }

    fn kill(&mut self, class: u32) {
        if std::mem::replace(&mut self.is_dead[class as usize], true) {
            return;
        }
        self.dead.push(class);
        self.refused |= self.stays[class as usize] || self.flow.space.pinned(class).is_some();
        for &(axis, count) in self.extents.of_class(class) {
            self.gone[axis] += count;
            self.refused |= self.gone[axis] >= self.extents.lens[axis];
        }
    }

    /// Kills what dies with a dead class.
    fn follow(&mut self, class: u32) {
        let flow = self.flow;
        let lines = std::mem::take(&mut self.lines[class as usize]);
        for &(g, s, i) in &lines {
            flow.grids[g].cells_of(s, i).for_each(|index| self.kill(flow.space.class(index)));
        }
        self.lines[class as usize] = lines;
        let cells = std::mem::take(&mut self.cells[class as usize]);
        for &(g, cell) in &cells {
            self.cover(&flow.grids[g], cell);
        }
        self.cells[class as usize] = cells;
    }

    /// Lets a line through a dead cell die, where none has.
    fn cover(&mut self, grid: &Grid, cell: usize) {
        let flow = self.flow;
        let space = &flow.space;
        let lines = || grid.lines(cell).map(|line| space.class(line));
        if lines().any(|line| self.is_dead[line as usize]) {
            return;
        }
        // Sides, places and classes of the lines that may go.
        let all = lines().zip(grid.places(cell)).enumerate();
        let free = all.filter(|(_, (line, _))| space.pinned(*line).is_none());
        let free: Vec<(usize, usize, u32)> = free.map(|(s, (line, i))| (s, i, line)).collect();
        let gone = |&&(side, place, _): &&(usize, usize, u32)| {
            let mut cells = grid.cells_of(side, place);
            cells.all(|index| self.is_dead[space.class(index) as usize])
        };
        let shortest = || free.iter().max_by_key(|(side, ..)| grid.sides[*side].len());
        let line = free.iter().find(gone).or_else(shortest).map(|&(.., line)| line);
        match line {
            Some(line) => self.kill(line),
            None => self.refused = true,
        }
    }

    /// Forgets the dead.
    fn bury(&mut self) {
        for class in self.dead.drain(..) {
            self.is_dead[class as usize] = false;
            self.extents.of_class(class).iter().for_each(|&(axis, _)| self.gone[axis] = 0);
        }
        self.refused = false;
    }
}
