//! How often each byte occurs, as both sides of the coder see it.

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use serde::{Deserialize, Serialize};

/// Binary digits of a frequency: rare bytes among some hundred thousand cost next to nothing, and
/// all that decoding looks up fits the first-level cache.
pub(super) const PRECISION: usize = 14;

/// What all frequencies of a table add up to.
const WHOLE: usize = 1 << PRECISION;

/// The frequency of each byte; as it is written, a 0 is followed by the number of further zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frequencies(Vec<u16>);

impl Frequencies {
    /// Frequencies near those of `histogram`, which is not empty: none of what occurs is 0.
    pub fn of(histogram: &[u64; 256]) -> Frequencies {
        let total: u64 = histogram.iter().sum();
        let share = |n: u64| if n > 0 { (n * WHOLE as u64 / total).max(1) } else { 0 };
        let mut shares = histogram.map(share);
        // What rounding took or gave goes to the frequent ones, which change least by it.
        let mut rest = WHOLE as i64 - shares.iter().sum::<u64>() as i64;
        let mut order: Vec<usize> = (0..256).collect();
        order.sort_by_key(|&symbol| std::cmp::Reverse(histogram[symbol]));
        while rest != 0 {
            for &symbol in &order {
                let step = rest.signum();
                let changed = shares[symbol].saturating_add_signed(step);
                if rest != 0 && shares[symbol] > 0 && changed > 0 {
                    (shares[symbol], rest) = (changed, rest - step);
                }
            }
        }
        let mut written = vec![];
        let mut symbols = shares.iter().peekable();
        while let Some(&share) = symbols.next() {
            written.push(share as u16);
            if share == 0 {
                let further = std::iter::from_fn(|| symbols.next_if_eq(&&0)).count();
                written.push(further as u16);
            }
        }
        Frequencies(written)
    }

    /// One for each byte; `None` where they are not 256 that add up to the whole.
    fn unpack(&self) -> Option<[u16; 256]> {
        let (mut shares, mut symbol, mut total) = ([0; 256], 0, 0);
        let mut written = self.0.iter();
        while let Some(&share) = written.next() {
            *shares.get_mut(symbol)? = share;
            total += usize::from(share);
            symbol += 1;
            if share == 0 {
                symbol += usize::from(*written.next()?);
            }
        }
        (symbol == 256 && total == WHOLE).then_some(shares)
    }
}

/// Frequencies, and what coding looks up.
pub(super) struct Table {
    /// The sum of the frequencies before, and the own one; for each byte.
    places: Box<[(u16, u16); 256]>,
    /// The byte at each position of the whole.
    symbols: Box<[u8; WHOLE]>,
}

impl Table {
    /// `None` where the frequencies are not valid.
    pub fn new(frequencies: &Frequencies) -> Option<Table> {
        let shares = frequencies.unpack()?;
        let (mut places, mut symbols) = (Box::new([(0, 0); 256]), Box::new([0; WHOLE]));
        let mut start = 0;
        for (symbol, &share) in shares.iter().enumerate() {
            let end = start + usize::from(share);
            places[symbol] = (start as u16, share);
            symbols[start..end].fill(symbol as u8);
            start = end;
        }
        Some(Table { places, symbols })
    }

    /// Bits that content with this histogram takes; `None` where a byte of it has no frequency.
    pub fn bits(&self, histogram: &[u64; 256]) -> Option<f64> {
        let mut bits = 0.0;
        for (&count, &(_, share)) in histogram.iter().zip(&*self.places).filter(|(n, _)| **n > 0) {
            if share == 0 {
                return None;
            }
            bits += count as f64 * (PRECISION as f64 - f64::from(share).log2());
        }
        Some(bits)
    }
}

impl EntropyModel<PRECISION> for Table {
    type Symbol = u8;
    type Probability = u16;
}

impl EncoderModel<PRECISION> for Table {
    #[inline]
    fn left_cumulative_and_probability(
        &self,
        symbol: impl std::borrow::Borrow<u8>,
    ) -> Option<(u16, std::num::NonZeroU16)> {
        let (start, share) = self.places[usize::from(*symbol.borrow())];
        Some((start, std::num::NonZeroU16::new(share)?))
    }
}

impl DecoderModel<PRECISION> for Table {
    #[inline]
    fn quantile_function(&self, quantile: u16) -> (u8, u16, std::num::NonZeroU16) {
        let symbol = self.symbols[usize::from(quantile) % WHOLE];
        let (start, share) = self.places[usize::from(symbol)];
        // A byte that has a position has a frequency.
        (symbol, start, std::num::NonZeroU16::new(share).unwrap_or(std::num::NonZeroU16::MIN))
    }
}
