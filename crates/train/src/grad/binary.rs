//! Functions of two broadcast operands.

use edgecut_kernels::Ctx;
use edgecut_kernels::elementwise::{Binary, Operand, binary};

use super::operator::{Backward, Forward, Operator};
use super::spread::Spread;
use crate::params::ParamId;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// What an operand is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The input with this number.
    Input(usize),
    /// A parameter, the same for all images.
    Param(ParamId),
    /// Numbers that are not trained, the same for all images.
    Fixed(Vec<f32>),
}

/// One side: what it is, and where its elements go in an image of the result.
#[derive(Debug)]
pub(crate) struct Side {
    pub source: Source,
    pub map: Spread,
}

/// `z = op(a, b)`, both broadcast.
#[derive(Debug)]
pub(crate) struct Pairs {
    op: Binary,
    batch: usize,
    sides: [Side; 2],
}

impl Pairs {
    pub fn new(op: Binary, batch: usize, sides: [Side; 2]) -> Pairs {
        Pairs { op, batch, sides }
    }

    fn len(&self) -> usize {
        self.batch * self.sides[0].map.output()
    }
}

/// The elements of one side, and whether all images share them.
type Elements<'a> = (&'a [f32], bool);

impl Side {
    /// As an operand of kernels over rows of `width`, where it repeats rows; otherwise its elements
    /// are written out to `copy` first.
    fn operand<'a>(
        &self,
        ctx: Ctx,
        (x, shared): Elements<'a>,
        width: usize,
        copy: &'a mut [f32],
    ) -> Operand<'a> {
        if self.map.is_same() && !shared {
            return Operand::Full(x);
        }
        match self.map.row() {
            Some(1) if shared => Operand::Scalar(x[0]),
            Some(row) if row == width && shared => Operand::PerChannel(x),
            Some(row) if row == width => Operand::PerImage(x, self.map.output() / row),
            _ => {
                self.write_out(ctx, (x, shared), copy);
                Operand::Full(copy)
            }
        }
    }

    /// Every element of the side in its place, for all images.
    fn write_out(&self, ctx: Ctx, (x, shared): Elements, copy: &mut [f32]) {
        if !shared {
            return self.map.spread(ctx, x, 0.0, copy);
        }
        let (image, others) = copy.split_at_mut(self.map.output());
        self.map.spread(ctx, x, 0.0, image);
        others.chunks_exact_mut(image.len().max(1)).for_each(|other| other.copy_from_slice(image));
    }
}

/// Rows of what width the operands repeat; the smaller of two, which must divide the other.
fn width(sides: &[Side; 2]) -> usize {
    let rows = sides.iter().filter_map(|side| side.map.row()).filter(|&row| row > 1);
    rows.min().unwrap_or(1)
}

macro_rules! elements {
    ($side:expr, $params:expr, $reads:expr) => {
        match &$side.source {
            Source::Input(i) => ($reads.get(*i), false),
            Source::Param(param) => (&$params.values[$params.range(*param)], true),
            Source::Fixed(values) => (&values[..], true),
        }
    };
}

impl Operator for Pairs {
    fn kind(&self) -> &'static str {
        match self.op {
            Binary::Add | Binary::Sub => "broadcast add",
            Binary::Mul | Binary::Div => "broadcast multiply",
            _ => "function of two",
        }
    }

    fn scratch_len(&self) -> usize {
        let fold = self.sides.iter().map(|side| side.map.scratch_len(self.batch)).max();
        3 * self.len() + fold.unwrap_or(0)
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let ctx = cx.env.ctx;
        let (first, rest) = cx.scratch.split_at_mut(z.len());
        let [a, b] = &self.sides;
        let width = width(&self.sides);
        let a = a.operand(ctx, elements!(a, cx.params, cx.reads), width, first);
        let b = b.operand(ctx, elements!(b, cx.params, cx.reads), width, &mut rest[..z.len()]);
        binary(ctx, self.op, width, a, b, None, z);
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let Backward { env, params, reads, dz, index, gradients, scratch, .. } = cx;
        let mut dx = dx;
        for which in 0..2 {
            match self.sides[which].source {
                Source::Input(input) if input == index => {
                    if let Some(dx) = dx.take() {
                        let [a, b] = &self.sides;
                        let both = [elements!(a, params, reads), elements!(b, params, reads)];
                        self.gradient(env.ctx, which, both, dz, dx, scratch);
                    }
                }
                Source::Param(param) if index == 0 && params.trains(param) => {
                    let [a, b] = &self.sides;
                    let both = [elements!(a, params, reads), elements!(b, params, reads)];
                    let sums = &mut gradients[params.range(param)];
                    self.gradient(env.ctx, which, both, dz, sums, scratch);
                }
                _ => {}
            }
        }
    }
}

