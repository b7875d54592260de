mod int8;

use super::*;
use crate::conv::{self, ConvWeights};
use crate::depthwise::{self, DepthwiseWeights};
use crate::pool2d::{self, Divisor};
use crate::testing::{cases, everywhere, random};
use crate::{Activation, Epilogue, bf16, sparse};
use proptest::prelude::*;

/// A layer from the shape of its input; the weights depend on the seed.
fn layer(
    op: usize,
    [n, h, w, cin]: [usize; 4],
    cout: usize,
    stride: usize,
    seed: u64,
) -> Option<(Layer, Vec<f32>)> {
    let (kernel, pads, cout, groups) = match op {
        0 | 8 => ([1, 1], [0; 4], cout, 1),
        1 => ([1, 1], [0; 4], cin, 1 + cin % 2),
        2 => ([3, 3], [1; 4], cin, cin),
        3 => ([5, 5], [2; 4], cin, cin),
        4 => ([3, 2], [0, 0, 1, 1], cin, cin),
        6 | 7 => ([3, 3], [1, 1, 0, 0], cin, cin),
        _ => ([3, 3], [1; 4], cout, 1),
    };
    let groups = if cin % groups == 0 { groups } else { 1 };
    let stride = if [0, 1, 8].contains(&op) { 1 } else { stride };
    let size = [n, h, w, cin];
    let shape = ConvShape::dilated(size, cout, kernel, [stride; 2], [1, 1], pads, groups)?;
    let weights = random(shape.weight_len(), seed);
    let op = match op {
        0 | 1 | 5 => Op::Conv(ConvWeights::pack(&shape, &weights).into()),
        6 => Op::MaxPool,
        7 => Op::AveragePool(Divisor::Data),
        8 => {
            let some: Vec<f32> = weights.iter().map(|w| w.max(0.5) - 0.5).collect();
            Op::SparseConv(sparse::Weights::pack(cin, cout, &some).into())
        }
        _ => Op::Depthwise(DepthwiseWeights::pack(&shape, &weights).into()),
    };
    let pools = matches!(op, Op::MaxPool | Op::AveragePool(_));
    let layer = Layer {
        shape,
        op,
        tail: Tail {
            bias: (!pools).then(|| random(cout, seed ^ 1).into()),
            activation: if pools { Activation::None } else { Activation::Clamp(-0.5, 2.0) },
        },
        residual: None,
        interleave: None,
        x: Operand::outer(0),
        y: Operand::outer(1),
    };
    Some((layer, weights))
}

/// The layer on a whole tensor, by the kernels for whole tensors.
fn whole(
    ctx: crate::Ctx,
    (layer, _): &(Layer, Vec<f32>),
    x: &[f32],
    residual: Option<&[f32]>,
) -> Vec<f32> {
    let shape = &layer.shape;
    let mut out = vec![f32::NAN; shape.out_len()];
    let epilogue = Epilogue {
        bias: layer.tail.bias.as_deref(),
        residual: residual.map(|r| (r, shape.cout)),
        activation: layer.tail.activation,
        ..Epilogue::default()
    };
    match &layer.op {
        Op::Conv(packed) => {
            let mut scratch = vec![0.0; conv::conv_scratch_len(shape, ctx.pool.threads())];
            conv::conv(ctx, shape, x, packed, &mut out, &mut scratch, &epilogue);
        }
        Op::PlanarConv(_) => unreachable!("not generated"),
        Op::Depthwise(weights) => {
            depthwise::depthwise(ctx, shape, x, weights, &mut out, &epilogue);
        }
        Op::MaxPool => pool2d::max_pool(ctx, shape, x, &mut out, None),
        Op::AveragePool(divisor) => pool2d::average_pool(ctx, shape, *divisor, x, &mut out),
        Op::SparseConv(weights) => {
            let (m, k, n) = (shape.out_pixels(), shape.cin, shape.cout);
            let threads = ctx.pool.threads();
            let mut scratch = vec![0.0; sparse::product_scratch_len(m, weights, threads)];
            sparse::product(ctx, m, x, k, weights, &mut out, n, &epilogue, &mut scratch);
        }
        Op::ConvBf16(_) => unreachable!("has a test of its own"),
    }
    out
}

