//! One request from its arrival to its answer: does what [`Request`] says, and tells it what happened.

mod cascade;

use std::sync::Arc;
use std::time::Duration;

use edgecut_collab::partition::Placement;
use edgecut_graph::Tensor;
use edgecut_oip::{Datatype, WireTensor};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::clock::Time;
use crate::edge::{Answer, Edge, Question};
use crate::engine::{Content, Made, Port, Ticket, Warm, timed};
use crate::picture::Inputs;
use crate::policy::{Candidate, Choice, Situation};
use crate::remote::{Ask, Refusal, Reply};
use crate::request::{Event, Mark, Request, Step};
use crate::{Result, samples};

/// What the engine or a server reports. Times in nanoseconds.
enum Report {
    /// The head's results, or none where only the input was made.
    Head(Result<Option<Arc<Made>>>, Time),
    Local(Result<Vec<Tensor>>, Time),
    Remote(std::result::Result<Reply, Refusal>),
}

/// A request under way.
struct Drive {
    edge: Arc<Edge>,
    question: Question,
    inputs: Arc<Inputs>,
    arrived: Instant,
    left_ns: Time,
    choice: Choice,
    plan: Candidate,
    /// The server that was chosen.
    server: Option<usize>,
    reports: UnboundedSender<Report>,
    made: Option<Arc<Made>>,
    /// The device's own answer is wanted, and waits for the head.
    wants_local: bool,
    local: Option<Ticket>,
    call: Option<Call>,
    outputs: Vec<Tensor>,
    problem: String,
    /// A server refused the picture, and it is not known yet whose fault that is.
    refused: bool,
}

/// A call of a server.
struct Call {
    abort: AbortHandle,
    began: Instant,
    bytes: u64,
}

/// Answers `question`.
pub(crate) async fn request(edge: Arc<Edge>, mut question: Question, arrived: Instant) {
    let left = question.left.unwrap_or(edge.settings.deadline);
    let left_ns = left.as_nanos().min(u128::from(Time::MAX)) as Time;
    let picture = question.picture.as_ref().map(|picture| picture.file.len() as u64);
    let (choice, server, plan) = choose(&edge, left_ns, arrived, picture);
    let (reports, mut inbox) = mpsc::unbounded_channel();
    let reserve_at = choice.reserve_ns.unwrap_or(0);
    let (mut request, step) = match &edge.cascade {
        Some(cascade) => {
            let hold_until = cascade.hold_until(left_ns);
            Request::cascade(left_ns, hold_until, server.is_some(), cascade.is_alarmed())
        }
        None => Request::new(left_ns, plan.placement, choice.reserve, reserve_at),
    };
    let cascaded = edge.cascade.is_some();
    let given = std::mem::take(&mut question.inputs);
    let inputs = Arc::new(Inputs::new(given, question.picture.clone()));
    let mut drive = Drive {
        edge,
        question,
        inputs,
        arrived,
        left_ns,
        choice,
        plan,
        server,
        reports,
        made: None,
        wants_local: false,
        local: None,
        call: None,
        outputs: vec![],
        problem: "the deadline passed".into(),
        refused: false,
    };
    drive.step(step);
    match plan.placement {
        _ if cascaded => {}
        Placement::Local => {}
        Placement::Split => drive.head(),
        Placement::Raw if !drive.inputs.are_made() => drive.make_input(),
        Placement::Raw | Placement::Picture => {
            drive.send();
            let step = request.on(drive.elapsed(), Event::Sent);
            drive.step(step);
        }
    }
    while let Some(wake) = request.wake() {
        let at = arrived + Duration::from_nanos(wake);
        let report = tokio::select! {
            biased;
            report = inbox.recv() => report,
            () = sleep_until(at) => None,
        };
        let event = report.map_or(Event::Tick, |report| drive.learn(report));
        let step = request.on(drive.elapsed(), event);
        drive.step(step);
    }
}

/// The plan and the server of a request.
fn choose(
    edge: &Edge,
    left_ns: Time,
    arrived: Instant,
    picture: Option<u64>,
) -> (Choice, Option<usize>, Candidate) {
    if let Some(cascade) = &edge.cascade {
        return cascade::escalation(edge, cascade, picture.is_some());
    }
    let planned_ns = edge.engine.backlog_ns();
    let (now, mut state) = edge.state();
    let wait_ns = state.policy.device.expected_ns(planned_ns);
    // What is measured alone has nobody who leaves a server alone for it.
    let fixed = state.policy.is_fixed() && !state.servers.is_empty();
    let server = if fixed { Some(0) } else { state.servers.pick(now) };
    let without = server.map_or(0, |server| state.without(now, server));
    let spent = arrived.elapsed().as_nanos() as Time;
    let state = &mut *state;
    let known = server.map(|server| state.servers.get(server));
    let situation = Situation {
        now,
        left_ns: left_ns.saturating_sub(spent),
        wait_ns,
        server: known.map(|server| (&server.link, &server.load)),
        picture,
        without,
    };
    let choice = state.policy.choose(&situation);
    (choice, server, state.policy.candidates()[choice.candidate])
}

