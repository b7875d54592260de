//! What is other for a request of a cascade.

use std::sync::Arc;
use std::time::Duration;

use edgecut_graph::Tensor;

use super::{Drive, tensors};
use crate::cascade::{Cascade, class};
use crate::edge::Edge;
use crate::policy::{Candidate, Choice, Reserve};
use crate::remote::Ask;
use crate::request::{Event, Mark};

/// Time that a server has for an audit, which nobody waits for.
const AUDIT: Duration = Duration::from_secs(10);

/// The plan and the server of a request, should it go there.
pub(super) fn escalation(
    edge: &Edge,
    cascade: &Cascade,
    picture: bool,
) -> (Choice, Option<usize>, Candidate) {
    let (now, mut state) = edge.state();
    let plan = cascade.plan(picture);
    let server = plan.and_then(|plan| state.pick_for(now, plan));
    let candidate = plan.unwrap_or(state.policy.local());
    let choice =
        Choice { candidate, expected_ns: 0, reserve_ns: None, reserve: Reserve::default() };
    (choice, server, state.policy.candidates()[candidate])
}

impl Drive {
    /// What the small model's outputs, one for each exit, mean.
    pub(super) fn heard(&mut self, cascade: &Cascade, mut outputs: Vec<Tensor>) -> Event {
        let exit = cascade.exit(&outputs);
        let last = outputs.len().saturating_sub(1);
        self.outputs = vec![outputs.swap_remove(exit.unwrap_or(last))];
        match exit {
            Some(_) if !cascade.is_alarmed() => Event::Sure,
            _ => Event::Local,
        }
    }

    /// Tells the watch on drift of an audited request.
    pub(super) fn audit(&self, cascade: &Cascade, mark: Mark, outputs: &[Tensor]) {
        if cascade.is_alarmed() || !cascade.audits(&self.question.id) {
            return;
        }
        match (mark, outputs.first().and_then(class)) {
            // There the cascade is the large model.
            (Mark::Cloud, _) => self.edge.observed(false),
            (Mark::Exit, Some(class)) => self.compare(class),
            _ => {}
        }
    }

    /// Asks a server what the device has answered with `own`, and compares.
    fn compare(&self, own: usize) {
        let (Some(server), Some(inputs)) = (self.server, self.whole_input()) else {
            self.edge.metrics.audits_failed.add();
            return;
        };
        let plan = &self.edge.plans.plans[self.choice.candidate];
        let ask = Ask {
            model: self.edge.plans.model(plan),
            id: self.question.id.clone(),
            inputs,
            digest: plan.digest.clone(),
            left: AUDIT,
            trace: self.question.trace,
        };
        let (edge, digest) = (Arc::clone(&self.edge), plan.digest.clone());
        tokio::spawn(async move {
            let reply = tokio::time::timeout(AUDIT, edge.remotes[server].infer(ask)).await;
            let reply = reply.ok().and_then(Result::ok);
            // Another version's answer says nothing of the one that was certified.
            let reply = reply.filter(|reply| reply.digest.is_none() || reply.digest == digest);
            let outputs = reply.and_then(|reply| tensors(edge.outputs(), &reply));
            match outputs.and_then(|outputs| class(outputs.first()?)) {
                Some(other) => edge.observed(other != own),
                None => edge.metrics.audits_failed.add(),
            }
        });
    }
}
