use super::*;
use crate::settings::*;

pub fn sample() -> Report {
    let share = |count| Share::of(count, 200);
    let classes: Vec<String> = ["T-shirt/top", "Trouser", "<script>"].map(String::from).to_vec();
    let variant = |file: &str, right: usize, ms: f64| Variant {
        file: file.into(),
        sha256: "0".repeat(64),
        file_bytes: 400_000,
        weight_bytes: 390_000,
        arena_bytes: 65_536,
        accuracy: share(right),
        top5: None,
        per_class: (0..3)
            .map(|i| ClassFigures { precision: share(150 + i), recall: share(160 + i) })
            .collect(),
        confusion: vec![vec![50, 3, 2], vec![1, 60, 4], vec![0, 0, 80]],
        latency: Times::of(vec![ms, ms * 1.1, ms * 1.3]),
        operators: vec![OperatorTime {
            name: "stem".into(),
            kind: "Conv".into(),
            median_us: 41.0,
            share: 100.0,
            macs: 5_000_000,
        }],
    };
    let epoch = |e: usize| Epoch {
        epoch: e,
        train_loss: 2.0 / e as f64,
        train_accuracy: 90.0 - 40.0 / e as f64,
        test_loss: 1.8 / e as f64,
        test_accuracy: 92.0 - 40.0 / e as f64,
    };
    Report {
        schema: SCHEMA,
        name: "sample".into(),
        created: "2024-12-31 23:59 UTC".into(),
        recipe: Recipe::parse("[data]\nsource = \"quickstart\"", "r").unwrap(),
        data: DataFacts {
            name: "quickstart".into(),
            note: Some("a re-split".into()),
            train: 800,
            test: 200,
            classes,
        },
        model: ModelFacts {
            name: "mobilenet-v2".into(),
            input: vec![1, 1, 28, 28],
            params: 100_000,
            macs: 5_000_000,
        },
        training: TrainingFacts {
            history: (1..8).map(epoch).collect(),
            images_per_second: 2000.0,
            stopped_early: false,
        },
        way: None,
        stages: vec![Stage { name: "train".into(), seconds: 41.0 }],
        float: variant("float.onnx", 180, 0.40),
        int8: variant("int8.onnx", 179, 0.41),
        agreement: share(199),
        checks: vec![Check {
            name: "max_drop".into(),
            wanted: "0.3".into(),
            measured: "0.5".into(),
            met: false,
        }],
        machine: Machine::this(2),
        commands: vec!["edgecut deploy r.toml".into()],
        pictures: vec![Picture {
            index: 3,
            label: 2,
            float: 2,
            float_confidence: 99.0,
            int8: 1,
            int8_confidence: 50.0,
            png: "AAAA".into(),
        }],
    }
}

#[test]
fn the_page_is_whole_and_escaped() {
    let page = page(&sample());
    for needle in
        ["</html>", "a re-split", "targets missed", "within 5 %", "&lt;script&gt;", "0.451 ms"]
    {
        assert!(page.contains(needle), "{needle} is missing");
    }
    assert!(!page.contains("<script"), "names of classes must be escaped");
    assert!(!page.contains("http"), "the page must not point to the network");
}

#[test]
fn json_can_be_read_back() {
    let text = serde_json::to_string(&sample()).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(page(&back), page(&sample()), "the page is a function of the data");
    assert_eq!(TargetSettings::default(), back.recipe.target);
}
