//! JPEG pictures, decoded to the very bytes that libjpeg-turbo gives, and with it Pillow,
//! torchvision and OpenCV.
//!
//! The standard leaves the rounding of the inverse transform and the interpolation of colours to
//! the decoder. A model was trained and its accuracy published on libjpeg's choices; other choices
//! move one pixel in a hundred by a step or more, which is enough to change some answers of five
//! hundred. So this follows libjpeg's `jidctint.c`, `jdsample.c` and `jdcolor.c` (their defaults)
//! to the bit.
//!
//! | file | concern |
//! | --- | --- |
//! | `markers` | the segments of a file: tables, frame, scans |
//! | `bits` | entropy-coded bits, Huffman codes |
//! | `scan` | coefficients of a scan, sequential or progressive |
//! | `inverse` | from coefficients to samples |
//! | `colours` | interpolation of colours, RGB |
//!
//! What is rare (arithmetic coding, 12 bits, CMYK, lossless) or damaged is none of its business:
//! [`decode`] returns `None`, and a general decoder says what is wrong, or repairs it.

mod bits;
mod colours;
mod inverse;
mod markers;
mod scan;

use super::Image;

/// Most pixels: coefficients and samples of a picture are all in memory, 12 bytes for each pixel.
const MAX_PIXELS: usize = 1 << 24;
/// Most scans: progressive files have about ten. It bounds the work that a small file asks for.
const MAX_SCANS: usize = 128;

/// Decodes a JPEG file in grey, YCbCr or RGB, Huffman-coded with 8 bits. `None` for any other file,
/// and for a damaged one; `into` is unchanged then.
pub(super) fn decode(file: &[u8], into: &mut Image) -> Option<()> {
    let frame = markers::read(file)?;
    let planes: Vec<Plane> = frame.components.iter().map(inverse::plane).collect();
    colours::picture(&frame, &planes, into);
    Some(())
}

/// Everything that a file says about its picture, and its coefficients.
struct Frame {
    width: usize,
    height: usize,
    progressive: bool,
    /// Largest sampling factors.
    max: [usize; 2],
    components: Vec<Component>,
    /// Whether the components are Y, Cb, Cr, not R, G, B.
    ycc: bool,
}

/// Brightness, or one of the colours.
struct Component {
    id: u8,
    /// Sampling factors, horizontal and vertical: 1 to 4.
    sampling: [usize; 2],
    /// Which quantisation table.
    table: usize,
    /// Its steps, in the order of rows, once a scan has begun.
    steps: Option<[u16; 64]>,
    /// Samples across and down that belong to the picture.
    size: [usize; 2],
    /// Blocks across and down, whole units of the scan.
    blocks: [usize; 2],
    /// 64 for each block, in the order of rows.
    coefficients: Vec<i16>,
}

/// Samples of a component, `stride` a row; more than the picture has at the right and below.
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    size: [usize; 2],
}
