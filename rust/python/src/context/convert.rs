//! Arguments of the context's methods, turned into what the engine takes; what is asked for again is remembered.

use std::sync::Arc;

use durabletask_core::retry::RetryPolicy;
use durabletask_core::semantics::Semantics;
use durabletask_core::time::Timestamp;
use durabletask_core::{HistoryPropagationScope, Name, Until};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDateTime, PyDelta, PyDeltaAccess, PyString, PyTzInfo, PyTzInfoAccess};

use crate::python;

/// How many functions and policies a context remembers; few orchestrators call more.
const REMEMBERED: usize = 16;

/// Values made from Python objects, found again by identity. Holding the object keeps its address its own.
#[derive(Debug)]
pub(super) struct Memory<T> {
    entries: Vec<(Py<PyAny>, T)>,
    oldest: usize,
}

impl<T> Memory<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), oldest: 0 }
    }

    #[inline]
    pub(super) fn get(&self, object: &Bound<'_, PyAny>) -> Option<&T> {
        let found = self.entries.iter().find(|(known, _)| known.is(object));
        found.map(|(_, value)| value)
    }

    /// The objects that are remembered.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.entries.iter().map(|(object, _)| object)
    }

    /// Remembers a value; returns what is forgotten for it, to be dropped when no lock is held.
    #[must_use = "dropping an object may run Python code"]
    pub(super) fn insert(&mut self, object: &Bound<'_, PyAny>, value: T) -> Option<(Py<PyAny>, T)> {
        let entry = (object.clone().unbind(), value);
        if self.entries.len() < REMEMBERED {
            self.entries.push(entry);
            return None;
        }
        let forgotten = std::mem::replace(&mut self.entries[self.oldest], entry);
        self.oldest = (self.oldest + 1) % REMEMBERED;
        Some(forgotten)
    }
}

/// What is called: its name for the engine, and for its tasks.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Name,
    pub(super) text: Py<PyString>,
}

impl Named {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { name: Name::clone(&self.name), text: self.text.clone_ref(py) }
    }
}

/// The name that an activity or orchestrator is registered under: text as it is, else the function's name.
pub(super) fn name_of(function: &Bound<'_, PyAny>) -> PyResult<Named> {
    let text = match function.cast::<PyString>() {
        Ok(text) => plain(text),
        Err(_) => plain(python::GET_NAME.get(function.py())?.call1((function,))?.cast::<PyString>()?),
    };
    Ok(Named { name: text.to_str()?.into(), text: text.unbind() })
}

/// A `durabletask.task.RetryPolicy`, read through its public properties.
pub(super) fn retry_policy(policy: &Bound<'_, PyAny>) -> PyResult<RetryPolicy> {
    let duration = |name: &str| -> PyResult<Option<i64>> {
        let value = policy.getattr(name)?;
        if value.is_none() {
            return Ok(None);
        }
        let delta = value.cast::<PyDelta>().map_err(|_| {
            PyTypeError::new_err(format!("RetryPolicy.{name} must be a timedelta, found {}", class_name(&value)))
        })?;
        Ok(Some(micros(delta)))
    };
    let coefficient: Option<f64> = policy.getattr("backoff_coefficient")?.extract()?;
    let types: Option<Vec<String>> = match policy.getattr("non_retryable_error_types")? {
        types if types.is_none() => None,
        types => Some(types.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?),
    };
    Ok(RetryPolicy {
        first_interval: duration("first_retry_interval")?.unwrap_or(0),
        max_attempts: attempts(&policy.getattr("max_number_of_attempts")?),
        backoff_coefficient: coefficient.unwrap_or(1.0),
        max_interval: duration("max_retry_interval")?,
        timeout: duration("retry_timeout")?,
        non_retryable_error_types: types.unwrap_or_default().into_iter().map(Into::into).collect(),
    })
}

/// How many attempts a number stands for: 1.5 for two, since after the first one the number is not reached.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a conversion that ends at the bounds")]
fn attempts(number: &Bound<'_, PyAny>) -> u32 {
    // What is beyond all numbers of these types is without a bound.
    number.extract().or_else(|_| number.extract().map(|number: f64| number.ceil() as u32)).unwrap_or(u32::MAX)
}

/// How much of its history a call hands on: a `durabletask.task.HistoryPropagation`, which is the protocol's number.
#[inline(always)]
#[allow(clippy::inline_always, reason = "nearly always there is none")]
pub(super) fn propagation(scope: Option<&Bound<'_, PyAny>>) -> PyResult<Option<HistoryPropagationScope>> {
    match scope {
        None => Ok(None),
        Some(scope) => propagation_given(scope).map(Some),
    }
}

fn propagation_given(scope: &Bound<'_, PyAny>) -> PyResult<HistoryPropagationScope> {
    let number = match scope.getattr_opt(intern!(scope.py(), "value"))? {
        // A member of an enumeration, of this package or of another.
        Some(value) => value.extract::<i32>().ok(),
        None => scope.extract::<i32>().ok().filter(|_| !scope.is_instance_of::<PyBool>()),
    };
    match number.and_then(|number| HistoryPropagationScope::try_from(number).ok()) {
        Some(scope) => Ok(scope),
        None => Err(PyTypeError::new_err(format!(
            "propagation takes a member of durabletask.task.HistoryPropagation, found {}",
            class_name(scope)
        ))),
    }
}

