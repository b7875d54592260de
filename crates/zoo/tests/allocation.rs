//! `Session::run` allocates nothing, on every architecture, on one thread and on two.

use std::sync::Arc;

use edgecut_kernels::Pool;
use edgecut_kernels::counting::CountingAllocator;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_zoo::{Options, list};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[test]
fn no_network_allocates_in_a_run() {
    let pools = [1, 2].map(|threads| Arc::new(Pool::new(threads)));
    for architecture in list() {
        let graph = architecture.build(&Options::default()).unwrap();
        let plan = Arc::new(compile(&graph, &CompileOptions::default()).unwrap());
        for pool in &pools {
            let mut session = Session::new(Arc::clone(&plan), Arc::clone(pool));
            session.run().unwrap();
            // The harness's own thread allocates once in a while: an allocation of a run would
            // show in every round.
            let round = || {
                let before = ALLOCATOR.count();
                session.run().unwrap();
                ALLOCATOR.count() - before
            };
            let count = std::iter::repeat_with(round).take(3).min().unwrap();
            assert_eq!(count, 0, "{} on {} threads", architecture.name, pool.threads());
        }
    }
}
