//! From a picture to the network's input: resize, crop, channels, normalise.
//!
//! The description travels with the model (metadata key [`METADATA_KEY`] of an exported ONNX file), so
//! that training, quantisation, evaluation and the device all feed a network the same numbers.

use super::limits::MAX_SIDE;
use super::resize::{Window, crop, resize};
use super::{DataError, Image, Result};
use serde::{Deserialize, Serialize};

/// Key of the JSON form of a [`Preprocess`] in a model's metadata.
pub const METADATA_KEY: &str = "edgecut.preprocess";

/// Channels of the network's input, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel: luma, ITU-R 601.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Channels {
    /// Number of channels.
    pub fn count(self) -> usize {
        match self {
            Channels::Gray => 1,
            Channels::Rgb | Channels::Bgr => 3,
        }
    }
}

/// How a picture of another size is brought to the input's size. All are bilinear with
/// antialiasing, bit for bit Pillow's `BILINEAR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Resize {
    /// To exactly height x width; the aspect ratio may change.
    Exact,
    /// The shorter side to `size` pixels, then the centre height x width, as torchvision's
    /// `Resize(size)` and `CenterCrop`.
    ShorterSide {
        /// Pixels of the shorter side; at least the larger of height and width.
        size: usize,
    },
    /// A part of the largest centred rectangle with the input's aspect ratio, brought to height x
    /// width, as TensorFlow's `central_crop` and `resize` do with square pictures.
    Centre {
        /// Thousandths of the rectangle's sides that are kept, 1 to 1000.
        per_mille: u16,
    },
}

/// Everything between a picture and the input tensor: `value = (pixel * scale - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Height of the input in pixels.
    pub height: usize,
    /// Width of the input in pixels.
    pub width: usize,
    /// Channels of the input.
    pub channels: Channels,
    /// What to do with pictures of another size.
    pub resize: Resize,
    /// Factor of a pixel value in 0..=255.
    pub scale: f32,
    /// Subtracted after scaling; one value per channel, in the input's order.
    pub mean: Vec<f32>,
    /// Divisor; one positive value per channel, in the input's order.
    pub std: Vec<f32>,
}

impl Preprocess {
    /// Names of the presets.
    pub const PRESETS: [&str; 6] = ["torchvision", "caffe", "tf", "lite0", "cifar", "pixels"];

    /// torchvision's classifiers: RGB, `(x / 255 - mean) / std` with ImageNet's statistics, shorter
    /// side to `side / 0.875`, centre crop.
    pub fn torchvision(side: usize) -> Preprocess {
        let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        Preprocess { scale: 1.0 / 255.0, mean, std, ..Preprocess::cropped(side, Channels::Rgb) }
    }

    /// Caffe's classifiers: BGR minus (104, 117, 123).
    pub fn caffe(side: usize) -> Preprocess {
        Preprocess { mean: vec![104.0, 117.0, 123.0], ..Preprocess::cropped(side, Channels::Bgr) }
    }

    /// TensorFlow's MobileNets: RGB, `x / 127.5 - 1`, the centre 0.875.
    pub fn tf(side: usize) -> Preprocess {
        Preprocess {
            scale: 1.0 / 127.5,
            mean: vec![1.0; 3],
            resize: Resize::Centre { per_mille: 875 },
            ..Preprocess::cropped(side, Channels::Rgb)
        }
    }

    /// EfficientNet-Lite: RGB, `(x - 127) / 128`, the centre 0.875.
    pub fn lite0(side: usize) -> Preprocess {
        Preprocess {
            mean: vec![127.0; 3],
            std: vec![128.0; 3],
            resize: Resize::Centre { per_mille: 875 },
            ..Preprocess::cropped(side, Channels::Rgb)
        }
    }

