//! Pictures to calibrate on and to check with, and what they are as JPEG files.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Instant;

use edgecut_collab::partition::Transfer;
use edgecut_compress::Images;
use edgecut_graph::{Graph, Tensor};
use edgecut_train::data::{Channels, Data, Dataset, Preprocess};
use image::ExtendedColorType;

use crate::errors::{Failure, Result};
use crate::work::calibrate::Sample;
use crate::work::card::Card;
use crate::work::model;

/// Where pictures come from.
pub struct Pictures {
    data: Data,
    preprocess: Preprocess,
    /// Quality of JPEG files, 1 to 100.
    quality: u8,
    /// Position of the first class in the model's output, where its classes are those of the data.
    offset: Option<usize>,
}

/// Test pictures, read one by one.
pub struct Test<'a> {
    pictures: &'a Pictures,
    inputs: Sample,
    pixels: Sample,
}

/// A picture that was a JPEG file.
pub struct Jpeg {
    /// As the input.
    pub input: Tensor,
    /// Of the file.
    pub bytes: usize,
    /// Without tables, which are the same for all files of a size and a quality.
    pub scan_bytes: usize,
}

/// Bytes before the scan's data: behind the segment of the marker SOS (ITU-T T.81, B.2.3).
fn before_scan(file: &[u8]) -> usize {
    let length = |at: usize| match file.get(at..at + 2) {
        Some(&[high, low]) => usize::from(high) << 8 | usize::from(low),
        _ => 0,
    };
    // The first marker has no segment; each other states its length.
    let mut at = 2;
    while let Some(&[0xff, marker]) = file.get(at..at + 2) {
        at += 2 + length(at + 2);
        if marker == 0xda {
            return at;
        }
    }
    0
}

impl Pictures {
    /// Pictures of `data`, which become the input of the model of `card` as `preprocess` says.
    pub fn new(data: Data, preprocess: Preprocess, quality: u8, card: &Card) -> Pictures {
        let offset = card.label_offset().ok().filter(|offset| {
            let classes = data.test.classes().len() + offset;
            card.class_count().is_ok_and(|count| count == classes)
        });
        Pictures { data, preprocess, quality, offset }
    }

    /// Stores in `graph` how pictures become its input, unless it says so already.
    pub fn describe(&self, graph: &mut Graph) -> Result<()> {
        model::describe(graph, &self.preprocess)
    }

    /// At most `count` training pictures as inputs.
    pub fn training(&self, count: usize) -> Result<Vec<Tensor>> {
        all(&self.sample(&self.data.train, &self.preprocess, count)?)
    }

    /// The same as pixels, 0 to 1.
    pub fn training_pixels(&self, count: usize) -> Result<Vec<Tensor>> {
        let pixels = all(&self.sample(&self.data.train, &self.as_pixels(), count)?)?;
        let scaled = |t: Tensor| -> Result<Tensor> {
            let values: Vec<f32> = t.f32s()?.iter().map(|v| v / 255.0).collect();
            Ok(Tensor::new(t.shape(), values)?)
        };
        pixels.into_iter().map(scaled).collect()
    }

    /// At most `count` test pictures.
    pub fn test(&self, count: usize) -> Result<Test<'_>> {
        let inputs = self.sample(&self.data.test, &self.preprocess, count)?;
        let pixels = self.sample(&self.data.test, &self.as_pixels(), count)?;
        Ok(Test { pictures: self, inputs, pixels })
    }

    /// What sending a training picture as a JPEG file of the input's size takes: the mean of at most
    /// `count`, with the times of this machine and of one `factor` times as fast.
    pub fn transfer(&self, count: usize, factor: f64) -> Result<Transfer> {
        let pictures = all(&self.sample(&self.data.train, &self.as_pixels(), count)?)?;
        let [mut bytes, mut encode, mut decode] = [0f64; 3];
        for picture in &pictures {
            let pixels = interleaved(picture)?;
            let file = self.encoded(&pixels)?;
            bytes += file.len() as f64 / pictures.len() as f64;
            encode += least_ns(|| self.encoded(&pixels).map(|_| ()))? / pictures.len() as f64;
            decode += least_ns(|| self.decoded(&file).map(|_| ()))? / pictures.len() as f64;
        }
        let decode_ns = (decode / factor) as u64;
        Ok(Transfer { bytes: bytes.ceil() as u64, encode_ns: encode as u64, decode_ns })
    }

    fn sample(&self, set: &Arc<dyn Dataset>, how: &Preprocess, count: usize) -> Result<Sample> {
        let sample = Sample::new(set, how, count)?;
        match sample.is_empty() {
            true => Err(Failure::input("--data: has no pictures")),
            false => Ok(sample),
        }
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

impl Test<'_> {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Picture `index` as the input.
    pub fn input(&self, index: usize) -> Result<Tensor> {
        Ok(self.inputs.read(index)?)
    }

    /// The same after a JPEG file of the input's size.
    pub fn as_jpeg(&self, index: usize) -> Result<Jpeg> {
        let file = self.pictures.encoded(&interleaved(&self.pixels.read(index)?)?)?;
        let input = self.pictures.decoded(&file)?;
        Ok(Jpeg { input, bytes: file.len(), scan_bytes: file.len() - before_scan(&file) })
    }

    /// The right position in the output, where that is known.
    pub fn label(&self, index: usize) -> Option<usize> {
        Some(self.pictures.offset? + self.inputs.label(index)? as usize)
    }
}

fn all(sample: &Sample) -> Result<Vec<Tensor>> {
    Ok((0..sample.len()).map(|i| sample.read(i)).collect::<edgecut_compress::Result<_>>()?)
}

/// Bytes of a picture `[1, c, h, w]`, channels together.
fn interleaved(tensor: &Tensor) -> Result<Vec<u8>> {
    let &[_, c, h, w] = tensor.shape() else {
        return Err(Failure::input("the input is no picture"));
    };
    let values = tensor.f32s()?;
    let value = |at: usize| values[at % c * h * w + at / c];
    Ok((0..c * h * w).map(|at| value(at).round().clamp(0.0, 255.0) as u8).collect())
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
