//! Broken files end in an error that names the file, or in data; never in a panic, and memory stays
//! within the declared limits. Every truncation and many bit flips of small files are read.

use crate::files::{cifar10, gzip, idx, noise, npy, picture, put, zip};
use edgecut_graph::rng::Rng;
use edgecut_train::data::{Image, cifar, idx as idx_reader, numpy};
use std::path::Path;

/// Reads every prefix (or about 200 of them) and 400 damaged copies of `file` with `read`.
fn damage(name: &str, file: &[u8], read: impl Fn(&Path) -> Result<(), String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    // A new file each time: some file systems flush a file that is truncated and written again.
    let write = |bytes: &[u8]| {
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
    };
    write(file);
    read(&path).unwrap();
    for len in (0..file.len()).step_by((file.len() / 200).max(1)) {
        write(&file[..len]);
        if let Err(error) = read(&path) {
            assert!(error.contains(name), "cut at {len}: {error}");
        }
    }
    let mut rng = Rng::new(file.len() as u64);
    for round in 0..400 {
        let mut bytes = file.to_vec();
        for _ in 0..1 + rng.below(4) {
            // Half of the damage goes into the first bytes, where sizes are.
            let end = if rng.below(2) == 0 { bytes.len().min(64) } else { bytes.len() };
            let at = rng.below(end);
            bytes[at] = if rng.below(2) == 0 { bytes[at] ^ (1 << rng.below(8)) } else { 0xff };
        }
        write(&bytes);
        if let Err(error) = read(&path) {
            assert!(error.contains(name), "round {round}: {error}");
        }
    }
}

fn text<T>(result: edgecut_train::data::Result<T>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn idx_survives() {
    let file = idx(&[3, 4, 4], &noise(48, 1));
    damage("images.idx", &file, |path| text(idx_reader::read_images(path)));
    damage("images.idx.gz", &gzip(&file), |path| text(idx_reader::read_images(path)));
    damage("labels.idx", &idx(&[9], &[1; 9]), |path| text(idx_reader::read_labels(path)));
}

#[test]
fn every_cut_of_an_idx_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = idx(&[3, 4, 4], &noise(48, 1));
    for bytes in [file.clone(), gzip(&file)] {
        for len in 0..bytes.len() {
            let path = put(dir.path(), "cut", &bytes[..len]);
            assert!(idx_reader::read_images(&path).is_err(), "cut at {len} of {}", bytes.len());
        }
    }
}

#[test]
fn declared_sizes_do_not_allocate() {
    let dir = tempfile::tempdir().unwrap();
    for dims in [[u32::MAX; 3], [1 << 20, 1 << 10, 1], [1, 0, 0], [u32::MAX, 1, 1]] {
        let file = idx(&dims, &[0; 100]);
        for bytes in [file.clone(), gzip(&file)] {
            assert!(idx_reader::read_images(&put(dir.path(), "big", &bytes)).is_err(), "{dims:?}");
        }
    }
    // A gzip bomb: a small file that expands far beyond the declared 100 bytes is not expanded.
    let bomb = gzip(&idx(&[1, 10, 10], &vec![0; 50 << 20]));
    let error = idx_reader::read_images(&put(dir.path(), "bomb", &bomb)).unwrap_err().to_string();
    assert!(error.contains("goes on after"), "{error}");
}

#[test]
fn npz_survives() {
    let y = npy("|u1", "(2,)", &[0, 1]);
    let x = npy("|u1", "(2, 3, 3)", &noise(18, 2));
    for deflate in [false, true] {
        let archive = zip(&[("x.npy", x.clone()), ("y.npy", y.clone())], deflate);
        damage("set.npz", &archive, |path| text(numpy::read_npz(path)));
    }
}

#[test]
fn npz_of_lies_does_not_allocate() {
    let dir = tempfile::tempdir().unwrap();
    let archive = zip(&[("x.npy", vec![0; 100]), ("y.npy", vec![0; 10])], true);
    let directory = archive.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for (at, name) in [(20, "compressed size"), (24, "size"), (42, "offset"), (10, "method")] {
        let mut bytes = archive.clone();
        bytes[directory + at..directory + at + 4].copy_from_slice(&[0xfe, 0xff, 0xff, 0x7f]);
        assert!(numpy::read_npz(&put(dir.path(), "lie.npz", &bytes)).is_err(), "{name}");
    }
}

#[test]
fn npy_survives() {
    let dir = tempfile::tempdir().unwrap();
    let y = put(dir.path(), "y.npy", &npy("|u1", "(2,)", &[0, 1]));
    damage("x.npy", &npy("|u1", "(2, 3, 3)", &noise(18, 2)), |path| {
        text(numpy::read_npy(path, &y))
    });
    let x = put(dir.path(), "x2.npy", &npy("|u1", "(2, 1, 1)", &[0, 1]));
    damage("labels.npy", &npy("<i4", "(2,)", &[0, 0, 0, 0, 1, 0, 0, 0]), |path| {
        text(numpy::read_npy(&x, path))
    });
    // Deep nesting and sizes whose product overflows.
    for shape in [
        "(".repeat(60_000),
        "(0, 3, 18446744073709551615, 18446744073709551615)".into(),
        "(-1,)".into(),
    ] {
        let path = put(dir.path(), "deep.npy", &npy("|u1", &shape, &[]));
        assert!(numpy::read_npy(&path, &y).is_err(), "{shape:.20}");
    }
}

#[test]
fn cifar_survives() {
    damage("batch.bin", &cifar10(2), |path| text(cifar::read(&[path.to_path_buf()])));
}

#[test]
fn pictures_survive() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.jpg"] {
        let path = picture(dir.path(), name, 16, 20, &noise(16 * 20 * 3, 3));
        damage(name, &std::fs::read(path).unwrap(), |path| text(Image::open(path)));
    }
}

#[test]
fn a_huge_picture_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = picture(dir.path(), "a.png", 1, 1, &[0; 3]);
    let mut bytes = std::fs::read(&path).unwrap();
    // Width and height of the header chunk, whose checksum is then set right.
    bytes[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
    let crc = crc32fast::hash(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).unwrap();
    let error = Image::open(&path).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("limit") || error.contains("memory"), "{error}");
}

#[test]
fn a_folder_or_device_is_not_a_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(idx_reader::read_images(dir.path()).is_err());
    assert!(idx_reader::read_images(Path::new("/dev/zero")).is_err());
    assert!(Image::open(Path::new("/dev/zero")).is_err());
}