    /// Small pictures at their own size, `[h, w, c]`, each channel to about zero mean and unit
    /// spread by the statistics given for values in 0..=1.
    pub fn plain([h, w, c]: [usize; 3], mean: Vec<f32>, std: Vec<f32>) -> Preprocess {
        let channels = if c == 1 { Channels::Gray } else { Channels::Rgb };
        Preprocess {
            height: h,
            width: w,
            channels,
            resize: Resize::Exact,
            scale: 1.0 / 255.0,
            mean,
            std,
        }
    }

    /// CIFAR-10 networks: RGB at their own size, `(x / 255 - mean) / std` with the statistics of
    /// CIFAR-10's training pictures.
    pub fn cifar(side: usize) -> Preprocess {
        let (mean, std) = (vec![0.4914, 0.4822, 0.4465], vec![0.2023, 0.1994, 0.2010]);
        Preprocess::plain([side, side, 3], mean, std)
    }

    /// Bytes as they are, 0 to 255, in RGB; other sizes are stretched.
    pub fn pixels(side: usize) -> Preprocess {
        Preprocess { scale: 1.0, ..Preprocess::plain([side, side, 3], vec![0.0; 3], vec![1.0; 3]) }
    }

    /// A preset by name, one of [`Preprocess::PRESETS`], for a square input.
    pub fn preset(name: &str, side: usize) -> Option<Preprocess> {
        match name {
            "torchvision" => Some(Preprocess::torchvision(side)),
            "caffe" => Some(Preprocess::caffe(side)),
            "tf" => Some(Preprocess::tf(side)),
            "lite0" => Some(Preprocess::lite0(side)),
            "cifar" => Some(Preprocess::cifar(side)),
            "pixels" => Some(Preprocess::pixels(side)),
            _ => None,
        }
    }

    /// No normalisation; the shorter side such that the centre crop keeps 0.875 of it.
    fn cropped(side: usize, channels: Channels) -> Preprocess {
        let size = (side as f64 / 0.875).round() as usize;
        let n = channels.count();
        let resize = Resize::ShorterSide { size };
        Preprocess {
            height: side,
            width: side,
            channels,
            resize,
            scale: 1.0,
            mean: vec![0.0; n],
            std: vec![1.0; n],
        }
    }

    /// Shape of the input per picture, `[h, w, c]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels.count()]
    }

    /// Checks every field; a description from a file must pass before use.
    ///
    /// # Errors
    /// The field at fault.
    pub fn validate(&self) -> Result<()> {
        let side = 1..=MAX_SIDE as usize;
        let invalid = |field: &str, problem: String| {
            Err(DataError::invalid(format!("preprocess.{field}"), problem))
        };
        if !side.contains(&self.height) || !side.contains(&self.width) {
            return invalid(
                "height, width",
                format!("{}x{}; each must be 1 to {MAX_SIDE}", self.height, self.width),
            );
        }
        if let Resize::ShorterSide { size } = self.resize
            && (size < self.height.max(self.width) || size > MAX_SIDE as usize)
        {
            return invalid(
                "resize",
                format!("size {size} must be at least height and width, at most {MAX_SIDE}"),
            );
        }
        if let Resize::Centre { per_mille } = self.resize
            && !(1..=1000).contains(&per_mille)
        {
            return invalid("resize", format!("per_mille is {per_mille}, must be 1 to 1000"));
        }
        let n = self.channels.count();
        if self.mean.len() != n || self.std.len() != n {
            return invalid(
                "mean, std",
                format!("{} and {} values for {n} channels", self.mean.len(), self.std.len()),
            );
        }
        if !self.scale.is_finite() || self.mean.iter().any(|m| !m.is_finite()) {
            return invalid("scale, mean", "must be finite".into());
        }
        if self.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return invalid("std", "must be positive and finite".into());
        }
        Ok(())
    }

    /// Writes one picture as `[h, w, c]` (NHWC). For many pictures make one [`Transform`].
    ///
    /// # Errors
    /// An invalid description, or a picture that is not a picture.
    ///
    /// # Panics
    /// When `out` does not have `h * w * c` elements.
    pub fn apply(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        Transform::new(self)?.apply(image, out)
    }

    /// Writes one picture as `[c, h, w]` (NCHW); otherwise as [`Preprocess::apply`].
    pub fn apply_nchw(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        Transform::new(self)?.apply_nchw(image, out)
    }
}

