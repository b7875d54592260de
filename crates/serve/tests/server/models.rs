//! Where models come from, in which forms their inputs come, and how they are exchanged.

use std::path::Path;

use edgecut_collab::codec::Codec;
use edgecut_graph::{Tensor, onnx};
use edgecut_oip::grpc::ModelInferRequest;
use edgecut_oip::{Datatype, InferRequest, InferResponse, WireTensor, names};
use edgecut_serve::models::{Change, LoadOptions, Source, load};
use edgecut_train::data::{Image, Preprocess};

use super::common::*;

fn infer(
    server: &edgecut_serve::Server,
    model: &str,
    version: &str,
    input: WireTensor,
) -> Result<InferResponse, tonic::Status> {
    let ask = InferRequest {
        model: model.into(),
        version: version.into(),
        inputs: vec![input],
        ..InferRequest::default()
    };
    wait(async {
        let answer = client(server).await.model_infer(ModelInferRequest::from(ask)).await?;
        Ok(answer.into_inner().try_into().unwrap())
    })
}

fn plain(rows: usize) -> WireTensor {
    WireTensor::from_tensor("image", &pictures(rows))
}

#[test]
fn a_folder_has_versions_and_the_newest_answers() {
    let folder = tempfile::tempdir().unwrap();
    for version in [2, 10] {
        save(&net(version), &folder.path().join(format!("net/{version}/model.onnx")));
    }
    save(&net(5), &folder.path().join("other/1/model.onnx"));
    std::fs::create_dir_all(folder.path().join("empty/1")).unwrap();
    let server = start(options(Source::Folder(folder.path().into())));
    for (name, version, seed) in [("net", "", 10), ("net", "2", 2), ("other", "", 5)] {
        let answer = infer(&server, name, version, plain(1)).unwrap();
        assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&net(seed), &pictures(1)));
    }
    assert!(infer(&server, "empty", "", plain(1)).is_err());
}

#[test]
fn new_files_are_taken_up_and_a_broken_one_leaves_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net/1/model.onnx");
    save(&net(1), &file);
    let server = start(options(Source::Folder(folder.path().into())));
    let answers = |seed: u64| {
        let answer = infer(&server, "net", "", plain(1)).unwrap();
        assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&net(seed), &pictures(1)));
        answer.parameters.text(names::DIGEST).unwrap().unwrap().to_string()
    };
    let first = answers(1);
    assert!(server.host().look().unwrap().is_empty());
    // Another size, since the clock of a file system may stand still between two writes.
    std::fs::write(&file, b"this is no model").unwrap();
    let changes = server.host().look().unwrap();
    let [Change::Broken { error, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(error.to_string().contains("model.onnx"), "{error}");
    assert_eq!(answers(1), first);
    assert!(server.host().look().unwrap().is_empty(), "a broken file is told once");
    save(&net(2), &file);
    let changes = server.host().look().unwrap();
    assert!(matches!(changes.as_slice(), [Change::Loaded { .. }]), "{changes:?}");
    assert_ne!(answers(2), first);
    std::fs::remove_dir_all(folder.path().join("net")).unwrap();
    assert!(matches!(server.host().look().unwrap().as_slice(), [Change::Removed { .. }]));
    assert_eq!(infer(&server, "net", "", plain(1)).unwrap_err().code(), tonic::Code::NotFound);
}

#[test]
fn a_named_file_that_is_broken_or_missing_starts_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    for content in [None, Some(b"no model")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = edgecut_serve::Server::start(options(one("net", file.clone())), &mut |_| ());
        let error = error.err().expect("an error").to_string();
        assert!(error.contains("net.onnx"), "{error}");
    }
}

