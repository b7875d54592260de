//! A pickle reader that executes nothing (protocols 2 to 5, the opcodes that torch.save emits).
//!
//! Python's own reader calls whatever the file names. Here a name is looked up in a short list of
//! meanings ([`Global`]), a call is interpreted by that meaning, and everything else is refused.
//!
//! Texts stay in the file and are spans of it. Containers live in one arena and refer to each other
//! by index: cycles are harmless, and neither reading nor dropping recurses. Every opcode, and every
//! item that one copies, is a step of a bounded number, so that memory and time are bounded too.

use std::collections::BTreeMap;

use super::error::{Fault, malformed};
use super::globals::Global;
use super::limits::{MAX_NAME, MAX_STEPS, MAX_TENSORS};
use super::storage::{Kind, View};

/// A part of the pickle's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

/// A Python object, as far as weights need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// None, a number with a fraction, bytes, a set: nothing that matters here.
    Other,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, little-endian.
    Long(Span),
    Text(Span),
    /// Index of a container.
    Tuple(u32),
    List(u32),
    Dict(u32),
    Global(Global),
    /// Index of a storage.
    Storage(u32),
    /// Index of a tensor.
    Tensor(u32),
}

/// What a pickle says about a storage: `('storage', type, key, location, elements)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef {
    pub kind: Kind,
    pub key: Span,
    /// First element, where the legacy format makes it a part of another storage.
    pub offset: usize,
}

/// A tensor: an index into the storages, and which of its elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct TensorRef {
    pub storage: u32,
    pub view: View,
}

/// Reads one pickle.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    steps: usize,
    stack: Vec<Value>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    containers: Vec<Vec<Value>>,
    pub storages: Vec<StorageRef>,
    pub tensors: Vec<TensorRef>,
}

type Read<T> = Result<T, Fault>;

impl<'a> Reader<'a> {
    /// Reads the pickle at the beginning of `bytes`; returns it with its last object.
    pub fn read(bytes: &'a [u8]) -> Read<(Reader<'a>, Value)> {
        if u32::try_from(bytes.len()).is_err() {
            return malformed("its pickle is larger than 4 GiB");
        }
        let mut reader = Reader {
            bytes,
            at: 0,
            steps: 0,
            stack: vec![],
            marks: vec![],
            memo: BTreeMap::new(),
            containers: vec![],
            storages: vec![],
            tensors: vec![],
        };
        loop {
            reader.count(1)?;
            match reader.byte()? {
                b'.' => break,
                opcode => reader.step(opcode)?,
            }
        }
        let last = reader.pop()?;
        Ok((reader, last))
    }

    /// Bytes that the pickle takes.
    pub fn len(&self) -> usize {
        self.at
    }

