use edgecut_kernels::{
    Activation, ConvShape, Ctx, Epilogue, Pool,
    depthwise::{DepthwiseWeights, depthwise},
    gemm::{PackedB, gemm},
};
use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 {
    let mut b = f64::MAX;
    for _ in 0..60 {
        let t = Instant::now();
        for _ in 0..20 {
            f();
        }
        b = b.min(t.elapsed().as_secs_f64() / 20.0);
    }
    b
}
fn main() {
    for (w, c, k) in
        [(14usize, 240usize, 5usize), (14, 384, 3), (28, 120, 5), (14, 576, 3), (56, 144, 3)]
    {
        for threads in [1, 2] {
            let pool = Pool::new(threads);
            let ctx = Ctx::new(&pool);
            let shape =
                ConvShape::dilated([1, w, w, c], c, [k, k], [1, 1], [1, 1], [k / 2; 4], c).unwrap();
            let wt = DepthwiseWeights::pack(&shape, &vec![0.1f32; shape.weight_len()]);
            let x = vec![0.3f32; w * w * c];
            let mut o = vec![0f32; w * w * c];
            let bias = vec![0.1f32; c];
            let e = Epilogue::biased(Some(&bias), Activation::RELU6);
            let t = best(|| depthwise(ctx, &shape, &x, &wt, &mut o, &e));
            // alternating with a product that writes x and one that reads o
            let kk = c / 6;
            let a = vec![0.1f32; w * w * kk];
            let b = PackedB::pack(kk, c, &vec![0.1; kk * c]);
            let b2 = PackedB::pack(c, kk, &vec![0.1; kk * c]);
            let mut x2 = x.clone();
            let mut y = vec![0f32; w * w * kk];
            let mut td = f64::MAX;
            let mut t1 = f64::MAX;
            let mut t2 = f64::MAX;
            for _ in 0..500 {
                let s = Instant::now();
                gemm(
                    ctx,
                    w * w,
                    &a,
                    kk,
                    &b,
                    &mut x2,
                    c,
                    &Epilogue::biased(Some(&bias), Activation::RELU6),
                );
                let m = Instant::now();
                depthwise(ctx, &shape, &x2, &wt, &mut o, &e);
                let n = Instant::now();
                gemm(ctx, w * w, &o, c, &b2, &mut y, kk, &Epilogue::default());
                let q = Instant::now();
                t1 = t1.min((m - s).as_secs_f64());
                td = td.min((n - m).as_secs_f64());
                t2 = t2.min((q - n).as_secs_f64());
            }
            println!(
                "{w} {c} k{k} threads {threads}: alone {:.1} us; in a block: expand {:.1} dw {:.1} project {:.1}",
                t * 1e6,
                t1 * 1e6,
                td * 1e6,
                t2 * 1e6
            );
        }
    }
}
