//! Pictures to calibrate on and to check with, and what they are as JPEG files.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use edgecut_collab::partition::Transfer;
use edgecut_compress::Images;
use edgecut_graph::Tensor;
use edgecut_train::data::{Channels, Data, Dataset, Preprocess};
use image::ExtendedColorType;

use crate::errors::{Failure, Result};
use crate::work::calibrate::Sample;

/// Where pictures come from.
pub struct Pictures {
    data: Data,
    preprocess: Preprocess,
    /// Quality of JPEG files, 1 to 100.
    quality: u8,
}

impl Pictures {
    /// Pictures of `data`, which become the input as `preprocess` says.
    pub fn new(data: Data, preprocess: Preprocess, quality: u8) -> Pictures {
        Pictures { data, preprocess, quality }
    }

    /// At most `count` training pictures as inputs.
    pub fn training(&self, count: usize) -> Result<Vec<Tensor>> {
        self.inputs(&self.data.train, &self.preprocess, count)
    }

    /// At most `count` test pictures as inputs.
    pub fn test(&self, count: usize) -> Result<Vec<Tensor>> {
        self.inputs(&self.data.test, &self.preprocess, count)
    }

    /// The same test pictures after a JPEG file of the input's size, and that file's bytes.
    pub fn test_as_jpeg(&self, count: usize) -> Result<Vec<(Tensor, usize)>> {
        let files = self.jpegs(&self.data.test, count)?;
        files.iter().map(|file| Ok((self.decoded(file)?, file.len()))).collect()
    }

    /// What sending a training picture as a JPEG file of the input's size takes: the mean of at most
    /// `count`, with the times of this machine and of one `factor` times as fast.
    pub fn transfer(&self, count: usize, factor: f64) -> Result<Transfer> {
        let files = self.jpegs(&self.data.train, count)?;
        let [mut bytes, mut encode, mut decode] = [0f64; 3];
        for (file, pixels) in files.iter().zip(self.pixels(&self.data.train, count)?) {
            bytes += file.len() as f64 / files.len() as f64;
            encode += least_ns(|| self.encoded(&pixels).map(|_| ()))? / files.len() as f64;
            decode += least_ns(|| self.decoded(file).map(|_| ()))? / files.len() as f64;
        }
        let decode_ns = (decode / factor) as u64;
        Ok(Transfer { bytes: bytes.ceil() as u64, encode_ns: encode as u64, decode_ns })
    }

    fn inputs(
        &self,
        set: &Arc<dyn Dataset>,
        how: &Preprocess,
        count: usize,
    ) -> Result<Vec<Tensor>> {
        let sample = Sample::new(set, how, count)?;
        if sample.is_empty() {
            return Err(Failure::input("--data: has no pictures"));
        }
        Ok((0..sample.len()).map(|i| sample.read(i)).collect::<edgecut_compress::Result<_>>()?)
    }

    /// As the input sees them, before scaling: red, green and blue from 0 to 255.
    fn as_pixels(&self) -> Preprocess {
        let channels = match self.preprocess.channels {
            Channels::Gray => Channels::Gray,
            _ => Channels::Rgb,
        };
        let (mean, std) = (vec![0.0; channels.count()], vec![1.0; channels.count()]);
        Preprocess { scale: 1.0, mean, std, channels, ..self.preprocess.clone() }
    }

    fn pixels(&self, set: &Arc<dyn Dataset>, count: usize) -> Result<Vec<Vec<u8>>> {
        let interleaved = |tensor: &Tensor| -> Result<Vec<u8>> {
            let (values, [_, c, h, w]) = (tensor.f32s()?, four(tensor)?);
            let value = |at: usize| values[at % c * h * w + at / c];
            Ok((0..c * h * w).map(|at| value(at).round().clamp(0.0, 255.0) as u8).collect())
        };
        self.inputs(set, &self.as_pixels(), count)?.iter().map(interleaved).collect()
    }

    fn jpegs(&self, set: &Arc<dyn Dataset>, count: usize) -> Result<Vec<Vec<u8>>> {
        self.pixels(set, count)?.iter().map(|pixels| self.encoded(pixels)).collect()
    }

    fn encoded(&self, pixels: &[u8]) -> Result<Vec<u8>> {
        let mut file = vec![];
        let mut encoder =
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, self.quality);
        let color = match self.preprocess.channels {
            Channels::Gray => ExtendedColorType::L8,
            _ => ExtendedColorType::Rgb8,
        };
        let (w, h) = (self.preprocess.width as u32, self.preprocess.height as u32);
        encoder.encode(pixels, w, h, color).map_err(|e| Failure::input(format!("JPEG: {e}")))?;
        Ok(file)
    }

    /// The input that a file of the input's size becomes.
    fn decoded(&self, file: &[u8]) -> Result<Tensor> {
        let fail = |e: image::ImageError| Failure::input(format!("JPEG: {e}"));
        let format = image::ImageFormat::Jpeg;
        let picture =
            image::ImageReader::with_format(Cursor::new(file), format).decode().map_err(fail)?;
        let Preprocess { width, height, channels, scale, mean, std, .. } = &self.preprocess;
        let pixels = match channels {
            Channels::Gray => picture.into_luma8().into_raw(),
            _ => picture.into_rgb8().into_raw(),
        };
        let c = channels.count();
        let value = |at: usize| {
            let (channel, pixel) = (at / (width * height), at % (width * height));
            let source = if *channels == Channels::Bgr { c - 1 - channel } else { channel };
            (f32::from(pixels[pixel * c + source]) * scale - mean[channel]) / std[channel]
        };
        let values: Vec<f32> = (0..c * width * height).map(value).collect();
        Ok(Tensor::new([1, c, *height, *width], values)?)
    }
}

fn four(tensor: &Tensor) -> Result<[usize; 4]> {
    tensor.shape().try_into().map_err(|_| Failure::input("the input is no picture"))
}

/// The least of three times.
pub fn least_ns(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        run()?;
        least = least.min(began.elapsed().as_secs_f64() * 1e9);
    }
    Ok(least)
}
