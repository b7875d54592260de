//! One request: two ways to an answer, a deadline, and one answer.
//!
//! A state machine without I/O. The driver tells what happened and does what comes back; it calls
//! [`Request::wake`] for the time at which it must ask again if nothing happens. Whatever the order of
//! events, exactly one [`Step`] has an answer, and none later than the first event at or behind the
//! deadline.

use edgecut_collab::partition::Placement;

use crate::clock::Time;
use crate::policy::Reserve;

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// The device alone.
    Local,
    /// A head here, its tail on a server.
    Split,
    /// A server, which got the input or the picture.
    Cloud,
    /// Nowhere: the deadline passed, or every way failed.
    Late,
    /// The device alone, by a cascade's small model that was as sure as its certificate demands.
    Exit,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 5] = [Mark::Local, Mark::Split, Mark::Cloud, Mark::Late, Mark::Exit];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Local => "local",
            Mark::Split => "split",
            Mark::Cloud => "cloud",
            Mark::Late => "late",
            Mark::Exit => "exit",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time.
    Tick,
    /// The device's part is done and on its way.
    Sent,
    /// A server answered.
    Remote,
    /// No server will.
    RemoteFailed,
    /// The device answered.
    Local,
    /// The device answered, and is as sure as a cascade's certificate demands.
    Sure,
    /// The device will not.
    LocalFailed,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Begin the device's own answer.
    pub start_local: bool,
    /// Ask the server; of cascades, whose device answers first.
    pub start_remote: bool,
    /// Nobody waits for the server any more.
    pub cancel_remote: bool,
    /// Nobody waits for the device any more.
    pub cancel_local: bool,
    /// Answer, so marked.
    pub answer: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Idle,
    Running,
    /// The device's answer is there, and is kept for the case that no better one comes.
    Held,
    Failed,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    deadline: Time,
    placement: Placement,
    reserve: Reserve,
    /// When the reserve begins at the latest, or what is held is answered.
    reserve_at: Time,
    /// Whether the device's answer is held while a server may have a better one.
    holds: bool,
    remote: Way,
    local: Way,
    answered: bool,
}

impl Request {
    /// A request whose plan is of this kind, with what to do first. `reserve_at` is when the device's
    /// own answer is begun at the latest.
    pub fn new(
        deadline: Time,
        placement: Placement,
        reserve: Reserve,
        reserve_at: Time,
    ) -> (Request, Step) {
        let alone = placement == Placement::Local;
        let [remote, local] = match (alone, reserve) {
            (true, _) => [Way::Failed, Way::Running],
            (false, Reserve::Never) => [Way::Running, Way::Failed],
            (false, _) => [Way::Running, Way::Idle],
        };
        let (holds, answered) = (false, false);
        let request =
            Request { deadline, placement, reserve, reserve_at, holds, remote, local, answered };
        (request, Step { start_local: alone, ..Step::default() })
    }

    /// A request of a cascade: the device answers first, then a `server`, if there is one, where that was
    /// not sure; `at_once` asks the server in any case. The device's answer is held until `hold_until`.
    pub fn cascade(
        deadline: Time,
        hold_until: Time,
        server: bool,
        at_once: bool,
    ) -> (Request, Step) {
        let start_remote = server && at_once;
        let remote = match (server, at_once) {
            (false, _) => Way::Failed,
            (true, true) => Way::Running,
            (true, false) => Way::Idle,
        };
        let request = Request {
            deadline,
            placement: Placement::Raw,
            reserve: Reserve::default(),
            reserve_at: hold_until,
            holds: true,
            remote,
            local: Way::Running,
            answered: false,
        };
        (request, Step { start_local: true, start_remote, ..Step::default() })
    }

    /// When to come again with a [`Event::Tick`]; none when it is answered.
    pub fn wake(&self) -> Option<Time> {
        let waits = matches!(self.local, Way::Idle | Way::Held);
        let reserve = if waits { self.reserve_at } else { Time::MAX };
        (!self.answered).then(|| self.deadline.min(reserve))
    }

    /// When it must be answered.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether it has its answer.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// What `event` at `now` makes necessary.
    pub fn on(&mut self, now: Time, event: Event) -> Step {
        if self.answered {
            return Step::default();
        }
        if now >= self.deadline {
            // What comes now comes too late, even if the timer does so, too.
            return self.answer(Mark::Late);
        }
        match event {
            Event::Remote => {
                let split = self.placement == Placement::Split;
                return self.answer(if split { Mark::Split } else { Mark::Cloud });
            }
            Event::Sure => return self.answer(Mark::Exit),
            Event::Local if self.holds => self.local = Way::Held,
            Event::Local => return self.answer(Mark::Local),
            Event::RemoteFailed => self.remote = Way::Failed,
            Event::LocalFailed => self.local = Way::Failed,
            Event::Sent | Event::Tick => {}
        }
        if self.remote == Way::Failed && self.local == Way::Failed {
            return self.answer(Mark::Late);
        }
        if self.holds {
            return self.held(now);
        }
        let sent = event == Event::Sent && self.reserve == Reserve::AtOnce;
        let due = sent || now >= self.reserve_at || self.remote == Way::Failed;
        let start_local = self.local == Way::Idle && due;
        if start_local {
            self.local = Way::Running;
        }
        Step { start_local, ..Step::default() }
    }

    /// What to do about a cascade's request that has no answer yet.
    fn held(&mut self, now: Time) -> Step {
        let given = self.remote == Way::Failed || now >= self.reserve_at;
        if self.local == Way::Held && given {
            return self.answer(Mark::Local);
        }
        let wanted = matches!(self.local, Way::Held | Way::Failed);
        let start_remote = self.remote == Way::Idle && wanted;
        if start_remote {
            self.remote = Way::Running;
        }
        Step { start_remote, ..Step::default() }
    }

