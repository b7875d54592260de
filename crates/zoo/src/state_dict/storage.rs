//! Stored elements, and the tensors that view them.

use std::sync::Arc;

use edgecut_graph::float16::{bfloat, half};
use edgecut_graph::limits::MAX_RANK;
use edgecut_graph::{Data, Tensor, checked_len};

use super::error::{Fault, malformed};

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    F16,
    BF16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl Kind {
    /// The type of torch's storage class `name`.
    pub fn of_storage(name: &str) -> Option<Kind> {
        Some(match name.strip_suffix("Storage")? {
            "Half" => Kind::F16,
            "BFloat16" => Kind::BF16,
            "Float" => Kind::F32,
            "Double" => Kind::F64,
            "Byte" => Kind::U8,
            "Char" => Kind::I8,
            "Short" => Kind::I16,
            "Int" => Kind::I32,
            "Long" => Kind::I64,
            "Bool" => Kind::Bool,
            _ => return None,
        })
    }

    /// The type that a safetensors file calls `name`.
    pub fn of_safetensors(name: &str) -> Option<Kind> {
        Some(match name {
            "F16" => Kind::F16,
            "BF16" => Kind::BF16,
            "F32" => Kind::F32,
            "F64" => Kind::F64,
            "U8" => Kind::U8,
            "I8" => Kind::I8,
            "I16" => Kind::I16,
            "I32" => Kind::I32,
            "I64" => Kind::I64,
            "BOOL" => Kind::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element in the file.
    pub fn bytes(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => 1,
            Kind::F16 | Kind::BF16 | Kind::I16 => 2,
            Kind::F32 | Kind::I32 => 4,
            Kind::F64 | Kind::I64 => 8,
        }
    }

    /// Whether tensors of this type become float32.
    pub fn is_float(self) -> bool {
        matches!(self, Kind::F16 | Kind::BF16 | Kind::F32 | Kind::F64)
    }

    /// Bytes of an element in memory.
    fn loaded_bytes(self) -> usize {
        match self {
            Kind::F16 | Kind::BF16 | Kind::I16 | Kind::F64 => 4,
            other => other.bytes(),
        }
    }
}

/// Which elements of a storage a tensor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub kind: Kind,
    /// First element.
    pub offset: usize,
    rank: usize,
    extents: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
}

impl View {
    /// A view with these extents and strides, in elements, outermost first.
    pub fn new(
        kind: Kind,
        offset: usize,
        extents: &[usize],
        strides: &[usize],
    ) -> Result<View, Fault> {
        if extents.len() > MAX_RANK || extents.len() != strides.len() {
            return malformed(format!(
                "a tensor has {} extents and {} strides; at most {MAX_RANK} are supported",
                extents.len(),
                strides.len()
            ));
        }
        let mut view = View {
            kind,
            offset,
            rank: extents.len(),
            extents: [0; MAX_RANK],
            strides: [0; MAX_RANK],
        };
        view.extents[..extents.len()].copy_from_slice(extents);
        view.strides[..strides.len()].copy_from_slice(strides);
        Ok(view)
    }

    /// All elements of a storage in row-major order.
    pub fn dense(kind: Kind, extents: &[usize]) -> Result<View, Fault> {
        let mut strides = [0; MAX_RANK];
        let mut step = 1usize;
        for axis in (0..extents.len().min(MAX_RANK)).rev() {
            strides[axis] = step;
            step = step.saturating_mul(extents[axis].max(1));
        }
        View::new(kind, 0, extents, &strides[..extents.len().min(MAX_RANK)])
    }

    /// Extents, outermost first.
    pub fn extents(&self) -> &[usize] {
        &self.extents[..self.rank]
    }

    /// Number of elements; fails where it exceeds the limits.
    pub fn len(&self) -> Result<usize, Fault> {
        checked_len(self.extents(), "a tensor").or_else(|e| malformed(e.to_string()))
    }

    /// Bytes that the tensor takes in memory.
    pub fn loaded_bytes(&self) -> Result<u64, Fault> {
        Ok(self.len()? as u64 * self.kind.loaded_bytes() as u64)
    }

    /// Elements that a storage must have; `None` where that number cannot exist.
    fn reach(&self) -> Option<usize> {
        if self.extents().contains(&0) {
            return Some(self.offset);
        }
        let last = self
            .extents()
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |at, (&d, &s)| at.checked_add((d - 1).checked_mul(s)?))?;
        last.checked_add(1)
    }

    fn is_dense(&self) -> bool {
        let mut step = 1usize;
        (0..self.rank).rev().all(|axis| {
            let fits = self.extents[axis] <= 1 || self.strides[axis] == step;
            step = step.saturating_mul(self.extents[axis]);
            fits
        })
    }

    /// Fails where the elements exceed the limits, or a storage of `bytes`.
    pub fn check(&self, bytes: usize) -> Result<(), Fault> {
        self.len()?;
        match self.reach() {
            Some(reach) if reach <= bytes / self.kind.bytes() => Ok(()),
            _ => malformed(format!("{:?} reaches beyond its storage", self.extents())),
        }
    }

    /// The tensor over `storage`, little-endian elements of this kind.
    pub fn tensor(&self, storage: &[u8]) -> Result<Tensor, Fault> {
        self.check(storage.len())?;
        let len = self.len()?;
        let data = match self.kind {
            Kind::F16 => Data::F32(self.gather(len, storage, |b| half(u16::from_le_bytes(b)))),
            Kind::BF16 => Data::F32(self.gather(len, storage, |b| bfloat(u16::from_le_bytes(b)))),
            Kind::F32 => Data::F32(self.gather(len, storage, f32::from_le_bytes)),
            Kind::F64 => Data::F32(self.gather(len, storage, |b| f64::from_le_bytes(b) as f32)),
            Kind::U8 => Data::U8(self.gather(len, storage, |[b]| b)),
            Kind::I8 => Data::I8(self.gather(len, storage, i8::from_le_bytes)),
            Kind::I16 => Data::I32(self.gather(len, storage, |b| i16::from_le_bytes(b).into())),
            Kind::I32 => Data::I32(self.gather(len, storage, i32::from_le_bytes)),
            Kind::I64 => Data::I64(self.gather(len, storage, i64::from_le_bytes)),
            Kind::Bool => Data::Bool(self.gather(len, storage, |[b]| b != 0)),
        };
        Tensor::new(self.extents(), data).or_else(|e| malformed(e.to_string()))
    }

    /// The elements in row-major order, in one allocation of their final size.
    fn gather<const N: usize, T>(
        &self,
        len: usize,
        storage: &[u8],
        convert: impl Fn([u8; N]) -> T,
    ) -> Arc<[T]> {
        let (elements, _) = storage.as_chunks::<N>();
        if len == 0 {
            return Arc::new([]);
        }
        if self.is_dense() {
            return elements[self.offset..self.offset + len].iter().map(|&b| convert(b)).collect();
        }
        let (mut at, mut index) = (self.offset, [0usize; MAX_RANK]);
        let next = |_| {
            let value = convert(elements[at]);
            for axis in (0..self.rank).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.extents[axis] {
                    break;
                }
                at -= self.strides[axis] * self.extents[axis];
                index[axis] = 0;
            }
            value
        };
        (0..len).map(next).collect()
    }
}
