//! Prints what a loop costs that does nothing but meet all threads: `cargo run --release -p
//! edgecut-kernels --example pool_speed`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use edgecut_kernels::Pool;

fn main() {
    const LOOPS: usize = 200;
    for threads in [1, 2] {
        let pool = Pool::new(threads);
        let mut best = f64::INFINITY;
        for _ in 0..200 {
            let arrived = AtomicUsize::new(0);
            let start = Instant::now();
            for round in 1..=LOOPS {
                pool.for_each(threads, &|_| {
                    arrived.fetch_add(1, Relaxed);
                    while arrived.load(Relaxed) < round * threads {
                        std::hint::spin_loop();
                    }
                });
            }
            best = best.min(start.elapsed().as_secs_f64() / LOOPS as f64);
        }
        println!("{threads} threads: {:.0} ns per loop", best * 1e9);
    }
}
