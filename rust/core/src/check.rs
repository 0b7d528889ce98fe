//! Does code still do what a recorded history says? The rules of that, without the code.
//!
//! Stricter than a turn has to be. A turn of a worker goes on where it can, since the instance has to; here every turn of
//! the history must leave nothing open: what the code asks for is confirmed before the next turn begins, and the code ends
//! where the history does. The host replays, and asks here before each event and at the end.

use durabletask_proto as pb;
use durabletask_proto::prost::Message;

use crate::error::NonDeterminism;
use crate::history::Recorded;
use crate::host::Host;
use crate::orchestration::Orchestration;
use crate::response::status_name;
use crate::wire::{Event, EventType};

/// Where history and code part, or the code fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the code fails where the history goes on or ends otherwise; else it does something else than the history says.
    pub failed: bool,
    /// What is told of it.
    pub message: String,
    /// Place of the event in the history, from 0.
    pub event_index: usize,
    /// The id of the event or the call, where it is known.
    pub event_id: Option<i32>,
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is to be applied.
    Apply,
    /// The code has failed before; it is not applied.
    Skip,
    /// It is the end of the execution; see [`Check::ends`].
    End,
}

/// A history that is being replayed.
#[derive(Debug)]
pub struct Check<'a> {
    history: &'a Recorded<'a>,
    /// The worker of a stalled turn did not have the code; the turn is played again later.
    stalled: bool,
    /// What the orchestrator has failed with, and the event at which it did.
    broken: Option<(Box<pb::TaskFailureDetails>, usize)>,
}

impl<'a> Check<'a> {
    /// Before the first event.
    #[must_use]
    pub fn new(history: &'a Recorded<'a>) -> Self {
        Self { history, stalled: false, broken: None }
    }

    /// Looks at event `index`, which is applied next.
    ///
    /// # Errors
    /// Code and history part here.
    pub fn before<H: Host>(
        &mut self,
        index: usize,
        event: &Event<'_>,
        code: &Orchestration<H>,
    ) -> Result<Next, Finding> {
        match event.event_type {
            EventType::OrchestratorStarted => {
                if !self.stalled {
                    self.turn_ends(index, code)?;
                }
                self.stalled = false;
            }
            EventType::ExecutionStalled => self.stalled = true,
            EventType::ExecutionCompleted => return Ok(Next::End),
            // Events are sent also in the turn that ends an execution, under ids before that of its end.
            EventType::EventSent if code.is_complete() && event.id < code.sequence() => {}
            EventType::TaskScheduled
            | EventType::TimerCreated
            | EventType::SubOrchestrationInstanceCreated
            | EventType::EventSent => self.still_running(index, event, code)?,
            _ => {}
        }
        Ok(if self.broken.is_some() { Next::Skip } else { Next::Apply })
    }

    /// The orchestrator has failed when event `index` was applied. A history may say the same, later on.
    pub fn failed(&mut self, index: usize, details: pb::TaskFailureDetails) {
        self.broken = Some((Box::new(details), index));
    }

    /// The engine has found code and history to part when event `index` was applied.
    #[must_use]
    pub fn parted(index: usize, parted: &NonDeterminism) -> Finding {
        found(parted.to_string(), index, Some(parted.event_id))
    }

    /// Looks at the code after the last event of a history that has no end.
    ///
    /// # Errors
    /// The code has failed, or has done more than the history says.
    pub fn after_all<H: Host>(&self, code: &Orchestration<H>) -> Result<(), Finding> {
        if self.history.past == self.history.events.len() {
            return if self.stalled { Ok(()) } else { self.turn_ends(self.history.events.len(), code) };
        }
        match &self.broken {
            Some((details, index)) => Err(failed(details, *index, "in the turn that the history was taken from")),
            None => Ok(()),
        }
    }

    /// The turn before event `index` is over, and the history says nothing of an end.
    fn turn_ends<H: Host>(&self, index: usize, code: &Orchestration<H>) -> Result<(), Finding> {
        self.not_broken()?;
        let after = || match index.checked_sub(1) {
            Some(last) => format!("the turn that ends with event {last}"),
            None => "the beginning".to_owned(),
        };
        if code.is_complete() {
            let message = format!(
                "{}: history and code disagree after {}: a previous execution had not ended by then, but the current code has \
                 ended.",
                self.history.instance_id,
                after()
            );
            return Err(found(message, index, None));
        }
        let open: Vec<_> = code.unconfirmed().take(4).collect();
        let Some((first, _)) = open.first() else { return Ok(()) };
        let calls: Vec<_> = open.iter().take(3).map(|(id, call)| format!("{call} with ID={id}")).collect();
        let message = format!(
            "{}: history and code disagree after {}: the current code called {}{}, which a previous execution did not do.",
            self.history.instance_id,
            after(),
            calls.join(", "),
            if open.len() > calls.len() { ", …" } else { "" }
        );
        Err(found(message, index, Some(*first)))
    }