#[test]
fn a_configuration_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    save(&net(1), &file);
    let source = one("net", file);
    let try_with = |text: &str| {
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let found = source.find().unwrap().remove(0);
        load(&found, &LoadOptions::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    try_with("max_batch = 4\nmax_delay_ms = 1.5\npriority = 2\n").unwrap();
    for (text, wanted) in [
        ("max_batch = 0", "max_batch = 0: allowed is 1 to 256"),
        ("batch = 1", "unknown field"),
        ("priority = 8", "priority = 8"),
        ("preprocess = \"nothing\"", "known are torchvision"),
        ("[shapes]\nz = [1]", "'z' is no input"),
    ] {
        let error = try_with(text).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_coded_tensor_is_decoded_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join("tail/1").join(file);
    let graph = net(4);
    save(&graph, &at("model.onnx"));
    let samples: Vec<Tensor> = (0..8).map(|seed| shifted(seed as f32 * 0.05)).collect();
    let codec = Codec::calibrate(&samples, 6).unwrap();
    std::fs::write(at(&Codec::file_name(0)), codec.to_bytes()).unwrap();
    let server = start(options(Source::Folder(folder.path().into())));
    let stream = codec.encode(&samples[3]).unwrap();
    let coded = |bytes: &[u8]| {
        let tensor = WireTensor::new("image", Datatype::Uint8, [1, bytes.len()], bytes.to_vec());
        infer(&server, "tail", "", tensor.unwrap())
    };
    let received = codec.decode(&stream).unwrap().tensor;
    let answer = coded(&stream).unwrap();
    assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&graph, &received));
    // A deadline may cut the stream off: the answer is then an approximation.
    let end = codec.ends(&stream).unwrap()[0];
    let part = codec.decode(&stream[..end]).unwrap().tensor;
    let answer = coded(&stream[..end]).unwrap();
    assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&graph, &part));
    assert_eq!(coded(&stream[..5]).unwrap_err().code(), tonic::Code::InvalidArgument);
    let mut damaged = stream.clone();
    damaged[3] ^= 1;
    assert_eq!(coded(&damaged).unwrap_err().code(), tonic::Code::InvalidArgument);
    infer(&server, "tail", "", plain(1)).unwrap();
    // The digest is that of the files, whoever computes it.
    let digest = edgecut_collab::files_digest(&[
        ("model.onnx", &at("model.onnx")),
        (&Codec::file_name(0), &at(&Codec::file_name(0))),
    ]);
    assert_eq!(answer.parameters.text(names::DIGEST).unwrap().unwrap(), digest.unwrap());
}

fn shifted(by: f32) -> Tensor {
    let values: Vec<f32> = pictures(1).f32s().unwrap().iter().map(|v| v * 0.8 + by).collect();
    Tensor::new([1, 3, 16, 16], values).unwrap()
}

#[test]
fn pictures_come_as_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let graph = net(6);
    let at = |file: &str| folder.path().join("net/1").join(file);
    save(&graph, &at("model.onnx"));
    std::fs::write(at("config.toml"), "preprocess = \"torchvision\"\n").unwrap();
    let server = start(options(Source::Folder(folder.path().into())));
    let file = folder.path().join("picture.png");
    write_png(&file);
    let bytes = std::fs::read(&file).unwrap();
    let mut description = Preprocess::preset("torchvision", 16).unwrap();
    (description.height, description.width) = (16, 16);
    let mut values = vec![0f32; 768];
    description.apply_nchw(&Image::open(&file).unwrap(), &mut values).unwrap();
    let twice = Tensor::new([2, 3, 16, 16], [values.clone(), values].concat()).unwrap();
    let files = WireTensor::from_elements("image", [2], &[&bytes, &bytes]).unwrap();
    let answer = infer(&server, "net", "", files).unwrap();
    assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&graph, &twice));
    let none = WireTensor::from_elements("image", [1, 1], &[b"no picture"]).unwrap();
    let refused = infer(&server, "net", "", none).unwrap_err();
    assert!(refused.message().contains("neither JPEG nor PNG"), "{}", refused.message());
}

fn write_png(path: &Path) {
    let pixels: Vec<u8> = (0..24 * 20 * 3).map(|i| (i * 7 % 256) as u8).collect();
    image::save_buffer(path, &pixels, 24, 20, image::ColorType::Rgb8).unwrap();
}

#[test]
fn every_kind_of_file_is_served_alike() {
    let folder = tempfile::tempdir().unwrap();
    let graph = net(7);
    let file = folder.path().join("fixed.onnx");
    let template = onnx::Template::from_bytes("net", &onnx::to_bytes(&graph).unwrap()).unwrap();
    let fixed = template.graph(&[("image", vec![1, 3, 16, 16])]).unwrap();
    save(&fixed, &file);
    let server = start(options(one("net", file)));
    let answer = infer(&server, "net", "", plain(1)).unwrap();
    assert_eq!(answer.outputs[0].to_tensor().unwrap(), expected(&graph, &pictures(1)));
    let refused = infer(&server, "net", "", plain(2)).unwrap_err();
    assert!(refused.message().contains("takes FP32 [1, 3, 16, 16]"), "{}", refused.message());
}
