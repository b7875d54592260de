//! The coefficients of a scan (ITU-T T.81, annexes F and G).

use super::bits::{Bits, Huffman};
use super::markers::{State, ZIGZAG};
use super::{Component, Frame};

/// What a scan holds.
pub(super) struct Scan {
    /// Components, each with the tables of its first and of its other coefficients.
    pub parts: Vec<(usize, [usize; 2])>,
    /// First coefficient.
    pub from: usize,
    /// Last coefficient.
    pub to: usize,
    /// The bit that earlier scans ended with, plus one; 0 in the first scan of a coefficient.
    pub high: u8,
    /// The lowest bit of this scan.
    pub low: u8,
}

/// Where a scan is between its blocks.
struct Coder<'a> {
    bits: Bits<'a>,
    scan: &'a Scan,
    progressive: bool,
    /// First coefficients of the blocks before, by part.
    before: Vec<i32>,
    /// Blocks still to come that have nothing new.
    empty: u32,
}

/// Reads a scan whose bits begin at `at`; returns where the next marker is.
pub(super) fn read(
    file: &[u8],
    at: usize,
    frame: &mut Frame,
    scan: &Scan,
    state: &State,
) -> Option<usize> {
    let code = |kind: usize, table: usize| state.codes[kind].get(table)?.as_ref();
    let codes: Vec<[Option<&Huffman>; 2]> =
        scan.parts.iter().map(|(_, [dc, ac])| [code(0, *dc), code(1, *ac)]).collect();
    let before = vec![0; scan.parts.len()];
    let progressive = frame.progressive;
    let mut coder = Coder { bits: Bits::new(file, at), scan, progressive, before, empty: 0 };
    let [across, down] = units(frame, scan);
    for unit in 0..across * down {
        if state.restart > 0 && unit > 0 && unit % state.restart == 0 {
            coder.restart(file)?;
        }
        let place = [unit % across, unit / across];
        for (part, &(index, _)) in scan.parts.iter().enumerate() {
            let component = &mut frame.components[index];
            // Alone, a component is coded block by block; with others, in groups.
            let [h, v] = if scan.parts.len() == 1 { [1, 1] } else { component.sampling };
            for block in 0..h * v {
                let [x, y] = [place[0] * h + block % h, place[1] * v + block / h];
                let values = values(component, x, y);
                coder.block(part, values, codes[part])?;
            }
        }
    }
    coder.bits.end()
}

/// Units across and down.
fn units(frame: &Frame, scan: &Scan) -> [usize; 2] {
    match scan.parts.as_slice() {
        [(index, _)] => frame.components[*index].size.map(|n| n.div_ceil(8)),
        _ => [frame.width.div_ceil(8 * frame.max[0]), frame.height.div_ceil(8 * frame.max[1])],
    }
}

fn values(component: &mut Component, x: usize, y: usize) -> &mut [i16] {
    let at = (y * component.blocks[0] + x) * 64;
    &mut component.coefficients[at..at + 64]
}

impl Coder<'_> {
    fn restart(&mut self, file: &[u8]) -> Option<()> {
        let mut at = self.bits.end()?;
        while *file.get(at)? == 0xFF {
            at += 1;
        }
        if !(0xD0..=0xD7).contains(file.get(at)?) {
            return None;
        }
        self.bits.go_to(at + 1);
        self.before.fill(0);
        self.empty = 0;
        Some(())
    }

    fn block(
        &mut self,
        part: usize,
        values: &mut [i16],
        codes: [Option<&Huffman>; 2],
    ) -> Option<()> {
        let [dc, ac] = codes;
        if !self.progressive {
            self.first(part, values, dc?)?;
            return self.others(values, ac?, 1);
        }
        match (self.scan.from, self.scan.high) {
            (0, 0) => self.first(part, values, dc?),
            (0, _) => {
                values[0] |= (self.bits.take(1) as i16) << self.scan.low;
                Some(())
            }
            (from, 0) => self.others(values, ac?, from),
            _ => self.refine(values, ac?),
        }
    }

    fn first(&mut self, part: usize, values: &mut [i16], code: &Huffman) -> Option<()> {
        let size = code.symbol(&mut self.bits)?;
        if size > 15 {
            return None;
        }
        let difference = self.bits.signed(size.into());
        self.before[part] = self.before[part].wrapping_add(difference);
        values[0] = (self.before[part] << self.scan.low) as i16;
        Some(())
    }

    /// First bits of the coefficients from `k` on.
    fn others(&mut self, values: &mut [i16], code: &Huffman, mut k: usize) -> Option<()> {
        if self.empty > 0 {
            self.empty -= 1;
            return Some(());
        }
        while k <= self.scan.to {
            let symbol = code.symbol(&mut self.bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => k += 16,
                (run, 0) if run > 0 && !self.progressive => return None,
                (run, 0) => {
                    self.empty = self.run(run);
                    break;
                }
                _ => {
                    k += run;
                    let place = *ZIGZAG.get(k).filter(|_| k <= self.scan.to)?;
                    values[usize::from(place)] = (self.bits.signed(size) << self.scan.low) as i16;
                    k += 1;
                }
            }
        }
        Some(())
    }

    /// How many blocks after this one have nothing new.
    fn run(&mut self, size: usize) -> u32 {
        (1 << size) - 1 + self.bits.take(size as u32)
    }

    /// One more bit of coefficients that are known, and coefficients that this bit is the first of.
    fn refine(&mut self, values: &mut [i16], code: &Huffman) -> Option<()> {
        let bit = 1i16 << self.scan.low;
        let (mut k, to) = (self.scan.from, self.scan.to);
        while self.empty == 0 && k <= to {
            let symbol = code.symbol(&mut self.bits)?;
            let (mut run, size) = (usize::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            if size == 1 {
                new = if self.bits.take(1) == 1 { bit } else { -bit };
            } else if size == 0 && run < 15 {
                // This block counts too: what is known in it still gets its bit.
                self.empty = self.run(run) + 1;
                break;
            } else if size != 0 {
                return None;
            }
            while k <= to {
                let value = &mut values[usize::from(ZIGZAG[k])];
                k += 1;
                if *value != 0 {
                    correct(value, bit, &mut self.bits);
                } else if run > 0 {
                    run -= 1;
                } else {
                    *value = new;
                    break;
                }
            }
        }
        if self.empty > 0 {
            self.empty -= 1;
            for &place in &ZIGZAG[k.min(to + 1)..=to] {
                let value = &mut values[usize::from(place)];
                if *value != 0 {
                    correct(value, bit, &mut self.bits);
                }
            }
        }
        Some(())
    }
}

fn correct(value: &mut i16, bit: i16, bits: &mut Bits) {
    if bits.take(1) == 1 && *value & bit == 0 {
        *value = value.wrapping_add(if *value > 0 { bit } else { -bit });
    }
}
