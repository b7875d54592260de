use super::*;
use crate::arena::ALIGN;

#[test]
fn owned_arrays_are_aligned_and_keep_their_memory() {
    let mut blob: Blob<f32> = (0..100).map(|i| i as f32).collect();
    let place = blob.as_ptr();
    assert!(place.addr().is_multiple_of(ALIGN));
    assert_eq!(blob[99], 99.0);
    assert_eq!(blob.reset(7), [0.0; 7]);
    assert_eq!((blob.as_ptr(), blob.len(), blob.bytes()), (place, 7, 28));
    assert!(Blob::<i64>::new().is_empty());
}

/// Two arrays of different types, and one of them again.
#[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
struct Weights {
    a: Blob<f32>,
    b: Vec<Blob<i8>>,
    again: Arc<Blob<f32>>,
}

fn weights() -> Weights {
    let a: Blob<f32> = [1.5, -2.0, f32::INFINITY].into_iter().collect();
    Weights { again: Arc::new(a.clone()), a, b: vec![Blob::from(vec![1, -2]), Blob::new()] }
}

/// `json` read with the data section `data` behind `before` bytes of a file.
fn read(json: &str, before: usize, data: &[u8]) -> Result<Weights, serde_json::Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [&vec![0xAA; before], data].concat()).unwrap();
    let mapping = Mapping::open(file.path()).unwrap();
    read_with(&mapping, before..before + data.len(), || serde_json::from_str(json))
}

#[test]
fn what_is_read_lies_in_the_file_and_is_what_was_written() {
    let (json, data) = write_with(|| serde_json::to_string(&weights()).unwrap());
    assert_eq!(json, r#"{"a":[0,3],"b":[[64,2],[128,0]],"again":[0,3]}"#);
    assert_eq!(data.bytes.len(), 128);
    let place = |range, width| Array { range, width };
    assert_eq!(data.arrays, [place(0..12, 4), place(64..66, 1), place(128..128, 1)]);
    let mut back = read(&json, 128, &data.bytes).unwrap();
    assert_eq!(back, weights());
    assert!(back.a.is_mapped() && back.again.is_mapped());
    back.a.to_mut()[0] = 7.0;
    assert_eq!((back.a[0], back.again[0], back.a.is_mapped()), (7.0, 1.5, false));
}

#[test]
fn places_outside_of_the_section_or_unaligned_are_refused() {
    let (json, data) = write_with(|| serde_json::to_string(&weights()).unwrap());
    let max = u64::MAX.to_string();
    for place in ["[0,33]", "[128,1]", "[4,1]", &format!("[{max},1]"), &format!("[0,{max}]")] {
        let error = read(&json.replacen("[0,3]", place, 1), 64, &data.bytes).unwrap_err();
        assert!(error.to_string().contains("no "), "{error}");
    }
    assert!(read(&json, 32, &data.bytes).is_err(), "the section itself is not aligned");
    assert!(serde_json::from_str::<Weights>(&json).is_err(), "no section");
    assert!(serde_json::to_string(&weights()).is_err(), "no section");
}

#[test]
fn what_cannot_be_mapped_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Mapping::open(folder.path()).is_err());
    let empty = folder.path().join("empty");
    std::fs::write(&empty, []).unwrap();
    assert!(Mapping::open(&empty).unwrap_err().to_string().contains("empty"));
    assert!(Mapping::open(&folder.path().join("missing")).is_err());
}
