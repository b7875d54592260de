//! A pool without work uses no processor time. Alone in its process, because it measures that of all
//! threads.
#![cfg(target_os = "linux")]

use std::time::Duration;

use edgecut_kernels::Pool;

/// Nanoseconds that the threads of this process have run.
fn processor_time() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let time = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.filter_map(Result::ok).map(|task| time(task.path())).sum()
}

#[test]
fn an_idle_pool_uses_no_processor_time() {
    let pool = Pool::new(4);
    for _ in 0..100 {
        pool.for_each(16, &|_| {
            std::hint::black_box((0..1000).sum::<u64>());
        });
    }
    // Let the threads stop polling.
    std::thread::sleep(Duration::from_millis(50));
    let before = processor_time();
    assert!(before > 0, "the system counts processor time");
    std::thread::sleep(Duration::from_millis(200));
    let used = processor_time() - before;
    assert!(used < 2_000_000, "{used} ns of processor time in 200 ms without work");
}
