use proptest::prelude::*;

use super::*;

fn candidates() -> Vec<Candidate> {
    let plan = |placement, own, bytes, server, rest| Candidate {
        placement,
        own_ns: own * MS,
        bytes,
        server_ns: server * MS,
        rest_ns: rest * MS,
    };
    vec![
        plan(Placement::Local, 100, 0, 0, 0),
        plan(Placement::Raw, 0, 150_000, 5, 100),
        plan(Placement::Split, 40, 4_000, 3, 62),
        plan(Placement::Picture, 2, 18_000, 6, 100),
    ]
}

/// A link of this rate in Mbit/s and round trip in ms, just measured.
fn link(rate: f64, rtt: Time) -> Link {
    let mut link = Link::default();
    for i in 0..20 {
        link.exchanged(i * MS, 0, rtt * MS);
        let bytes = 50_000;
        link.exchanged(i * MS, bytes, rtt * MS + (bytes as f64 * 8e3 / rate) as Time);
    }
    link
}

fn choose(policy: &mut Policy, link: Option<&Link>, left_ns: Time) -> (Placement, Choice) {
    let load = Load::default();
    let server = link.map(|link| (link, &load));
    let situation =
        Situation { now: 20 * MS, left_ns, wait_ns: 0, server, picture: Some(18_000), without: 0 };
    let choice = policy.choose(&situation);
    (policy.candidates()[choice.candidate].placement, choice)
}

#[test]
fn the_link_decides() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    for (rate, rtt, expected) in [
        (1000.0, 5, Placement::Raw),
        (20.0, 20, Placement::Picture),
        (1.0, 5, Placement::Split),
        (0.05, 5, Placement::Local),
        (1000.0, 200, Placement::Local),
    ] {
        let (placement, _) = choose(&mut policy, Some(&link(rate, rtt)), SECOND);
        assert_eq!(placement, expected, "{rate} Mbit/s, {rtt} ms");
    }
    assert_eq!(choose(&mut policy, None, SECOND).0, Placement::Local);
}

#[test]
fn an_uncertain_link_is_tried_where_that_costs_little() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    let mut slow = link(0.3, 5);
    assert_eq!(choose(&mut policy, Some(&slow), SECOND).0, Placement::Local);
    // Long ago it was fast, too.
    slow.exchanged(25 * MS, 50_000, 5 * MS + 20 * MS);
    let load = Load::default();
    let late = Situation {
        now: 60 * SECOND,
        left_ns: SECOND,
        wait_ns: 0,
        server: Some((&slow, &load)),
        picture: Some(18_000),
        without: 0,
    };
    let choice = policy.choose(&late);
    assert_ne!(policy.candidates()[choice.candidate].placement, Placement::Local);
}

#[test]
fn small_gains_do_not_pay_for_a_change() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    assert_eq!(choose(&mut policy, Some(&link(20.0, 20)), SECOND).0, Placement::Picture);
    (0..20).for_each(|_| {
        policy.inertia.chose(0);
        policy.inertia.took(10 * MS, 50 * MS);
        policy.inertia.chose(3);
        policy.inertia.took(10 * MS, 50 * MS);
    });
    assert!(policy.inertia.switch_ns() > 30 * MS);
    // The whole input would be some milliseconds faster.
    assert_eq!(choose(&mut policy, Some(&link(350.0, 20)), SECOND).0, Placement::Picture);
    assert_eq!(choose(&mut policy, None, SECOND).0, Placement::Local);
}

#[test]
fn a_file_is_judged_by_its_own_size_and_needs_no_decoding_here() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    let (link, load) = (link(2.0, 20), Load::default());
    let choose = |policy: &mut Policy, picture| {
        let server = Some((&link, &load));
        let left_ns = SECOND;
        let situation =
            Situation { now: 20 * MS, left_ns, wait_ns: 0, server, picture, without: 0 };
        let chosen = policy.choose(&situation).candidate;
        policy.candidates()[chosen].placement
    };
    // 18 kB take 72 ms and lose to the cut, 2 kB take 8.
    assert_eq!(choose(&mut policy, Some(18_000)), Placement::Split);
    assert_eq!(choose(&mut policy, Some(2_000)), Placement::Picture);
    // Where the device is slow to make the input, it does not win the time that a cut needs.
    policy.device.decoded(60 * MS);
    assert_eq!(choose(&mut policy, Some(18_000)), Placement::Picture);
    assert_eq!(choose(&mut policy, None), Placement::Split);
}

#[test]
fn the_reserve_waits_where_it_would_hardly_win() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    let link = link(20.0, 20);
    let reserve = |policy: &mut Policy| choose(policy, Some(&link), SECOND).1.reserve;
    assert_eq!(reserve(&mut policy), Reserve::Late);
    policy.ended(true);
    assert_eq!(reserve(&mut policy), Reserve::AtOnce);
    (0..40).for_each(|_| policy.ended(false));
    assert_eq!(reserve(&mut policy), Reserve::Late);
}

#[test]
fn a_fixed_plan_asks_nobody() {
    let mut policy = Policy::new(candidates(), Reserve::AtOnce).unwrap();
    policy.fix(3);
    for left_ns in [1, SECOND] {
        let (placement, choice) = choose(&mut policy, None, left_ns);
        assert_eq!((placement, choice.reserve), (Placement::Picture, Reserve::Never));
        assert_eq!(choice.reserve_ns, None);
    }
}

proptest! {
    /// Whatever is chosen, its reserve keeps every deadline that the device alone keeps.
    #[test]
    fn the_reserve_keeps_what_the_device_would(
        rate in 0.01f64..2000.0, rtt in 0u64..300, left in 1u64..600, wait in 0u64..100, late: bool,
    ) {
        let reserve = if late { Reserve::Late } else { Reserve::AtOnce };
        let mut policy = Policy::new(candidates(), reserve).unwrap();
        let (link, load) = (link(rate, rtt), Load::default());
        let situation = Situation {
            now: 20 * MS,
            left_ns: left * MS,
            wait_ns: wait * MS,
            server: Some((&link, &load)),
            picture: Some(18_000),
            without: 0,
        };
        let choice = policy.choose(&situation);
        let plan = policy.candidates()[choice.candidate];
        let local = (wait + 100) * MS;
        let answer = match choice.reserve_ns {
            Some(begin) => begin + plan.rest_ns,
            None => local,
        };
        if local + MS <= left * MS {
            prop_assert!(answer <= left * MS, "{choice:?}");
        }
    }
}
