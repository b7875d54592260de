//! Quantisation, and products of 8-bit integers.

use edgecut_graph::{Conv, DType, Op, Tensor, Window};

use super::numbers::{between, normal, numbers, tensor};
use super::{Absent, Arg, Given, Stored, Table};

pub(super) fn add(table: &mut Table) {
    quantise(table);
    convolutions(table);
    products(table);
    table.one("", Op::DynamicQuantize, normal(&[3, 5], 141));
    table.one("positive", Op::DynamicQuantize, between(&[3, 5], 1.0, 2.0));
}

fn zero(dtype: DType, value: i32) -> Tensor {
    match dtype {
        DType::U8 => tensor(&[], vec![value as u8]),
        _ => tensor(&[], vec![value as i8]),
    }
}

fn quantise(table: &mut Table) {
    let scales = || Stored(Tensor::vector(vec![0.05f32, 0.1, 0.02, 0.03]));
    let scale = || Stored(Tensor::scalar(0.04));
    let image = || Given(normal(&[2, 4, 3, 5], 142));
    for (dtype, name) in [(DType::U8, "uint8"), (DType::I8, "int8")] {
        let each = match dtype {
            DType::U8 => Tensor::vector(vec![128u8, 0, 255, 100]),
            _ => Tensor::vector(vec![0i8, -128, 127, 3]),
        };
        let axis = Op::Quantize { axis: 1 };
        table.add(&format!("{name} axis"), axis, vec![image(), scales(), Stored(each.clone())]);
        let one = Op::Quantize { axis: 0 };
        table.add(name, one, vec![image(), scale(), Stored(zero(dtype, 10))]);
        let stored = || Given(numbers(dtype, &[2, 4, 3, 5], 143));
        let axis = Op::Dequantize { axis: 1 };
        table.add(&format!("{name} axis"), axis.clone(), vec![stored(), scales(), Stored(each)]);
        let args = vec![stored(), scales(), Absent];
        table.add(&format!("{name} axis without zero"), axis, args);
        let one = Op::Dequantize { axis: 0 };
        table.add(name, one, vec![stored(), scale(), Stored(zero(dtype, 10))]);
    }
    let bias = Given(numbers(DType::I32, &[4], 144));
    table.add("int32 bias", Op::Dequantize { axis: 0 }, vec![bias, scales(), Absent]);
}

fn convolutions(table: &mut Table) {
    let window = Window { kernel: [3, 2], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 2, 1] };
    for (x, w) in [(DType::U8, DType::I8), (DType::U8, DType::U8), (DType::I8, DType::I8)] {
        let args = |more: Vec<Arg>| {
            let image = Given(numbers(x, &[1, 4, 5, 6], 145));
            let weight = Stored(numbers(w, &[6, 2, 3, 2], 146));
            [image, weight].into_iter().chain(more).collect::<Vec<Arg>>()
        };
        let op = Op::ConvInteger(Conv { window, groups: 2 });
        let what = format!("{x} {w}");
        table.add(&what, op.clone(), args(vec![]));
        table.add(&format!("{what} zero of x"), op.clone(), args(vec![Stored(zero(x, 5))]));
        let both = vec![Stored(zero(x, 5)), Stored(zero(w, 3))];
        table.add(&format!("{what} both zeros"), op, args(both));
    }
}

fn products(table: &mut Table) {
    for (a, b) in [(DType::U8, DType::I8), (DType::U8, DType::U8), (DType::I8, DType::I8)] {
        let args = |more: Vec<Arg>| {
            let (x, y) = (numbers(a, &[2, 3, 4], 147), numbers(b, &[4, 5], 148));
            [Given(x), Stored(y)].into_iter().chain(more).collect::<Vec<Arg>>()
        };
        let what = format!("{a} {b}");
        table.add(&what, Op::MatMulInteger, args(vec![]));
        let both = vec![Stored(zero(a, 5)), Stored(zero(b, 3))];
        table.add(&format!("{what} zeros"), Op::MatMulInteger, args(both));
        let columns = match b {
            DType::U8 => Tensor::vector(vec![1u8, 2, 3, 4, 5]),
            _ => Tensor::vector(vec![1i8, -2, 3, -4, 5]),
        };
        let args = args(vec![Absent, Stored(columns)]);
        table.add(&format!("{what} columns"), Op::MatMulInteger, args);
    }
}
