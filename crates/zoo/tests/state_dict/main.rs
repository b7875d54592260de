//! Weights of PyTorch: what is accepted, what is refused, and how they get into a graph.

#[path = "../craft/mod.rs"]
mod craft;

use craft::{Pickle, floats, one_tensor, safetensors, torch_legacy, torch_zip};
use edgecut_graph::{Builder, Data, Graph, Tensor};
use edgecut_testkit::Python;
use edgecut_zoo::state_dict::{self, StateDictError, Weights, from_bytes};

fn refusal(bytes: &[u8]) -> String {
    match from_bytes("net.pth", bytes) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

/// A file in torch's archive with these elements in its storage 0.
fn file(pickle: &[u8], values: &[f32]) -> Vec<u8> {
    torch_zip(pickle, &[("0", &floats(values))])
}

#[test]
fn every_format_gives_the_tensor() {
    let values = [1.0, -2.0, 3.5, 4.0, 5.0, 6.0];
    let pickle = one_tensor(0, &[2, 3], &[3, 1]);
    let header = r#"{"__metadata__":{"format":"pt"},
        "weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    for bytes in [
        file(&pickle, &values),
        torch_legacy(&pickle, &[("0", &floats(&values))]),
        safetensors(header, &floats(&values)),
    ] {
        let weights = from_bytes("net", &bytes).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["weight"]);
        let expected = Tensor::new([2, 3], values.to_vec()).unwrap();
        assert_eq!(weights.tensor("weight"), Some(expected));
        assert_eq!(weights.tensor("bias"), None);
    }
}