impl Drive {
    fn elapsed(&self) -> Time {
        self.arrived.elapsed().as_nanos() as Time
    }

    fn step(&mut self, step: Step) {
        if step.start_local {
            self.start_local();
        }
        if step.start_remote {
            match self.plan.placement {
                Placement::Raw if !self.inputs.are_made() => self.make_input(),
                _ => self.send(),
            }
        }
        if step.cancel_local
            && let Some(ticket) = &self.local
        {
            ticket.cancel();
        }
        if step.cancel_remote {
            self.give_up();
        }
        if let Some(mark) = step.answer {
            if self.choice.reserve_ns.is_some() {
                self.edge.state().1.policy.ended(matches!(mark, Mark::Local | Mark::Late));
            }
            let late = mark == Mark::Late;
            // What came behind the deadline is no answer.
            let outputs = if late { vec![] } else { std::mem::take(&mut self.outputs) };
            let problem = late.then(|| self.problem.clone());
            let elapsed = self.arrived.elapsed();
            let invalid = late && self.inputs.are_broken();
            let answer = Answer { mark, outputs, elapsed, problem, invalid };
            let hard = self.edge.settings.store.as_ref().filter(|keep| match mark {
                Mark::Late => true,
                Mark::Local => samples::confidence(&answer.outputs) < keep.confidence,
                Mark::Split | Mark::Cloud | Mark::Exit => false,
            });
            if hard.is_some() {
                samples::keep(&self.edge, &self.question, &self.inputs);
            }
            if let Some(cascade) = &self.edge.cascade {
                self.audit(cascade, mark, &answer.outputs);
            }
            self.edge.answer(&self.question.id, answer);
        }
    }

    /// Lets the engine do `work` for this request.
    fn submit(
        &self,
        planned_ns: Time,
        work: impl FnOnce(&mut Warm) -> Report + Send + 'static,
    ) -> Ticket {
        let reports = self.reports.clone();
        let (now, due) = (self.elapsed(), self.left_ns);
        let due = self.edge.engine_time().saturating_add(due.saturating_sub(now));
        self.edge.engine.submit(due, planned_ns, move |warm| {
            // Where nobody listens any more the request is answered.
            let _ = reports.send(work(warm));
        })
    }

    fn head(&mut self) {
        let (index, inputs) = (self.choice.candidate, Arc::clone(&self.inputs));
        self.submit(self.plan.own_ns, move |warm| {
            let given = inputs.get();
            let (made, taken) = timed(|| given.and_then(|given| warm.head(index, given)));
            Report::Head(made.map(|made| Some(Arc::new(made))), taken)
        });
    }

    /// Makes the input, for a server that takes no pictures.
    fn make_input(&self) {
        let inputs = Arc::clone(&self.inputs);
        self.submit(0, move |_| Report::Head(inputs.get().map(|_| None), 0));
    }

    fn start_local(&mut self) {
        let inputs = Arc::clone(&self.inputs);
        let index = self.choice.candidate;
        let split = self.plan.placement == Placement::Split;
        self.local = match (split, self.made.clone()) {
            (true, None) => {
                self.wants_local = true;
                return;
            }
            (true, Some(made)) => Some(self.submit(self.plan.rest_ns, move |warm| {
                let given = inputs.get();
                let rest = |given: &[Tensor]| warm.rest(index, given, &made);
                let (outputs, taken) = timed(|| given.and_then(rest));
                Report::Local(outputs, taken)
            })),
            (false, _) => Some(self.submit(self.plan.own_ns + self.plan.rest_ns, move |warm| {
                let given = inputs.get();
                let (outputs, taken) = timed(|| given.and_then(|given| warm.whole(given)));
                Report::Local(outputs, taken)
            })),
        };
    }

