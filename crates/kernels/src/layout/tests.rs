use super::*;
use crate::Pool;
use crate::testing::{cases, everywhere};
use proptest::prelude::*;

fn count_up(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32).collect()
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn layouts_are_inverse(n in 1usize..4, c in 1usize..70, pixels in 1usize..400) {
        let x = count_up(n * c * pixels);
        let nhwc = everywhere(|ctx| {
            let mut out = vec![0.0; x.len()];
            nchw_to_nhwc(ctx, c, pixels, &x, &mut out);
            let mut back = vec![0.0; x.len()];
            nhwc_to_nchw(ctx, c, pixels, &out, &mut back);
            assert_eq!(back, x);
            out
        });
        for (i, &value) in nhwc.iter().enumerate() {
            let (image, pixel, channel) = (i / (c * pixels), i / c % pixels, i % c);
            prop_assert_eq!(value, x[(image * c + channel) * pixels + pixel]);
        }
    }

    #[test]
    fn shuffles_swap_groups_and_members(
        (groups, members) in (1usize..6, 1usize..40),
        pixels in 1usize..700,
    ) {
        let channels = groups * members;
        let x = count_up(pixels * channels);
        let out = everywhere(|ctx| {
            let mut out = vec![0.0; x.len()];
            channel_shuffle(ctx, groups, channels, &x, &mut out);
            out
        });
        for (i, &value) in out.iter().enumerate() {
            let (pixel, c) = (i / channels, i % channels);
            prop_assert_eq!(value, x[pixel * channels + c % groups * members + c / groups]);
        }
    }

    #[test]
    fn transposition_agrees_with_indices(
        (shape, perm) in prop::collection::vec(1usize..6, 0..5).prop_flat_map(|shape| {
            let axes: Vec<usize> = (0..shape.len()).collect();
            (Just(shape), Just(axes).prop_shuffle())
        }),
    ) {
        let len = shape.iter().product();
        let x = count_up(len);
        let out = everywhere(|ctx| {
            let mut out = vec![0.0; len];
            transpose(ctx, &shape, &perm, &x, &mut out);
            out
        });
        for (i, &value) in out.iter().enumerate() {
            let (mut index, mut place) = (i, vec![0; shape.len()]);
            for &axis in perm.iter().rev() {
                place[axis] = index % shape[axis];
                index /= shape[axis];
            }
            let from = place.iter().zip(&shape).fold(0, |sum, (i, n)| sum * n + i);
            prop_assert_eq!(value, x[from]);
        }
    }
}

#[test]
fn rows_land_in_their_channels() {
    let pool = Pool::new(2);
    let ctx = Ctx::new(&pool);
    let (a, b) = ([1u8, 2, 3, 4], [5u8, 6, 7, 8, 9, 10]);
    let mut out = [0u8; 10];
    copy_rows(ctx, 2, 2, &a, 2, &mut out, 5);
    copy_rows(ctx, 2, 3, &b, 3, &mut out[2..], 5);
    assert_eq!(out, [1, 2, 5, 6, 7, 3, 4, 8, 9, 10]);
    let mut part = [0u8; 4];
    copy_rows(ctx, 2, 2, &out[1..], 5, &mut part, 2);
    assert_eq!(part, [2, 5, 4, 8]);
}
