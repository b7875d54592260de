//! What the output pixels of a convolution row read, as runs of groups of bytes.

use std::ops::Range;

use crate::conv::{ChannelRuns, ConvShape};
use crate::quant::pack::{GROUP, groups_of, groups_of_run};
use crate::quant::product::Run;

/// Runs that need no memory but their place on the stack.
const FEW: usize = 64;

/// A list of [`Run`]s. Kernels of very many taps go to the heap.
pub(in crate::quant) struct Runs {
    few: [Run; FEW],
    many: Vec<Run>,
    len: usize,
    /// Groups of weights before the next run.
    groups: usize,
    /// Whether nothing but the runs may be read.
    exact: bool,
    /// Copies of the last bytes of exact runs, to which the runs without a place belong in turn.
    few_tails: [[u8; GROUP]; FEW],
    many_tails: Vec<[u8; GROUP]>,
    tails: usize,
}

impl Runs {
    /// For rows behind whose runs there is as much to read as their last groups reach further.
    pub fn new() -> Runs {
        Runs {
            few: [Run::END; FEW],
            many: Vec::new(),
            len: 0,
            groups: 0,
            exact: false,
            few_tails: [[0; GROUP]; FEW],
            many_tails: Vec::new(),
            tails: 0,
        }
    }

    /// For a single row, of which nothing but the runs can be read.
    pub fn exact() -> Runs {
        Runs { exact: true, ..Runs::new() }
    }

    /// Adds `len` bytes from `at` on, which meet the groups of weights from `group` on.
    ///
    /// # Safety
    /// With exact runs, `at` must be valid for `len` reads.
    pub unsafe fn push(&mut self, at: *const u8, len: usize, group: usize) {
        if !self.exact {
            return self.push_groups(at, groups_of_run(len), group);
        }
        let (whole, rest) = (len / GROUP, len % GROUP);
        self.push_groups(at, whole, group);
        if rest > 0 {
            // SAFETY: the last bytes of the run.
            let byte = |i: usize| unsafe { *at.add(whole * GROUP + i) };
            self.push_tail(std::array::from_fn(|i| if i < rest { byte(i) } else { 0 }));
            self.push_groups(std::ptr::null(), 1, group + whole);
        }
    }

    fn push_tail(&mut self, tail: [u8; GROUP]) {
        if self.tails < FEW {
            self.few_tails[self.tails] = tail;
        } else {
            if self.many_tails.is_empty() {
                self.many_tails.extend_from_slice(&self.few_tails);
            }
            self.many_tails.push(tail);
        }
        self.tails += 1;
    }

    fn push_groups(&mut self, at: *const u8, groups: usize, group: usize) {
        if groups == 0 {
            return;
        }
        let run = Run { at, groups, skip: group - self.groups };
        self.groups = group + groups;
        if self.len < FEW - 1 {
            self.few[self.len] = run;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few[..self.len]);
            }
            self.many.push(run);
        }
        self.len += 1;
    }

    /// The list with its end.
    pub fn list(&mut self) -> &[Run] {
        let runs = if self.many.is_empty() {
            &mut self.few[..=self.len]
        } else {
            self.many.truncate(self.len);
            self.many.push(Run::END);
            &mut self.many
        };
        let tails = if self.many_tails.is_empty() { &self.few_tails[..] } else { &self.many_tails };
        let placeless = runs.iter_mut().filter(|run| run.groups > 0 && run.at.is_null());
        for (run, tail) in placeless.zip(tails) {
            run.at = tail.as_ptr();
        }
        runs
    }

    /// Adds what the taps `taps` of kernel row `ky` read, the first of them at `at`, pixels
    /// `x_stride` bytes apart.
    ///
    /// # Safety
    /// With exact runs, the channels of these taps must be valid for reads.
    pub unsafe fn push_taps(
        &mut self,
        shape: &ConvShape,
        channels: &ChannelRuns,
        at: *const u8,
        x_stride: usize,
        taps: Range<usize>,
        ky: usize,
    ) {
        let k = shape.cin_per_group();
        let each = groups_of(channels.each().map(|(_, len)| len));
        let first = (ky * shape.kw + taps.start) * each;
        if channels.whole && x_stride == k && shape.dw == 1 && each * GROUP == k {
            return self.push_groups(at, taps.len() * each, first);
        }
        for i in 0..taps.len() {
            let pixel = at.wrapping_add(i * shape.dw * x_stride);
            let mut group = first + i * each;
            for (channel, len) in channels.each() {
                // SAFETY: by contract.
                unsafe { self.push(pixel.wrapping_add(channel), len, group) };
                group += groups_of_run(len);
            }
        }
    }
}
