//! Steps on 8-bit data: integers in, integer sums, one rounding out.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use edgecut_kernels::ConvShape;
use edgecut_kernels::elementwise::{Binary, Walk};
use edgecut_kernels::quant::{
    self, Affine, ConvWeights, Dequant, Finish, Numbers, Output, PackedWeights, Requant, Residual,
    Scale,
};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product, valid};

/// What becomes of the sums.
#[derive(Serialize, Deserialize)]
pub(crate) enum QuantOutput {
    /// Bytes of the next scale.
    Bytes(Requant),
    /// Real numbers, where no QuantizeLinear follows.
    Floats(Dequant),
}

impl QuantOutput {
    fn bytes(&self) -> usize {
        match self {
            QuantOutput::Bytes(requant) => requant.bytes(),
            QuantOutput::Floats(dequant) => dequant.bytes(),
        }
    }

    fn check(&self, c: &mut Check, y: Slot, rows: usize, channels: usize) -> Checked {
        let len = product(&[rows, channels])?;
        match self {
            QuantOutput::Bytes(requant) => {
                ensure(requant.fit(channels), || "one multiplier a channel".into())?;
                c.write::<u8>(y, len)
            }
            QuantOutput::Floats(dequant) => {
                ensure(dequant.fit(channels), || "one scale a channel".into())?;
                c.write::<f32>(y, len)
            }
        }
    }

    fn of<'a>(&'a self, env: &mut Env<'a>, y: Slot, residual: Option<Residual<'a>>) -> Output<'a> {
        match self {
            QuantOutput::Bytes(requant) => {
                Output::U8(env.write(y), Finish { residual, ..Finish::new(requant) })
            }
            QuantOutput::Floats(dequant) => Output::F32(env.write(y), dequant),
        }
    }
}

/// Convolution of bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantConv {
    pub x: Slot,
    pub y: Slot,
    /// Added to results that are bytes.
    pub residual: Option<(Slot, Affine)>,
    pub shape: ConvShape,
    pub weights: Arc<ConvWeights>,
    pub output: QuantOutput,
}

impl QuantConv {
    pub fn check(&self, c: &mut Check) -> Checked {
        let s = &self.shape;
        valid(s)?;
        ensure(self.weights.fit(s), || format!("the weights are not those of {s:?}"))?;
        c.read::<u8>(self.x, s.in_len())?;
        if let Some((residual, _)) = self.residual {
            c.read::<u8>(residual, s.out_len())?;
        }
        self.output.check(c, self.y, s.out_pixels(), s.cout)
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.output.bytes()
    }

    pub fn run<'a>(&'a self, env: &mut Env<'a>) {
        let x = env.read(self.x);
        let (s, stride) = (&self.shape, self.shape.cout);
        let residual =
            self.residual.map(|(slot, affine)| Residual { data: env.read(slot), stride, affine });
        let output = self.output.of(env, self.y, residual);
        quant::conv(env.ctx, s, x, s.cin, &self.weights, output, stride);
    }
}

/// Matrix product of bytes: rows of x times packed weights.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantLinear {
    pub x: Slot,
    pub y: Slot,
    pub rows: usize,
    pub weights: Arc<PackedWeights>,
    pub output: QuantOutput,
}

impl QuantLinear {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (k, n) = (self.weights.k(), self.weights.n());
        ensure(self.weights.fit(k, n), || format!("the weights are not {k} x {n}"))?;
        c.read::<u8>(self.x, product(&[self.rows, k])?)?;
        self.output.check(c, self.y, self.rows, n)
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.output.bytes()
    }

    pub fn run<'a>(&'a self, env: &mut Env<'a>) {
        let x = env.read(self.x);
        let output = self.output.of(env, self.y, None);
        let (k, n) = (self.weights.k(), self.weights.n());
        quant::gemm(env.ctx, self.rows, x, k, &self.weights, output, n);
    }
}

/// A function of two broadcast 8-bit tensors.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantBinary {
    pub op: Binary,
    pub a: (Slot, Meaning),
    pub b: (Slot, Meaning),
    pub y: (Slot, Affine),
    pub clamp: (u8, u8),
    pub walk: Walk,
}

/// What bytes stand for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Meaning {
    Affine(Affine),
    Table(#[serde(with = "super::table")] Arc<[f32; 256]>),
}

impl Meaning {
    fn of<'a>(&'a self, data: &'a [u8]) -> Numbers<'a> {
        let meaning = match self {
            Meaning::Affine(affine) => quant::Meaning::Affine(*affine),
            Meaning::Table(table) => quant::Meaning::Table(table),
        };
        Numbers { data, meaning }
    }
}

impl QuantBinary {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (a, b) = (c.len::<u8>(self.a.0)?, c.len::<u8>(self.b.0)?);
        let walk = self.walk.reach().filter(|&(_, reach)| reach[0] <= a && reach[1] <= b);
        let (len, _) = walk.ok_or_else(|| "walks out of its operands".to_string())?;
        ensure(self.clamp.0 <= self.clamp.1, || "limits in the wrong order".into())?;
        c.read::<u8>(self.a.0, a)?;
        c.read::<u8>(self.b.0, b)?;
        c.write::<u8>(self.y.0, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (a, b) = (self.a.1.of(env.read(self.a.0)), self.b.1.of(env.read(self.b.0)));
        let y = env.write(self.y.0);
        quant::binary(env.ctx, self.op, &self.walk, a, b, self.y.1, self.clamp, y);
    }
}

