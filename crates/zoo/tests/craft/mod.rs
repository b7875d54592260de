//! Files of weights made by hand, so that tests can make what torch never writes.
#![allow(dead_code)] // each test program uses a part

/// A pickle under construction.
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Pickle {
        Pickle(vec![0x80, 2])
    }

    pub fn op(mut self, bytes: &[u8]) -> Pickle {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Pickle {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    /// LONG1 of eight bytes.
    pub fn int(self, value: i64) -> Pickle {
        self.op(&[0x8a, 8]).op(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Pickle {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn ints(self, values: &[i64]) -> Pickle {
        values.iter().fold(self.op(b"("), |p, &v| p.int(v)).op(b"t")
    }

    /// The storage `key` of `torch.KIND`, as torch's persistent id.
    pub fn storage(self, kind: &str, key: &str) -> Pickle {
        let p = self.op(b"(").text("storage").global("torch", kind).text(key).text("cpu");
        p.int(0).op(b"tQ")
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`
    pub fn tensor(
        self,
        key: &str,
        kind: &str,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> Pickle {
        let p = self.global("torch._utils", "_rebuild_tensor_v2").op(b"(").storage(kind, key);
        let p = p.int(offset).ints(shape).ints(strides).op(b"\x89");
        p.global("collections", "OrderedDict").op(b")RtR")
    }

    pub fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// `{'weight': tensor}` over the float storage 0.
pub fn one_tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let p = Pickle::new().op(b"}").text("weight");
    p.tensor("0", "FloatStorage", offset, shape, strides).op(b"s").end()
}

/// A ZIP archive of stored entries.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut list) = (vec![], vec![]);
    for (name, content) in entries {
        let [name_len, len] = [name.len(), content.len()].map(|n| (n as u32).to_le_bytes());
        let fields = [&len, &len, &name_len[..2], &[0; 2]].concat();
        let offset = file.len() as u32;
        file.extend([b"PK\x03\x04", &[0; 14][..], &len, &len, &name_len[..2], &[0; 2]].concat());
        file.extend(name.as_bytes());
        file.extend(*content);
        list.extend(
            [b"PK\x01\x02", &[0; 16][..], &fields, &[0; 10], &offset.to_le_bytes()].concat(),
        );
        list.extend(name.as_bytes());
    }
    let (count, at) = ((entries.len() as u16).to_le_bytes(), file.len() as u32);
    file.extend(&list);
    let len = (list.len() as u32).to_le_bytes();
    file.extend(
        [b"PK\x05\x06", &[0; 4][..], &count, &count, &len, &at.to_le_bytes(), &[0; 2]].concat(),
    );
    file
}

/// What torch.save writes.
pub fn torch_zip(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("net/data/{key}")).collect();
    let mut entries = vec![("net/data.pkl", pickle), ("net/byteorder", b"little")];
    entries.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), *bytes)));
    zip(&entries)
}

/// What torch.save wrote before 1.6; the storages are of four-byte elements.
pub fn torch_legacy(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let magic = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let mut file = Pickle::new().op(&[0x8a, 10]).op(magic).end();
    file.extend(Pickle::new().int(1001).end());
    file.extend(Pickle::new().op(b"}").text("little_endian").op(b"\x88s").end());
    file.extend(pickle);
    let keys = storages.iter().fold(Pickle::new().op(b"]("), |p, (key, _)| p.text(key));
    file.extend(keys.op(b"e").end());
    for (_, bytes) in storages {
        file.extend((bytes.len() as u64 / 4).to_le_bytes());
        file.extend(*bytes);
    }
    file
}

/// A safetensors file.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Little-endian elements.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
