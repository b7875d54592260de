//! Small files of every kind, written by plain code independent of the readers.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Reproducible bytes.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = edgecut_graph::rng::Rng::new(seed);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of bytes with any dimensions.
pub fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
    file.extend(bytes);
    file
}

/// A `.npy` file, format version 1.
pub fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

/// A ZIP archive of (name, content), deflated or stored.
pub fn zip(entries: &[(&str, Vec<u8>)], deflate: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = file.len() as u32;
        let body = match deflate {
            true => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            false => content.clone(),
        };
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0]);
        common.extend(crc32fast::hash(content).to_le_bytes());
        common.extend((body.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&body);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let offset = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((entries.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// `count` CIFAR-10 records with labels 0, 1, 2...
pub fn cifar10(count: usize) -> Vec<u8> {
    let mut file = Vec::new();
    for i in 0..count {
        file.push((i % 10) as u8);
        file.extend(noise(3072, i as u64));
    }
    file
}

/// Writes `bytes` under `folder`, making folders on the way.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A PNG or JPEG picture by the name's ending.
pub fn picture(folder: &Path, name: &str, h: u32, w: u32, rgb: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_raw(w, h, rgb.to_vec()).unwrap().save(&path).unwrap();
    path
}

/// A pair of IDX files `PREFIX-...` of `n` pictures of 6x5 pixels in 3 classes.
pub fn idx_pair(folder: &Path, prefix: &str, n: usize) -> (PathBuf, PathBuf) {
    let labels: Vec<u8> = (0..n).map(|i| (i % 3) as u8).collect();
    (
        put(
            folder,
            &format!("{prefix}-images-idx3-ubyte.gz"),
            &gzip(&idx(&[n as u32, 6, 5], &noise(n * 30, 1))),
        ),
        put(folder, &format!("{prefix}-labels-idx1-ubyte"), &idx(&[n as u32], &labels)),
    )
}
