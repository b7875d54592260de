//! Places the nodes of a graph in layers (Sugiyama, Tagawa and Toda 1981).
//!
//! A node's layer is its longest distance from an input. An edge over several layers passes
//! through a joint in each, so that edges never cross boxes. Joints and boxes of a layer are sorted
//! by the mean position of their neighbours, and then moved as close to those means as their order
//! and widths allow: a least-squares problem that pooling adjacent violators solves exactly. At
//! last, chains of boxes are put upright where their neighbours leave room.

/// Something with a place: a box, or a joint of an edge.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Layer, from 0.
    pub layer: usize,
    /// Middle, in boxes' units.
    pub x: f64,
}

/// Where everything is.
pub struct Layout {
    /// One for each box.
    pub boxes: Vec<Place>,
    /// For each edge, in order: the places it passes, both ends included.
    pub routes: Vec<Vec<Place>>,
    /// Number of layers.
    pub layers: usize,
    /// Leftmost and rightmost middle.
    pub span: (f64, f64),
}

/// How many joints a picture may have, which bounds time and size; edges beyond, the longest, are
/// drawn straight.
const MAX_JOINTS: usize = 50_000;
/// Sweeps down and up the layers.
const SWEEPS: usize = 8;
/// Rounds of putting chains upright: one chain that moved makes room for others.
const ROUNDS: usize = 4;
/// Room that a joint takes, in widths of a box.
const JOINT: f64 = 0.25;

/// Lays out `count` boxes with `edges` (from, to), where `from` comes before `to` in the order of
/// the boxes.
pub fn layout(count: usize, edges: &[(usize, usize)]) -> Layout {
    let mut layer = vec![0usize; count];
    for (from, to) in sorted(edges) {
        layer[to] = layer[to].max(layer[from] + 1);
    }
    let mut net = Net::new(&layer);
    let length = |&(a, b): &(usize, usize)| layer[b].saturating_sub(layer[a] + 1);
    let longest = longest_joined(edges.iter().map(length).collect());
    let chains: Vec<Vec<usize>> =
        edges.iter().map(|edge| net.connect(*edge, length(edge) <= longest)).collect();
    net.arrange();
    net.straighten();
    let place = |i: usize| Place { layer: net.layer[i], x: net.x[i] };
    let (low, high) = net.x.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x), b.max(x)));
    Layout {
        boxes: (0..count).map(place).collect(),
        routes: chains.iter().map(|chain| chain.iter().map(|&i| place(i)).collect()).collect(),
        layers: net.rows.len(),
        span: if low <= high { (low, high) } else { (0.0, 0.0) },
    }
}

/// Length up to which edges get joints, such that all joints are at most [`MAX_JOINTS`].
fn longest_joined(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    let mut joints = 0;
    let first_beyond = lengths.iter().position(|length| {
        joints += length;
        joints > MAX_JOINTS
    });
    // As long edges are treated alike, those of the first length beyond stay straight too.
    first_beyond.map_or(usize::MAX, |i| lengths[i].saturating_sub(1))
}

/// By source, so that layers are final when they are read.
fn sorted(edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut edges = edges.to_vec();
    edges.sort_unstable();
    edges
}

/// Boxes and joints, layer by layer.
struct Net {
    layer: Vec<usize>,
    width: Vec<f64>,
    x: Vec<f64>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    rows: Vec<Vec<usize>>,
}

impl Net {
    fn new(layer: &[usize]) -> Net {
        let count = layer.len();
        let mut rows = vec![vec![]; layer.iter().max().map_or(0, |l| l + 1)];
        (0..count).for_each(|i| rows[layer[i]].push(i));
        let none = vec![vec![]; count];
        Net {
            layer: layer.to_vec(),
            width: vec![1.0; count],
            x: vec![0.0; count],
            above: none.clone(),
            below: none,
            rows,
        }
    }

    /// Links two boxes, with joints between where wanted: the items passed.
    fn connect(&mut self, (from, to): (usize, usize), joints: bool) -> Vec<usize> {
        let mut chain = vec![from];
        for layer in self.layer[from] + 1..self.layer[to] {
            if joints {
                chain.push(self.joint(layer));
            }
        }
        chain.push(to);
        for pair in chain.windows(2) {
            self.below[pair[0]].push(pair[1]);
            self.above[pair[1]].push(pair[0]);
        }
        chain
    }

