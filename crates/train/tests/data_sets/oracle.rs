//! Pillow and NumPy as oracles: the same pixels after resizing, the same arrays from real archives.
//! Skipped where `EDGECUT_PYTHON` (default `python3`) cannot import them.

use crate::files::{noise, put};
use edgecut_train::data::{Dataset, Image, Preprocess, Resize, numpy};
use std::path::Path;
use std::process::Command;

/// Runs a script; `None`, with a line that says so, where `imports` fail.
pub fn python(folder: &Path, imports: &str, script: &str) -> Option<()> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = |code: &str| Command::new(&python).args(["-c", code]).current_dir(folder).output();
    if !run(&format!("import {imports}")).is_ok_and(|out| out.status.success()) {
        println!("skipped: needs Python with {imports}");
        return None;
    }
    let out = run(&format!("import {imports}\n{script}")).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(())
}

/// Pixels after preprocessing, as numbers 0..=255.
fn pixels(preprocess: Preprocess, image: &Image) -> Vec<u8> {
    let [h, w, c] = preprocess.shape();
    let mut out = vec![0.0; h * w * c];
    let raw = Preprocess { scale: 1.0, mean: vec![0.0; c], std: vec![1.0; c], ..preprocess };
    raw.apply(image, &mut out).unwrap();
    out.into_iter().map(|value| value as u8).collect()
}

#[test]
fn resizing_is_pillows_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    // Source [h, w], shorter side, crop [h, w]: reductions, enlargements, odd margins, identity.
    let cases = [
        ([37, 53], 19, [16, 17]),
        ([53, 37], 64, [63, 60]),
        ([100, 41], 41, [32, 41]),
        ([7, 301], 8, [5, 8]),
        ([256, 256], 256, [224, 224]),
    ];
    let mut script = String::from("from PIL import Image as I\n");
    for (i, ([h, w], size, [ch, cw])) in cases.iter().enumerate() {
        put(dir.path(), &format!("{i}.raw"), &noise(h * w * 3, i as u64));
        script += &format!(
            "im = I.frombytes('RGB', ({w}, {h}), open('{i}.raw', 'rb').read())\n\
             open('{i}.exact', 'wb').write(im.resize(({cw}, {ch}), I.BILINEAR).tobytes())\n\
             open('{i}.grey', 'wb').write(im.convert('L').resize(({cw}, {ch}), I.BILINEAR).tobytes())\n\
             s = {size}\n\
             fw, fh = (int(s * {w} / {h}), s) if {h} <= {w} else (s, int(s * {h} / {w}))\n\
             t, l = int(round((fh - {ch}) / 2.0)), int(round((fw - {cw}) / 2.0))\n\
             im = im.resize((fw, fh), I.BILINEAR).crop((l, t, l + {cw}, t + {ch}))\n\
             open('{i}.crop', 'wb').write(im.tobytes())\n\
             im = I.frombytes('RGB', ({w}, {h}), open('{i}.raw', 'rb').read())\n\
             fh, fw = ({h}, min(({h} * {cw} + {ch} // 2) // {ch}, {w})) if {h} * {cw} <= {w} * {ch} else (min(({w} * {ch} + {cw} // 2) // {cw}, {h}), {w})\n\
             kh, kw = (fh * 875 + 500) // 1000, (fw * 875 + 500) // 1000\n\
             t, l = ({h} - kh) // 2, ({w} - kw) // 2\n\
             im = im.crop((l, t, l + kw, t + kh)).resize(({cw}, {ch}), I.BILINEAR)\n\
             open('{i}.centre', 'wb').write(im.tobytes())\n"
        );
    }
    if python(dir.path(), "PIL", &script).is_none() {
        return;
    }
    for (i, ([h, w], size, [ch, cw])) in cases.into_iter().enumerate() {
        let image = Image { h, w, c: 3, pixels: noise(h * w * 3, i as u64) };
        let expected = |end: &str| std::fs::read(dir.path().join(format!("{i}.{end}"))).unwrap();
        let rgb = Preprocess::plain([ch, cw, 3], vec![0.0; 3], vec![1.0; 3]);
        let grey = Preprocess::plain([ch, cw, 1], vec![0.0], vec![1.0]);
        assert!(pixels(rgb.clone(), &image) == expected("exact"), "exact, case {i}");
        assert!(pixels(grey, &image) == expected("grey"), "grey, case {i}");
        let centre = Preprocess { resize: Resize::Centre { per_mille: 875 }, ..rgb.clone() };
        assert!(pixels(centre, &image) == expected("centre"), "centre, case {i}");
        let cropped = Preprocess { resize: Resize::ShorterSide { size }, ..rgb };
        assert!(pixels(cropped, &image) == expected("crop"), "crop, case {i}");
    }
}

#[test]
fn archives_that_numpy_wrote_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let script = "\
x = numpy.arange(5 * 4 * 3 * 3).astype('uint8').reshape(5, 4, 3, 3)
y = numpy.array([0, 2, 1, 2, 0])
numpy.savez('plain.npz', x=x, y=y)
numpy.savez_compressed('small.npz', x=x, y=y.astype('>i4'))
numpy.savez('order.npz', x, y.astype('uint8'))
numpy.savez('parts.npz', x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
numpy.save('images.npy', x)
numpy.save('labels.npy', y.reshape(5, 1))
numpy.save('fortran.npy', numpy.asfortranarray(x))
";
    if python(dir.path(), "numpy", script).is_none() {
        return;
    }
    let check = |set: &dyn Dataset| {
        assert_eq!((set.len(), set.shape(), set.label(3)), (5, Some([4, 3, 3]), 2));
        assert_eq!(set.image(2).unwrap().pixels, (72..108).collect::<Vec<u8>>());
    };
    for name in ["plain.npz", "small.npz", "order.npz", "parts.npz"] {
        let parts = numpy::read_npz(&dir.path().join(name)).unwrap();
        check(&parts.train);
        assert_eq!(parts.test.map(|test| test.len()), (name == "parts.npz").then_some(2));
    }
    let images = dir.path().join("images.npy");
    let labels = numpy::guess_labels(&images).unwrap();
    check(&numpy::read_npy(&images, &labels).unwrap());
    let error = numpy::read_npy(&dir.path().join("fortran.npy"), &labels).unwrap_err().to_string();
    assert!(error.contains("ascontiguousarray"), "{error}");
}
