//! A block of attention over the patches of a map, as in MobileViT (Mehta and Rastegari 2021,
//! arXiv 2110.02178), spelled in operators as exporters do.

mod common;

use common::{kinds, plan, run_everywhere};
use edgecut_graph::{Binary, Builder, Graph, Op, ReshapeDim, Unary, ValueId, Window, interpret};
use edgecut_kernels::Isa;
use edgecut_testkit::{assert_close, random_inputs, random_tensor};

struct Net {
    b: Builder,
    count: usize,
}

impl Net {
    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.count += 1;
        self.b.apply(&format!("op{}", self.count), op, inputs).unwrap()
    }

    fn stored(&mut self, shape: &[usize]) -> ValueId {
        self.count += 1;
        let tensor = random_tensor(shape, self.count as u64);
        let small = tensor.f32s().unwrap().iter().map(|v| v * 0.3).collect::<Vec<f32>>();
        let tensor = edgecut_graph::Tensor::new(shape, small).unwrap();
        self.b.constant(&format!("stored{}", self.count), tensor)
    }

    fn reshape(&mut self, x: ValueId, dims: &[usize]) -> ValueId {
        let dims = dims.iter().map(|&d| ReshapeDim::Fixed(d)).collect();
        self.op(Op::Reshape { dims }, &[x])
    }

    fn transpose(&mut self, x: ValueId, perm: &[usize]) -> ValueId {
        self.op(Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    fn norm(&mut self, x: ValueId, c: usize) -> ValueId {
        let (scale, bias) = (self.stored(&[c]), self.stored(&[c]));
        self.op(Op::LayerNorm { axis: 2, epsilon: 1e-5 }, &[x, scale, bias])
    }

    /// Rows of x times a matrix, and a bias.
    fn linear(&mut self, x: ValueId, from: usize, to: usize) -> ValueId {
        let (weights, bias) = (self.stored(&[from, to]), self.stored(&[to]));
        let x = self.op(Op::MatMul, &[x, weights]);
        self.op(Op::Binary(Binary::Add), &[x, bias])
    }
}

/// Attention of `heads` heads over 4 sequences of 9 pixels, one for each place in a 2x2 patch.
fn block(heads: usize) -> Graph {
    let (c, p, s) = (12, 4, 9);
    let d = c / heads;
    let mut net = Net { b: Builder::new("attention", 3), count: 0 };
    let image = net.b.input("image", [1.into(), 8.into(), 6.into(), 6.into()]);
    let map = net.b.conv(image, "in", c, Window::same(3, 1), 1, true).unwrap();
    // Pixels by patches: [c * h / 2, 2, w / 2, 2] to [4, 9, c].
    let x = net.reshape(map, &[c * 3, 2, 3, 2]);
    let x = net.transpose(x, &[0, 2, 1, 3]);
    let x = net.reshape(x, &[1, c, s, p]);
    let x = net.transpose(x, &[0, 3, 2, 1]);
    let start = net.reshape(x, &[p, s, c]);
    let x = net.norm(start, c);
    let qkv = net.linear(x, c, 3 * c);
    let qkv = net.reshape(qkv, &[p, s, 3, heads, d]);
    let qkv = net.transpose(qkv, &[2, 0, 3, 1, 4]);
    let part = |net: &mut Net, i: i64| {
        let index = edgecut_graph::Tensor::new([], vec![i]).unwrap();
        let index = net.b.constant(&format!("index{i}"), index);
        net.op(Op::Gather { axis: 0 }, &[qkv, index])
    };
    let (q, k, v) = (part(&mut net, 0), part(&mut net, 1), part(&mut net, 2));
    let k = net.transpose(k, &[0, 1, 3, 2]);
    let scores = net.op(Op::MatMul, &[q, k]);
    let factor = net.stored(&[]);
    let scores = net.op(Op::Binary(Binary::Mul), &[scores, factor]);
    let scores = net.op(Op::Softmax { axis: 3 }, &[scores]);
    let x = net.op(Op::MatMul, &[scores, v]);
    let x = net.transpose(x, &[0, 2, 1, 3]);
    let x = net.reshape(x, &[p, s, c]);
    let x = net.linear(x, c, c);
    let x = net.op(Op::Binary(Binary::Add), &[x, start]);
    let y = net.norm(x, c);
    let y = net.linear(y, c, 2 * c);
    let y = net.op(Op::Unary(Unary::Silu), &[y]);
    let y = net.linear(y, 2 * c, c);
    let x = net.op(Op::Binary(Binary::Add), &[x, y]);
    // And back to a map.
    let x = net.reshape(x, &[1, p, s, c]);
    let x = net.transpose(x, &[0, 3, 2, 1]);
    let x = net.reshape(x, &[c * 3, 3, 2, 2]);
    let x = net.transpose(x, &[0, 2, 1, 3]);
    let x = net.reshape(x, &[1, c, 6, 6]);
    let x = net.b.concat(&[x, map], 1).unwrap();
    let x = net.b.conv(x, "out", 8, Window::same(3, 1), 1, true).unwrap();
    let x = net.b.add(x, image).unwrap();
    net.b.finish(&[x]).unwrap()
}

#[test]
fn attention_over_patches() {
    for heads in [1, 3] {
        let graph = block(heads);
        let plan = plan(&graph, 1, Isa::detect());
        let kinds = kinds(&plan);
        assert!(!kinds.contains(&"reference"), "{kinds:?}");
        let inputs = random_inputs(&graph, 1, 5);
        let expected = interpret::run(&graph, &inputs).unwrap();
        let outputs = run_everywhere(&graph, &inputs, "attention");
        assert_close(&outputs[0], &expected[0], 1e-5, "attention");
    }
}
