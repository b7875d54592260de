//! Dimensions that are products of others.

use super::space::{Axis, Pin, Space};

/// A dimension whose indices are the cells of a grid, row-major: `[heads, width]` seen as one
/// dimension of `heads * width`, or the channels of a grouped convolution. It stays a grid when
/// whole lines go, so a cell is removed exactly when one of the lines through it is.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// The sides, outermost first.
    pub sides: Vec<Axis>,
    /// As many as the sides' lengths multiply to.
    pub cells: Axis,
}

impl Grid {
    /// For each side, the number of the line that `cell` lies on.
    pub fn places(&self, cell: usize) -> impl Iterator<Item = usize> + '_ {
        let mut below = self.cells.len();
        self.sides.iter().map(move |side| {
            below /= side.len();
            cell / below % side.len()
        })
    }

    /// For each side, the line that `cell` lies on.
    pub fn lines(&self, cell: usize) -> impl Iterator<Item = u32> + '_ {
        self.sides.iter().zip(self.places(cell)).map(|(side, place)| side.at(place))
    }

    /// The cells on line `index` of side `side`.
    pub fn cells_of(&self, side: usize, index: usize) -> impl Iterator<Item = u32> + '_ {
        let below: usize = self.sides[side + 1..].iter().map(|s| s.len()).product();
        let stride = below * self.sides[side].len();
        let outer = self.cells.len().checked_div(stride).unwrap_or(0);
        (0..outer).flat_map(move |o| {
            let first = o * stride + index * below;
            (first..first + below).map(|cell| self.cells.at(cell))
        })
    }
}

/// Carries pins between cells and lines until nothing changes, and joins the cells of grids of
/// which only one side can shrink with the lines of that side. Returns the grids where more than
/// one side can.
pub(crate) fn settle(space: &mut Space, mut grids: Vec<Grid>) -> Vec<Grid> {
    loop {
        let mut changed = false;
        space.flatten();
        for grid in &grids {
            changed |= carry_pins(space, grid);
        }
        let mut open = Vec::with_capacity(grids.len());
        for grid in grids {
            let free = |side: &&Axis| side.indices().any(|i| space.pinned(i).is_none());
            let sides: Vec<Axis> = grid.sides.iter().filter(free).copied().collect();
            match sides.as_slice() {
                [] => {}
                [side] => changed |= join(space, &grid, *side),
                _ => open.push(grid),
            }
        }
        grids = open;
        if !changed {
            space.flatten();
            return grids;
        }
    }
}

/// A cell stays where all its lines stay, and a line stays where one of its cells does.
fn carry_pins(space: &mut Space, grid: &Grid) -> bool {
    let mut changed = false;
    for cell in 0..grid.cells.len() {
        let index = grid.cells.at(cell);
        if let Some(pin) = space.pinned(index).cloned() {
            for line in grid.lines(cell) {
                changed |= space.pin(line, &pin);
            }
            continue;
        }
        // The innermost reason is the one that a person can do something about.
        let mut reasons: Vec<Option<Pin>> =
            grid.lines(cell).map(|line| space.pinned(line).cloned()).collect();
        if reasons.iter().all(Option::is_some)
            && let Some(pin) = reasons.pop().flatten()
        {
            changed |= space.pin(index, &pin);
        }
    }
    changed
}

fn join(space: &mut Space, grid: &Grid, side: Axis) -> bool {
    let at = grid.sides.iter().position(|s| *s == side).unwrap_or(0);
    let mut changed = false;
    for cell in 0..grid.cells.len() {
        let line = grid.lines(cell).nth(at).expect("a line on each side");
        changed |= space.join(grid.cells.at(cell), line);
    }
    changed
}
