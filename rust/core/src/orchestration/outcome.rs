//! How an execution ends, and what becomes then of what it has asked for.

use durabletask_proto::TaskFailureDetails;

use super::pending::{Outcome, Pending, Retry};
use super::state::Orchestration;
use crate::action::{Action, Input, SentEvent};
use crate::error::{End, Method};
use crate::host::Host;
use crate::wire::Span;

impl<H: Host> Orchestration<H> {
    /// Whether the execution has ended, whichever way.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(&self.outcome, Some(outcome) if !matches!(outcome, Outcome::VersionNotAvailable { .. }))
    }

    /// Whether there will be another turn: the execution has started and not ended, whichever way.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.started && self.outcome.is_none()
    }

    /// Ends the execution with a result (JSON). The first end counts: later ones have no effect.
    pub fn complete(&mut self, result: Option<String>) {
        self.end(|id| Outcome::Completed { id, result });
    }

    /// Ends the execution with a failure.
    pub fn fail(&mut self, details: TaskFailureDetails) {
        self.end(|id| Outcome::Failed { id, details: Box::new(details) });
    }

    /// Ends the execution with a failure that came up while its response was built, in place of however it had ended.
    pub fn fail_over(&mut self, details: TaskFailureDetails) {
        self.outcome = None;
        // An argument that is not encoded yet may be the one that can not be.
        self.actions.retain(|action| {
            matches!(action, Action::SendEvent(SentEvent { data: Input::None | Input::Encoded(_), .. }))
        });
        self.fail(details);
    }

    /// Ends the execution, to be replaced by a new one with this input; `save_events` gives it the external events that
    /// nobody has waited for.
    pub fn continue_as_new(&mut self, input: Input<H::Input>, save_events: bool) {
        if !self.is_complete() {
            self.drop_awaited_actions();
            self.outcome = Some(Outcome::ContinuedAsNew { input, save_events });
        }
    }

    /// Gives the turn back: this worker does not have the version that the history asks for.
    pub fn version_not_available(&mut self) {
        self.end(|id| Outcome::VersionNotAvailable { id });
    }

    /// Takes the end of the code back if the past confirms a call that it had not made by then, since the execution that
    /// made the history did not end there; says how the code had ended. What had been called by then may be confirmed
    /// later: there are workers that hang where this one goes on. Nobody knows under which ids such a worker's retries go on,
    /// or whether it made more of them than this one.
    #[cold]
    pub(crate) fn withdraw_end(&mut self, id: i32, method: Method, name: Option<Span<'_>>) -> Option<End> {
        let (made, end) = match &self.outcome {
            Some(Outcome::Completed { id: end_id, .. }) => (id < *end_id, End::Returned),
            Some(Outcome::Failed { id: end_id, details }) => {
                (id < *end_id, End::Raised(format!("{}: {}", details.error_type, details.error_message)))
            }
            Some(Outcome::ContinuedAsNew { .. }) => (id <= self.sequence, End::ContinuedAsNew),
            Some(Outcome::Terminated { .. } | Outcome::VersionNotAvailable { .. }) | None => return None,
        };
        if made || !self.replaying || self.is_retried(method, name) {
            return None;
        }
        self.outcome = None;
        Some(end)
    }

    /// Whether a call that has failed before may go on by this call, or by the timer before it.
    fn is_retried(&self, method: Method, name: Option<Span<'_>>) -> bool {
        let is_named = |its_method: Method, its_name: &str| {
            method == Method::CreateTimer
                || (method == its_method && name.is_some_and(|name| name.bytes == its_name.as_bytes()))
        };
        let is_part_of = |retry: &Retry<H>| is_named(retry.call.target.method(), &retry.call.name);
        self.given_up.iter().any(|(method, name)| is_named(*method, name))
            || self.tasks.values().any(|pending| match pending {
                Pending::RetryTimer(retry) | Pending::Retryable(retry) => retry.attempt > 1 && is_part_of(retry),
                Pending::Activity(..)
                | Pending::SubOrchestration(_)
                | Pending::Timer(..)
                | Pending::EventTimer(_)
                | Pending::CallTimer(_) => false,
            })
    }

    pub(crate) fn end(&mut self, outcome: impl FnOnce(i32) -> Outcome<H>) {
        if !self.is_complete() {
            self.drop_awaited_actions();
            let id = self.next_id();
            self.outcome = Some(outcome(id));
        }
    }

    /// Whoever has ended waits for nothing: what it asked for is not sent. Events are not for itself, so they are, unless
    /// the history is still to tell whether they were sent before.
    fn drop_awaited_actions(&mut self) {
        let replaying = self.replaying;
        self.actions.retain(|action| !replaying && matches!(action, Action::SendEvent(_)));
    }
}
