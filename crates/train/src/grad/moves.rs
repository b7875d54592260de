//! Layers that move elements and compute nothing.

use edgecut_kernels::layout::{channel_shuffle, nchw_to_nhwc, nhwc_to_nchw};

use super::operator::{Backward, Forward, Operator};
use super::spread::Spread;

/// Elements of several inputs in other places; each output element comes from at most one of them.
#[derive(Debug)]
pub(crate) struct Moves {
    batch: usize,
    /// One map for each input.
    maps: Vec<Spread>,
    /// What the elements are that come from nowhere.
    fill: f32,
}

impl Moves {
    pub fn new(batch: usize, maps: Vec<Spread>, fill: f32) -> Moves {
        Moves { batch, maps, fill }
    }
}

impl Operator for Moves {
    fn kind(&self) -> &'static str {
        "move"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn scratch_len(&self) -> usize {
        let own = |map: &Spread| (self.batch * map.output()).max(map.scratch_len(self.batch));
        self.maps.iter().map(own).max().unwrap_or(0)
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        self.maps[0].spread(cx.env.ctx, cx.reads.get(0), self.fill, z);
        for (i, map) in self.maps.iter().enumerate().skip(1) {
            // Zero where the element comes from another input.
            let part = &mut cx.scratch[..z.len()];
            map.spread(cx.env.ctx, cx.reads.get(i), 0.0, part);
            edgecut_kernels::elementwise::add_to(cx.env.ctx, part, z);
        }
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            self.maps[cx.index].fold(cx.env.ctx, cx.dz, dx, cx.scratch);
        }
    }
}

/// Between the two orders of an image: channels last, and rows as the graph has them.
#[derive(Debug)]
pub(crate) struct Convert {
    pub channels: usize,
    pub pixels: usize,
    /// Whether channels are last behind it, or before it.
    pub to_pixels: bool,
}

impl Convert {
    fn swap(&self, cx: edgecut_kernels::Ctx, to_pixels: bool, x: &[f32], out: &mut [f32]) {
        let swap = if to_pixels { nchw_to_nhwc::<f32> } else { nhwc_to_nchw::<f32> };
        swap(cx, self.channels, self.pixels, x, out);
    }
}

impl Operator for Convert {
    fn kind(&self) -> &'static str {
        "layout"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        self.swap(cx.env.ctx, self.to_pixels, cx.reads.get(0), z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            self.swap(cx.env.ctx, !self.to_pixels, cx.dz, dx);
        }
    }
}

/// ShuffleNet's order of channels, channels last.
#[derive(Debug)]
pub(crate) struct Shuffle {
    pub channels: usize,
    pub groups: usize,
}

impl Operator for Shuffle {
    fn kind(&self) -> &'static str {
        "channel shuffle"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        channel_shuffle(cx.env.ctx, self.groups, self.channels, cx.reads.get(0), z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        if let Some(dx) = dx {
            // Back again: as many groups as a group had members.
            let groups = self.channels / self.groups;
            channel_shuffle(cx.env.ctx, groups, self.channels, cx.dz, dx);
        }
    }
}