#[test]
fn views_with_strides_and_offsets() {
    let tensor = |offset, shape: &[i64], strides: &[i64]| {
        let bytes = file(&one_tensor(offset, shape, strides), &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        from_bytes("net", &bytes).unwrap().tensor("weight").unwrap()
    };
    assert_eq!(tensor(0, &[3, 2], &[1, 3]).f32s().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(tensor(1, &[2], &[3]).f32s().unwrap(), [1.0, 4.0]);
    assert_eq!(tensor(5, &[], &[]), Tensor::scalar(5.0));
    assert_eq!(tensor(2, &[3], &[0]).f32s().unwrap(), [2.0; 3]);
    assert_eq!(tensor(6, &[0, 4], &[4, 1]).shape(), [0, 4]);
    assert_eq!(tensor(0, &[1, 6], &[77, 1]).len(), 6);
}

#[test]
fn every_element_type_becomes_what_the_graph_has() {
    let tensor = |dtype: &str, bytes: &[u8], len: usize| {
        let header = format!(
            r#"{{"w":{{"dtype":"{dtype}","shape":[{len}],"data_offsets":[0,{}]}}}}"#,
            bytes.len()
        );
        from_bytes("net", &safetensors(&header, bytes)).unwrap().tensor("w").unwrap()
    };
    // 1, -2, the smallest subnormal, the largest number, infinity.
    let halves = [0x3c00u16, 0xc000, 1, 0x7bff, 0x7c00].map(u16::to_le_bytes).concat();
    let expected = [1.0, -2.0, 2f32.powi(-24), 65504.0, f32::INFINITY];
    assert_eq!(tensor("F16", &halves, 5).f32s().unwrap(), expected);
    let brain = [0x3f80u16, 0xc049].map(u16::to_le_bytes).concat();
    assert_eq!(tensor("BF16", &brain, 2).f32s().unwrap(), [1.0, -3.140625]);
    assert_eq!(tensor("F64", &1e-3f64.to_le_bytes(), 1).f32s().unwrap(), [1e-3]);
    assert_eq!(tensor("I16", &(-3i16).to_le_bytes(), 1).data(), &Data::from(vec![-3i32]));
    assert_eq!(tensor("I64", &7i64.to_le_bytes(), 1).data(), &Data::from(vec![7i64]));
    assert_eq!(tensor("BOOL", &[0, 2], 2).data(), &Data::from(vec![false, true]));
    let unknown = r#"{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(refusal(&safetensors(unknown, &[0])).contains("type F8_E4M3"));
}

#[test]
fn checkpoints_and_prefixes_of_training_tools() {
    // {'epoch': 3, 'best': tensor, 'state_dict': {'module.model.weight': tensor}}
    let p = Pickle::new().op(b"}(").text("epoch").int(3).text("best");
    let p = p.tensor("0", "FloatStorage", 0, &[], &[]).text("state_dict").op(b"}");
    let p = p.text("module.model.weight").tensor("0", "FloatStorage", 1, &[1], &[1]).op(b"su");
    let bytes = file(&p.end(), &[7.0, 8.0]);
    let weights = from_bytes("net", &bytes).unwrap();
    assert_eq!(weights.tensor("weight").unwrap().f32s().unwrap(), [8.0]);
    // A prefix that only some names have belongs to them.
    let p = Pickle::new().op(b"}(").text("module.a").tensor("0", "FloatStorage", 0, &[], &[]);
    let p = p.text("b").tensor("0", "FloatStorage", 1, &[], &[]).op(b"u");
    let bytes = file(&p.end(), &[7.0, 8.0]);
    let weights = from_bytes("net", &bytes).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["b", "module.a"]);
}

#[test]
fn parameters_metadata_and_pairs_of_python_2() {
    // _rebuild_parameter(tensor, True, OrderedDict()) in OrderedDict([['weight', ...]]), with the
    // attribute _metadata set by BUILD.
    let p = Pickle::new().global("collections", "OrderedDict").op(b"]]").text("weight").op(b"a");
    let p = p.global("torch._utils", "_rebuild_parameter").op(b"(");
    let p = p.tensor("0", "FloatStorage", 0, &[1], &[1]).op(b"\x88");
    let p = p.global("collections", "OrderedDict").op(b")RtRaa\x85R");
    let p = p.op(b"}").text("_metadata").op(b"}sb");
    let bytes = file(&p.end(), &[9.0]);
    assert_eq!(from_bytes("net", &bytes).unwrap().tensor("weight").unwrap().f32s().unwrap(), [9.0]);
}

#[test]
fn nothing_is_executed() {
    let call =
        |module, name| Pickle::new().global(module, name).text("touch owned").op(b"\x85R").end();
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch", "load"),
        ("torch", "os.system"),
        ("numpy.core.multiarray", "scalar"),
    ] {
        let pickle = call(module, name);
        for bytes in [file(&pickle, &[]), torch_legacy(&pickle, &[])] {
            match from_bytes("net.pth", &bytes) {
                Err(StateDictError::Refused { global, .. }) => {
                    assert_eq!(global, format!("{module}.{name}"));
                }
                Err(error) => panic!("{module}.{name}: {error}"),
                Ok(_) => panic!("{module}.{name}: accepted"),
            }
        }
    }
    // The name from the stack (protocol 4), and the operator that makes instances.
    let stack = Pickle::new().text("os").text("system").op(b"\x93)R").end();
    assert!(refusal(&file(&stack, &[])).contains("os.system"));
    let instance = Pickle::new().global("collections", "OrderedDict").op(b")\x81").end();
    assert!(refusal(&file(&instance, &[])).contains("opcode 0x81"));
    // A call of what a call returned.
    let twice = Pickle::new().global("collections", "OrderedDict").op(b")R)R").end();
    assert!(matches!(from_bytes("n", &file(&twice, &[])), Err(StateDictError::Refused { .. })));
}

#[test]
fn messages_say_what_is_wrong() {
    let good = one_tensor(0, &[2], &[1]);
    let beyond = |offset, shape: &[i64], strides: &[i64]| {
        refusal(&file(&one_tensor(offset, shape, strides), &[1.0, 2.0]))
    };
    assert_eq!(beyond(0, &[3], &[1]), "net.pth: tensor 'weight' [3] reaches beyond its storage");
    assert!(beyond(2, &[1], &[1]).contains("beyond its storage"));
    assert!(beyond(i64::MAX, &[2], &[i64::MAX]).contains("beyond its storage"));
    assert!(beyond(-1, &[1], &[1]).contains("outside its storage"));
    assert!(beyond(0, &[-1], &[1]).contains("no size"));
    assert!(beyond(0, &[1 << 40], &[0]).contains("number of elements"));
    assert!(beyond(0, &[1; 9], &[1; 9]).contains("9 dimensions"));
    // Many times the file, though each element is in the storage.
    assert!(beyond(0, &[1 << 24], &[0]).contains("cannot hold"));
    assert!(refusal(&torch_zip(&good, &[])).contains("storage of 'weight' is missing"));
    assert!(refusal(&file(&Pickle::new().op(b"}").end(), &[])).contains("model.state_dict()"));
    assert!(refusal(&craft::zip(&[("a.txt", b"hello")])).contains("data.pkl is missing"));
    assert!(refusal(&Pickle::new().op(b"}").end()).contains("not one of torch.save"));
    assert!(refusal(b"").contains("cut off"));
    assert!(refusal(b"hello, this is text").contains("no safetensors file"));
    let big = craft::zip(&[("n/data.pkl", &good), ("n/byteorder", b"big")]);
    assert!(refusal(&big).contains("big-endian"));
    assert!(
        state_dict::read("/no/such.pth".as_ref()).err().unwrap().to_string().contains("such.pth")
    );
}