    /// What a report means.
    fn learn(&mut self, report: Report) -> Event {
        if let Some(taken) = self.inputs.taken() {
            self.edge.state().1.policy.device.decoded(taken);
        }
        match report {
            Report::Head(Ok(made), taken) => {
                if made.is_some() {
                    self.worked(self.plan.own_ns, taken);
                }
                self.made = made;
                self.send();
                if std::mem::take(&mut self.wants_local) {
                    self.start_local();
                }
                Event::Sent
            }
            Report::Head(Err(error), _) => {
                // Without a head there is neither way, but the whole model may still do.
                self.problem = error.to_string();
                self.plan.placement = Placement::Raw;
                if std::mem::take(&mut self.wants_local) {
                    self.start_local();
                }
                Event::RemoteFailed
            }
            Report::Local(Ok(outputs), taken) => {
                let whole = self.plan.placement != Placement::Split;
                let own = if whole { self.plan.own_ns } else { 0 };
                self.worked(own + self.plan.rest_ns, taken);
                if let (true, Some(server)) = (std::mem::take(&mut self.refused), self.server) {
                    // The picture is one.
                    let problem = std::mem::take(&mut self.problem);
                    self.skewed(server, problem);
                }
                if let Some(cascade) = self.edge.cascade.clone() {
                    return self.heard(&cascade, outputs);
                }
                self.outputs = outputs;
                Event::Local
            }
            Report::Local(Err(error), _) => {
                self.problem = error.to_string();
                Event::LocalFailed
            }
            Report::Remote(reply) => self.replied(reply),
        }
    }

    fn worked(&self, planned_ns: Time, taken_ns: Time) {
        let (_, mut state) = self.edge.state();
        let expected = state.policy.device.expected_ns(planned_ns);
        state.policy.inertia.took(expected, taken_ns);
        state.policy.device.worked(planned_ns, taken_ns);
    }

    /// Sends what the plan sends, on a task of its own.
    fn send(&mut self) {
        let Some(server) = self.server else { return };
        let plan = &self.edge.plans.plans[self.choice.candidate];
        let inputs: Option<Vec<WireTensor>> = match &self.made {
            Some(made) => made.sent.iter().map(|sent| self.wire(sent)).collect(),
            None => self.whole_input(),
        };
        let Some(inputs) = inputs else {
            let _ = self.reports.send(Report::Remote(Err(Refusal::Other("too large".into()))));
            return;
        };
        let bytes = inputs.iter().map(|tensor| tensor.raw().len() as u64).sum();
        let left = Duration::from_nanos(self.left_ns).saturating_sub(self.arrived.elapsed());
        let ask = Ask {
            model: self.edge.plans.model(plan),
            id: self.question.id.clone(),
            inputs,
            digest: plan.digest.clone(),
            left,
            trace: self.question.trace,
        };
        let (remote, reports) = (self.edge.remotes[server].clone(), self.reports.clone());
        let task = tokio::spawn(async move {
            let _ = reports.send(Report::Remote(remote.infer(ask).await));
        });
        self.edge.metrics.sent.add();
        self.edge.state().1.servers.begun(server);
        self.call = Some(Call { abort: task.abort_handle(), began: Instant::now(), bytes });
    }

    /// The model's inputs on the wire: the picture where that is the plan, else as they are.
    fn whole_input(&self) -> Option<Vec<WireTensor>> {
        let ports = self.edge.inputs();
        match (&self.question.picture, self.plan.placement) {
            (Some(picture), Placement::Picture) => {
                let (name, file) = (&ports.first()?.name, &picture.file);
                Some(vec![WireTensor::from_elements(name, vec![1], &[file]).ok()?])
            }
            _ => {
                let pairs = ports.iter().zip(self.inputs.get().ok()?);
                Some(pairs.map(|(port, t)| WireTensor::from_tensor(&port.name, t)).collect())
            }
        }
    }

    /// A tensor on the wire, cut off where only that keeps the deadline.
    fn wire(&self, sent: &crate::engine::Sent) -> Option<WireTensor> {
        match &sent.content {
            Content::Plain(tensor) => Some(WireTensor::from_tensor(&sent.port.name, tensor)),
            Content::Coded(stream, ends) => {
                let kept = self.fits(stream.len(), ends);
                if kept < stream.len() {
                    self.edge.metrics.truncated.add();
                }
                let bytes = stream[..kept].to_vec();
                WireTensor::new(&sent.port.name, Datatype::Uint8, vec![1, kept], bytes).ok()
            }
        }
    }

