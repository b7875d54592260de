//! Entropy-coded bits and Huffman codes (ITU-T T.81, annexes C and F).

/// Bits that the fast table of a Huffman code looks at.
const FAST: usize = 9;

/// Reads bits up to the next marker; beyond it, zeros.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    /// How many of the bits held are not in the file.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(file: &'a [u8], at: usize) -> Bits<'a> {
        Bits { file, at, held: 0, count: 0, made_up: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.file.get(self.at), self.file.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(&byte), _) if byte != 0xFF => {
                    self.at += 1;
                    byte
                }
                _ => {
                    self.made_up += 8;
                    0
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    fn peek(&mut self, n: u32) -> u32 {
        if self.count < n {
            self.fill();
        }
        (self.held >> (self.count - n)) as u32 & ((1 << n) - 1)
    }

    /// The next `n` bits, at most 16.
    pub fn take(&mut self, n: u32) -> u32 {
        let value = self.peek(n);
        self.count -= n;
        value
    }

    /// A number of `n` bits in which the lower half of the values are negative.
    pub fn signed(&mut self, n: u32) -> i32 {
        if n == 0 {
            return 0;
        }
        let value = self.take(n) as i32;
        if value < 1 << (n - 1) { value - (1 << n) + 1 } else { value }
    }

    /// Whether more was taken than the file has. What is left over is checked when a part ends.
    pub fn overrun(&self) -> bool {
        self.made_up > self.count
    }

    /// Goes on at another position.
    pub fn go_to(&mut self, at: usize) {
        *self = Bits::new(self.file, at);
    }

    /// Ends a part: the position of the marker that must follow.
    pub fn end(&mut self) -> Option<usize> {
        if self.overrun() {
            return None;
        }
        // What was read ahead belongs to the padding before the marker, at most seven bits.
        let ahead = self.count - self.made_up;
        (ahead < 8 && self.file.get(self.at) == Some(&0xFF)).then_some(self.at)
    }
}

/// A Huffman code.
#[derive(Clone)]
pub(super) struct Huffman {
    /// For the next [`FAST`] bits: length and symbol of the code that they begin with, or length 0.
    fast: Vec<(u8, u8)>,
    /// For each length: one more than the largest code, aligned to 16 bits, and what to add to a
    /// code for its symbol's position.
    longer: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// From the number of codes of each length 1 to 16, and the symbols in order.
    pub fn new(counts: &[u8], symbols: &[u8]) -> Option<Huffman> {
        let mut fast = vec![(0, 0); 1 << FAST];
        let mut longer = [(0u32, 0i32); 17];
        let (mut code, mut position) = (0u32, 0usize);
        for (length, &count) in (1..=16usize).zip(counts) {
            longer[length].1 = position as i32 - code as i32;
            for _ in 0..count {
                let symbol = *symbols.get(position)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= FAST {
                    let first = (code as usize) << (FAST - length);
                    fast[first..first + (1 << (FAST - length))].fill((length as u8, symbol));
                }
                code += 1;
                position += 1;
            }
            longer[length].0 = code << (16 - length);
            code <<= 1;
        }
        Some(Huffman { fast, longer, symbols: symbols.to_vec() })
    }

    /// The next symbol; `None` where no code fits.
    pub fn symbol(&self, bits: &mut Bits) -> Option<u8> {
        let ahead = bits.peek(16);
        let (length, symbol) = self.fast[(ahead >> (16 - FAST)) as usize];
        if length > 0 {
            bits.count -= u32::from(length);
            return Some(symbol);
        }
        let length = (FAST + 1..=16).find(|&length| ahead < self.longer[length].0)?;
        bits.count -= length as u32;
        let position = (ahead >> (16 - length)) as i32 + self.longer[length].1;
        self.symbols.get(usize::try_from(position).ok()?).copied()
    }
}
