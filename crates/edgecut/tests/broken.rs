//! Broken input ends with exit code 2 and a message that names the place: no panic, no hang.

mod common;

use common::{broken, edgecut, model, refuse, scratch, succeed, text, toy};

/// Runs `args` on every variant written to `path`. Each must end with 0 (the damage did not
/// matter) or with 2 and a message that names `path`.
fn survive(variants: Vec<Vec<u8>>, path: &std::path::Path, args: &[&str]) {
    let count = variants.len();
    let mut refused = 0;
    for bytes in variants {
        std::fs::write(path, &bytes).unwrap();
        let output = edgecut(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("panicked") && !errors.contains("internal error"), "{errors}");
        match output.status.code() {
            Some(0) => {}
            Some(2) => {
                refused += 1;
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(errors.contains(name), "the message does not name {name}: {errors}");
            }
            code => panic!("{args:?} ended with {code:?}: {errors}"),
        }
    }
    assert!(refused * 2 >= count / 2, "only {refused} of {count} were refused");
}

#[test]
fn models() {
    let good = std::fs::read(model()).unwrap();
    let path = scratch().join("broken.onnx");
    survive(broken(&good, 200, 1), &path, &["inspect", text(&path), "-q"]);
    // Damage near the front meets the graph, not the weights.
    let head = broken(&good[..4096.min(good.len())], 200, 2).into_iter().map(|mut bytes| {
        bytes.extend_from_slice(&good[bytes.len().min(good.len())..]);
        bytes
    });
    survive_or_pass(head.collect(), &path);
}

#[test]
fn tflite_models() {
    let path = scratch().join("broken.tflite");
    succeed(&["convert", text(model()), text(&path)]);
    let good = std::fs::read(&path).unwrap();
    let head = broken(&good[..4096.min(good.len())], 100, 6).into_iter().map(|mut bytes| {
        bytes.extend_from_slice(&good[bytes.len().min(good.len())..]);
        bytes
    });
    for bytes in broken(&good, 100, 7).into_iter().chain(head) {
        std::fs::write(&path, &bytes).unwrap();
        let output = edgecut(&["inspect", text(&path), "-q"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{:?}: {errors}", output.status);
        assert!(!errors.contains("panicked") && !errors.contains("internal error"), "{errors}");
    }
}

/// Flipped bits of names are harmless: only the absence of panics and of other codes counts.
fn survive_or_pass(variants: Vec<Vec<u8>>, path: &std::path::Path) {
    for bytes in variants {
        std::fs::write(path, &bytes).unwrap();
        let output = edgecut(&["bench", text(path), "--runs", "1", "--warmup", "0", "-q"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{:?}: {errors}", output.status);
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn recipes() {
    let good = b"[data]\nsource = \"nowhere\"\nvalidation = 0.2\n[model]\narch = \"mobilenet-v2\"\nwidth = 1.0\n\
        [train]\nepochs = 3\nlr = 0.1\n[target]\nmax_drop = 1.0\n";
    let path = scratch().join("broken.toml");
    for bytes in broken(good, 300, 3) {
        std::fs::write(&path, &bytes).unwrap();
        let message = refuse(&["deploy", text(&path), "--out", "out"]);
        // A recipe that still parses fails because its data does not exist.
        assert!(message.contains("broken.toml") || message.contains("not found"), "{message}");
    }
}

#[test]
fn recipe_errors_name_line_and_field() {
    let path = scratch().join("wrong.toml");
    for (text_of_recipe, needle) in [
        (
            "[data]\nsource = \"quickstart\"\n[train]\nepochs = 0\n",
            "wrong.toml:4: [train] epochs is 0",
        ),
        ("[data]\nsource = \"quickstart\"\n[trian]\nepochs = 1\n", "wrong.toml:3:"),
        ("[data]\nsource = \"quickstart\"\nlimit = -5\n", "wrong.toml:3: [data] limit"),
        (
            "[data]\nsource = \"quickstart\"\n[target]\ndevice = \"phone\"\n",
            "wrong.toml:4: [target] device",
        ),
        ("[data]\nsource = \"quickstart\"\n[model]\narch = \"resnet\"\n", "unknown architecture"),
        ("[data]\nsource = \"quickstart\"\n[model]\nstart = \"absent.onnx\"\n", "absent.onnx"),
        ("[data]\nsource = \"absent\"\n", "absent"),
        ("", "missing field `data`"),
    ] {
        std::fs::write(&path, text_of_recipe).unwrap();
        let message = refuse(&["deploy", text(&path), "--out", "out"]);
        assert!(message.contains(needle), "{text_of_recipe}\n{message}");
    }
}

#[test]
fn pictures() {
    let good = std::fs::read(toy().join("test/square/0.png")).unwrap();
    let path = scratch().join("broken.png");
    survive(broken(&good, 120, 4), &path, &["run", text(model()), text(&path), "-q"]);
    let mut jpeg = std::io::Cursor::new(vec![]);
    let picture = image::open(toy().join("test/square/0.png")).unwrap();
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let path = scratch().join("broken.jpg");
    for bytes in broken(&jpeg.into_inner(), 120, 5) {
        // JPEG decoders repair what they can: a damaged picture may pass.
        std::fs::write(&path, &bytes).unwrap();
        let output = edgecut(&["run", text(model()), text(&path), "-q"]);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    }
}

#[test]
fn things_that_are_something_else() {
    let folder = text(scratch());
    assert!(refuse(&["inspect", folder]).contains("is a folder"));
    assert!(refuse(&["deploy", folder, "--out", "out"]).contains("is a folder"));
    assert!(refuse(&["inspect", "absent.onnx"]).contains("absent.onnx"));
    assert!(refuse(&["run", text(model()), folder]).contains(folder));
    assert!(refuse(&["eval", text(model()), "--data", "quickstart"]).contains("the model knows 3"));
    assert!(
        refuse(&["train", "--data", text(toy()), "--out", "no/such/folder/m.onnx"])
            .contains("folder does not exist")
    );
    assert!(
        refuse(&["run", text(model()), text(model()), "--output", folder]).contains("is a folder")
    );
}