/// How long a call may take, in microseconds.
#[inline(always)]
#[allow(clippy::inline_always, reason = "nearly always there is none")]
pub(super) fn timeout(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<i64>> {
    match timeout {
        None => Ok(None),
        Some(timeout) => timeout_given(timeout).map(Some),
    }
}

fn timeout_given(timeout: &Bound<'_, PyAny>) -> PyResult<i64> {
    let delta = timeout
        .cast::<PyDelta>()
        .map_err(|_| PyTypeError::new_err(format!("timeout takes a timedelta, found {}", class_name(timeout))))?;
    match micros(delta) {
        length @ 1.. => Ok(length),
        _ => Err(PyValueError::new_err(format!("timeout must be positive, found {timeout}"))),
    }
}

/// When a timer is to fire: a point in time (UTC, if it does not say otherwise), or a delay from `now`.
pub(super) fn fire_time(fire_at: &Bound<'_, PyAny>, now: Timestamp, method: &str) -> PyResult<Timestamp> {
    let beyond = || PyOverflowError::new_err("the timer would fire outside the years 1 to 9999");
    if let Ok(delay) = fire_at.cast::<PyDelta>() {
        return now.checked_add(micros(delay)).ok_or_else(beyond);
    }
    if !fire_at.is_instance_of::<PyDateTime>() {
        let found = class_name(fire_at);
        return Err(PyTypeError::new_err(format!("{method} takes a datetime or a timedelta, found {found}")));
    }
    timestamp(fire_at)
}

/// How long to wait for an event, and what to say when the time is over, where Dapr's engines have words of their own: in
/// them, a negative delay is none.
pub(super) fn event_timeout(
    name: &str,
    timeout: Option<&Bound<'_, PyAny>>,
    now: Timestamp,
    semantics: Semantics,
) -> PyResult<(Until, Option<Box<str>>)> {
    let Some(timeout) = timeout else { return Ok((Until::End, None)) };
    let until = |timeout| fire_time(timeout, now, "wait_for_external_event").map(Until::Time);
    if !semantics.every_wait_has_a_timer() {
        return Ok((until(timeout)?, None));
    }
    let name = PyString::new(timeout.py(), name).repr()?;
    let delay = timeout.cast::<PyDelta>().ok().map(micros);
    Ok(match delay {
        Some(0) => {
            let message = format!("Wait for external event {name} canceled immediately due to zero timeout");
            (Until::Now, Some(message.into()))
        }
        Some(..0) => (Until::End, None),
        _ => {
            let message = format!("Timed out after {} waiting for external event {name}", timeout.repr()?);
            (until(timeout)?, Some(message.into()))
        }
    })
}

/// A point in time; UTC, if it does not say otherwise.
pub(super) fn timestamp(time: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let py = time.py();
    let time = time
        .cast::<PyDateTime>()
        .map_err(|_| PyTypeError::new_err(format!("expected a datetime, found {}", class_name(time))))?;
    let since = if time.get_tzinfo().is_some() {
        time.sub(utc_epoch(py)?)?
    } else {
        time.sub(PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, None)?)?
    };
    Ok(Timestamp::from_micros(micros(since.cast::<PyDelta>()?)))
}

fn utc_epoch(py: Python<'_>) -> PyResult<&Bound<'_, PyDateTime>> {
    static EPOCH: PyOnceLock<Py<PyDateTime>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let utc = PyTzInfo::utc(py)?;
        PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc)).map(Bound::unbind)
    })?;
    Ok(epoch.bind(py))
}

/// A naive `datetime` in UTC.
pub(super) fn datetime(py: Python<'_>, time: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    let epoch = PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, None)?;
    let since = python::TIMEDELTA.get(py)?.call1((0, 0, time.micros()))?;
    epoch.add(since)
}

/// The same in a zone.
pub(super) fn datetime_in<'py>(time: Timestamp, zone: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = zone.py();
    let since = python::TIMEDELTA.get(py)?.call1((0, 0, time.micros()))?;
    utc_epoch(py)?.add(since)?.call_method1(intern!(py, "astimezone"), (zone,))
}

/// A timedelta's length; it ends at some 2.7 million years, which fits.
fn micros(delta: &Bound<'_, PyDelta>) -> i64 {
    let seconds = i64::from(delta.get_days()) * 86_400 + i64::from(delta.get_seconds());
    seconds.saturating_mul(1_000_000).saturating_add(i64::from(delta.get_microseconds()))
}

pub(super) fn class_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}

/// The text as an object that can hold nothing else.
pub(super) fn plain<'py>(text: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    if text.is_exact_instance_of::<PyString>() {
        return text.clone();
    }
    text.to_str().map_or_else(|_| text.clone(), |characters| PyString::new(text.py(), characters))
}

/// Text that a method asks for.
pub(super) fn text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(text) => text.to_str(),
        Err(_) => {
            Err(PyTypeError::new_err(format!("{what} must be a string, found {value:?} ({})", class_name(value))))
        }
    }
}

/// Text to be kept by the engine.
#[inline(always)]
#[allow(clippy::inline_always, reason = "nearly always there is none")]
pub(super) fn shared_text(text: Option<&str>) -> Option<Arc<str>> {
    text.map(Arc::from)
}
