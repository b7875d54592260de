//! JPEG: the pixels of Pillow, which are libjpeg-turbo's; damaged files.

use crate::oracle::python;
use edgecut_train::data::Image;

/// Every kind of file that cameras and data sets have: sampling of colours, sizes that are no whole
/// blocks, progressive scans, restarts, tables of the picture's own, grey.
const FILES: &str = "
import io, itertools
from PIL import Image as I
import random
random.seed(3)
base = I.frombytes('RGB', (40, 30), bytes(random.randrange(256) for _ in range(3600))).resize((97, 83), I.BICUBIC)
sizes = [(97, 83), (64, 48), (1, 1), (2, 9), (3, 2), (16, 16), (17, 33), (31, 1)]
options = [dict(), dict(optimize=True), dict(restart_marker_blocks=3), dict(progressive=True), dict(progressive=True, restart_marker_rows=1)]
n = 0
for size, sampling, quality, extra, mode in itertools.product(sizes, (0, 1, 2), (30, 92), options, 'RL'):
    if mode == 'L' and sampling:
        continue
    picture = base.resize(size).convert('RGB' if mode == 'R' else 'L')
    more = dict(subsampling=sampling) if mode == 'R' else {}
    picture.save(f'{n}.jpg', quality=quality, **extra, **more)
    open(f'{n}.raw', 'wb').write(I.open(f'{n}.jpg').tobytes())
    n += 1
";

#[test]
fn pixels_are_pillows_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    if python(dir.path(), "PIL", FILES).is_none() {
        return;
    }
    let mut count = 0;
    for n in 0.. {
        let path = dir.path().join(format!("{n}.jpg"));
        let Ok(expected) = std::fs::read(dir.path().join(format!("{n}.raw"))) else { break };
        let image = Image::open(&path).unwrap();
        assert!(
            image.pixels == expected,
            "{}: {}x{}x{}",
            path.display(),
            image.h,
            image.w,
            image.c
        );
        count += 1;
    }
    assert!(count > 300, "{count} files");
}

#[test]
fn damaged_files_end_soon_and_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.jpg");
    let mut file = std::io::Cursor::new(vec![]);
    let noise = crate::files::noise(40 * 50 * 3, 7);
    let picture = image::RgbImage::from_raw(50, 40, noise).unwrap();
    picture.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();
    let good = file.into_inner();
    let mut rng = edgecut_graph::rng::Rng::new(9);
    for case in 0..600 {
        let mut bytes = good.clone();
        if case % 3 == 0 {
            bytes.truncate(rng.below(good.len()));
        }
        for _ in 0..rng.below(6) {
            // Half of the damage meets the tables in front.
            let at = if case % 2 == 0 { rng.below(650) } else { rng.below(good.len()) };
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.next_u64() as u8;
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let began = std::time::Instant::now();
        let _ = Image::open(&path);
        assert!(began.elapsed().as_secs() < 5, "case {case}");
    }
}