/// A [`Preprocess`] ready to run: normalisation as a table of 256 values per channel, and buffers.
#[derive(Clone, Debug)]
pub struct Transform {
    preprocess: Preprocess,
    tables: Vec<[f32; 256]>,
    part: Image,
    converted: Image,
    fitted: Image,
    rows: Vec<u8>,
}

impl Transform {
    /// Prepares the tables.
    ///
    /// # Errors
    /// As [`Preprocess::validate`].
    pub fn new(preprocess: &Preprocess) -> Result<Transform> {
        preprocess.validate()?;
        let table = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|value| (value as f32 * preprocess.scale - mean) / std)
        };
        let tables = preprocess.mean.iter().zip(&preprocess.std).map(table).collect();
        Ok(Transform {
            preprocess: preprocess.clone(),
            tables,
            part: Image::default(),
            converted: Image::default(),
            fitted: Image::default(),
            rows: Vec::new(),
        })
    }

    /// The description.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// As [`Preprocess::apply`].
    pub fn apply(&mut self, image: &Image, out: &mut [f32]) -> Result<()> {
        let mut fitted = std::mem::take(&mut self.fitted);
        let result = self.fit(image, None, &mut fitted);
        if result.is_ok() {
            self.normalise(&fitted, out);
        }
        self.fitted = fitted;
        result
    }

    /// As [`Preprocess::apply_nchw`].
    pub fn apply_nchw(&mut self, image: &Image, out: &mut [f32]) -> Result<()> {
        let mut fitted = std::mem::take(&mut self.fitted);
        let result = self.fit(image, None, &mut fitted);
        if result.is_ok() {
            self.normalise_nchw(&fitted, out);
        }
        self.fitted = fitted;
        result
    }

    /// The `u8` half: resize, crop, grey or RGB. Augmentation works on its result.
    /// With a `window`, that part of the picture alone is resized to the input's size.
    pub(crate) fn fit(
        &mut self,
        image: &Image,
        window: Option<Window>,
        out: &mut Image,
    ) -> Result<()> {
        let well_formed = image.h > 0
            && image.w > 0
            && (image.c == 1 || image.c == 3)
            && image.h.checked_mul(image.w).and_then(|n| n.checked_mul(image.c))
                == Some(image.pixels.len());
        if !well_formed {
            return Err(DataError::invalid(
                "picture",
                format!("{}x{}x{} with {} bytes", image.h, image.w, image.c, image.pixels.len()),
            ));
        }
        let target = [self.preprocess.height, self.preprocess.width];
        let part = window.or(match self.preprocess.resize {
            Resize::Centre { per_mille } => {
                Some(centre([image.h, image.w], target, per_mille.into()))
            }
            _ => None,
        });
        if let Some(part) = part {
            let mut kept = std::mem::take(&mut self.part);
            crop(image, part, &mut kept);
            let [h, w] = target;
            self.resize(&kept, (target, Window { top: 0, left: 0, h, w }), out);
            self.part = kept;
        } else {
            self.resize(image, placement(&self.preprocess, [image.h, image.w]), out);
        }
        Ok(())
    }

    fn resize(&mut self, image: &Image, (size, window): ([usize; 2], Window), out: &mut Image) {
        let channels = if self.preprocess.channels == Channels::Gray { 1 } else { 3 };
        match (image.c, channels) {
            // Luma before resizing, as a grey decode would have done; copies of grey after it.
            (3, 1) => {
                to_grey(image, &mut self.converted);
                resize(&self.converted, size, window, out, &mut self.rows);
            }
            (1, 3) => {
                resize(image, size, window, &mut self.converted, &mut self.rows);
                to_rgb(&self.converted, out);
            }
            _ => resize(image, size, window, out, &mut self.rows),
        }
    }

    /// The `f32` half: a table look-up per value, `[h, w, c]`.
    pub(crate) fn normalise(&self, image: &Image, out: &mut [f32]) {
        assert_eq!(out.len(), image.pixels.len(), "output of a transform has the input's shape");
        match (&self.tables[..], self.preprocess.channels) {
            ([table], _) => {
                for (value, &pixel) in out.iter_mut().zip(&image.pixels) {
                    *value = table[usize::from(pixel)];
                }
            }
            (tables, channels) => {
                for (values, pixel) in out.chunks_exact_mut(3).zip(image.pixels.chunks_exact(3)) {
                    for k in 0..3 {
                        values[k] = tables[k][usize::from(pixel[source_channel(channels, k)])];
                    }
                }
            }
        }
    }

    fn normalise_nchw(&self, image: &Image, out: &mut [f32]) {
        assert_eq!(out.len(), image.pixels.len(), "output of a transform has the input's shape");
        let plane = image.h * image.w;
        for (k, (values, table)) in out.chunks_exact_mut(plane).zip(&self.tables).enumerate() {
            let from = source_channel(self.preprocess.channels, k);
            for (value, pixel) in values.iter_mut().zip(image.pixels.chunks_exact(image.c)) {
                *value = table[usize::from(pixel[from])];
            }
        }
    }
}

