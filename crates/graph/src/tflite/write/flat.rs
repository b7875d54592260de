//! FlatBuffers, written front to back: a table comes before what it points to.
//!
//! Own code because TensorFlow Lite wants weights at multiples of 16 bytes (`force_align` in the
//! schema), which the public crate offers to generated code only, through unsafe calls.
//!
//! Format: <https://flatbuffers.dev/internals/>.

use std::collections::HashMap;

/// What a field of a table holds.
pub(super) enum Field {
    Byte(u8),
    /// A 32-bit number, as its bytes.
    Word([u8; 4]),
    Table(Table),
    Tables(Vec<Table>),
    Text(String),
    /// A vector of numbers: how many, their bytes, and the multiple where the first one starts.
    Numbers(usize, Vec<u8>, usize),
}

/// Fields by number. What the schema's default says anyway may be left out.
#[derive(Default)]
pub(super) struct Table(Vec<(usize, Field)>);

impl Table {
    pub fn with(mut self, id: usize, field: impl Into<Field>) -> Table {
        self.0.push((id, field.into()));
        self
    }
}

impl From<u8> for Field {
    fn from(value: u8) -> Field {
        Field::Byte(value)
    }
}

impl From<bool> for Field {
    fn from(value: bool) -> Field {
        Field::Byte(value.into())
    }
}

impl From<i32> for Field {
    fn from(value: i32) -> Field {
        Field::Word(value.to_le_bytes())
    }
}

impl From<u32> for Field {
    fn from(value: u32) -> Field {
        Field::Word(value.to_le_bytes())
    }
}

impl From<f32> for Field {
    fn from(value: f32) -> Field {
        Field::Word(value.to_le_bytes())
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Field {
        Field::Text(text.into())
    }
}

impl From<Vec<Table>> for Field {
    fn from(tables: Vec<Table>) -> Field {
        Field::Tables(tables)
    }
}

impl From<&[i32]> for Field {
    fn from(values: &[i32]) -> Field {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Field::Numbers(values.len(), bytes, 4)
    }
}

impl From<&[f32]> for Field {
    fn from(values: &[f32]) -> Field {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Field::Numbers(values.len(), bytes, 4)
    }
}

impl From<&[i64]> for Field {
    fn from(values: &[i64]) -> Field {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Field::Numbers(values.len(), bytes, 8)
    }
}

/// The bytes of a file; `identifier` becomes bytes 4 to 8. All together must stay below 2 GiB.
pub(super) fn finish(root: Table, identifier: &[u8; 4]) -> Vec<u8> {
    let mut out = Out { bytes: vec![0; 4], vtables: HashMap::new() };
    out.bytes.extend(identifier);
    let at = out.table(root);
    out.point(0, at);
    out.bytes
}

struct Out {
    bytes: Vec<u8>,
    /// Equal vtables are stored once.
    vtables: HashMap<Vec<u8>, usize>,
}

impl Out {
    fn align(&mut self, to: usize, ahead: usize) {
        let end = (self.bytes.len() + ahead).next_multiple_of(to);
        self.bytes.resize(end - ahead, 0);
    }

    /// Writes into the field at `from` where `to` is, relative to it.
    fn point(&mut self, from: usize, to: usize) {
        let offset = (to - from) as u32;
        self.bytes[from..from + 4].copy_from_slice(&offset.to_le_bytes());
    }

    /// A table; its position.
    fn table(&mut self, table: Table) -> usize {
        let mut fields = table.0;
        // Words first keeps them aligned without gaps.
        fields.sort_by_key(|(id, field)| (matches!(field, Field::Byte(_)), *id));
        let count = fields.iter().map(|(id, _)| id + 1).max().unwrap_or(0);
        let mut offsets = vec![0u16; count];
        let mut size = 4u16;
        for (id, field) in &fields {
            offsets[*id] = size;
            size += if matches!(field, Field::Byte(_)) { 1 } else { 4 };
        }
        let head = [4 + 2 * count as u16, size];
        let vtable: Vec<u8> = head.iter().chain(&offsets).flat_map(|v| v.to_le_bytes()).collect();
        let vtable = self.vtable(vtable);
        self.align(4, 0);
        let at = self.bytes.len();
        self.bytes.extend((at as i32 - vtable as i32).to_le_bytes());
        for (_, field) in &fields {
            match field {
                Field::Byte(value) => self.bytes.push(*value),
                Field::Word(bytes) => self.bytes.extend(bytes),
                _ => self.bytes.extend([0; 4]),
            }
        }
        for (id, field) in fields {
            self.child(at + usize::from(offsets[id]), field);
        }
        at
    }

    fn vtable(&mut self, vtable: Vec<u8>) -> usize {
        if let Some(&at) = self.vtables.get(&vtable) {
            return at;
        }
        self.align(4, 0);
        let at = self.bytes.len();
        self.bytes.extend(&vtable);
        self.vtables.insert(vtable, at);
        at
    }

    /// Writes what the field at `from` points to.
    fn child(&mut self, from: usize, field: Field) {
        match field {
            Field::Byte(_) | Field::Word(_) => {}
            Field::Table(table) => {
                let at = self.table(table);
                self.point(from, at);
            }
            Field::Tables(tables) => {
                let at = self.length(from, tables.len(), 4);
                self.bytes.resize(at + 4 * tables.len(), 0);
                for (index, table) in tables.into_iter().enumerate() {
                    let child = self.table(table);
                    self.point(at + 4 * index, child);
                }
            }
            Field::Text(text) => {
                self.length(from, text.len(), 4);
                self.bytes.extend(text.as_bytes());
                // Readers in C expect a zero behind it.
                self.bytes.push(0);
            }
            Field::Numbers(count, bytes, align) => {
                self.length(from, count, align);
                self.bytes.extend(bytes);
            }
        }
    }

    /// The length of a vector, pointed to by `from`; the position of its elements.
    fn length(&mut self, from: usize, count: usize, align: usize) -> usize {
        self.align(align.max(4), 4);
        self.point(from, self.bytes.len());
        self.bytes.extend((count as u32).to_le_bytes());
        self.bytes.len()
    }
}
