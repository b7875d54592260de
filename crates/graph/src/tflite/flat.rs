//! FlatBuffers, read in place: tables, vectors and strings of a byte slice.
//!
//! Every offset of the format is relative and comes from the file, so each access checks its
//! bounds before it reads. Nothing is copied and nothing recurses: a caller walks exactly the
//! tables that it asks for. Alignment does not matter, numbers are assembled from bytes.
//!
//! Format: <https://flatbuffers.dev/internals/>.

use crate::{GraphError, Result};

/// A table: fields by number, each at an offset that the table's vtable gives.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The vtable's offsets, two bytes a field.
    offsets: &'a [u8],
    /// Name in the schema, for errors.
    kind: &'static str,
}

/// A vector of fixed-size elements.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    size: usize,
}

/// A vector of tables.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    bytes: &'a [u8],
    /// Position of the first offset.
    at: usize,
    len: usize,
    kind: &'static str,
}

fn malformed(kind: &str, problem: impl Into<String>) -> GraphError {
    GraphError::Malformed { place: format!("table {kind}"), problem: problem.into() }
}

fn outside(kind: &str, what: &str) -> GraphError {
    malformed(kind, format!("{what} lies outside the file: damaged or truncated"))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The position that the unsigned offset at `at` points to.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    let offset = u32::from_le_bytes(array(bytes, at)?);
    at.checked_add(usize::try_from(offset).ok()?)
}

/// The root table of a file; `kind` is its name in the schema.
pub(super) fn root<'a>(bytes: &'a [u8], kind: &'static str) -> Result<Table<'a>> {
    let at = follow(bytes, 0).ok_or_else(|| outside(kind, "the root"))?;
    Table::at(bytes, at, kind)
}

impl<'a> Table<'a> {
    fn at(bytes: &'a [u8], at: usize, kind: &'static str) -> Result<Table<'a>> {
        let vtable = || -> Option<&'a [u8]> {
            let back = i32::from_le_bytes(array(bytes, at)?);
            let start = usize::try_from(i64::try_from(at).ok()? - i64::from(back)).ok()?;
            let len = usize::from(u16::from_le_bytes(array(bytes, start)?));
            // The first four bytes are the sizes of vtable and table.
            bytes.get(start.checked_add(4)?..start.checked_add(len)?)
        };
        let offsets = vtable().ok_or_else(|| outside(kind, "its vtable"))?;
        Ok(Table { bytes, at, offsets, kind })
    }

    /// Position of a field; `None` where the file leaves it at its default.
    fn field(&self, id: usize) -> Option<usize> {
        let offset = u16::from_le_bytes(array(self.offsets, 2 * id)?);
        // The sum cannot overflow: `at` is below the length of a slice.
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    fn number<const N: usize>(&self, id: usize) -> Result<Option<[u8; N]>> {
        let Some(at) = self.field(id) else { return Ok(None) };
        let number = array(self.bytes, at);
        number.map(Some).ok_or_else(|| outside(self.kind, &format!("field {id}")))
    }

    pub fn u8(&self, id: usize) -> Result<u8> {
        Ok(self.number(id)?.map_or(0, u8::from_le_bytes))
    }

    pub fn u32(&self, id: usize) -> Result<u32> {
        Ok(self.number(id)?.map_or(0, u32::from_le_bytes))
    }

    /// A signed number, or `default` where the file omits it.
    pub fn i32(&self, id: usize, default: i32) -> Result<i32> {
        Ok(self.number(id)?.map_or(default, i32::from_le_bytes))
    }

    pub fn u64(&self, id: usize) -> Result<u64> {
        Ok(self.number(id)?.map_or(0, u64::from_le_bytes))
    }

    pub fn f32(&self, id: usize) -> Result<f32> {
        Ok(self.number(id)?.map_or(0.0, f32::from_le_bytes))
    }

    /// Position of what the offset in a field points to.
    fn target(&self, id: usize) -> Result<Option<usize>> {
        let Some(at) = self.field(id) else { return Ok(None) };
        let target = follow(self.bytes, at);
        target.map(Some).ok_or_else(|| outside(self.kind, &format!("field {id}")))
    }

    /// A table in a field; `kind` is its name in the schema.
    pub fn table(&self, id: usize, kind: &'static str) -> Result<Option<Table<'a>>> {
        self.target(id)?.map(|at| Table::at(self.bytes, at, kind)).transpose()
    }

    /// Start and length of the vector in a field, whose elements have `size` bytes.
    fn span(&self, id: usize, size: usize) -> Result<Option<(usize, usize)>> {
        let Some(at) = self.target(id)? else { return Ok(None) };
        let span = || {
            let len = usize::try_from(u32::from_le_bytes(array(self.bytes, at)?)).ok()?;
            let start = at + 4;
            let end = start.checked_add(len.checked_mul(size)?)?;
            (end <= self.bytes.len()).then_some((start, len))
        };
        span().map(Some).ok_or_else(|| outside(self.kind, &format!("the vector in field {id}")))
    }

    /// A vector of numbers of `size` bytes; empty where the file omits it.
    pub fn numbers(&self, id: usize, size: usize) -> Result<Numbers<'a>> {
        let Some((start, len)) = self.span(id, size)? else { return Ok(Numbers::new(&[], size)) };
        Ok(Numbers { bytes: &self.bytes[start..start + len * size], size })
    }

    /// A vector of tables; empty where the file omits it.
    pub fn tables(&self, id: usize, kind: &'static str) -> Result<Tables<'a>> {
        let (at, len) = self.span(id, 4)?.unwrap_or((0, 0));
        Ok(Tables { bytes: self.bytes, at, len, kind })
    }

    /// A string; empty where the file omits it. What is not UTF-8 is replaced.
    pub fn string(&self, id: usize) -> Result<std::borrow::Cow<'a, str>> {
        Ok(String::from_utf8_lossy(self.numbers(id, 1)?.bytes))
    }
}

impl<'a> Numbers<'a> {
    /// The elements of `size` bytes in `bytes`; a rest that is no element is ignored.
    pub fn new(bytes: &'a [u8], size: usize) -> Numbers<'a> {
        Numbers { bytes, size }
    }

    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(self.size).unwrap_or(0)
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements, assembled by `read` from their bytes.
    pub fn iter<const N: usize, T>(
        self,
        read: impl Fn([u8; N]) -> T + 'a,
    ) -> impl ExactSizeIterator<Item = T> + 'a {
        self.bytes.chunks_exact(N).map(move |c| read(c.try_into().expect("chunks of N")))
    }
}

impl<'a> Tables<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The table at `index`; an error where there is none.
    pub fn get(&self, index: usize) -> Result<Table<'a>> {
        if index >= self.len {
            let problem = format!("number {index} is mentioned, the file has {}", self.len);
            return Err(malformed(self.kind, problem));
        }
        let at = follow(self.bytes, self.at + 4 * index)
            .ok_or_else(|| outside(self.kind, &format!("number {index}")))?;
        Table::at(self.bytes, at, self.kind)
    }
}
