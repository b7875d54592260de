//! What lowering knows of each value, and how a step gets hold of it.

use std::sync::Arc;

use edgecut_graph::{DType, Data, Tensor, Value, ValueId};

use edgecut_kernels::quant::Affine;

use super::channels::{Channels, Shuffled};
use super::{Effects, Lowering, count};
use crate::plan::{Buffer, Constant, Slot};
use crate::step::{Convert, Lookup, Meaning, Step};
use crate::{Result, layout};

/// Where a value can be had. Several places may hold it at the same time.
#[derive(Default)]
pub(super) struct Held {
    /// The tensor of a constant or of a folded node.
    pub constant: Option<Tensor>,
    /// The Dequantize node that would compute this constant: evaluated only if somebody needs the
    /// floats, since integer steps read the integers.
    pub deferred: Option<usize>,
    /// A buffer in physical order.
    pub slot: Option<Slot>,
    /// A buffer in row-major order.
    pub row_major: Option<Slot>,
    /// 8-bit data that this float value is a function of.
    pub view: Option<View>,
    /// An 8-bit value that this one dequantises. The view of it is made when somebody asks.
    pub codes: Option<(ValueId, Affine)>,
    /// Channels of a wider buffer.
    pub part: Option<Channels>,
    /// A buffer with the channels in another order.
    pub shuffled: Option<Shuffled>,
}

impl Held {
    /// What is known of `value`, whose shape is fixed: a tensor without elements needs nobody to
    /// compute it.
    pub fn new(value: &Value) -> Held {
        let shape = value.shape.with_symbols(1);
        let constant = match &value.constant {
            None if count(&shape) == 0 => empty(value.dtype, shape),
            constant => constant.clone(),
        };
        Held { constant, ..Held::default() }
    }

    /// Whether some step or constant already provides the value.
    pub fn ready(&self) -> bool {
        self.constant.is_some()
            || self.deferred.is_some()
            || self.slot.is_some()
            || self.row_major.is_some()
            || self.is_view()
            || self.part.is_some()
            || self.shuffled.is_some()
    }

    /// Whether this float value is a function of 8-bit data.
    pub fn is_view(&self) -> bool {
        self.view.is_some() || self.codes.is_some()
    }
}

/// The only tensor of a shape without elements.
fn empty(dtype: DType, shape: Vec<usize>) -> Option<Tensor> {
    let data: Data = match dtype {
        DType::F32 => Vec::<f32>::new().into(),
        DType::U8 => Vec::<u8>::new().into(),
        DType::I8 => Vec::<i8>::new().into(),
        DType::I32 => Vec::<i32>::new().into(),
        DType::I64 => Vec::<i64>::new().into(),
        DType::Bool => Vec::<bool>::new().into(),
    };
    Tensor::new(shape, data).ok()
}

/// A float value that is a function of 8-bit data: what DequantizeLinear returns, and what
/// elementwise functions make of it. It costs no step until somebody needs the floats, and
/// quantising it again is one table look-up with exactly the literal result.
#[derive(Clone)]
pub(super) struct View {
    /// 8-bit data in physical order.
    pub slot: Slot,
    /// The real number of each code.
    pub table: Arc<[f32; 256]>,
    /// Scale and zero point, where the table is plain dequantisation. int8 is stored with its sign
    /// bit flipped and its zero point raised by 128, so that all integer steps work on uint8.
    pub affine: Option<Affine>,
}

impl View {
    pub fn new(slot: Slot, affine: Affine) -> View {
        View { slot, table: Arc::new(codes().map(|q| affine.dequantize(q))), affine: Some(affine) }
    }

    /// What the codes stand for.
    pub fn meaning(&self) -> Meaning {
        match self.affine {
            Some(affine) => Meaning::Affine(affine),
            None => Meaning::Table(Arc::clone(&self.table)),
        }
    }

    /// Whether a larger code never means a smaller number, so that maxima may be taken of codes.
    pub fn is_monotone(&self) -> bool {
        self.table.windows(2).all(|pair| pair[0] <= pair[1])
    }
}

/// All codes in order.
pub(super) fn codes() -> [u8; 256] {
    std::array::from_fn(|i| i as u8)
}

