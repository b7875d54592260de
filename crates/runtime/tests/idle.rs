//! A session that does nothing uses no processor time. Alone in its file: the time is that of the
//! whole process.

use std::sync::Arc;
use std::time::Duration;

use edgecut_graph::{Builder, Window};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

/// Clock ticks (10 ms) that this process has spent, in user and kernel mode.
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[test]
fn nothing_spins_after_a_run() {
    if ticks().is_none() {
        println!("skipped: needs /proc/self/stat");
        return;
    }
    let mut b = Builder::new("net", 1);
    let x = b.input("x", [1.into(), 3.into(), 32.into(), 32.into()]);
    let x = b.conv(x, "conv", 32, Window::same(3, 1), 1, true).unwrap();
    let plan = Arc::new(compile(&b.finish(&[x]).unwrap(), &CompileOptions::default()).unwrap());
    let mut session = Session::new(plan, Arc::new(Pool::new(3)));
    (0..20).for_each(|_| session.run().unwrap());
    // Threads that poll before they sleep have slept by then.
    std::thread::sleep(Duration::from_millis(50));
    let before = ticks();
    std::thread::sleep(Duration::from_millis(1000));
    let spent = ticks().zip(before).map(|(after, before)| after - before);
    assert!(spent.is_some_and(|ticks| ticks <= 1), "{spent:?} ticks of 10 ms in a second");
}
