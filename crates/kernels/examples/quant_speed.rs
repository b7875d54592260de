//! Speed of int8 layers of well-known networks, batch 1.
//!
//! `cargo run --release -p edgecut-kernels --example quant_speed [NETWORK [ISA [THREADS]]]`:
//! for each layer the minimum of many runs, in microseconds and multiply-adds, on one thread unless
//! told otherwise; for every instruction set that is not scalar, unless one is named. Products and
//! convolutions also with weights of 4 bits.

use std::hint::black_box;
use std::time::Instant;

use edgecut_kernels::quant::{
    Affine, ConvWeights, DepthwiseWeights, Finish, Output, Requant, Residual, conv, depthwise,
};
use edgecut_kernels::{Activation, Blob, ConvShape, Ctx, Isa, Pool};

/// Side and channels of the input, channels of the result, kernel, stride.
type Layer = (usize, usize, usize, usize, usize);

const NETWORKS: &[(&str, &[Layer])] = &[
    (
        "mobilenet_v2",
        &[
            (224, 4, 32, 3, 2),
            (112, 32, 16, 1, 1),
            (112, 16, 96, 1, 1),
            (56, 96, 24, 1, 1),
            (56, 24, 144, 1, 1),
            (56, 144, 24, 1, 1),
            (28, 144, 32, 1, 1),
            (28, 32, 192, 1, 1),
            (28, 192, 32, 1, 1),
            (14, 192, 64, 1, 1),
            (14, 64, 384, 1, 1),
            (14, 384, 64, 1, 1),
            (14, 384, 96, 1, 1),
            (14, 96, 576, 1, 1),
            (14, 576, 96, 1, 1),
            (7, 576, 160, 1, 1),
            (7, 160, 960, 1, 1),
            (7, 960, 160, 1, 1),
            (7, 960, 320, 1, 1),
            (7, 320, 1280, 1, 1),
            (1, 1280, 1000, 1, 1),
        ],
    ),
    (
        "mobilenet_v3",
        &[
            (112, 16, 16, 1, 1),
            (112, 16, 64, 1, 1),
            (56, 64, 24, 1, 1),
            (56, 24, 72, 1, 1),
            (28, 72, 40, 1, 1),
            (28, 40, 120, 1, 1),
            (14, 240, 80, 1, 1),
            (14, 80, 200, 1, 1),
            (14, 200, 80, 1, 1),
            (14, 184, 80, 1, 1),
            (14, 112, 672, 1, 1),
            (7, 672, 160, 1, 1),
        ],
    ),
    (
        "shufflenet_v2",
        &[(28, 58, 58, 1, 1), (14, 116, 116, 1, 1), (7, 232, 232, 1, 1), (7, 464, 1024, 1, 1)],
    ),
    (
        "squeezenet",
        &[
            (224, 4, 64, 3, 2),
            (55, 64, 16, 1, 1),
            (55, 16, 64, 1, 1),
            (55, 16, 64, 3, 1),
            (27, 32, 128, 3, 1),
            (13, 48, 192, 3, 1),
            (13, 64, 256, 3, 1),
            (13, 512, 1000, 1, 1),
        ],
    ),
    (
        "resnet18",
        &[
            (224, 4, 64, 7, 2),
            (56, 64, 64, 3, 1),
            (56, 64, 128, 3, 2),
            (28, 128, 128, 3, 1),
            (14, 256, 256, 3, 1),
            (7, 512, 512, 3, 1),
        ],
    ),
];

/// Depthwise layers of small networks, of MobileNetV1 to V3 and ShuffleNetV2: side, channels, kernel,
/// stride.
const FILTERS: [(usize, usize, usize, usize); 18] = [
    (28, 16, 3, 2),
    (14, 72, 3, 1),
    (14, 72, 5, 2),
    (7, 160, 5, 1),
    (4, 256, 5, 1),
    (112, 16, 3, 1),
    (112, 32, 3, 1),
    (112, 96, 3, 2),
    (56, 128, 3, 1),
    (56, 144, 3, 1),
    (56, 144, 3, 2),
    (28, 58, 3, 1),
    (28, 192, 3, 1),
    (14, 384, 3, 1),
    (14, 576, 3, 2),
    (14, 672, 5, 1),
    (14, 672, 5, 2),
    (7, 960, 3, 1),
];

fn minimum_us(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    let once = || {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e6
    };
    let runs = std::iter::repeat_with(once).take(200);
    runs.take_while(|_| start.elapsed().as_millis() < 20).fold(f64::INFINITY, f64::min)
}

/// What happens to the sums, besides requantisation; or how many bits weights have.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    FourBits,
    HardSwish,
    Residual,
    Interleave,
}