    /// An execution that has ended asks for nothing; the engine lets the confirmation pass, the history knows better.
    fn still_running<H: Host>(&self, index: usize, event: &Event<'_>, code: &Orchestration<H>) -> Result<(), Finding> {
        self.not_broken()?;
        if !code.is_complete() {
            return Ok(());
        }
        let message = format!(
            "{}: history and code disagree at event {index} (ID={id}): a previous execution went on with {} (ID={id}), but \
             the current code has ended.",
            self.history.instance_id,
            event.event_type.name().unwrap_or_default(),
            id = event.id
        );
        Err(found(message, index, Some(event.id)))
    }

    fn not_broken(&self) -> Result<(), Finding> {
        match &self.broken {
            Some((details, at)) => Err(failed(details, *at, "where the history goes on")),
            None => Ok(()),
        }
    }

    /// The history ends with event `index`; so must the code. Returns how it ended then, to be compared with how the code
    /// ends by [`compare`](Self::compare); `None` if the history does not say.
    ///
    /// # Errors
    /// The code goes on.
    pub fn ends<H: Host>(
        &self,
        index: usize,
        event: &Event<'_>,
        code: &Orchestration<H>,
    ) -> Result<Option<pb::ExecutionCompletedEvent>, Finding> {
        let Some(recorded) = completion(event) else { return Ok(None) };
        if code.is_complete() {
            return Ok(Some(recorded));
        }
        let message = format!(
            "{}: history and code disagree at event {index} (ID={}): a previous execution ended as {}, but the current code \
             goes on.",
            self.history.instance_id,
            event.id,
            status_name(recorded.orchestration_status)
        );
        Err(found(message, index, Some(event.id)))
    }

    /// Compares how an execution ended with event `index` and how the code ends.
    ///
    /// # Errors
    /// They differ.
    pub fn compare(
        &self,
        index: usize,
        event: &Event<'_>,
        recorded: pb::ExecutionCompletedEvent,
        today: pb::CompleteOrchestrationAction,
    ) -> Result<(), Finding> {
        let failed_as = pb::OrchestrationStatus::Failed as i32;
        let status = status_name(recorded.orchestration_status);
        if today.orchestration_status == failed_as {
            let details = today.failure_details.unwrap_or_default();
            let at = self.broken.as_ref().map_or(index, |(_, at)| *at);
            let before = recorded.failure_details.unwrap_or_default();
            if recorded.orchestration_status != failed_as {
                return Err(failed(&details, at, &format!("where the history ends as {status}")));
            }
            if (&before.error_type, &before.error_message) != (&details.error_type, &details.error_message) {
                let instead = format!("where the history ends with {}: {}", before.error_type, before.error_message);
                return Err(failed(&details, at, &instead));
            }
            return Ok(());
        }
        if today.orchestration_status == recorded.orchestration_status {
            return Ok(());
        }
        let reason = recorded.failure_details.map(|why| format!(" ({}: {})", why.error_type, why.error_message));
        let message = format!(
            "{}: history and code disagree at event {index} (ID={}): a previous execution ended as {status}{}, but the \
             current code ends as {}.",
            self.history.instance_id,
            event.id,
            reason.unwrap_or_default(),
            status_name(today.orchestration_status)
        );
        Err(found(message, index, Some(event.id)))
    }
}

/// Code and history part.
fn found(message: String, event_index: usize, event_id: Option<i32>) -> Finding {
    Finding { failed: false, message, event_index, event_id }
}

fn failed(details: &pb::TaskFailureDetails, event_index: usize, instead: &str) -> Finding {
    let trace = details.stack_trace.as_deref().unwrap_or_default().trim_end();
    let message = format!(
        "the orchestrator failed at event {event_index}, {instead}, with {}: {}{}{trace}",
        details.error_type,
        details.error_message,
        if trace.is_empty() { "" } else { "\n" }
    );
    Finding { failed: true, message, event_index, event_id: None }
}

fn completion(event: &Event<'_>) -> Option<pb::ExecutionCompletedEvent> {
    match pb::HistoryEvent::decode(event.raw().bytes).ok()?.event_type {
        Some(pb::history_event::EventType::ExecutionCompleted(completed)) => Some(completed),
        _ => None,
    }
}