proptest! {
    #![proptest_config(cases(48))]

    /// A chain gives the bits of its layers one after the other, whatever the rows at a time.
    #[test]
    fn a_chain_is_its_layers(
        size in (1usize..3, 1usize..20, 1usize..24, 1usize..24),
        ops in prop::collection::vec((0usize..9, 1usize..40, 1usize..3), 1..6),
        step in 1usize..5,
        residual: bool,
        seed: u64,
    ) {
        let mut next = [size.0, size.1, size.2, size.3];
        let mut made: Vec<(Layer, Vec<f32>)> = vec![];
        for (i, &(op, cout, stride)) in ops.iter().enumerate() {
            let Some(layer) = layer(op, next, cout, stride, seed ^ (i as u64) << 8) else { break };
            next = [next[0], layer.0.shape.oh, layer.0.shape.ow, layer.0.shape.cout];
            made.push(layer);
        }
        let mut layers: Vec<Layer> = made.iter().map(|(layer, _)| layer.clone()).collect();
        prop_assume!(!layers.is_empty() && next.iter().all(|&n| n > 0));
        let count = layers.len();
        // The result of an earlier layer of the same size, or a tensor from outside.
        let last = layers[count - 1].shape;
        let skip = random(last.out_len(), seed ^ 77);
        let earlier = layers[..count - 1]
            .iter()
            .rposition(|l| [l.shape.oh, l.shape.ow, l.shape.cout] == [last.oh, last.ow, last.cout]);
        let rings: Vec<[usize; 2]> =
            layers[..count - 1].iter().map(|l| [l.shape.ow, l.shape.cout]).collect();
        for (i, layer) in layers.iter_mut().enumerate() {
            layer.x = if i == 0 { Operand::outer(0) } else { Operand::ring(i - 1) };
            layer.y = if i + 1 == count { Operand::outer(1) } else { Operand::ring(i) };
        }
        let residual = residual && !matches!(layers[count - 1].op, Op::MaxPool | Op::AveragePool(_));
        if residual {
            layers[count - 1].residual =
                Some(earlier.map_or(Operand::outer(2), Operand::ring));
        }
        let x = random(layers[0].shape.in_len(), seed ^ 99);
        let strides = [layers[0].shape.cin, last.cout];
        let chain = Chain::new(layers, &rings, step);
        let want = everywhere(|ctx| {
            let mut results: Vec<Vec<f32>> = vec![];
            for (i, layer) in made.iter().enumerate() {
                let other = (i + 1 == count && residual)
                    .then(|| earlier.map_or(&skip[..], |e| &results[e][..]).to_vec());
                let input = results.last().map_or(&x[..], |r| &r[..]);
                let result = whole(ctx, layer, input, other.as_deref());
                results.push(result);
            }
            results.pop().unwrap_or_default()
        });
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; last.out_len()];
            let mut scratch = vec![f32::NAN; chain.scratch_len(ctx.pool.threads())];
            let mut outers = [
                Outer::Read(&x, strides[0]),
                Outer::Write(&mut out, strides[1]),
                Outer::Read(&skip, strides[1]),
            ];
            run(ctx, &chain, &mut outers, &mut scratch);
            out
        });
        prop_assert_eq!(
            got.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            want.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }
}

/// Two branches that write one tensor side by side, and a layer that reads it.
#[test]
fn branches_write_side_by_side() {
    let size = [1, 15, 13, 6];
    let first = layer(0, size, 5, 1, 1).unwrap();
    let left = layer(0, [1, 15, 13, 5], 8, 1, 2).unwrap();
    let right = layer(2, [1, 15, 13, 5], 5, 1, 3).unwrap();
    let last = layer(2, [1, 15, 13, 13], 13, 2, 4).unwrap();
    let x = random(first.0.shape.in_len(), 5);
    let out_len = last.0.shape.out_len();
    let want = everywhere(|ctx| {
        let s = whole(ctx, &first, &x, None);
        let (a, b) = (whole(ctx, &left, &s, None), whole(ctx, &right, &s, None));
        let pixels = a.chunks(8).zip(b.chunks(5));
        let both: Vec<f32> = pixels.flat_map(|(a, b)| [a, b].concat()).collect();
        whole(ctx, &last, &both, None)
    });
    let both = |channel| Operand { place: Place::Ring(1), channel };
    let chain = Chain::new(
        vec![
            Layer { y: Operand::ring(0), ..first.0 },
            Layer { x: Operand::ring(0), y: both(0), ..left.0 },
            Layer { x: Operand::ring(0), y: both(8), ..right.0 },
            Layer { x: both(0), ..last.0 },
        ],
        &[[13, 5], [13, 13]],
        2,
    );
    let got = everywhere(|ctx| {
        let mut out = vec![f32::NAN; out_len];
        let mut scratch = vec![f32::NAN; chain.scratch_len(ctx.pool.threads())];
        run(ctx, &chain, &mut [Outer::Read(&x, 6), Outer::Write(&mut out, 13)], &mut scratch);
        out
    });
    assert_eq!(got, want);
}

