//! Functions of several values that broadcast, and casts.

use edgecut_graph::{Binary, Compare, DType, Logic, Op, Tensor};

use super::numbers::{between, normal, numbers, tensor};
use super::{Given, Stored, Table, of};

const NUMBERS: [DType; 5] = [DType::F32, DType::U8, DType::I8, DType::I32, DType::I64];

pub(super) fn add(table: &mut Table) {
    use Binary::{Add, Div, Max, Min, Mul, PRelu, Pow, Sub};
    let image = || Given(normal(&[2, 3, 4, 5], 21));
    for function in [Add, Sub, Mul, Max, Min] {
        let op = Op::Binary(function);
        table.add("same", op.clone(), vec![image(), Given(normal(&[2, 3, 4, 5], 22))]);
        table.add("per channel", op.clone(), vec![image(), Stored(normal(&[3, 1, 1], 23))]);
        table.add("scalar first", op.clone(), vec![Stored(normal(&[], 24)), image()]);
        table.add("outer", op, vec![Given(normal(&[3, 1], 25)), Given(normal(&[1, 4], 26))]);
    }
    let divisor = Stored(between(&[3, 1, 1], 0.5, 2.0));
    table.add("", Op::Binary(Div), vec![image(), divisor]);
    let base = Given(between(&[2, 6], 0.1, 3.0));
    table.add("", Op::Binary(Pow), vec![base, Given(between(&[2, 6], -2.0, 2.0))]);
    table.add("square", Op::Binary(Pow), vec![image(), Stored(Tensor::scalar(2.0))]);
    table.add("per channel", Op::Binary(PRelu), vec![image(), Stored(normal(&[3, 1, 1], 27))]);
    table.add("one slope", Op::Binary(PRelu), vec![image(), Stored(normal(&[1], 28))]);
    integers(table);
    compare(table);
    choose(table);
    casts(table);
}

fn integers(table: &mut Table) {
    use Binary::{Add, Div, Fmod, Max, Min, Mod, Mul, Sub};
    for dtype in &NUMBERS[1..] {
        let args = || {
            // No zero among the divisors.
            let b = match dtype {
                DType::U8 => Tensor::new([4], vec![3u8, 7, 11, 2]),
                DType::I8 => Tensor::new([4], vec![3i8, -7, 11, -2]),
                DType::I32 => Tensor::new([4], vec![3i32, -7, 11, -2]),
                _ => Tensor::new([4], vec![3i64, -7, 11, -2]),
            };
            vec![Given(numbers(*dtype, &[5, 4], 31)), Given(b.expect("four elements"))]
        };
        for function in [Add, Sub, Mul, Div, Max, Min, Mod] {
            table.add(&of(*dtype), Op::Binary(function), args());
        }
        table.add(&format!("fmod {}", of(*dtype)), Op::Binary(Fmod), args());
    }
    let args = vec![Given(normal(&[4, 6], 32)), Given(between(&[4, 6], 0.2, 0.9))];
    table.add("fmod", Op::Binary(Fmod), args);
}

fn compare(table: &mut Table) {
    use Compare::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let small = |dtype| match dtype {
        DType::F32 => tensor(&[6], vec![0f32, 1.0, 2.0, f32::NAN, -1.0, 0.5]),
        _ => numbers(dtype, &[6], 41),
    };
    let other = |dtype| match dtype {
        DType::F32 => tensor(&[2, 6], [[0f32, 1.5, 1.0, 0.0, -1.0, 0.25]; 2].concat()),
        _ => numbers(dtype, &[2, 6], 42),
    };
    for function in [Equal, Greater, GreaterOrEqual, Less, LessOrEqual] {
        for dtype in NUMBERS {
            let args = vec![Given(small(dtype)), Given(other(dtype))];
            table.add(&of(dtype), Op::Compare(function), args);
        }
    }
    let bools = |seed| Given(numbers(DType::Bool, &[3, 4], seed));
    table.add("bool", Op::Compare(Equal), vec![bools(43), bools(44)]);
    for function in [Logic::And, Logic::Or, Logic::Xor] {
        table.add("", Op::Logic(function), vec![bools(45), bools(46)]);
    }
}

fn choose(table: &mut Table) {
    for dtype in [DType::F32, DType::U8, DType::I8, DType::I32, DType::I64, DType::Bool] {
        let condition = Given(numbers(DType::Bool, &[3, 1], 51));
        let (a, b) = (Given(numbers(dtype, &[1, 4], 52)), Stored(numbers(dtype, &[], 53)));
        table.add(&of(dtype), Op::Where, vec![condition, a, b]);
    }
}

fn casts(table: &mut Table) {
    let all = [DType::F32, DType::U8, DType::I8, DType::I32, DType::I64, DType::Bool];
    for from in all {
        let x = match from {
            DType::F32 => tensor(&[6], vec![0f32, -0.0, 1.9, 3.2, 100.7, 5.0]),
            DType::Bool => numbers(from, &[6], 61),
            DType::U8 => Tensor::vector(vec![0u8, 1, 2, 100, 127, 3]),
            DType::I8 => Tensor::vector(vec![0i8, 1, 2, 100, 127, 3]),
            DType::I32 => Tensor::vector(vec![0i32, 1, 2, 100, 127, 3]),
            DType::I64 => Tensor::vector(vec![0i64, 1, 2, 100, 127, 3]),
        };
        for to in all {
            table.one(&format!("{from} to {to}"), Op::Cast { to }, x.clone());
        }
    }
}
