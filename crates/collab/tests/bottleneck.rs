//! Narrow places: where they may be, what they make of a graph, and what crosses.

use edgecut_collab::Halves;
use edgecut_collab::bottleneck::{
    Bottleneck, CODES, DECODED, INTEGERS, cuts, device, encoder_macs, insert, widest,
};
use edgecut_graph::{Builder, DType, Graph, Tensor, Window, cost, interpret, onnx};

const SIZE: Bottleneck = Bottleneck { channels: 3, stride: 4, encoder: 4, decoder: 8 };

/// Two residual blocks, the second of half the size.
fn network() -> Graph {
    let mut b = Builder::new("residual", 1);
    let mut x = b.input("image", ["n".into(), 3.into(), 16.into(), 16.into()]);
    for (block, stride) in [("a", 1), ("b", 2)] {
        let y = b.conv(x, &format!("{block}.0"), 6, Window::same(3, stride), 1, true).unwrap();
        let y = b.relu(y).unwrap();
        let y = b.conv(y, &format!("{block}.1"), 6, Window::same(3, 1), 1, true).unwrap();
        let skip =
            b.conv(x, &format!("{block}.skip"), 6, Window::same(1, stride), 1, true).unwrap();
        let sum = b.add(y, skip).unwrap();
        x = b.relu(sum).unwrap();
        b.rename(x, &format!("{block}.out"));
    }
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classes", 4).unwrap();
    b.finish(&[x]).unwrap()
}

#[test]
fn what_everything_passes_through_is_found() {
    let graph = network();
    let names: Vec<&str> = cuts(&graph).iter().map(|id| graph.value(*id).name.as_str()).collect();
    assert!(names.contains(&"a.out") && names.contains(&"b.out"), "{names:?}");
    // Inside a block two values are alive.
    assert!(!names.iter().any(|name| name.starts_with("a.0")), "{names:?}");
}

#[test]
fn the_device_makes_integers_and_the_server_the_rest() {
    let graph = network();
    for at in ["a.out", "b.out"] {
        let narrow = insert(&graph, graph.find_value(at).unwrap(), SIZE, 7).unwrap();
        assert!(narrow.find_value("a.0").is_none(), "{at}: the old beginning is gone");
        assert_eq!(narrow.find_value("b.0").is_some(), at == "a.out");
        let decoded = narrow.find_value(DECODED).unwrap();
        let before = graph.value(graph.find_value(at).unwrap());
        assert_eq!(narrow.value(decoded).shape, before.shape);
        let halves = Halves::of(&narrow, &device(&narrow).unwrap()).unwrap();
        let (head, tail) = (halves.head.clone().unwrap(), halves.tail.clone().unwrap());
        let crossing = head.value(head.outputs[0]);
        assert_eq!((crossing.name.as_str(), crossing.dtype), (INTEGERS, DType::I8));
        assert_eq!(crossing.shape.with_symbols(1), [1, 3, 4, 4]);
        let picture = edgecut_testkit::random_tensor(&[1, 3, 16, 16], 3);
        let whole = interpret::run(&narrow, std::slice::from_ref(&picture)).unwrap();
        let codes = interpret::run(&head, &[picture]).unwrap();
        assert_eq!(interpret::run(&tail, &codes).unwrap(), whole);
        // It is written and read as any graph.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("narrow.onnx");
        onnx::export(&narrow, &path).unwrap();
        let again = onnx::import(&path).unwrap();
        let zeros = [Tensor::zeros([1, 3, 16, 16]).unwrap()];
        assert_eq!(
            interpret::run(&again, &zeros).unwrap(),
            interpret::run(&narrow, &zeros).unwrap()
        );
    }
}

#[test]
fn encoders_are_as_wide_as_the_share_allows() {
    let graph = network();
    let at = graph.find_value("b.out").unwrap();
    let whole = cost::cost(&graph, 1).unwrap().macs as f64;
    for share in [0.15, 0.4, 2.0] {
        let size = widest(&graph, at, SIZE, share).unwrap();
        let own = encoder_macs(&insert(&graph, at, size, 0).unwrap()).unwrap() as f64;
        assert!(own <= share * whole && own > 0.3 * share * whole, "{share}: {own} of {whole}");
    }
    assert!(widest(&graph, at, SIZE, 1e-6).unwrap_err().to_string().contains("multiply-adds"));
}

#[test]
fn wrong_places_are_explained() {
    let graph = network();
    let at = |name: &str| graph.find_value(name).unwrap();
    let fails = |graph: &Graph, at, size, says: &str| {
        let error = insert(graph, at, size, 1).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    fails(&graph, at("a.0"), SIZE, "not everything passes through 'a.0'");
    fails(&graph, at("a.out"), Bottleneck { stride: 3, ..SIZE }, "stride of 3");
    let twice = insert(&graph, at("b.out"), SIZE, 1).unwrap();
    let value = twice.find_value(DECODED).unwrap();
    fails(&twice, value, SIZE, "has one already");
    assert!(twice.find_value(CODES).is_some());
}
