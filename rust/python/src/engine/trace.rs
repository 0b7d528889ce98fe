//! What the spans of an orchestration are made from: what its history says about when something began and ended.
//!
//! Collected only where spans are wanted, and where there is a span that this orchestration belongs under; not where the
//! sidecar makes the spans itself, which is to be seen from the span's id in the history.

use std::collections::HashMap;

use durabletask_core::status_name;
use durabletask_core::time::Timestamp;
use durabletask_core::wire::{Event, EventType, TimerFired};
use durabletask_proto as pb;
use pb::prost::Message;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::failures;

/// Whom the spans are told to: an object with `wanted()` and `turn(execution, timers, end)`, or None.
pub(super) struct Spans<'py>(Option<Bound<'py, PyAny>>);

/// What is known of an execution.
#[derive(Debug, Default)]
pub(super) struct Trace {
    execution: Option<Execution>,
    /// When timers were created that have not fired, in microseconds since 1970.
    timers: HashMap<i32, i64>,
    /// Timers that have fired in this turn: id, creation, firing.
    fired: Vec<(i32, i64, i64)>,
}

#[derive(Debug)]
struct Execution {
    id: String,
    name: String,
    version: Option<String>,
    started: i64,
    trace_parent: String,
    trace_state: Option<String>,
}

impl<'py> Spans<'py> {
    pub(super) fn new(spans: Bound<'py, PyAny>) -> Self {
        Self((!spans.is_none()).then_some(spans))
    }

    /// What collects for an execution that is read from its beginning, if spans are wanted.
    pub(super) fn collector(&self) -> Option<Box<Trace>> {
        let spans = self.0.as_ref()?;
        let wanted = spans.call_method0(intern!(spans.py(), "wanted")).and_then(|wanted| wanted.is_truthy());
        match wanted {
            Ok(wanted) => wanted.then(Box::default),
            Err(error) => {
                error.write_unraisable(spans.py(), Some(spans));
                None
            }
        }
    }

    /// The turn is over, and this is what became of it. No span is worth a turn: only what is about the process is raised.
    pub(super) fn turn_ended(
        &self,
        trace: &mut Trace,
        instance_id: &str,
        turn: i64,
        response: &pb::OrchestratorResponse,
    ) -> PyResult<()> {
        let (Some(spans), Some(execution)) = (&self.0, &trace.execution) else { return Ok(()) };
        let py = spans.py();
        let end = failures::completion(response).map(|complete| {
            let failure = complete.failure_details.as_ref();
            (
                status_name(complete.orchestration_status),
                failure.map(|failure| failure.error_type.as_str()),
                failure.map(|failure| failure.error_message.as_str()),
                turn,
            )
        });
        if trace.fired.is_empty() && end.is_none() {
            return Ok(());
        }
        let execution = (
            instance_id,
            &execution.id,
            &execution.name,
            execution.version.as_deref(),
            execution.started,
            &execution.trace_parent,
            execution.trace_state.as_deref(),
        );
        let told = execution
            .into_pyobject(py)
            .and_then(|execution: Bound<'_, PyTuple>| {
                spans.call_method1(intern!(py, "turn"), (execution, std::mem::take(&mut trace.fired), end))
            })
            .map(drop);
        match told {
            Err(error)
                if error.is_instance_of::<PyException>(py)
                    && !failures::ends_more_than_the_orchestrator(py, &error) =>
            {
                error.write_unraisable(py, Some(spans));
                Ok(())
            }
            told => told,
        }
    }
}

impl Trace {
    /// Takes in events in their order; those that are `new` happen now, and not for the second time. What can not be read is
    /// left to the engine, which says so.
    pub(super) fn read(&mut self, events: &[Event<'_>], new: bool) {
        for event in events {
            let at = event.timestamp().map_or(0, Timestamp::micros);
            match event.event_type {
                EventType::ExecutionStarted => self.execution = Execution::of(event, at),
                EventType::TimerCreated if self.execution.is_some() => {
                    self.timers.insert(event.id, at);
                }
                EventType::TimerFired if self.execution.is_some() => {
                    let Ok(fired) = TimerFired::decode(event.body()) else { continue };
                    let Some(created) = self.timers.remove(&fired.timer_id) else { continue };
                    if new {
                        self.fired.push((fired.timer_id, created, at));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Execution {
    /// None: no span belongs here, or it is the sidecar's.
    fn of(event: &Event<'_>, started: i64) -> Option<Self> {
        let start = pb::ExecutionStartedEvent::decode(event.body().bytes).ok()?;
        let parent = start.parent_trace_context.filter(|parent| !parent.trace_parent.is_empty())?;
        if start.orchestration_span_id.is_some_and(|id| !id.is_empty()) {
            return None;
        }
        Some(Self {
            id: start.orchestration_instance?.execution_id.filter(|id| !id.is_empty())?,
            name: start.name,
            version: start.version.filter(|version| !version.is_empty()),
            started,
            trace_parent: parent.trace_parent,
            trace_state: parent.trace_state,
        })
    }
}
