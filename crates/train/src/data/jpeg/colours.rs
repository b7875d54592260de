//! From planes to a picture: interpolation of colours as in libjpeg's `jdsample.c` ("fancy
//! upsampling"), RGB as in `jdcolor.c`.

use super::{Frame, Image, Plane};

/// Writes the picture: grey for one plane, RGB for three.
pub(super) fn picture(frame: &Frame, planes: &[Plane], into: &mut Image) {
    let (w, h) = (frame.width, frame.height);
    into.reset(h, w, planes.len());
    let mut rows: Vec<Vec<u8>> = vec![vec![]; planes.len()];
    for (y, out) in into.pixels.chunks_exact_mut(w * planes.len()).enumerate() {
        for ((plane, component), row) in planes.iter().zip(&frame.components).zip(&mut rows) {
            let factors = [0, 1].map(|d| frame.max[d] / component.sampling[d]);
            plane.row(y, factors, row);
        }
        match rows.as_slice() {
            [first, second, third] => {
                for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                    let values = [first[x], second[x], third[x]];
                    pixel.copy_from_slice(&if frame.ycc { rgb(values) } else { values });
                }
            }
            rows => out.copy_from_slice(&rows[0][..w]),
        }
    }
}

/// ITU-R 601 in 16-bit fixed point.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((HALF - 22554 * cb - 46802 * cr) >> 16);
    let blue = y + ((116130 * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

impl Plane {
    /// Row `y` of the picture, at least as wide as it; the plane has `factors` fewer columns and
    /// rows than the picture.
    fn row(&self, y: usize, [across, down]: [usize; 2], out: &mut Vec<u8>) {
        out.clear();
        match (across, down) {
            (1, 2) => {
                let (near, far) = self.two_rows(y);
                let bias = 1 + (y % 2) as u32;
                let mix =
                    |(&n, &f): (&u8, &u8)| ((3 * u32::from(n) + u32::from(f) + bias) >> 2) as u8;
                out.extend(near.iter().zip(far).map(mix));
            }
            (2, 1) if self.size[0] > 2 => {
                let row: Vec<u32> = self.line(y).iter().map(|&v| v.into()).collect();
                // Sums of 4: a quarter from the neighbour.
                widen(&row, [0, 1, 2], 2, out);
            }
            (2, 2) if self.size[0] > 2 => {
                let (near, far) = self.two_rows(y);
                let sum = |(&n, &f): (&u8, &u8)| 3 * u32::from(n) + u32::from(f);
                let row: Vec<u32> = near.iter().zip(far).map(sum).collect();
                widen(&row, [8, 8, 7], 4, out);
            }
            _ => {
                let line = self.line(y / down);
                out.extend(line.iter().flat_map(|&v| std::iter::repeat_n(v, across)));
            }
        }
    }

    /// Row `y` of the plane as far as it belongs to the picture.
    fn line(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.size[0]]
    }

    /// For row `y` of a picture of twice the height: the plane's row there, and the next nearest,
    /// which at the edges is the same.
    fn two_rows(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            (near + 1).min(self.size[1] - 1)
        };
        (self.line(near), self.line(far))
    }
}

/// Twice as many columns, each three parts of the nearer value and one of the next; the outermost
/// are all of the nearer. `bias` is added at the outermost left, and to the left and the right
/// half of a value; sums lose `shift` bits.
fn widen(row: &[u32], bias: [u32; 3], shift: u32, out: &mut Vec<u8>) {
    let last = row.len() - 1;
    let [_, left, right] = bias;
    for (x, &value) in row.iter().enumerate() {
        let a = if x == 0 { 4 * value + bias[0] } else { 3 * value + row[x - 1] + left };
        let b = if x == last { 4 * value + right } else { 3 * value + row[x + 1] + right };
        out.extend([(a >> shift) as u8, (b >> shift) as u8]);
    }
}