/// A linear layer from 2 to 1.
fn small() -> Graph {
    let mut b = Builder::new("small", 1);
    let x = b.input("x", ["n".into(), 2.into()]);
    let y = b.linear(x, "fc", 1).unwrap();
    b.finish(&[y]).unwrap()
}

fn weights(tensors: &[(&str, &[usize], &str)]) -> Vec<u8> {
    let mut entries = vec![];
    let mut data = vec![];
    for (name, shape, dtype) in tensors {
        let start = data.len();
        (0..shape.iter().product())
            .for_each(|i: usize| data.extend((i as f32 + 0.5).to_le_bytes()));
        let end = data.len();
        entries.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    safetensors(&format!("{{{}}}", entries.join(",")), &data)
}

#[test]
fn loading_assigns_by_name() {
    let mut graph = small();
    let bytes = weights(&[
        ("fc.weight", &[1, 2], "F32"),
        ("fc.bias", &[1], "F32"),
        ("aux.weight", &[3], "F32"),
        ("bn.num_batches_tracked", &[], "F32"),
    ]);
    let loaded = state_dict::load(&mut graph, &from_bytes("w", &bytes).unwrap()).unwrap();
    assert_eq!(loaded.assigned, ["fc.weight", "fc.bias"]);
    assert_eq!(loaded.unused, ["aux.weight"]);
    let id = graph.find_value("fc.weight").unwrap();
    assert_eq!(graph.constant(id).unwrap().f32s().unwrap(), [0.5, 1.5]);
    graph.validate().unwrap();
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_is_assigned() {
    let before = small();
    let fails = |tensors: &[(&str, &[usize], &str)]| {
        let (mut graph, bytes) = (small(), weights(tensors));
        let error = state_dict::load(&mut graph, &from_bytes("w", &bytes).unwrap()).unwrap_err();
        for (a, b) in graph.values().iter().zip(before.values()) {
            assert_eq!(a.constant, b.constant, "{}", a.name);
        }
        error.to_string()
    };
    let message = fails(&[("fc.weight", &[2, 1], "F32"), ("fc.b", &[1], "F32")]);
    assert_eq!(
        message,
        "w does not fit small: differing: fc.weight is [2, 1] in the file and [1, 2] in the network; \
         missing: fc.bias; not in the network: fc.b"
    );
    let message = fails(&[("fc.weight", &[1, 2], "I32"), ("fc.bias", &[1], "F32")]);
    assert!(message.contains("fc.weight is not of floats"), "{message}");
    let many: Vec<String> = (0..9).map(|i| format!("layer{i}")).collect();
    let many: Vec<(&str, &[usize], &str)> =
        many.iter().map(|n| (n.as_str(), &[1][..], "F32")).collect();
    assert!(fails(&many).ends_with("layer0, layer1, layer2, layer3 and 5 more"));
}

/// Every file that torch can write of the same tensors, which it saved as arrays too.
#[test]
fn files_of_torch() {
    let Some(python) = Python::with(&["torch", "safetensors"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let arrays =
        python.run(include_str!("save.py"), &[folder.path().to_str().unwrap()], &[]).unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let weights = state_dict::read(&path).unwrap_or_else(|e| panic!("{e}"));
        check(&weights, &arrays, &path.display().to_string());
        files += 1;
    }
    assert_eq!(files, 11);
}

fn check(weights: &Weights, arrays: &std::collections::BTreeMap<String, Tensor>, file: &str) {
    let names: Vec<&str> = weights.names().collect();
    assert_eq!(names, arrays.keys().collect::<Vec<_>>(), "{file}");
    for (name, array) in arrays {
        assert_eq!(weights.tensor(name).unwrap(), *array, "{file}: {name}");
    }
}
