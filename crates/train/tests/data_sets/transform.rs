//! Preprocessing: the values of the presets, layouts, the JSON form, descriptions that are refused.

use crate::files::noise;
use edgecut_train::data::{Channels, Image, Preprocess, Resize};

fn picture(h: usize, w: usize, c: usize) -> Image {
    Image { h, w, c, pixels: noise(h * w * c, 11) }
}

#[test]
fn presets_have_their_published_values() {
    let image = Image { h: 1, w: 1, c: 3, pixels: vec![10, 20, 30] };
    let value = |mut preprocess: Preprocess| {
        preprocess.resize = Resize::Exact;
        let mut out = [0.0; 3];
        preprocess.apply(&image, &mut out).unwrap();
        out
    };
    let near = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert_eq!(value(Preprocess::caffe(1)), [30.0 - 104.0, 20.0 - 117.0, 10.0 - 123.0]);
    assert_eq!(value(Preprocess::lite0(1)), [-117.0 / 128.0, -107.0 / 128.0, -97.0 / 128.0]);
    assert!(near(value(Preprocess::tf(1)), [10.0, 20.0, 30.0].map(|x: f32| x / 127.5 - 1.0)));
    let torch = [(10.0, 0.485, 0.229), (20.0, 0.456, 0.224), (30.0, 0.406, 0.225)];
    assert!(near(
        value(Preprocess::torchvision(1)),
        torch.map(|(x, m, s): (f32, f32, f32)| (x / 255.0 - m) / s)
    ));
    assert_eq!(Preprocess::torchvision(224).resize, Resize::ShorterSide { size: 256 });
    assert!(Preprocess::preset("caffe", 227).is_some() && Preprocess::preset("other", 1).is_none());
}

#[test]
fn nchw_is_the_transpose_of_nhwc() {
    for preprocess in [
        Preprocess::caffe(8),
        Preprocess::torchvision(8),
        Preprocess::plain([8, 8, 1], vec![0.3], vec![0.2]),
    ] {
        let [h, w, c] = preprocess.shape();
        for channels in [1, 3] {
            let image = picture(13, 9, channels);
            let (mut nhwc, mut nchw) = (vec![0.0; h * w * c], vec![0.0; h * w * c]);
            preprocess.apply(&image, &mut nhwc).unwrap();
            preprocess.apply_nchw(&image, &mut nchw).unwrap();
            for k in 0..c {
                for i in 0..h * w {
                    assert_eq!(nhwc[i * c + k], nchw[k * h * w + i]);
                }
            }
        }
    }
}

#[test]
fn grey_becomes_equal_channels_and_back() {
    let grey = picture(5, 5, 1);
    let rgb =
        Image { c: 3, pixels: grey.pixels.iter().flat_map(|&p| [p; 3]).collect(), ..grey.clone() };
    for channels in [Channels::Gray, Channels::Rgb] {
        let n = channels.count();
        let preprocess =
            Preprocess { channels, ..Preprocess::plain([7, 4, n], vec![0.5; n], vec![0.25; n]) };
        let (mut a, mut b) = (vec![0.0; 28 * n], vec![0.0; 28 * n]);
        preprocess.apply(&grey, &mut a).unwrap();
        preprocess.apply(&rgb, &mut b).unwrap();
        assert_eq!(a, b);
    }
}

#[test]
fn the_centre_of_a_picture_is_cut_out_first() {
    // The middle half of each side is 200, all else 0: only the middle is left.
    let (h, w) = (20, 12);
    let inside = |i: usize, n: usize| (n / 4..n - n / 4).contains(&i);
    let value = |i: usize| if inside(i / w, h) && inside(i % w, w) { 200 } else { 0 };
    let image = Image { h, w, c: 1, pixels: (0..h * w).map(value).collect() };
    for (side_h, side_w) in [(10, 6), (5, 3), (40, 24)] {
        let mut preprocess = Preprocess::plain([side_h, side_w, 1], vec![0.0], vec![1.0]);
        preprocess.scale = 1.0;
        preprocess.resize = Resize::Centre { per_mille: 500 };
        let mut out = vec![0.0; side_h * side_w];
        preprocess.apply(&image, &mut out).unwrap();
        assert!(out.iter().all(|&v| v == 200.0), "{side_h}x{side_w}");
    }
}

#[test]
fn json_round_trip_is_exact() {
    for preprocess in [
        Preprocess::torchvision(224),
        Preprocess::caffe(227),
        Preprocess::tf(192),
        Preprocess::lite0(224),
    ] {
        let json = serde_json::to_string(&preprocess).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), preprocess, "{json}");
    }
    let json = serde_json::to_value(Preprocess::caffe(227)).unwrap();
    assert_eq!(json["resize"], serde_json::json!({"policy": "shorter_side", "size": 259}));
    assert_eq!(json["channels"], "bgr");
}

#[test]
fn impossible_descriptions_are_errors() {
    let good = Preprocess::torchvision(8);
    let bad = [
        Preprocess { height: 0, ..good.clone() },
        Preprocess { width: 1 << 40, ..good.clone() },
        Preprocess { resize: Resize::ShorterSide { size: 7 }, ..good.clone() },
        Preprocess { resize: Resize::ShorterSide { size: usize::MAX }, ..good.clone() },
        Preprocess { resize: Resize::Centre { per_mille: 0 }, ..good.clone() },
        Preprocess { resize: Resize::Centre { per_mille: 1001 }, ..good.clone() },
        Preprocess { mean: vec![0.0], ..good.clone() },
        Preprocess { std: vec![1.0, 0.0, 1.0], ..good.clone() },
        Preprocess { std: vec![1.0, f32::NAN, 1.0], ..good.clone() },
        Preprocess { scale: f32::INFINITY, ..good.clone() },
    ];
    for preprocess in bad {
        let error = preprocess.apply(&picture(9, 9, 3), &mut [0.0; 192]).unwrap_err().to_string();
        assert!(error.contains("preprocess."), "{error}");
    }
    for image in [
        Image::default(),
        Image { h: 3, w: 3, c: 2, pixels: vec![0; 18] },
        Image { h: 3, w: 3, c: 3, pixels: vec![0; 26] },
    ] {
        assert!(good.apply(&image, &mut [0.0; 192]).is_err());
    }
}
