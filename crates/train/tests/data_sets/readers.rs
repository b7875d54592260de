//! Each reader gives back what was written.

use crate::files::{cifar10, gzip, idx, idx_pair, noise, npy, picture, put, zip};
use edgecut_train::data::{Dataset, Image, cifar, folder, idx as idx_reader, numpy};

#[test]
fn idx_plain_and_gzipped_agree() {
    let dir = tempfile::tempdir().unwrap();
    let file = idx(&[4, 3, 2], &noise(24, 9));
    let plain = put(dir.path(), "a", &file);
    let zipped = put(dir.path(), "b", &gzip(&file));
    let images = idx_reader::read_images(&plain).unwrap();
    assert_eq!(images, idx_reader::read_images(&zipped).unwrap());
    assert_eq!((images.count, images.h, images.w, images.pixels), (4, 3, 2, noise(24, 9)));
}

#[test]
fn idx_pair_is_a_set() {
    let dir = tempfile::tempdir().unwrap();
    let (images, labels) = idx_pair(dir.path(), "train", 7);
    let set = idx_reader::read_pair(&images, &labels).unwrap();
    assert_eq!((set.len(), set.shape(), set.classes().len()), (7, Some([6, 5, 1]), 3));
    assert_eq!(set.image(2).unwrap().pixels, noise(210, 1)[60..90]);
    assert_eq!(set.label(5), 2);
    let pair = idx_reader::find_pair(dir.path(), "train").unwrap();
    assert_eq!((pair.images, pair.labels), (images, labels));
    assert!(idx_reader::find_pair(dir.path(), "t10k").is_none());
}

#[test]
fn idx_names_the_file_at_fault() {
    let dir = tempfile::tempdir().unwrap();
    let (images, _) = idx_pair(dir.path(), "train", 7);
    let labels = put(dir.path(), "short", &idx(&[6], &[0; 6]));
    let error = idx_reader::read_pair(&images, &labels).unwrap_err().to_string();
    assert!(
        error.contains("short") && error.contains("6 labels") && error.contains("7 pictures"),
        "{error}"
    );
    let error = idx_reader::read_images(&labels).unwrap_err().to_string();
    assert!(error.contains("starts with"), "{error}");
}

#[test]
fn cifar_records_become_interleaved_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = cifar10(12);
    let first = put(dir.path(), "data_batch_1.bin", &bytes[..3073 * 5]);
    let second = put(dir.path(), "data_batch_2.bin", &bytes[3073 * 5..]);
    put(dir.path(), "test_batch.bin", &cifar10(2));
    let files = cifar::find_files(dir.path()).unwrap();
    assert_eq!((&files.train, files.test.len()), (&vec![first, second], 1));
    let set = cifar::read(&files.train).unwrap();
    assert_eq!((set.len(), set.shape(), set.label(11)), (12, Some([32, 32, 3]), 1));
    assert_eq!(set.classes()[3], "cat");
    let (image, record) = (set.image(7).unwrap(), &bytes[3073 * 7 + 1..3073 * 8]);
    assert_eq!(
        image.pixels[..6],
        [record[0], record[1024], record[2048], record[1], record[1025], record[2049]]
    );
}

#[test]
fn cifar100_takes_the_fine_label() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3).flat_map(|i| [vec![i, 90 + i], noise(3072, 3)].concat()).collect();
    let path = put(dir.path(), "train.bin", &bytes);
    let set = cifar::read(&[path]).unwrap();
    assert_eq!((set.label(2), set.classes().len()), (92, 100));
}

#[test]
fn cifar_refuses_a_label_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = cifar10(3);
    bytes[3073] = 10;
    let error = cifar::read(&[put(dir.path(), "x.bin", &bytes)]).unwrap_err().to_string();
    assert!(error.contains("x.bin") && error.contains("records"), "{error}");
}