    /// The bytes of a span.
    pub fn span(&self, span: Span) -> &'a [u8] {
        // Spans are made by `take`, inside the bytes.
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    /// A text that may be a name: UTF-8 of a sensible length.
    pub fn name(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) if span.len as usize <= MAX_NAME => {
                std::str::from_utf8(self.span(span)).ok()
            }
            _ => None,
        }
    }

    /// The items of a tuple or list; keys and values in turn of a dict.
    pub fn items(&self, value: Value) -> &[Value] {
        match value {
            Value::Tuple(i) | Value::List(i) | Value::Dict(i) => &self.containers[i as usize],
            _ => &[],
        }
    }

    fn count(&mut self, steps: usize) -> Read<()> {
        self.steps = self.steps.saturating_add(steps);
        match self.steps {
            0..=MAX_STEPS => Ok(()),
            _ => malformed(format!("its pickle has more than {MAX_STEPS} steps")),
        }
    }

    fn step(&mut self, opcode: u8) -> Read<()> {
        match opcode {
            // PROTO and FRAME are of no consequence to a reader of a whole file.
            0x80 => self.skip(1),
            0x95 => self.skip(8),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.since_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'N' => self.push(Value::Other),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(opcode),
            b'G' => {
                self.skip(8)?;
                self.push(Value::Other)
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                let text = self.counted(opcode)?;
                self.push(Value::Text(text))
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                self.counted(opcode)?;
                self.push(Value::Other)
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' => self.reduce(),
            // The state of an object: of a dict its `_metadata`, of a parameter nothing we need.
            b'b' => self.pop().map(drop),
            b'Q' => self.persistent(),
            _ => self.container(opcode),
        }
    }

    /// Containers: made empty, from the stack, or extended from it.
    fn container(&mut self, opcode: u8) -> Read<()> {
        match opcode {
            b']' => self.make(Value::List, vec![]),
            b'}' => self.make(Value::Dict, vec![]),
            b')' => self.make(Value::Tuple, vec![]),
            0x85..=0x87 => {
                let items = self.last(usize::from(opcode - 0x84))?;
                self.make(Value::Tuple, items)
            }
            b't' | b'l' | b'd' => {
                let items = self.since_mark()?;
                match opcode {
                    b't' => self.make(Value::Tuple, items),
                    b'l' => self.make(Value::List, items),
                    _ => self.make(Value::Dict, pairs(items)?),
                }
            }
            b'a' => {
                let items = self.last(1)?;
                self.extend(items)
            }
            b's' => {
                let items = self.last(2)?;
                self.extend(items)
            }
            b'e' | b'u' => {
                let items = self.since_mark()?;
                self.extend(if opcode == b'u' { pairs(items)? } else { items })
            }
            // EMPTY_SET and what fills it, FROZENSET: sets hold no weights.
            0x8f => self.push(Value::Other),
            0x90 => self.since_mark().map(drop),
            0x91 => {
                self.since_mark()?;
                self.push(Value::Other)
            }
            other => malformed(format!(
                "opcode 0x{other:02x} of its pickle is none that torch.save writes"
            )),
        }
    }

    fn make(&mut self, kind: fn(u32) -> Value, items: Vec<Value>) -> Read<()> {
        let index = self.containers.len() as u32;
        self.containers.push(items);
        self.push(kind(index))
    }

    /// Appends to the container on top of the stack; what is no container keeps nothing.
    fn extend(&mut self, items: Vec<Value>) -> Read<()> {
        match self.top()? {
            Value::List(i) | Value::Dict(i) => {
                self.containers[i as usize].extend(items);
                Ok(())
            }
            _ => malformed("its pickle puts items into something that holds none"),
        }
    }

    fn integer(&mut self, opcode: u8) -> Read<()> {
        let len = match opcode {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            0x8a => usize::from(self.byte()?),
            _ => self.length(4)?,
        };
        let span = self.take(len)?;
        let bytes = self.span(span);
        if bytes.len() > 8 {
            return self.push(Value::Long(span));
        }
        // BININT1 and BININT2 have no sign; the others repeat theirs.
        let signed = !matches!(opcode, b'K' | b'M');
        let negative = signed && bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn memo(&mut self, opcode: u8) -> Read<()> {
        let index = match opcode {
            b'q' | b'h' => u32::from(self.byte()?),
            0x94 => self.memo.len() as u32,
            _ => self.length(4)? as u32,
        };
        if matches!(opcode, b'h' | b'j') {
            return match self.memo.get(&index) {
                Some(&value) => self.push(value),
                None => malformed(format!("its pickle refers to object {index} before it is made")),
            };
        }
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Read<()> {
        let global = if opcode == b'c' {
            let (module, name) = (self.line()?, self.line()?);
            Global::named(module, name)?
        } else {
            let items = self.last(2)?;
            match (self.name(items[0]), self.name(items[1])) {
                (Some(module), Some(name)) => Global::named(module, name)?,
                _ => return malformed("its pickle names a class by something that is no text"),
            }
        };
        self.push(Value::Global(global))
    }

    /// A call: of a function with a tuple of arguments.
    fn reduce(&mut self) -> Read<()> {
        let call = self.last(2)?;
        let (Value::Global(global), Value::Tuple(_)) = (call[0], call[1]) else {
            return Err(Fault::Refused("a call of something that is no class or function".into()));
        };
        match global {
            Global::OrderedDict => self.ordered_dict(call[1]),
            Global::RebuildTensor => self.tensor(call[1]),
            Global::Size | Global::RebuildParameter => match *self.items(call[1]) {
                [first, ..] => self.push(first),
                [] => malformed("its pickle rebuilds a parameter from nothing"),
            },
            Global::Inert => self.push(Value::Other),
            Global::Storage(_) => malformed("its pickle holds a storage as a value"),
        }
    }

    /// `OrderedDict()`, or of a list of pairs, as Python 2 wrote it.
    fn ordered_dict(&mut self, arguments: Value) -> Read<()> {
        let mut items = vec![];
        if let &[pairs] = self.items(arguments) {
            let count = self.items(pairs).len();
            self.count(2 * count)?;
            for &pair in self.items(pairs) {
                match *self.items(pair) {
                    [key, value] => items.extend([key, value]),
                    _ => return malformed("its pickle makes a dict of something but pairs"),
                }
            }
        }
        self.make(Value::Dict, items)
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, ...)`
    fn tensor(&mut self, arguments: Value) -> Read<()> {
        let &[Value::Storage(storage), Value::Int(offset), size, stride, ..] =
            self.items(arguments)
        else {
            return malformed("its pickle rebuilds a tensor from other than a storage");
        };
        let (extents, strides) = (self.extents(size)?, self.extents(stride)?);
        let StorageRef { kind, offset: base, .. } = self.storages[storage as usize];
        let offset = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(base));
        let Some(offset) = offset else {
            return malformed("a tensor begins outside its storage");
        };
        if self.tensors.len() == MAX_TENSORS {
            return malformed(format!("holds more than {MAX_TENSORS} tensors"));
        }
        self.tensors
            .push(TensorRef { storage, view: View::new(kind, offset, &extents, &strides)? });
        self.push(Value::Tensor(self.tensors.len() as u32 - 1))
    }

    fn extents(&self, value: Value) -> Read<Vec<usize>> {
        let items = self.items(value);
        if items.len() > edgecut_graph::limits::MAX_RANK {
            return malformed(format!("a tensor has {} dimensions", items.len()));
        }
        let extent = |&item: &Value| match item {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        };
        let extents: Option<Vec<usize>> = items.iter().map(extent).collect();
        extents.map_or_else(|| malformed("a tensor has an extent that is no size"), Ok)
    }

    /// `('storage', type, key, location, elements)`; the legacy format adds None, or the part of the
    /// storage that this one is: `(key, first element, elements)`.
    fn persistent(&mut self) -> Read<()> {
        let id = self.pop()?;
        let &[tag, Value::Global(Global::Storage(kind)), key @ Value::Text(span), ref rest @ ..] =
            self.items(id)
        else {
            return malformed("its pickle refers to a storage in an unknown way");
        };
        if self.name(tag) != Some("storage") || self.name(key).is_none() {
            return malformed("its pickle refers to a storage in an unknown way");
        }
        let part = rest.get(2).map_or(&[][..], |&part| self.items(part));
        let offset = match *part {
            [] => 0,
            [_, Value::Int(offset), _] if offset >= 0 => offset as usize,
            _ => return malformed("its pickle refers to a part of a storage in an unknown way"),
        };
        self.storages.push(StorageRef { kind, key: span, offset });
        self.push(Value::Storage(self.storages.len() as u32 - 1))
    }

    fn push(&mut self, value: Value) -> Read<()> {
        self.stack.push(value);
        Ok(())
    }

    /// Height below which the stack is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Read<Value> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => malformed("its pickle takes more from the stack than is there"),
        }
    }

    fn pop(&mut self) -> Read<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The `count` objects on top, lowest first.
    fn last(&mut self, count: usize) -> Read<Vec<Value>> {
        match self.stack.len().checked_sub(count) {
            Some(at) if at >= self.floor() => Ok(self.stack.drain(at..).collect()),
            _ => malformed("its pickle takes more from the stack than is there"),
        }
    }

    /// The objects above the last mark, which is removed.
    fn since_mark(&mut self) -> Read<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.drain(mark..).collect()),
            None => malformed("its pickle ends a group that it has not begun"),
        }
    }

    fn byte(&mut self) -> Read<u8> {
        let span = self.take(1)?;
        Ok(self.span(span)[0])
    }

    fn skip(&mut self, len: usize) -> Read<()> {
        self.take(len).map(drop)
    }

    fn take(&mut self, len: usize) -> Read<Span> {
        match self.at.checked_add(len) {
            Some(end) if end <= self.bytes.len() => {
                let span = Span { start: self.at as u32, len: len as u32 };
                self.at = end;
                Ok(span)
            }
            _ => malformed("its pickle is cut off"),
        }
    }

    /// A little-endian length of `width` bytes.
    fn length(&mut self, width: usize) -> Read<usize> {
        let span = self.take(width)?;
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.span(span));
        usize::try_from(u64::from_le_bytes(wide))
            .or_else(|_| malformed("its pickle declares a length that no file has"))
    }

    /// What follows a length, whose width the opcode tells.
    fn counted(&mut self, opcode: u8) -> Read<Span> {
        let width = match opcode {
            0x8c | b'U' | b'C' => 1,
            0x8d | 0x8e | 0x96 => 8,
            _ => 4,
        };
        let len = self.length(width)?;
        self.take(len)
    }

    fn line(&mut self) -> Read<&'a str> {
        let rest = &self.bytes[self.at..];
        let most = rest.len().min(MAX_NAME);
        let Some(len) = rest[..most].iter().position(|&b| b == b'\n') else {
            return malformed("its pickle names a class without an end");
        };
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).or_else(|_| malformed("its pickle names a class badly"))
    }
}

/// Fails where keys and values do not pair up.
fn pairs(items: Vec<Value>) -> Read<Vec<Value>> {
    match items.len() % 2 {
        0 => Ok(items),
        _ => malformed("its pickle has a key without a value"),
    }
}