/// Where channel `k` of the input lies in an RGB or grey picture.
fn source_channel(channels: Channels, k: usize) -> usize {
    match channels {
        Channels::Bgr => 2 - k,
        Channels::Gray | Channels::Rgb => k,
    }
}

/// The size that the whole picture is resized to, and the part of it that is kept.
fn placement(preprocess: &Preprocess, [h, w]: [usize; 2]) -> ([usize; 2], Window) {
    let [height, width] = [preprocess.height, preprocess.width];
    let [full_h, full_w] = match preprocess.resize {
        // The centre was cut out before.
        Resize::Exact | Resize::Centre { .. } => [height, width],
        // torchvision truncates the longer side.
        Resize::ShorterSide { size } if h <= w => [size, size * w / h],
        Resize::ShorterSide { size } => [size * h / w, size],
    };
    // torchvision: int(round((full - crop) / 2)), and Python rounds halves to even.
    let margin = |full: usize, kept: usize| {
        let spare = full - kept;
        spare / 2 + usize::from(spare % 4 == 3)
    };
    let window =
        Window { top: margin(full_h, height), left: margin(full_w, width), h: height, w: width };
    ([full_h, full_w], window)
}

/// `per_mille` of the largest rectangle of `height x width`'s aspect ratio in the middle of `h x w`.
fn centre([h, w]: [usize; 2], [height, width]: [usize; 2], per_mille: usize) -> Window {
    let rounded = |n: usize, d: usize| (n + d / 2) / d;
    // Pictures have at most 2^16 pixels a side: no product overflows.
    let [full_h, full_w] = match h * width <= w * height {
        true => [h, rounded(h * width, height).min(w)],
        false => [rounded(w * height, width).min(h), w],
    };
    let kept = |full: usize| rounded(full * per_mille, 1000).max(1);
    let (kept_h, kept_w) = (kept(full_h), kept(full_w));
    Window { top: (h - kept_h) / 2, left: (w - kept_w) / 2, h: kept_h, w: kept_w }
}

/// ITU-R 601 luma in 16-bit fixed point, as Pillow's `convert("L")`.
fn to_grey(image: &Image, out: &mut Image) {
    out.reset(image.h, image.w, 1);
    for (grey, rgb) in out.pixels.iter_mut().zip(image.pixels.chunks_exact(3)) {
        let [r, g, b] = [u32::from(rgb[0]), u32::from(rgb[1]), u32::from(rgb[2])];
        *grey = ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8;
    }
}

fn to_rgb(image: &Image, out: &mut Image) {
    out.reset(image.h, image.w, 3);
    for (rgb, &grey) in out.pixels.chunks_exact_mut(3).zip(&image.pixels) {
        rgb.fill(grey);
    }
}