#[test]
fn npz_in_its_usual_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let labels = npy("<i8", "(2,)", &[0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let pixels = noise(2 * 4 * 5 * 3, 4);
    for (shape, deflate) in
        [("(2, 4, 5, 3)", true), ("(2, 4, 5, 3)", false), ("(2, 3, 4, 5)", true)]
    {
        let archive = zip(
            &[("Images.npy", npy("|u1", shape, &pixels)), ("labels.npy", labels.clone())],
            deflate,
        );
        let set = numpy::read_npz(&put(dir.path(), "a.npz", &archive)).unwrap().train;
        assert_eq!((set.len(), set.shape(), set.label(1)), (2, Some([4, 5, 3]), 3));
        let second = set.image(1).unwrap().pixels;
        match shape {
            "(2, 4, 5, 3)" => assert_eq!(second, pixels[60..]),
            _ => assert_eq!(second[..4], [pixels[60], pixels[80], pixels[100], pixels[61]]),
        }
    }
}

#[test]
fn npz_parts_of_keras() {
    let dir = tempfile::tempdir().unwrap();
    let entry = |n: usize| npy("|u1", &format!("({n}, 2, 2)"), &noise(4 * n, 1));
    let label = |n: usize| npy(">u2", &format!("({n}, 1)"), &[0, 1].repeat(n));
    let archive = zip(
        &[
            ("x_train.npy", entry(3)),
            ("y_train.npy", label(3)),
            ("x_test.npy", entry(2)),
            ("y_test.npy", label(2)),
        ],
        true,
    );
    let parts = numpy::read_npz(&put(dir.path(), "mnist.npz", &archive)).unwrap();
    assert_eq!((parts.train.len(), parts.test.unwrap().len(), parts.train.label(0)), (3, 2, 1));
}

#[test]
fn numpy_says_what_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let y = put(dir.path(), "y.npy", &npy("|u1", "(2,)", &[0, 1]));
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("float", npy("<f4", "(2, 1, 1)", &[0; 8]), "uint8"),
        ("shape", npy("|u1", "(2, 5, 5, 5)", &[0; 250]), "expected [N, h, w]"),
        ("count", npy("|u1", "(3, 1, 1)", &[0; 3]), "2 labels"),
        ("size", npy("|u1", "(2, 99999999999, 99999999999)", &[0; 4]), "bytes of data"),
    ];
    for (name, file, expected) in cases {
        let x = put(dir.path(), &format!("{name}.npy"), &file);
        let error = numpy::read_npy(&x, &y).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    let minus = put(dir.path(), "minus.npy", &npy("<i2", "(2,)", &[0, 0, 255, 255]));
    let x = put(dir.path(), "x.npy", &npy("|u1", "(2, 1, 1)", &[0; 2]));
    assert!(numpy::read_npy(&x, &minus).unwrap_err().to_string().contains("negative"));
    assert_eq!(numpy::guess_labels(&x), Some(y));
}

#[test]
fn folder_classes_are_sorted_and_parts_agree() {
    let dir = tempfile::tempdir().unwrap();
    let rgb = noise(4 * 6 * 3, 2);
    for name in [
        "train/dog/b.png",
        "train/dog/a.PNG",
        "train/cat/images/x.jpg",
        "val/dog/y.jpeg",
        "train/.hidden/z.png",
    ] {
        picture(dir.path(), name, 4, 6, &rgb);
    }
    put(dir.path(), "train/dog/notes.txt", b"not a picture");
    let parts = folder::read(dir.path()).unwrap();
    assert_eq!(parts.train.classes(), ["cat", "dog"]);
    assert_eq!((0..3).map(|i| parts.train.label(i)).collect::<Vec<_>>(), [0, 1, 1]);
    let test = parts.test.unwrap();
    assert_eq!((test.len(), test.label(0)), (1, 1));
    assert!(parts.train.path(1).ends_with("train/dog/a.PNG"));
    assert_eq!(parts.train.image(1).unwrap(), Image { h: 4, w: 6, c: 3, pixels: rgb });
}

#[test]
fn flat_folder_takes_labels_from_names() {
    let dir = tempfile::tempdir().unwrap();
    picture(dir.path(), "0004_n1_hammerhead.png", 1, 1, &[1, 2, 3]);
    picture(dir.path(), "0001_tench.png", 1, 1, &[1, 2, 3]);
    let set = folder::read(dir.path()).unwrap().train;
    assert_eq!(set.classes(), ["0", "tench", "2", "3", "n1_hammerhead"]);
    assert_eq!((set.label(0), set.label(1)), (1, 4));
    picture(dir.path(), "tench.png", 1, 1, &[1, 2, 3]);
    assert!(folder::read(dir.path()).unwrap_err().to_string().contains("tench.png"));
}

#[test]
fn folder_errors_name_the_place() {
    let dir = tempfile::tempdir().unwrap();
    picture(dir.path(), "train/cat/a.png", 1, 1, &[0; 3]);
    picture(dir.path(), "test/bird/a.png", 1, 1, &[0; 3]);
    assert!(folder::read(dir.path()).unwrap_err().to_string().contains("bird"));
    std::fs::remove_dir_all(dir.path().join("test")).unwrap();
    std::fs::create_dir(dir.path().join("train/empty")).unwrap();
    assert!(folder::read(dir.path()).unwrap_err().to_string().contains("empty"));
    std::fs::remove_dir_all(dir.path().join("train/empty")).unwrap();
    let broken = put(dir.path(), "train/cat/broken.png", b"\x89PNG\r\n\x1a\nno more");
    let set = folder::read(dir.path()).unwrap().train;
    let error = set.image(1).unwrap_err().to_string();
    assert!(error.contains(&broken.display().to_string()) && error.contains("decoded"), "{error}");
    let text = put(dir.path(), "train/cat/c.jpg", b"hello, this is text");
    assert!(Image::open(&text).unwrap_err().to_string().contains("neither JPEG nor PNG"));
    assert!(folder::read(&dir.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn grey_files_have_one_channel() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g.png");
    image::GrayImage::from_raw(2, 1, vec![5, 250]).unwrap().save(&path).unwrap();
    assert_eq!(Image::open(&path).unwrap(), Image { h: 1, w: 2, c: 1, pixels: vec![5, 250] });
}
