//! Every node that the shape rules accept gives a result of the inferred type and shape, or an
//! error that names it, whatever its tensors hold.

use edgecut_graph::interpret::run_node;
use edgecut_graph::rng::Rng;
use edgecut_graph::*;
use edgecut_testkit::Family;

fn node(op: &Op) -> Node {
    Node { name: "the node".into(), op: op.clone(), inputs: vec![], outputs: vec![] }
}

/// Elements where arithmetic breaks: bounds, zero, infinities, NaN.
fn wild(t: &Tensor, rng: &mut Rng) -> Tensor {
    let float = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -0.0];
    macro_rules! integers {
        ($type:ty) => {
            (0..t.len())
                .map(|_| [<$type>::MIN, <$type>::MAX, 0, 1][rng.below(4)])
                .collect::<Vec<$type>>()
                .into()
        };
    }
    let data: Data = match t.dtype() {
        DType::F32 => (0..t.len()).map(|_| float[rng.below(6)]).collect::<Vec<_>>().into(),
        DType::U8 => integers!(u8),
        DType::I8 => integers!(i8),
        DType::I32 => integers!(i32),
        DType::I64 => integers!(i64),
        DType::Bool => t.data().clone(),
    };
    Tensor::new(t.shape(), data).unwrap()
}

/// The tensor with no element along one dimension.
fn without(t: &Tensor, axis: usize) -> Tensor {
    let cut = Op::Slice { cuts: vec![Cut { axis, start: 0, len: 0, step: 1 }] };
    run_node(&Graph::default(), &node(&cut), &[Some(t)]).unwrap().remove(0)
}

fn check(op: &Op, inputs: &[Option<Tensor>]) -> Result<Vec<Tensor>> {
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
    let result = run_node(&Graph::default(), &node(op), &inputs);
    if let Err(error) = &result {
        assert!(error.to_string().contains("'the node'"), "{op:?}: {error}");
    }
    result
}

#[test]
fn wild_elements() {
    for family in Family::ALL {
        for seed in 0..1000 {
            let (case, mut rng) = (family.case(seed), Rng::new(seed));
            let mut inputs = case.inputs.clone();
            let at = rng.below(inputs.len());
            inputs[at] = inputs[at].as_ref().map(|t| wild(t, &mut rng));
            let normal = check(&case.op, &case.inputs).unwrap();
            // Positions and divisors may be refused; nothing else may.
            match check(&case.op, &inputs) {
                Ok(results) => assert!(
                    results
                        .iter()
                        .zip(&normal)
                        .all(|(a, b)| a.shape() == b.shape() && a.dtype() == b.dtype())
                ),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("outside") || text.contains("by zero"), "{text}");
                }
            }
        }
    }
}

#[test]
fn empty_dimensions() {
    for family in Family::ALL {
        for seed in 0..1000 {
            let (case, mut rng) = (family.case(seed), Rng::new(seed));
            let axis = rng.below(4);
            let empty = |t: &Tensor| if axis < t.rank() { without(t, axis) } else { t.clone() };
            let all: Vec<_> = case.inputs.iter().map(|t| t.as_ref().map(empty)).collect();
            let _ = check(&case.op, &all);
            let mut one = case.inputs.clone();
            one[0] = all[0].clone();
            let _ = check(&case.op, &one);
        }
    }
}

#[test]
fn attributes_at_their_bounds() {
    let x = Tensor::new([1, 2, 3, 3], (0..18).map(|i| i as f32 - 9.0).collect::<Vec<_>>()).unwrap();
    let indices = Tensor::new([2], vec![i64::MIN, i64::MAX]).unwrap();
    let works = |op: Op| check(&op, &[Some(x.clone())]).unwrap_or_else(|e| panic!("{e}")).remove(0);
    let cut = |start, len, step| Op::Slice { cuts: vec![Cut { axis: 3, start, len, step }] };
    assert_eq!(works(cut(usize::MAX, 0, usize::MAX)).len(), 0);
    assert_eq!(works(cut(2, 1, usize::MAX)).len(), 6);
    for diagonal in [i64::MIN, i64::MAX] {
        let kept = works(Op::Trilu { upper: true, diagonal }).f32s().unwrap()[0];
        assert_eq!(kept, if diagonal < 0 { -9.0 } else { 0.0 });
    }
    let window = Window::new([2, 2], [1, 1]);
    let pool = Pool { window, ceil_mode: false, count_include_pad: false };
    works(Op::LpPool { pool, p: usize::MAX });
    works(Op::LocalResponseNorm { alpha: 1.0, beta: -1.0, bias: 0.0, size: usize::MAX });
    works(Op::Unary(Unary::Clip { min: f32::NAN, max: f32::NAN }));
    works(Op::Unary(Unary::Celu { alpha: 0.0 }));
    assert_eq!(works(Op::TopK { axis: 3, k: 0, largest: true }).shape(), [1, 2, 3, 0]);
    assert_eq!(works(Op::Tile { repeats: vec![1, 0, 1, 1] }).len(), 0);
    assert_eq!(works(Op::Reduce { kind: Reduction::Mean, axes: vec![], keep_dims: false }), x);
    let one_hot = Op::OneHot { axis: 1, depth: 0 };
    let values = Tensor::vector(vec![0f32, 1.0]);
    assert_eq!(check(&one_hot, &[Some(indices), Some(values)]).unwrap()[0].shape(), [2, 0]);
}

#[test]
fn resampling_by_any_scale() {
    let x = Tensor::new([1, 1, 1, 5], vec![1f32, 2.0, f32::INFINITY, 4.0, 5.0]).unwrap();
    let mut rng = Rng::new(5);
    let modes = [ResizeMode::Nearest(Nearest::Ceil), ResizeMode::Linear, ResizeMode::Cubic(-0.75)];
    let positions = [
        Coordinates::HalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
        Coordinates::CropAndResize,
    ];
    let scales = [1e-30, 0.1, 0.2, 0.4, 0.999, 1.3, 1e9, f32::MAX];
    let mut accepted = 0;
    for _ in 0..4000 {
        let region = (rng.range(-1e30, 1e30), rng.range(-2.0, 2.0));
        let (len, scale) = (1 + rng.below(9), scales[rng.below(8)]);
        let resize = Resize {
            axes: vec![ResizeAxis { axis: 3, len, scale, region }],
            mode: modes[rng.below(3)],
            coordinates: positions[rng.below(5)],
            antialias: rng.below(2) == 1,
            exclude_outside: rng.below(2) == 1,
            extrapolation: f32::NAN,
        };
        accepted += usize::from(check(&Op::Resize(resize), &[Some(x.clone())]).is_ok());
    }
    assert!(accepted > 400, "{accepted}");
}