fn measure(ctx: Ctx, &(side, cin, cout, kernel, stride): &Layer, kind: Kind) -> (f64, usize) {
    let pad = kernel / 2;
    let shape = ConvShape::new([1, side, side, cin], cout, [kernel; 2], [stride; 2], [pad; 4])
        .expect("the kernel fits");
    let x: Vec<u8> = (0..shape.in_len()).map(|i| (i * 7 % 251) as u8).collect();
    let shift = if kind == Kind::FourBits { 4 } else { 0 };
    let weights: Vec<i8> = (0..shape.weight_len()).map(|i| (i * 5 % 255) as i8 >> shift).collect();
    let weights = ConvWeights::pack(&shape, &weights, 3);
    let (affine, y) = (Affine::new(0.02, 3), Affine::new(0.03, 4));
    let requant = Requant::new(affine, &[0.001], weights.sums(), None, y, (0, 255));
    let other = vec![7; shape.out_len()];
    let requant = match kind {
        Kind::HardSwish => requant.activated(Activation::HardSwish),
        _ => requant,
    };
    let stride = shape.cout;
    let mut finish = Finish::new(&requant);
    match kind {
        Kind::Plain | Kind::FourBits | Kind::HardSwish => {}
        Kind::Residual => finish.residual = Some(Residual { data: &other, stride, affine }),
        Kind::Interleave => finish.interleave = Some((&other, stride)),
    }
    let mut out = vec![0u8; 2 * shape.out_len()];
    let len = if finish.interleave.is_some() { out.len() } else { shape.out_len() };
    let us = minimum_us(|| {
        let output = Output::U8(&mut out[..len], finish);
        conv(ctx, &shape, black_box(&x), cin, &weights, output, len / shape.out_pixels());
    });
    (us, shape.macs())
}

fn measure_filters(
    ctx: Ctx,
    [side, c, kernel, stride]: [usize; 4],
    activation: Activation,
) -> (f64, usize) {
    let pads = [kernel / 2; 4];
    let shape =
        ConvShape::dilated([1, side, side, c], c, [kernel; 2], [stride; 2], [1; 2], pads, c)
            .expect("the kernel fits");
    let x: Blob<u8> = (0..shape.in_len()).map(|i| (i * 7 % 251) as u8).collect();
    let weights: Vec<i8> = (0..shape.weight_len()).map(|i| (i * 5 % 255) as i8).collect();
    let weights = DepthwiseWeights::pack(&shape, &weights, 3);
    let (affine, y) = (Affine::new(0.02, 3), Affine::new(0.03, 4));
    let requant = Requant::new(affine, &[0.001], weights.sums(), None, y, (0, 255));
    let requant = requant.activated(activation);
    let mut out = Blob::zeros(shape.out_len());
    let us = minimum_us(|| {
        depthwise(ctx, &shape, black_box(&x), &weights, out.to_mut(), &Finish::new(&requant));
    });
    (us, shape.macs())
}

fn main() {
    let argument = |i| std::env::args().nth(i);
    let pool = Pool::new(argument(3).and_then(|n| n.parse().ok()).unwrap_or(1));
    let isas = Isa::available().into_iter().filter(|isa| *isa != Isa::SCALAR);
    let isas: Vec<Isa> = match argument(2) {
        Some(name) => isas.filter(|isa| isa.name() == name).collect(),
        None => isas.collect(),
    };
    for (network, layers) in NETWORKS {
        if argument(1).is_some_and(|name| name != *network) {
            continue;
        }
        for layer in *layers {
            let (side, cin, cout, kernel, stride) = layer;
            print!("{network:13} {side:3} {cin:4} -> {cout:4}, {kernel}x{kernel} / {stride}");
            for &isa in &isas {
                let ctx = Ctx { isa, pool: &pool };
                let (us, macs) = measure(ctx, layer, Kind::Plain);
                let (four, _) = measure(ctx, layer, Kind::FourBits);
                let rate = macs as f64 / us / 1e3;
                print!("  {} {us:7.1} us {rate:6.0} GMAC/s, 4 bits {four:7.1} us", isa.name());
            }
            println!();
        }
    }
    for (side, c, kernel, stride) in FILTERS {
        print!("{:13} {side:3} {c:4}, {kernel}x{kernel} / {stride}", "depthwise");
        for &isa in &isas {
            let (ctx, layer) = (Ctx { isa, pool: &pool }, [side, c, kernel, stride]);
            let (us, macs) = measure_filters(ctx, layer, Activation::None);
            let (hard_swish, _) = measure_filters(ctx, layer, Activation::HardSwish);
            let rate = macs as f64 / us / 1e3;
            print!(
                "  {} {us:7.1} us {rate:6.1} GMAC/s, hard-swish {hard_swish:7.1} us",
                isa.name()
            );
        }
        println!();
    }
    let layer = (56, 64, 64, 1, 1);
    for &isa in &isas {
        let kinds = [Kind::Plain, Kind::HardSwish, Kind::Residual, Kind::Interleave];
        let us = kinds.map(|kind| measure(Ctx { isa, pool: &pool }, &layer, kind).0);
        println!(
            "{}: plain, hard-swish, residual, interleave of {layer:?}: {us:.1?} us",
            isa.name()
        );
    }
}
