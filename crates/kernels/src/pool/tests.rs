use super::*;

fn counts(pool: &Pool, tasks: usize) -> Vec<u32> {
    let counts: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
    pool.for_each(tasks, &|i| {
        counts[i].fetch_add(1, Relaxed);
    });
    counts.into_iter().map(AtomicU32::into_inner).collect()
}

#[test]
fn every_task_runs_once() {
    for threads in 1..5 {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads);
        for round in 0..500 {
            let tasks = round % 17;
            assert_eq!(counts(&pool, tasks), vec![1; tasks]);
        }
    }
}

#[test]
fn loops_from_several_threads_are_served_one_by_one() {
    let pool = Pool::new(3);
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    pool.for_each_worker(8, &|worker, _| {
                        assert!(worker < 3);
                        assert!(inside.fetch_add(1, Relaxed) < 3);
                        inside.fetch_sub(1, Relaxed);
                    });
                }
            });
        }
    });
}

#[test]
fn a_loop_inside_a_task_runs_inline() {
    let pool = Pool::new(2);
    let total = AtomicU32::new(0);
    pool.for_each(6, &|_| {
        pool.for_each(5, &|_| {
            total.fetch_add(1, Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 30);
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    for threads in 1..4 {
        let pool = Pool::new(threads);
        for bad in [0, 7, 63] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.for_each(64, &|i| assert_ne!(i, bad, "task {i} fails"));
            }));
            let payload = outcome.expect_err("the panic is passed on");
            let text = payload.downcast_ref::<String>().expect("assert_ne gives a String");
            assert!(text.contains("fails"), "{text}");
            assert_eq!(counts(&pool, 9), vec![1; 9]);
        }
    }
}

#[test]
fn sleeping_workers_wake_up_again() {
    let pool = Pool::new(3);
    for _ in 0..5 {
        assert_eq!(counts(&pool, 40), vec![1; 40]);
        std::thread::sleep(SPIN * 20);
    }
}

#[test]
fn chunks_are_disjoint_and_complete() {
    let pool = Pool::new(3);
    for len in [0, 1, 5, 64, 97] {
        let mut data = vec![0usize; len];
        pool.for_each_chunk_mut(&mut data, 10, |i, chunk| {
            for (k, x) in chunk.iter_mut().enumerate() {
                *x += 10 * i + k + 1;
            }
        });
        assert_eq!(data, (1..=len).collect::<Vec<_>>());

        let mut pairs = vec![0usize; 2 * len];
        pool.for_each_chunk2_mut(&mut data, 10, &mut pairs, 20, |_, a, b| {
            for (x, pair) in a.iter().zip(b.chunks_mut(2)) {
                pair.fill(*x);
            }
        });
        assert!(pairs.chunks(2).zip(&data).all(|(pair, x)| pair == [*x, *x]));
    }
}

#[test]
fn threads_that_are_there_take_their_own_share() {
    let pool = Pool::new(3);
    let arrived = AtomicU32::new(0);
    for tasks in [3, 6, 7] {
        // Every thread waits for the others in its first task, so that none comes late.
        arrived.store(0, Relaxed);
        let owners: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(9)).collect();
        pool.for_each_worker(tasks, &|worker, task| {
            if task == pool.shared.share(worker, tasks).start {
                arrived.fetch_add(1, Relaxed);
                let begin = Instant::now();
                while arrived.load(Relaxed) < 3 && begin.elapsed() < Duration::from_secs(5) {
                    std::thread::yield_now();
                }
            }
            owners[task].store(worker as u32, Relaxed);
        });
        for worker in 0..3 {
            let first = pool.shared.share(worker, tasks).start;
            assert_eq!(owners[first].load(Relaxed), worker as u32);
        }
    }
}

#[test]
fn shares_are_disjoint_and_complete() {
    for threads in 1..6 {
        let pool = Pool::new(threads);
        for tasks in [0, 1, 2, 5, 64, usize::MAX / 2] {
            let mut end = 0;
            for worker in 0..threads {
                let share = pool.shared.share(worker, tasks);
                assert_eq!(share.start, end);
                end = share.end;
            }
            assert_eq!(end, tasks);
        }
    }
}
