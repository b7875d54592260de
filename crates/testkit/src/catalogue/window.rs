//! Convolutions and pooling.

use edgecut_graph::{Conv, ConvTranspose, DType, Op, Pool, Window};

use super::numbers::{normal, numbers};
use super::{Given, Stored, Table};

/// Every number different.
fn uneven() -> Window {
    Window { kernel: [3, 2], strides: [2, 1], dilations: [1, 1], pads: [1, 0, 2, 1] }
}

fn dilated() -> Window {
    Window { dilations: [2, 1], ..uneven() }
}

pub(super) fn add(table: &mut Table) {
    convolutions(table);
    transposed(table);
    let image = normal(&[2, 4, 9, 7], 1);
    let pool = |window, ceil_mode, count_include_pad| Pool { window, ceil_mode, count_include_pad };
    for ceil in [false, true] {
        let what = if ceil { "ceil" } else { "floor" };
        table.one(what, Op::MaxPool(pool(uneven(), ceil, false)), image.clone());
        let dilated = pool(dilated(), ceil, false);
        table.one(&format!("dilated {what}"), Op::MaxPool(dilated), image.clone());
        table.one(&format!("dilated {what}"), Op::AveragePool(dilated), image.clone());
        for count in [false, true] {
            let what = format!("{what} {}", if count { "pads count" } else { "pads do not count" });
            table.one(&what, Op::AveragePool(pool(uneven(), ceil, count)), image.clone());
        }
        let lp = |window, p| Op::LpPool { pool: pool(window, ceil, false), p };
        table.one(&format!("1 {what}"), lp(uneven(), 1), image.clone());
        table.one(&format!("2 {what}"), lp(uneven(), 2), image.clone());
        table.one(&format!("dilated {what}"), lp(self::dilated(), 3), image.clone());
    }
    for dtype in [DType::U8, DType::I8] {
        let x = numbers(dtype, &[1, 2, 6, 6], 3);
        table.one(&super::of(dtype), Op::MaxPool(pool(uneven(), false, false)), x);
    }
    table.one("", Op::GlobalAveragePool, image);
}

fn convolutions(table: &mut Table) {
    let image = normal(&[2, 4, 9, 7], 2);
    let mut conv = |what: &str, window: Window, groups, weight: &[usize], bias: bool| {
        let mut args = vec![Given(image.clone()), Stored(normal(weight, 3))];
        if bias {
            args.push(Stored(normal(&weight[..1], 4)));
        }
        table.add(what, Op::Conv(Conv { window, groups }), args);
    };
    conv("", uneven(), 1, &[5, 4, 3, 2], true);
    conv("without bias", uneven(), 1, &[5, 4, 3, 2], false);
    conv("dilated", dilated(), 1, &[5, 4, 3, 2], true);
    conv("grouped", uneven(), 2, &[6, 2, 3, 2], true);
    conv("depthwise", Window::same(3, 1), 4, &[4, 1, 3, 3], true);
    conv("depthwise doubled", Window::same(3, 2), 4, &[8, 1, 3, 3], false);
    conv("pointwise", Window::new([1, 1], [1, 1]), 1, &[7, 4, 1, 1], true);
    let weight = normal(&[3, 4, 3, 2], 5);
    let op = Op::Conv(Conv { window: uneven(), groups: 1 });
    table.add("computed weight", op, vec![Given(image), Given(weight)]);
}

fn transposed(table: &mut Table) {
    let image = normal(&[2, 4, 5, 6], 6);
    let mut add = |what: &str, window, groups, output_padding, weight: &[usize], bias: bool| {
        let mut args = vec![Given(image.clone()), Stored(normal(weight, 7))];
        if bias {
            args.push(Stored(normal(&[weight[1] * groups], 8)));
        }
        table.add(what, Op::ConvTranspose(ConvTranspose { window, groups, output_padding }), args);
    };
    let plain = Window { pads: [1, 0, 0, 1], ..uneven() };
    add("", plain, 1, [0, 0], &[4, 3, 3, 2], true);
    add("without bias", plain, 1, [0, 0], &[4, 3, 3, 2], false);
    add("output padding", plain, 1, [1, 0], &[4, 3, 3, 2], true);
    add("grouped", plain, 2, [0, 0], &[4, 3, 3, 2], true);
    add("dilated", Window { dilations: [2, 3], ..plain }, 1, [0, 0], &[4, 3, 3, 2], false);
    let twice = Window { pads: [1, 1, 1, 1], ..Window::new([4, 4], [2, 2]) };
    add("depthwise upsampling", twice, 4, [0, 0], &[4, 1, 4, 4], false);
}