impl Lowering<'_> {
    pub(super) fn add_buffer(&mut self, buffer: Buffer) -> Slot {
        self.out.buffers.push(buffer);
        Slot(self.out.buffers.len() as u32 - 1)
    }

    /// A new buffer of `len` elements.
    pub(super) fn buffer(&mut self, dtype: DType, len: usize) -> Slot {
        let bytes = len.saturating_mul(dtype.bytes());
        self.add_buffer(Buffer { bytes, constant: None, pinned: false })
    }

    /// A new buffer that will hold `value` in physical order.
    pub(super) fn produce(&mut self, value: ValueId) -> Slot {
        let slot = self.buffer(self.dtype(value), count(&self.shape(value)));
        self.held[value.index()].slot = Some(slot);
        slot
    }

    /// A constant that steps read like a buffer.
    pub(super) fn constant_slot(&mut self, constant: Constant) -> Slot {
        self.add_buffer(Buffer { bytes: constant.bytes(), constant: Some(constant), pinned: false })
    }

    /// The value in physical order: looked up, converted or copied out of the constants once, then
    /// remembered.
    pub(super) fn stored(&mut self, value: ValueId) -> Result<Slot> {
        let held = &self.held[value.index()];
        if let Some(slot) = held.slot {
            return Ok(slot);
        }
        let (shape, dtype) = (self.shape(value), self.dtype(value));
        let name = self.graph.value(value).name.clone();
        let slot = if let Some(row_major) = held.row_major {
            self.channels_last(&name, row_major, dtype, &shape)
        } else if let Some(view) = self.view(value)? {
            self.materialise(&name, &view, &shape)
        } else if let Some(part) = self.held[value.index()].part {
            self.copied(&name, part, dtype, &shape)
        } else if let Some(shuffled) = self.held[value.index()].shuffled {
            self.shuffled(&name, shuffled, dtype, &shape)
        } else if let Some(tensor) = self.constant(value)? {
            self.constant_slot(Constant::physical(&tensor))
        } else {
            unreachable!("'{name}' is read before it is computed")
        };
        self.held[value.index()].slot = Some(slot);
        Ok(slot)
    }

    /// The 8-bit data that a float value is a function of.
    pub(super) fn view(&mut self, value: ValueId) -> Result<Option<View>> {
        let held = &self.held[value.index()];
        if let (None, Some((bytes, affine))) = (&held.view, held.codes) {
            let slot = self.stored(bytes)?;
            self.held[value.index()].view = Some(View::new(slot, affine));
        }
        Ok(self.held[value.index()].view.clone())
    }

    fn materialise(&mut self, name: &str, view: &View, shape: &[usize]) -> Slot {
        let y = self.buffer(DType::F32, count(shape));
        let step = Step::Lookup(Box::new(Lookup::to_float(view.slot, y, Arc::clone(&view.table))));
        self.emit_named(name, shape.to_vec(), step, Effects::new("dequantize", &[view.slot], &[y]));
        y
    }

    /// `slot` from NCHW to NHWC; itself where that is the same.
    pub(super) fn channels_last(
        &mut self,
        name: &str,
        slot: Slot,
        dtype: DType,
        shape: &[usize],
    ) -> Slot {
        self.convert(name, slot, dtype, shape, true)
    }

    /// `slot` from NHWC to NCHW; itself where that is the same.
    pub(super) fn row_major(
        &mut self,
        name: &str,
        slot: Slot,
        dtype: DType,
        shape: &[usize],
    ) -> Slot {
        self.convert(name, slot, dtype, shape, false)
    }

    fn convert(
        &mut self,
        name: &str,
        slot: Slot,
        dtype: DType,
        shape: &[usize],
        inward: bool,
    ) -> Slot {
        if layout::is_row_major(shape) {
            return slot;
        }
        let y = self.buffer(dtype, count(shape));
        let (channels, pixels) = (shape[1], shape[2] * shape[3]);
        let step = Step::Convert(Convert { x: slot, y, dtype, channels, pixels, inward });
        self.emit_named(name, shape.to_vec(), step, Effects::new("layout", &[slot], &[y]));
        y
    }
}
