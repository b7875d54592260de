//! Chains of layers on bytes.

use crate::fused::int8::{Int8, Op, Tail};
use crate::fused::{Chain, Layer, Operand, Outer, run};
use crate::quant::{Affine, ConvWeights, DepthwiseWeights, Mean, Requant};
use crate::testing::{cases, random_bytes};
use crate::{Activation, ConvShape, Ctx, Isa, Pool};
use proptest::prelude::*;

const SCALE: Affine = Affine { scale: 0.05, zero_point: 77 };

/// A layer from the shape of its input; the weights depend on the seed.
fn layer(
    op: usize,
    size: [usize; 4],
    cout: usize,
    stride: usize,
    seed: u64,
) -> Option<Layer<Int8>> {
    let cin = size[3];
    let (kernel, pads, cout, groups) = match op {
        0 => ([1, 1], [0; 4], cout, 1),
        1 => ([1, 1], [0; 4], cin, 1 + (cin + 1) % 2),
        2 => ([3, 3], [1; 4], cin, cin),
        3 => ([5, 5], [2; 4], cin, cin),
        4 | 5 => ([3, 3], [1, 1, 0, 0], cin, cin),
        _ => ([3, 3], [1; 4], cout, 1),
    };
    let stride = if op < 2 { 1 } else { stride };
    let shape = ConvShape::dilated(size, cout, kernel, [stride; 2], [1, 1], pads, groups)?;
    let weights: Vec<i8> = random_bytes(shape.weight_len(), seed)
        .into_iter()
        .map(|w| w.wrapping_sub(128) as i8)
        .collect();
    let zero_point = SCALE.zero_point;
    let (op, sums) = match op {
        2 | 3 => {
            let weights = DepthwiseWeights::pack(&shape, &weights, zero_point);
            let sums = weights.sums().to_vec();
            (Op::Depthwise(weights.into()), Some(sums))
        }
        4 => (Op::MaxPool, None),
        5 => (Op::AveragePool(Mean::new(SCALE, SCALE, (3, 250), seed.is_multiple_of(2))), None),
        _ => {
            let weights = ConvWeights::pack(&shape, &weights, zero_point);
            let sums = weights.sums().to_vec();
            (Op::Conv(weights.into()), Some(sums))
        }
    };
    let tail = sums.map(|sums| {
        let scales = vec![0.3 / (shape.k() as f32).sqrt() / 64.0 / SCALE.scale; cout];
        let bias: Vec<i32> = (0..cout as i32).map(|c| c * 37 % 1001 - 500).collect();
        let requant = Requant::new(SCALE, &scales, &sums, Some(&bias), SCALE, (2, 251));
        let requant =
            if seed.is_multiple_of(3) { requant.activated(Activation::HardSwish) } else { requant };
        Tail { requant, residual: None }
    });
    let (x, y) = (Operand::outer(0), Operand::outer(1));
    Some(Layer { shape, op, tail, residual: None, interleave: None, x, y })
}

/// One layer on a whole tensor.
fn alone(ctx: Ctx, layer: &Layer<Int8>, x: &[u8], residual: &[u8]) -> Vec<u8> {
    let shape = layer.shape;
    let (from, to) = (Operand::outer(0), Operand::outer(1));
    let residual_at = layer.residual.map(|_| Operand::outer(2));
    let layer = Layer { x: from, y: to, residual: residual_at, ..layer.clone() };
    let chain = Chain::new(vec![layer], &[], shape.oh.max(1));
    execute(ctx, &chain, x, residual, [shape.cin, shape.cout], shape.out_len())
}

fn execute(
    ctx: Ctx,
    chain: &Chain<Int8>,
    x: &[u8],
    residual: &[u8],
    strides: [usize; 2],
    len: usize,
) -> Vec<u8> {
    let mut out = vec![0xaa; len];
    let mut scratch = vec![0x55; chain.scratch_len(ctx.pool.threads())];
    let mut outers = [
        Outer::Read(x, strides[0]),
        Outer::Write(&mut out, strides[1]),
        Outer::Read(residual, strides[1]),
    ];
    run(ctx, chain, &mut outers, &mut scratch);
    out
}

proptest! {
    #![proptest_config(cases(48))]

    /// A chain gives the bytes of its layers one after the other, on every instruction set and
    /// number of threads, whatever the rows at a time.
    #[test]
    fn a_chain_is_its_layers(
        size in (1usize..3, 1usize..20, 1usize..24, 1usize..40),
        ops in prop::collection::vec((0usize..7, 1usize..70, 1usize..3), 1..6),
        step in 1usize..5,
        residual: bool,
        seed: u64,
    ) {
        let mut next = [size.0, size.1, size.2, size.3];
        let mut layers: Vec<Layer<Int8>> = vec![];
        for (i, &(op, cout, stride)) in ops.iter().enumerate() {
            let Some(layer) = layer(op, next, cout, stride, seed ^ (i as u64) << 8) else { break };
            next = [next[0], layer.shape.oh, layer.shape.ow, layer.shape.cout];
            layers.push(layer);
        }
        prop_assume!(!layers.is_empty() && next.iter().all(|&n| n > 0));
        let count = layers.len();
        let rings: Vec<[usize; 2]> =
            layers[..count - 1].iter().map(|l| [l.shape.ow, l.shape.cout]).collect();
        for (i, layer) in layers.iter_mut().enumerate() {
            layer.x = if i == 0 { Operand::outer(0) } else { Operand::ring(i - 1) };
            layer.y = if i + 1 == count { Operand::outer(1) } else { Operand::ring(i) };
        }
        let last = layers[count - 1].shape;
        if let (true, Some(tail)) = (residual, &mut layers[count - 1].tail) {
            tail.residual = Some(Affine { scale: 0.03, zero_point: 140 });
            layers[count - 1].residual = Some(Operand::outer(2));
        }
        let x = random_bytes(layers[0].shape.in_len(), seed ^ 99);
        let skip = random_bytes(last.out_len(), seed ^ 77);
        let strides = [layers[0].shape.cin, last.cout];
        let chain = Chain::new(layers.clone(), &rings, step);
        let mut first: Option<Vec<u8>> = None;
        for isa in Isa::available() {
            for threads in 1..4 {
                let pool = Pool::new(threads);
                let ctx = Ctx { isa, pool: &pool };
                let together = execute(ctx, &chain, &x, &skip, strides, last.out_len());
                let mut value = x.clone();
                for layer in &layers {
                    value = alone(ctx, layer, &value, &skip);
                }
                prop_assert_eq!(&together, &value, "{} on {} threads", isa.name(), threads);
                prop_assert_eq!(first.get_or_insert(value), &together, "{}", isa.name());
            }
        }
    }
}
