//! Values of the graph that a loss can look at and act on.

use edgecut_graph::ValueId;

use super::Extent;

/// A value that is kept, and whose gradient the caller adds to.
#[derive(Clone, Debug)]
pub struct Tap {
    /// The value in the graph.
    pub value: ValueId,
    /// Its extents for one image, as the graph has them, the batch left as 1.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub(crate) activation: usize,
    /// Its order inside: channels last, for this extent, or that of the graph.
    pub(crate) pixels: Option<Extent>,
    /// Where its gradient lies.
    pub(crate) slot: usize,
}

impl Tap {
    /// Elements of one image.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Brings images as the engine has them (`inside`) to the graph's order, NCHW.
    ///
    /// # Panics
    /// If the slices are not equally long, or no whole images.
    pub fn to_graph(&self, inside: &[f32], graph: &mut [f32]) {
        self.for_each(inside.len(), |i, g| graph[g] = inside[i]);
    }

    /// Brings images in the graph's order, NCHW, to that of the engine.
    ///
    /// # Panics
    /// If the slices are not equally long, or no whole images.
    pub fn from_graph(&self, graph: &[f32], inside: &mut [f32]) {
        self.for_each(graph.len(), |i, g| inside[i] = graph[g]);
    }

    /// Calls `f(inside, graph)` with all pairs of positions of `len` elements.
    fn for_each(&self, len: usize, mut f: impl FnMut(usize, usize)) {
        assert!(len.is_multiple_of(self.len().max(1)), "no whole images of {:?}", self.shape);
        let Some(Extent { h, w, c }) = self.pixels else {
            return (0..len).for_each(|i| f(i, i));
        };
        let pixels = h * w;
        for i in 0..len {
            let (image, channel, pixel) = (i / (c * pixels), i % c, i / c % pixels);
            f(i, (image * c + channel) * pixels + pixel);
        }
    }
}
