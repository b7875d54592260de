//! Batches depend on (seed, epoch, step) only: not on threads, not on where a run was resumed.

use crate::files::noise;
use edgecut_train::data::{
    Augment, Batch, DataError, Dataset, Image, Loader, LoaderOptions, Memory, Mix, Preprocess,
    RandAugment, Result, Subset,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

fn set(n: usize) -> Arc<dyn Dataset> {
    let labels = (0..n as u32).map(|i| i % 5).collect();
    let classes = (0..5).map(|i| i.to_string()).collect();
    Arc::new(Memory::new(noise(n * 64, 3), labels, [8, 8, 1], classes).unwrap())
}

fn preprocess() -> Preprocess {
    Preprocess::plain([8, 8, 1], vec![0.25], vec![0.5])
}

fn augmented(batch: usize) -> LoaderOptions {
    let augment = Augment {
        resized_crop: 0.5,
        crop_padding: 2,
        flip: true,
        jitter: 0.3,
        cutout: 2,
        erase: 0.3,
        rand_augment: Some(RandAugment { count: 2, magnitude: 9 }),
    };
    LoaderOptions {
        mix: Mix { mixup: 0.2, cutmix: 1.0 },
        ..LoaderOptions::training(batch, 42, Some(augment))
    }
}

fn take(mut loader: Loader, count: usize) -> Vec<Batch> {
    (0..count).map(|_| loader.next_batch().unwrap().unwrap().clone()).collect()
}

#[test]
fn one_or_three_threads_give_the_same_batches() {
    let batches = |workers, ahead| {
        let options = LoaderOptions { workers, ahead, ..augmented(7) };
        take(Loader::new(set(50), &preprocess(), &options).unwrap(), 23)
    };
    let one = batches(1, 1);
    assert_eq!(one, batches(3, 2));
    assert_eq!(one, batches(3, 9));
    assert_eq!((one[8].epoch, one[8].step), (1, 1));
}

#[test]
fn a_start_in_the_middle_continues_the_same_order() {
    let all = take(Loader::new(set(50), &preprocess(), &augmented(7)).unwrap(), 20);
    for (start_epoch, start_step) in [(0, 3), (1, 0), (1, 6), (0, 9)] {
        let options = LoaderOptions { start_epoch, start_step, ..augmented(7) };
        let loader = Loader::new(set(50), &preprocess(), &options).unwrap();
        let skipped = start_epoch as usize * loader.steps_per_epoch() + start_step;
        assert_eq!(
            take(loader, 20 - skipped),
            all[skipped..],
            "epoch {start_epoch}, step {start_step}"
        );
    }
}

#[test]
fn an_epoch_visits_each_sample_once_in_a_new_order() {
    // The label is the sample's own number.
    let classes: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let set: Arc<dyn Dataset> =
        Arc::new(Memory::new(noise(40 * 64, 3), (0..40).collect(), [8, 8, 1], classes).unwrap());
    let options = LoaderOptions::training(10, 1, None);
    let batches = take(Loader::new(set, &preprocess(), &options).unwrap(), 8);
    let epoch = |e: usize| -> Vec<u32> {
        batches[4 * e..4 * e + 4].iter().flat_map(|b| b.labels.clone()).collect()
    };
    assert_eq!(epoch(0).into_iter().collect::<BTreeSet<_>>().len(), 40);
    assert_eq!(epoch(1).into_iter().collect::<BTreeSet<_>>().len(), 40);
    assert_ne!(epoch(0), epoch(1));
}

#[test]
fn the_last_batch_is_dropped_or_kept() {
    let training =
        Loader::new(set(50), &preprocess(), &LoaderOptions::training(16, 1, None)).unwrap();
    assert_eq!(training.steps_per_epoch(), 3);
    let mut evaluation =
        Loader::new(set(50), &preprocess(), &LoaderOptions::evaluation(16)).unwrap();
    let mut labels = Vec::new();
    let mut last = 0;
    while let Some(batch) = evaluation.next_batch().unwrap() {
        assert_eq!((batch.x.len(), batch.labels.len()), (batch.n * 64, batch.n));
        labels.extend(batch.labels.iter().copied());
        last = batch.n;
    }
    assert_eq!(last, 2);
    assert_eq!(labels, (0..50).map(|i| i % 5).collect::<Vec<u32>>());
    assert!(evaluation.next_batch().unwrap().is_none());
}

#[test]
fn values_are_those_of_the_description() {
    let (set, preprocess) = (set(6), preprocess());
    let mut loader = Loader::new(set.clone(), &preprocess, &LoaderOptions::evaluation(6)).unwrap();
    let batch = loader.next_batch().unwrap().unwrap();
    for i in 0..6 {
        let mut expected = vec![0.0; 64];
        preprocess.apply(&set.image(i).unwrap(), &mut expected).unwrap();
        assert_eq!(batch.x[64 * i..64 * (i + 1)], expected);
    }
}

/// Sample 5 cannot be read, or reading it panics.
struct Faulty {
    classes: Vec<String>,
    panics: bool,
}

impl Dataset for Faulty {
    fn len(&self) -> usize {
        12
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn shape(&self) -> Option<[usize; 3]> {
        None
    }
    fn label(&self, _: usize) -> u32 {
        0
    }
    fn read(&self, i: usize, into: &mut Image) -> Result<()> {
        match i {
            5 if self.panics => panic!("a defect, on purpose"),
            5 => Err(DataError::Missing { what: "sample 5".into(), hint: "on purpose".into() }),
            _ => {
                *into = Image::black(3, 4, 3);
                Ok(())
            }
        }
    }
}

fn faulty(panics: bool) -> Arc<dyn Dataset> {
    Arc::new(Faulty { classes: vec!["a".into()], panics })
}

#[test]
fn an_error_reaches_the_consumer_and_the_rest_goes_on() {
    for workers in [1, 3] {
        let options = LoaderOptions { workers, ahead: 1, ..LoaderOptions::evaluation(2) };
        let mut loader = Loader::new(faulty(false), &preprocess(), &options).unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..6 {
            outcomes.push(match loader.next_batch() {
                Ok(batch) => batch.unwrap().step,
                Err(error) => {
                    assert!(error.to_string().contains("sample 5"));
                    99
                }
            });
        }
        assert_eq!(outcomes, [0, 1, 99, 3, 4, 5]);
    }
}

#[test]
fn unreadable_samples_are_skipped_up_to_a_limit() {
    let picture = Preprocess::plain([3, 4, 3], vec![0.0; 3], vec![1.0; 3]);
    let options = LoaderOptions { skip: 1, ..LoaderOptions::evaluation(4) };
    let mut loader = Loader::new(faulty(false), &picture, &options).unwrap();
    while let Some(batch) = loader.next_batch().unwrap() {
        assert_eq!(batch.labels.len(), batch.n);
    }
    let skipped = loader.skipped();
    assert!(skipped.len() == 1 && skipped[0].0 == 5, "{skipped:?}");
    assert!(skipped[0].1.contains("sample 5"), "{skipped:?}");
    // A set of nothing else.
    let only = Subset::new(faulty(false), vec![5, 5]).unwrap();
    let options = LoaderOptions { skip: 9, ..LoaderOptions::evaluation(2) };
    let mut loader = Loader::new(Arc::new(only), &picture, &options).unwrap();
    let error = loader.next_batch().unwrap_err().to_string();
    assert!(error.contains("2 pictures") && error.contains("sample 5"), "{error}");
}

#[test]
fn a_panicking_set_is_an_error_and_not_a_hang() {
    let mut loader =
        Loader::new(faulty(true), &preprocess(), &LoaderOptions::evaluation(2)).unwrap();
    let error =
        std::iter::from_fn(|| Some(loader.next_batch().map(|_| ()))).find_map(|r| r.err()).unwrap();
    assert!(matches!(error, DataError::Worker));
}

#[test]
fn dropping_it_early_ends_its_threads() {
    let set = set(50);
    for ahead in [1, 4] {
        let options = LoaderOptions { workers: 3, ahead, ..augmented(4) };
        let mut loader = Loader::new(set.clone(), &preprocess(), &options).unwrap();
        loader.next_batch().unwrap();
        drop(loader);
        // The threads held the only other references.
        assert_eq!(Arc::strong_count(&set), 1);
    }
}

#[test]
fn impossible_options_are_errors() {
    let bad = [
        LoaderOptions { batch: 0, ..augmented(1) },
        LoaderOptions { batch: 51, ..augmented(1) },
        LoaderOptions { start_epoch: u64::MAX, ..augmented(1) },
        LoaderOptions {
            augment: Some(Augment { jitter: f32::NAN, ..Augment::default() }),
            ..augmented(1)
        },
        LoaderOptions {
            augment: Some(Augment { cutout: usize::MAX, ..Augment::default() }),
            ..augmented(1)
        },
    ];
    for options in bad {
        assert!(Loader::new(set(50), &preprocess(), &options).is_err(), "{options:?}");
    }
    let none = Preprocess { std: vec![], ..preprocess() };
    assert!(Loader::new(set(50), &none, &augmented(1)).is_err());
}

/// A measurement, not a test of speed: prints images/s of one thread on the full set.
/// `cargo test --release -p edgecut-train --test data_sets -- --ignored --nocapture throughput`
#[test]
#[ignore = "measurement"]
fn throughput() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let options = edgecut_train::data::OpenOptions::default();
    let places = options.places.clone().for_recipe(&folder);
    let options = edgecut_train::data::OpenOptions { places, ..options };
    let data = edgecut_train::data::open("quickstart", &options).unwrap();
    let preprocess = Preprocess::plain([28, 28, 1], vec![0.286], vec![0.353]);
    let options = LoaderOptions::training(128, 1, Some(Augment::crop_and_flip(2)));
    let mut loader = Loader::new(data.train, &preprocess, &options).unwrap();
    let start = std::time::Instant::now();
    let mut count = 0;
    while start.elapsed().as_secs() < 3 {
        count += loader.next_batch().unwrap().unwrap().n;
    }
    println!("{:.0} images/s on one thread", count as f64 / start.elapsed().as_secs_f64());
}