/// Mean over windows of bytes, or over whole images.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantAverage {
    pub x: (Slot, Affine),
    pub y: (Slot, Affine),
    pub clamp: (u8, u8),
    pub window: Average,
}

/// What is averaged.
#[derive(Serialize, Deserialize)]
pub(crate) enum Average {
    /// Windows; whether padding counts.
    Window(ConvShape, bool),
    /// All pixels of an image; their number and that of the channels.
    Image(usize, usize),
}

impl QuantAverage {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (from, to) = match &self.window {
            Average::Window(shape, _) => {
                valid(shape)?;
                ensure(shape.cin == shape.cout, || "pooling keeps the channels".into())?;
                (shape.in_len(), shape.out_len())
            }
            &Average::Image(pixels, channels) => {
                let len = c.len::<u8>(self.y.0)?;
                // More pixels would leave the sums' 32 bits.
                let whole = channels > 0 && len.is_multiple_of(channels);
                ensure(whole && (1..=1 << 23).contains(&pixels), || format!("{pixels} pixels"))?;
                (product(&[len, pixels])?, len)
            }
        };
        c.read::<u8>(self.x.0, from)?;
        c.write::<u8>(self.y.0, to)
    }

    pub fn run(&self, env: &mut Env) {
        let ctx = env.ctx;
        let (x, y) = (env.read(self.x.0), env.write(self.y.0));
        let (from, to) = (self.x.1, self.y.1);
        match &self.window {
            Average::Window(shape, include_pad) => {
                quant::average_pool(ctx, shape, x, from, to, self.clamp, *include_pad, y);
            }
            Average::Image(pixels, channels) => {
                quant::global_average_pool(ctx, *pixels, *channels, x, from, to, self.clamp, y);
            }
        }
    }
}

/// Real means of bytes over all pixels of an image.
#[derive(Serialize, Deserialize)]
pub(crate) struct RealAverage {
    pub x: (Slot, Affine),
    pub y: Slot,
    pub pixels: usize,
    pub channels: usize,
}

impl RealAverage {
    pub fn check(&self, c: &mut Check) -> Checked {
        let len = c.len::<f32>(self.y)?;
        // More pixels would leave the sums' 32 bits.
        let whole = self.channels > 0 && len.is_multiple_of(self.channels);
        let pixels = self.pixels;
        ensure(whole && (1..=1 << 23).contains(&pixels), || format!("{pixels} pixels"))?;
        c.read::<u8>(self.x.0, product(&[len, pixels])?)?;
        c.write::<f32>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (ctx, (x, y)) = (env.ctx, (env.read(self.x.0), env.write(self.y)));
        quant::global_average(ctx, self.pixels, self.channels, x, self.x.1, y);
    }
}

/// QuantizeLinear with one scale.
#[derive(Serialize, Deserialize)]
pub(crate) struct Quantize {
    pub x: Slot,
    pub y: Slot,
    pub affine: Affine,
}

impl Quantize {
    pub fn check(&self, c: &mut Check) -> Checked {
        let len = c.len::<f32>(self.x)?;
        c.read::<f32>(self.x, len)?;
        c.write::<u8>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        quant::quantize(env.ctx, env.read(self.x), self.affine, env.write(self.y));
    }
}

/// The planes of pictures to pixels of 4 bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantizePlanes {
    pub x: Slot,
    pub y: Slot,
    pub images: usize,
    pub channels: usize,
    pub pixels: usize,
    pub affine: Affine,
}

impl QuantizePlanes {
    pub fn check(&self, c: &mut Check) -> Checked {
        let &QuantizePlanes { images, channels, pixels, .. } = self;
        ensure((1..=4).contains(&channels), || format!("{channels} planes"))?;
        c.read::<f32>(self.x, product(&[images, channels, pixels])?)?;
        c.write::<u8>(self.y, product(&[images, pixels, 4])?)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        quant::quantize_planes(env.ctx, self.channels, self.pixels, x, self.affine, y);
    }
}

/// Images times a number a channel.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuantScale {
    pub x: Slot,
    pub gates: Slot,
    pub y: Slot,
    pub pixels: usize,
    pub channels: usize,
    pub scale: Scale,
}

impl QuantScale {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (len, gates) = (c.len::<u8>(self.x)?, c.len::<u8>(self.gates)?);
        let image = product(&[self.pixels, self.channels])?;
        let whole = image > 0 && len.is_multiple_of(image);
        let images = if whole { len / image } else { 0 };
        ensure(whole && [self.channels, images * self.channels].contains(&gates), || {
            format!("{gates} gates for images of {} channels", self.channels)
        })?;
        c.read::<u8>(self.x, len)?;
        c.read::<u8>(self.gates, gates)?;
        c.write::<u8>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (x, gates, y) = (env.read(self.x), env.read(self.gates), env.write(self.y));
        quant::scale_channels(env.ctx, self.scale, [self.pixels, self.channels], x, gates, y);
    }
}