/// The result in the odd channels, another tensor in the even ones.
#[test]
fn halves_are_interleaved() {
    let layer = layer(0, [1, 6, 5, 9], 7, 1, 1).unwrap();
    let (x, other) = (random(6 * 5 * 9, 2), random(6 * 5 * 20, 3));
    let want = everywhere(|ctx| {
        let y = whole(ctx, &layer, &x, None);
        let pairs = y.chunks(7).zip(other.chunks(20));
        pairs.flat_map(|(y, z)| (0..7).flat_map(|c| [z[4 + c], y[c]])).collect()
    });
    let interleave = Some(Operand { place: Place::Outer(2), channel: 4 });
    let chain = Chain::new(vec![Layer { interleave, ..layer.0 }], &[], 2);
    let got = everywhere(|ctx| {
        let mut out = vec![f32::NAN; 6 * 5 * 14];
        let mut outers = [Outer::Read(&x, 9), Outer::Write(&mut out, 14), Outer::Read(&other, 20)];
        run(ctx, &chain, &mut outers, &mut []);
        out
    });
    assert_eq!(got, want);
}

#[test]
fn bfloat16_layers_in_a_chain_are_those_outside() {
    let size = [2, 11, 13];
    let shape = |cin, cout, kernel: usize, groups| {
        let ([n, h, w], pad) = (size, kernel / 2);
        let input = [n, h, w, cin];
        ConvShape::dilated(input, cout, [kernel; 2], [1; 2], [1; 2], [pad; 4], groups)
            .expect("it fits")
    };
    let layer = |shape: ConvShape, bf16: bool, x, y, seed| {
        let weights = random(shape.weight_len(), seed);
        let op = match bf16 {
            true => Op::ConvBf16(bf16::Weights::pack(&shape, &weights).into()),
            false => Op::Depthwise(DepthwiseWeights::pack(&shape, &weights).into()),
        };
        let bias = Some(random(shape.cout, seed ^ 9).into());
        let tail = Tail { bias, activation: Activation::HardSwish };
        Layer { shape, op, tail, residual: None, interleave: None, x, y }
    };
    // Expanded, filtered, projected with the input added, and a 3x3 window at the end.
    let ring = Operand::ring;
    let mut layers = vec![
        layer(shape(24, 80, 1, 1), true, Operand::outer(0), ring(0), 1),
        layer(shape(80, 80, 3, 80), false, ring(0), ring(1), 2),
        layer(shape(80, 24, 1, 1), true, ring(1), ring(2), 3),
        layer(shape(24, 40, 3, 2), true, ring(2), Operand::outer(1), 4),
    ];
    layers[2].residual = Some(Operand::outer(0));
    let x = random(layers[0].shape.in_len(), 5);
    let out_len = layers[3].shape.out_len();
    let run_on = |ctx: crate::Ctx, chain: &Chain, x: &[f32], residual: &[f32], len: usize| {
        let mut out = vec![f32::NAN; len];
        let first = chain.layers()[0].shape;
        let stride = chain.layers().last().expect("a layer").shape.cout;
        let mut outers = [
            Outer::Read(x, first.cin),
            Outer::Write(&mut out, stride),
            Outer::Read(residual, stride),
        ];
        let mut scratch = vec![f32::NAN; chain.scratch_len(ctx.pool.threads())];
        run(ctx, chain, &mut outers, &mut scratch);
        out
    };
    for isa in crate::Isa::available() {
        let mut first: Option<Vec<f32>> = None;
        for threads in 1..4 {
            let pool = crate::Pool::new(threads);
            let ctx = crate::Ctx { isa, pool: &pool };
            let rings = [[13, 80], [13, 80], [13, 24]];
            let chain = Chain::new(layers.clone(), &rings, 2);
            let together = run_on(ctx, &chain, &x, &[], out_len);
            let mut value = x.clone();
            for layer in &layers {
                let residual = layer.residual.map(|_| Operand::outer(2));
                let (from, to) = (Operand::outer(0), Operand::outer(1));
                let alone = Layer { x: from, y: to, residual, ..layer.clone() };
                let chain = Chain::new(vec![alone], &[], 3);
                value = run_on(ctx, &chain, &value, &x, layer.shape.out_len());
            }
            assert!(together == value, "{} on {threads} threads", isa.name());
            assert!(*first.get_or_insert(value) == together, "{}", isa.name());
        }
    }
}