    fn answer(&mut self, mark: Mark) -> Step {
        self.answered = true;
        let remote = self.remote == Way::Running && !matches!(mark, Mark::Split | Mark::Cloud);
        let local = self.local == Way::Running && !matches!(mark, Mark::Local | Mark::Exit);
        let answer = Some(mark);
        Step { cancel_remote: remote, cancel_local: local, answer, ..Step::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 7] = [
        Event::Tick,
        Event::Sent,
        Event::Remote,
        Event::RemoteFailed,
        Event::Local,
        Event::LocalFailed,
        Event::Sure,
    ];

    #[test]
    fn a_dead_link_is_answered_by_the_device() {
        let (mut request, first) = Request::new(100, Placement::Split, Reserve::Late, 60);
        assert_eq!(first, Step::default());
        assert_eq!(request.on(10, Event::Sent), Step::default());
        assert_eq!(request.wake(), Some(60));
        assert!(request.on(60, Event::Tick).start_local);
        assert_eq!(request.wake(), Some(100));
        let end = request.on(95, Event::Local);
        assert_eq!((end.answer, end.cancel_remote), (Some(Mark::Local), true));
        assert_eq!(request.on(97, Event::Remote), Step::default(), "late answers are dropped");
        assert_eq!(request.wake(), None);
    }

    #[test]
    fn a_refusal_starts_the_reserve_at_once() {
        let (mut request, _) = Request::new(100, Placement::Raw, Reserve::Late, 60);
        assert!(request.on(5, Event::RemoteFailed).start_local);
        assert_eq!(request.on(40, Event::LocalFailed).answer, Some(Mark::Late));
    }

    #[test]
    fn an_idle_processor_computes_on() {
        let (mut request, _) = Request::new(100, Placement::Picture, Reserve::AtOnce, 60);
        assert!(request.on(5, Event::Sent).start_local);
        let end = request.on(30, Event::Remote);
        assert_eq!((end.answer, end.cancel_local), (Some(Mark::Cloud), true));
    }

    #[test]
    fn a_cascade_asks_where_the_device_is_not_sure() {
        let cascade = |server, at_once| Request::cascade(100, 90, server, at_once);
        let (mut sure, first) = cascade(true, false);
        assert!(first.start_local && !first.start_remote);
        assert_eq!(sure.on(5, Event::Sure).answer, Some(Mark::Exit));
        // Not sure: a server, whose answer is better whenever it comes.
        let (mut unsure, _) = cascade(true, false);
        assert!(unsure.on(5, Event::Local).start_remote);
        assert_eq!(unsure.wake(), Some(90));
        assert_eq!(unsure.on(60, Event::Remote).answer, Some(Mark::Cloud));
        // None comes, or it fails: what the device said.
        let (mut slow, _) = cascade(true, false);
        slow.on(5, Event::Local);
        let end = slow.on(91, Event::Tick);
        assert_eq!((end.answer, end.cancel_remote), (Some(Mark::Local), true));
        let (mut failed, _) = cascade(true, false);
        failed.on(5, Event::Local);
        assert_eq!(failed.on(9, Event::RemoteFailed).answer, Some(Mark::Local));
        // No server at all, and an alarm.
        assert_eq!(cascade(false, true).0.on(5, Event::Local).answer, Some(Mark::Local));
        let (mut alarmed, first) = cascade(true, true);
        assert!(first.start_local && first.start_remote);
        assert_eq!(alarmed.on(5, Event::Local), Step::default());
        assert_eq!(alarmed.on(60, Event::Remote).answer, Some(Mark::Cloud));
        // The device fails: a server may still answer.
        let (mut broken, _) = cascade(true, false);
        assert!(broken.on(5, Event::LocalFailed).start_remote);
    }

    proptest! {
        #[test]
        fn every_order_of_events_gives_a_cascade_one_answer(
            events in prop::collection::vec((0usize..7, 0u64..30), 0..20),
            server: bool, at_once: bool, hold_until in 0u64..120,
        ) {
            let (mut request, first) = Request::cascade(100, hold_until, server, at_once);
            let (mut now, mut answers, mut asked) = (0, 0, usize::from(first.start_remote));
            for (event, after) in events.into_iter().chain([(0, 100)]) {
                now += after;
                let step = request.on(now, EVENTS[event]);
                answers += usize::from(step.answer.is_some());
                asked += usize::from(step.start_remote);
                prop_assert!(!step.start_local);
            }
            prop_assert_eq!(answers, 1);
            prop_assert!(asked <= usize::from(server));
        }

        #[test]
        fn every_order_of_events_gives_one_answer(
            events in prop::collection::vec((0usize..6, 0u64..30), 0..20),
            local: bool, kind in 0usize..3, reserve_at in 0u64..120,
        ) {
            let placement = if local { Placement::Local } else { Placement::Split };
            let reserve = [Reserve::AtOnce, Reserve::Late, Reserve::Never][kind];
            let (mut request, first) = Request::new(100, placement, reserve, reserve_at);
            let (mut now, mut answers, mut starts) = (0, 0, usize::from(first.start_local));
            for (event, after) in events.into_iter().chain([(0, 100)]) {
                now += after;
                let open = request.wake();
                let step = request.on(now, EVENTS[event]);
                prop_assert!(open.is_some() || step == Step::default());
                if now >= 100 && open.is_some() {
                    prop_assert_eq!(step.answer, Some(Mark::Late));
                }
                answers += usize::from(step.answer.is_some());
                starts += usize::from(step.start_local);
            }
            prop_assert_eq!(answers, 1);
            prop_assert!(starts <= usize::from(local || reserve != Reserve::Never));
        }
    }
}