    fn joint(&mut self, layer: usize) -> usize {
        let index = self.layer.len();
        self.layer.push(layer);
        self.width.push(JOINT);
        self.x.push(0.0);
        self.above.push(vec![]);
        self.below.push(vec![]);
        self.rows[layer].push(index);
        index
    }

    fn arrange(&mut self) {
        for row in 0..self.rows.len() {
            self.pack(row, |_, i| i as f64 * 1e-6);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let mut rows: Vec<usize> = (0..self.rows.len()).collect();
            if !down {
                rows.reverse();
            }
            for row in rows {
                self.sort(row, down);
                self.pack(row, |net, i| net.wish(i, down));
            }
        }
        // Last, with neighbours on both sides: what hangs on one thread stands below it.
        for row in (0..self.rows.len()).chain((0..self.rows.len()).rev()) {
            self.pack(row, Net::middle);
        }
    }

    /// Puts every chain on one line as far as the items beside it allow, the longest first.
    fn straighten(&mut self) {
        let mut place = vec![0; self.layer.len()];
        for row in &self.rows {
            row.iter().enumerate().for_each(|(p, &i)| place[i] = p);
        }
        let mut chains = self.chains();
        chains.sort_by_key(|chain| std::cmp::Reverse(chain.len()));
        for _ in 0..ROUNDS {
            for chain in &chains {
                let mut rest = chain.as_slice();
                while !rest.is_empty() {
                    rest = &rest[self.upright(rest, &place)..];
                }
            }
        }
    }

    /// Puts the beginning of a chain on one line; returns how many items have room there.
    fn upright(&mut self, chain: &[usize], place: &[usize]) -> usize {
        let (mut low, mut high, mut count) = (f64::MIN, f64::MAX, 0);
        for &item in chain {
            let row = &self.rows[self.layer[item]];
            let apart = |other: usize| (self.width[other] + self.width[item]) / 2.0;
            let left = place[item].checked_sub(1).map(|p| self.x[row[p]] + apart(row[p]));
            let right = row.get(place[item] + 1).map(|&next| self.x[next] - apart(next));
            let room = (low.max(left.unwrap_or(low)), high.min(right.unwrap_or(high)));
            if room.0 > room.1 && count > 0 {
                break;
            }
            (low, high) = room;
            count += 1;
        }
        let mean = self.mean(&chain[..count]).unwrap_or(0.0);
        // Rounding may leave one item without room: it stays where it is.
        if low <= high {
            chain[..count].iter().for_each(|&i| self.x[i] = mean.clamp(low, high));
        }
        count
    }

    /// Items that follow each other as the main neighbours of one another, from top to bottom.
    fn chains(&self) -> Vec<Vec<usize>> {
        // The only box, else the only joint: the way through a block, not the one around it. Where
        // several boxes fan out, their middle is the better place.
        let main = |near: &[usize]| {
            let mut boxes = near.iter().copied().filter(|&i| self.width[i] == 1.0);
            match (boxes.next(), boxes.next(), near) {
                (Some(only), None, _) | (None, None, &[only]) => Some(only),
                _ => None,
            }
        };
        let next = |i: usize| main(&self.below[i]).filter(|&b| main(&self.above[b]) == Some(i));
        let first = |i: &usize| main(&self.above[*i]).is_none_or(|a| next(a) != Some(*i));
        let chain = |i: usize| std::iter::successors(Some(i), |&i| next(i)).collect();
        (0..self.layer.len()).filter(first).map(chain).collect()
    }

    fn mean(&self, items: &[usize]) -> Option<f64> {
        let sum: f64 = items.iter().map(|&i| self.x[i]).sum();
        (!items.is_empty()).then(|| sum / items.len() as f64)
    }

    fn wish(&self, item: usize, down: bool) -> f64 {
        let near = if down { &self.above[item] } else { &self.below[item] };
        self.mean(near).unwrap_or(self.x[item])
    }

    fn middle(&self, item: usize) -> f64 {
        match (self.mean(&self.above[item]), self.mean(&self.below[item])) {
            (Some(a), Some(b)) => (a + b) / 2.0,
            (Some(x), None) | (None, Some(x)) => x,
            (None, None) => self.x[item],
        }
    }

