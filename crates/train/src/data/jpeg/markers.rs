//! The segments of a file (ITU-T T.81, annex B).

use super::bits::Huffman;
use super::scan::{self, Scan};
use super::{Component, Frame, MAX_PIXELS, MAX_SCANS};

/// Where coefficient `i` in the order of a file stands in a block.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What tables and markers before a scan say.
#[derive(Default)]
pub(super) struct State {
    /// Quantisation tables in the order of rows.
    steps: [Option<[u16; 64]>; 4],
    /// Huffman codes of the first coefficients, and of the others.
    pub codes: [[Option<Huffman>; 4]; 2],
    /// Units between restarts; 0 for none.
    pub restart: usize,
    jfif: bool,
    /// The colour transform that an Adobe segment names.
    adobe: Option<u8>,
}

/// Reads a whole file.
pub(super) fn read(file: &[u8]) -> Option<Frame> {
    if !file.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    let (mut state, mut frame, mut at, mut scans) = (State::default(), None::<Frame>, 2, 0);
    loop {
        let marker = next_marker(file, &mut at)?;
        if marker == 0xD9 {
            let mut frame = frame.filter(|_| scans > 0)?;
            frame.ycc = is_ycc(&frame, &state)?;
            return Some(frame);
        }
        let segment = segment(file, &mut at)?;
        match marker {
            0xC0..=0xC2 if frame.is_none() => {
                frame = Some(start_of_frame(segment, marker == 0xC2, file.len())?);
            }
            0xC4 => huffman(segment, &mut state)?,
            0xDB => quantisation(segment, &mut state)?,
            0xDD => state.restart = usize::from(word(segment, 0)?),
            0xDA => {
                scans += 1;
                let frame = frame.as_mut().filter(|_| scans <= MAX_SCANS)?;
                let scan = start_of_scan(segment, frame, &state)?;
                at = scan::read(file, at, frame, &scan, &state)?;
            }
            0xE0 => state.jfif |= segment.starts_with(b"JFIF\0"),
            0xEE if segment.starts_with(b"Adobe") => state.adobe = segment.get(11).copied(),
            0xE0..=0xEF | 0xFE => {}
            _ => return None,
        }
    }
}

fn next_marker(file: &[u8], at: &mut usize) -> Option<u8> {
    if *file.get(*at)? != 0xFF {
        return None;
    }
    while *file.get(*at)? == 0xFF {
        *at += 1;
    }
    *at += 1;
    Some(file[*at - 1])
}

fn segment<'a>(file: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::from(word(file, *at)?);
    let content = file.get(*at + 2..*at + length.max(2))?;
    *at += length.max(2);
    Some(content)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn start_of_frame(segment: &[u8], progressive: bool, file: usize) -> Option<Frame> {
    let &[8, h1, h0, w1, w0, count, ref rest @ ..] = segment else { return None };
    let [height, width] = [[h1, h0], [w1, w0]].map(|b| usize::from(u16::from_be_bytes(b)));
    let known = (count == 1 || count == 3) && rest.len() == 3 * usize::from(count);
    if !known || width == 0 || height == 0 || width * height > MAX_PIXELS {
        return None;
    }
    let factors = |c: &[u8]| [usize::from(c[1] >> 4), usize::from(c[1] & 15)];
    let mut all: Vec<[usize; 2]> = rest.chunks_exact(3).map(factors).collect();
    if all.iter().flatten().any(|f| !(1..=4).contains(f)) {
        return None;
    }
    if count == 1 {
        // The only component is sampled fully, whatever its factors say.
        all = vec![[1, 1]];
    }
    let max = [0, 1].map(|d| all.iter().map(|s| s[d]).max().unwrap_or(1));
    // Factors that do not divide the largest ones need an interpolation that libjpeg lacks too.
    if all.iter().any(|s| max[0] % s[0] != 0 || max[1] % s[1] != 0) {
        return None;
    }
    let size = [width, height];
    let units = [0, 1].map(|d| size[d].div_ceil(8 * max[d]));
    let blocks = |s: &[usize; 2]| [units[0] * s[0], units[1] * s[1]];
    // Every block takes at least one bit: a small file cannot ask for much memory.
    let total: usize = all.iter().map(|s| blocks(s).iter().product::<usize>()).sum();
    if total > 8 * file {
        return None;
    }
    let component = |(c, s): (&[u8], &[usize; 2])| Component {
        id: c[0],
        sampling: *s,
        table: usize::from(c[2]),
        steps: None,
        size: [0, 1].map(|d| (size[d] * s[d]).div_ceil(max[d])),
        blocks: blocks(s),
        coefficients: vec![0; blocks(s).iter().product::<usize>() * 64],
    };
    let components = rest.chunks_exact(3).zip(&all).map(component).collect();
    Some(Frame { width, height, progressive, max, components, ycc: true })
}

fn huffman(mut segment: &[u8], state: &mut State) -> Option<()> {
    while let [kind, rest @ ..] = segment {
        let counts = rest.get(..16)?;
        let total = counts.iter().map(|&n| usize::from(n)).sum::<usize>();
        let symbols = rest.get(16..16 + total)?;
        let code = Huffman::new(counts, symbols)?;
        let codes = state.codes.get_mut(usize::from(kind >> 4))?;
        *codes.get_mut(usize::from(kind & 15))? = Some(code);
        segment = &rest[16 + total..];
    }
    Some(())
}

fn quantisation(mut segment: &[u8], state: &mut State) -> Option<()> {
    while let [kind, rest @ ..] = segment {
        let wide = kind >> 4 == 1;
        let mut steps = [0; 64];
        for (i, &place) in ZIGZAG.iter().enumerate() {
            steps[usize::from(place)] =
                if wide { word(rest, 2 * i)? } else { u16::from(*rest.get(i)?) };
        }
        *state.steps.get_mut(usize::from(kind & 15))? = Some(steps);
        segment = &rest[if wide { 128 } else { 64 }..];
    }
    Some(())
}

fn start_of_scan(segment: &[u8], frame: &mut Frame, state: &State) -> Option<Scan> {
    let (&count, rest) = segment.split_first()?;
    let (named, rest) = rest.split_at_checked(2 * usize::from(count))?;
    let &[from, to, steps] = rest else { return None };
    let mut parts: Vec<(usize, [usize; 2])> = vec![];
    for pair in named.chunks_exact(2) {
        let index = frame.components.iter().position(|c| c.id == pair[0])?;
        if parts.iter().any(|(known, _)| *known == index) {
            return None;
        }
        parts.push((index, [usize::from(pair[1] >> 4), usize::from(pair[1] & 15)]));
        let component = &mut frame.components[index];
        if component.steps.is_none() {
            component.steps = Some((*state.steps.get(component.table)?)?);
        }
    }
    let (from, to) = if frame.progressive { (from.into(), to.into()) } else { (0, 63) };
    let [high, low] = if frame.progressive { [steps >> 4, steps & 15] } else { [0, 0] };
    let one = parts.len() == 1;
    // The others are coded apart from the first coefficients, and each component's alone.
    let sound = if from == 0 { to == 0 || !frame.progressive } else { one && from <= to };
    (sound && to < 64 && high <= 13 && low <= 13 && !parts.is_empty()).then_some(Scan {
        parts,
        from,
        to,
        high,
        low,
    })
}

/// As libjpeg guesses it.
fn is_ycc(frame: &Frame, state: &State) -> Option<bool> {
    let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
    Some(match (state.jfif, state.adobe) {
        (true, _) => true,
        (false, Some(0)) => false,
        (false, Some(_)) => true,
        (false, None) => ids != *b"RGB",
    })
}