    /// How much of a stream of `len` bytes is sent. All of it, unless neither it nor the device's own
    /// answer would be in time: then what the link can carry until then.
    fn fits(&self, len: usize, ends: &[usize]) -> usize {
        let Some(server) = self.server else { return len };
        let (now, state) = self.edge.state();
        let left = self.left_ns.saturating_sub(self.elapsed());
        if state.policy.device.expected_ns(self.plan.rest_ns) <= left {
            return len;
        }
        let server = state.servers.get(server);
        let fixed = server.link.rtt_or(0)
            + server.load.queue_ns(now)
            + server.load.loaded_ns(self.plan.server_ns);
        let seconds = left.saturating_sub(fixed) as f64 / 1e9;
        let most = (server.link.rate(now).at(-1.0) * seconds / 8.0) as usize;
        let first = ends.first().copied().unwrap_or(len);
        ends.iter().copied().rfind(|end| *end <= most).unwrap_or(first).min(len)
    }

    /// Ends the call: nobody waits for it.
    fn give_up(&mut self) {
        let (Some(call), Some(server)) = (self.call.take(), self.server) else { return };
        call.abort.abort();
        let late = self.elapsed() >= self.left_ns;
        let waited = call.began.elapsed().as_nanos() as Time;
        let (now, mut state) = self.edge.state();
        state.servers.ended(server);
        let known = state.servers.get_mut(server);
        let service = known.load.loaded_ns(self.plan.server_ns) + known.load.queue_ns(now);
        known.link.given_up(now, call.bytes, waited.saturating_sub(service));
        if late {
            known.breaker.failed(now);
            self.edge.metrics.failed.add();
        }
    }

    /// A server's answer, or why there is none.
    fn replied(&mut self, reply: std::result::Result<Reply, Refusal>) -> Event {
        let (Some(call), Some(server)) = (self.call.take(), self.server) else {
            return Event::RemoteFailed;
        };
        let elapsed = call.began.elapsed().as_nanos() as Time;
        let plan = &self.edge.plans.plans[self.choice.candidate];
        let (now, mut state) = self.edge.state();
        state.servers.ended(server);
        let reply = match reply {
            Ok(reply) => reply,
            Err(Refusal::Unreachable(problem) | Refusal::Failed(problem)) => {
                state.servers.get_mut(server).breaker.failed(now);
                self.edge.metrics.failed.add();
                self.problem = problem;
                return Event::RemoteFailed;
            }
            Err(Refusal::Invalid(problem)) if !self.inputs.are_made() => {
                self.refused = true;
                self.problem = problem;
                return Event::RemoteFailed;
            }
            Err(Refusal::Other(problem) | Refusal::Invalid(problem)) => {
                drop(state);
                return self.skewed(server, problem);
            }
        };
        let known = state.servers.get_mut(server);
        let planned = self.plan.server_ns;
        let expected = known.load.loaded_ns(planned);
        let queue = reply.queue_ns.unwrap_or(0).min(elapsed);
        let service = reply.service_ns.unwrap_or(expected).min(elapsed - queue);
        known.link.exchanged(now, call.bytes, elapsed - queue - service);
        known.load.reported(now, queue, service, planned);
        let rate = known.link.rate(now).at(0.0);
        let healthy = known.link.rtt_or(0) + planned + (call.bytes as f64 * 8e9 / rate) as Time;
        state.servers.answered(now, server, elapsed, healthy);
        drop(state);
        // A server that does not say what it has is taken at its word.
        if reply.digest.is_some() && reply.digest != plan.digest {
            return self.skewed(server, "the server has another version of the model".into());
        }
        match self.outputs_of(&reply) {
            Some(outputs) => {
                self.outputs = outputs;
                Event::Remote
            }
            None => {
                let problem = "the server answered with other outputs than the model has";
                self.skewed(server, problem.into())
            }
        }
    }

    /// The server has something else than the plan is about.
    fn skewed(&mut self, server: usize, problem: String) -> Event {
        let (now, mut state) = self.edge.state();
        state.skewed(now, server, self.choice.candidate);
        drop(state);
        self.edge.metrics.skewed.add();
        self.problem = problem;
        Event::RemoteFailed
    }

    /// The model's outputs out of a reply; none where it does not have them.
    fn outputs_of(&self, reply: &Reply) -> Option<Vec<Tensor>> {
        let ports = self.made.as_ref().map_or(self.edge.outputs(), |made| &made.answered);
        let tail = tensors(ports, reply)?;
        Some(match &self.made {
            Some(made) => made.answer(self.inputs.get().ok()?, &tail),
            None => tail,
        })
    }
}

/// What `reply` says of `ports`, in their order; none where it does not say it.
fn tensors(ports: &[Port], reply: &Reply) -> Option<Vec<Tensor>> {
    let tensor = |port: &Port| {
        let wire = reply.outputs.iter().find(|output| output.name() == port.name)?;
        let tensor = wire.to_tensor_of(port.dtype).ok()?;
        (tensor.shape() == port.shape).then_some(tensor)
    };
    ports.iter().map(tensor).collect()
}