    fn sort(&mut self, row: usize, down: bool) {
        let items = std::mem::take(&mut self.rows[row]);
        let key = |i: usize| (self.wish(i, down), self.x[i], i);
        let mut keyed: Vec<(f64, f64, usize)> = items.into_iter().map(key).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        self.rows[row] = keyed.into_iter().map(|(_, _, i)| i).collect();
    }

    /// Moves the items of a row as near to their wishes as order and widths allow.
    fn pack(&mut self, row: usize, wish: impl Fn(&Net, usize) -> f64) {
        let items = std::mem::take(&mut self.rows[row]);
        let (mut offset, mut offsets, mut wishes) = (0.0, vec![], vec![]);
        for (k, &item) in items.iter().enumerate() {
            if k > 0 {
                offset += (self.width[items[k - 1]] + self.width[item]) / 2.0;
            }
            offsets.push(offset);
            wishes.push(wish(self, item) - offset);
        }
        for ((&item, y), offset) in items.iter().zip(nondecreasing(&wishes)).zip(offsets) {
            self.x[item] = y + offset;
        }
        self.rows[row] = items;
    }
}

/// The nondecreasing sequence that is nearest to `wishes` in the sense of least squares.
fn nondecreasing(wishes: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = vec![];
    for &wish in wishes {
        let mut pool = (wish, 1);
        while let Some(&(mean, n)) = pools.last().filter(|(mean, _)| *mean > pool.0) {
            pools.pop();
            pool = ((mean * n as f64 + pool.0 * pool.1 as f64) / (n + pool.1) as f64, n + pool.1);
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_gives_the_nearest_nondecreasing_sequence() {
        assert_eq!(nondecreasing(&[1.0, 3.0, 2.0, 4.0]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(nondecreasing(&[3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
        assert!(nondecreasing(&[]).is_empty());
    }

    #[test]
    fn a_residual_edge_passes_beside_its_block() {
        // 0 -> 1 -> 2 -> 3 and 0 -> 3.
        let layout = layout(4, &[(0, 1), (1, 2), (2, 3), (0, 3)]);
        assert_eq!(layout.boxes.iter().map(|b| b.layer).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let route = &layout.routes[3];
        assert_eq!(route.len(), 4);
        for joint in &route[1..3] {
            let block = layout.boxes[joint.layer].x;
            assert!((joint.x - block).abs() >= (1.0 + JOINT) / 2.0 - 1e-9, "{joint:?} {block}");
        }
    }

    #[test]
    fn the_way_through_residual_blocks_is_straight() {
        // Blocks of three with an edge around each.
        let mut edges: Vec<(usize, usize)> = (1..25).map(|i| (i - 1, i)).collect();
        edges.extend((3..25).step_by(3).map(|i| (i - 3, i)));
        let layout = layout(25, &edges);
        let first = layout.boxes[0].x;
        assert!(layout.boxes.iter().all(|b| (b.x - first).abs() < 1e-9), "{:?}", layout.boxes);
    }

    #[test]
    fn boxes_of_a_layer_do_not_overlap() {
        let edges: Vec<(usize, usize)> = (1..9).flat_map(|i| [(0, i), (i, 9)]).collect();
        let layout = layout(10, &edges);
        let mut xs: Vec<f64> = layout.boxes[1..9].iter().map(|b| b.x).collect();
        xs.sort_by(f64::total_cmp);
        assert!(xs.windows(2).all(|w| w[1] - w[0] >= 1.0 - 1e-9), "{xs:?}");
        assert!((layout.boxes[0].x - (xs[0] + xs[7]) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn ten_thousand_nodes_take_no_time() {
        // Blocks of a branch and a skip, and edges from the first node to every hundredth.
        let mut edges: Vec<(usize, usize)> = (1..10_000).map(|i| (i - 1, i)).collect();
        edges.extend((3..10_000).step_by(3).map(|i| (i - 3, i)));
        edges.extend((100..10_000).step_by(100).map(|i| (0, i)));
        let began = std::time::Instant::now();
        let first = layout(10_000, &edges);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert!(first.routes.iter().map(Vec::len).sum::<usize>() <= 2 * edges.len() + MAX_JOINTS);
        let second = layout(10_000, &edges);
        assert!(first.boxes.iter().zip(&second.boxes).all(|(a, b)| a.x == b.x));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let layout = layout(0, &[]);
        assert_eq!((layout.layers, layout.span), (0, (0.0, 0.0)));
    }
}