impl Pairs {
    /// The gradient of side `which`.
    fn gradient(
        &self,
        ctx: Ctx,
        which: usize,
        both: [Elements; 2],
        dz: &[f32],
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let side = &self.sides[which];
        let (product, rest) = scratch.split_at_mut(dz.len());
        let shared = both[which].1;
        let direct = side.map.is_same() && !shared;
        let fold = |dz: &[f32], dx: &mut [f32], scratch: &mut [f32]| match shared {
            true => side.map.fold_shared(ctx, dz, dx, scratch),
            false => side.map.fold(ctx, dz, dx, scratch),
        };
        if self.op == Binary::Add || self.op == Binary::Sub && which == 0 {
            return fold(dz, dx, rest);
        }
        if direct {
            return self.product(ctx, which, both, dz, dx, rest);
        }
        self.product(ctx, which, both, dz, product, rest);
        fold(product, dx, rest);
    }

    /// `out = dz * slope`, for every element of the result.
    fn product(
        &self,
        ctx: Ctx,
        which: usize,
        both: [Elements; 2],
        dz: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (first, rest) = scratch.split_at_mut(dz.len());
        let second = &mut rest[..dz.len()];
        if self.op == Binary::Mul {
            let width = width(&self.sides);
            let other = self.sides[1 - which].operand(ctx, both[1 - which], width, first);
            return binary(ctx, Binary::Mul, width, Operand::Full(dz), other, None, out);
        }
        self.sides[0].write_out(ctx, both[0], first);
        self.sides[1].write_out(ctx, both[1], second);
        let (op, a, b) = (self.op, &*first, &*second);
        ctx.pool.for_each_chunk_mut(out, TASK, |task, out| {
            let start = task * TASK;
            for (i, out) in out.iter_mut().enumerate() {
                let at = start + i;
                *out = dz[at] * slope(op, which, a[at], b[at]);
            }
        });
    }
}

/// The derivative of `op(a, b)` by side `which`. Where two sides are equal, Max and Min give half of
/// the gradient to each.
fn slope(op: Binary, which: usize, a: f32, b: f32) -> f32 {
    let share = |a: f32, b: f32| {
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let (wide_a, wide_b) = (f64::from(a), f64::from(b));
    match (op, which) {
        (Binary::Add, _) | (Binary::Sub, 0) | (Binary::Fmod, 0) => 1.0,
        (Binary::Sub, _) => -1.0,
        (Binary::Mul, 0) => b,
        (Binary::Mul, _) => a,
        (Binary::Div, 0) => 1.0 / b,
        (Binary::Div, _) => (-wide_a / (wide_b * wide_b)) as f32,
        (Binary::Max, 0) => share(a, b),
        (Binary::Max, _) => share(b, a),
        (Binary::Min, 0) => share(b, a),
        (Binary::Min, _) => share(a, b),
        (Binary::Pow, 0) if b == 0.0 => 0.0,
        (Binary::Pow, 0) => (wide_b * libm::pow(wide_a, wide_b - 1.0)) as f32,
        // a^b ln a, whose limit at 0 is 0 for positive b.
        (Binary::Pow, _) if a == 0.0 && b > 0.0 => 0.0,
        (Binary::Pow, _) => (libm::pow(wide_a, wide_b) * libm::log(wide_a)) as f32,
        (Binary::PRelu, 0) => {
            if a >= 0.0 {
                1.0
            } else {
                b
            }
        }
        (Binary::PRelu, _) => {
            if a >= 0.0 {
                0.0
            } else {
                a
            }
        }
        (Binary::Fmod, _) => -(a / b).trunc(),
    }
}
