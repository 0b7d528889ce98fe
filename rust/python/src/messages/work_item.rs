//! Work items, as far as the worker's dispatcher has to know them.
//!
//! An orchestrator's request stays undecoded: its history can be megabytes, and the engine reads it when its turn comes. A
//! work item that is malformed still yields what could be read, so that it can be answered.

use durabletask_core::wire::{Corrupt, Field, Reader, Span};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WorkItem>()?;
    module.add_function(wrap_pyfunction!(decode_work_item, module)?)
}

/// One item of the stream, all of it that is small.
#[pyclass(frozen, get_all, module = "durabletask._core")]
struct WorkItem {
    /// "orchestrator", "activity" or "other".
    kind: &'static str,
    /// The instance, or the one that called the activity.
    instance_id: Py<PyString>,
    /// The execution of it.
    execution_id: Option<Py<PyString>>,
    /// To be sent back with the answer.
    completion_token: Py<PyString>,
    /// What is wrong with the bytes, and where; None: nothing that was looked at.
    problem: Option<String>,
    /// The activity; "" for a turn.
    name: Py<PyString>,
    /// The version of the activity that is asked for.
    version: Option<Py<PyString>>,
    /// The number of the call.
    task_id: i32,
    /// None: absent. An empty text is another thing.
    input: Option<Py<PyString>>,
    /// What all attempts of the call share.
    task_execution_id: Py<PyString>,
    /// The span that the work belongs to, as W3C has it.
    trace_parent: Option<Py<PyString>>,
    /// What goes with it.
    trace_state: Option<Py<PyString>>,
    /// A serialized `PropagatedHistory`.
    propagated_history: Option<Py<PyBytes>>,
}

#[derive(Default)]
struct View<'a> {
    kind: &'static str,
    instance_id: &'a str,
    execution_id: Option<&'a str>,
    completion_token: &'a str,
    problem: Option<String>,
    name: &'a str,
    version: Option<&'a str>,
    task_id: i32,
    input: Option<&'a str>,
    task_execution_id: &'a str,
    trace_parent: Option<&'a str>,
    trace_state: Option<&'a str>,
    propagated_history: Option<&'a [u8]>,
}

#[pyfunction]
fn decode_work_item(py: Python<'_>, data: &[u8]) -> WorkItem {
    let view = View::of(data);
    let text = |text: &str| PyString::new(py, text).unbind();
    WorkItem {
        kind: view.kind,
        instance_id: text(view.instance_id),
        execution_id: view.execution_id.map(text),
        completion_token: text(view.completion_token),
        problem: view.problem,
        name: text(view.name),
        version: view.version.map(text),
        task_id: view.task_id,
        input: view.input.map(text),
        task_execution_id: text(view.task_execution_id),
        trace_parent: view.trace_parent.map(text),
        trace_state: view.trace_state.map(text),
        propagated_history: view.propagated_history.map(|history| PyBytes::new(py, history).unbind()),
    }
}

impl<'a> View<'a> {
    fn of(data: &'a [u8]) -> Self {
        let mut view = View { kind: "other", ..View::default() };
        view.read("WorkItem", Span::whole(data), |view, number, field| {
            match number {
                1 => {
                    view.kind = "orchestrator";
                    view.read("OrchestratorRequest", field.span(number)?, Self::orchestrator_field);
                }
                2 => {
                    view.kind = "activity";
                    view.read("ActivityRequest", field.span(number)?, Self::activity_field);
                }
                10 => view.completion_token = field.span(number)?.text()?,
                _ => {}
            }
            Ok(true)
        });
        view
    }

    /// Hands each field of a message to `take` until that returns false; notes the first problem.
    fn read(&mut self, message: &str, span: Span<'a>, take: fn(&mut Self, u32, Field<'a>) -> Result<bool, Corrupt>) {
        let mut reader = Reader::new(span);
        loop {
            match reader.next() {
                Ok(None) => return,
                Ok(Some((number, field))) => match take(self, number, field) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(corrupt) => self.note(|| format!("{message}, field {number}: {corrupt}")),
                },
                Err(corrupt) => return self.note(|| format!("{message}: {corrupt}")),
            }
        }
    }

    fn note(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    fn orchestrator_field(&mut self, number: u32, field: Field<'a>) -> Result<bool, Corrupt> {
        match number {
            1 => self.instance_id = field.span(number)?.text()?,
            2 => self.execution_id = Some(wrapped_text(number, field)?),
            // The events follow; whoever writes the ids after them has to be read to the end.
            _ => return Ok(self.instance_id.is_empty()),
        }
        Ok(true)
    }

    fn activity_field(&mut self, number: u32, field: Field<'a>) -> Result<bool, Corrupt> {
        match number {
            1 => self.name = field.span(number)?.text()?,
            2 => self.version = Some(wrapped_text(number, field)?),
            3 => self.input = Some(wrapped_text(number, field)?),
            4 => {
                let mut instance = Reader::new(field.span(number)?);
                while let Some((number, field)) = instance.next()? {
                    match number {
                        1 => self.instance_id = field.span(number)?.text()?,
                        2 => self.execution_id = Some(wrapped_text(number, field)?),
                        _ => {}
                    }
                }
            }
            5 => self.task_id = field.int32(number)?,
            6 => {
                let mut trace = Reader::new(field.span(number)?);
                while let Some((number, field)) = trace.next()? {
                    match number {
                        1 => self.trace_parent = Some(field.span(number)?.text()?),
                        3 => self.trace_state = Some(wrapped_text(number, field)?),
                        _ => {}
                    }
                }
            }
            7 => self.task_execution_id = field.span(number)?.text()?,
            8 => self.propagated_history = Some(field.span(number)?.bytes),
            _ => {}
        }
        Ok(true)
    }
}

/// The text of an embedded `google.protobuf.StringValue`.
fn wrapped_text(number: u32, field: Field<'_>) -> Result<&str, Corrupt> {
    Ok(field.span(number)?.string_value_text()?.unwrap_or_default())
}
