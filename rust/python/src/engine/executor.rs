//! `Executor`: answers orchestrator requests with the code of a registry.

use std::time::{Duration, Instant};

use durabletask_core::decode_failure_response;
use durabletask_core::semantics::Semantics;
use durabletask_core::time::Timestamp;
use durabletask_core::wire::{Request, Span, WorkItem};
use durabletask_proto::OrchestratorResponse;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::answer::{Unanswered, decode, encode, respond, unreadable, whole_request};
use super::counters::Counters;
use super::live::{Found, LiveExecutions};
use super::log::{About, Log};
use super::stalled::{Mismatch, Subject, stalled};
use super::stop::Stop;
use super::surroundings::Surroundings;
use super::trace::Spans;
use super::turn::{Execution, Turn};
use crate::context::RuntimeContext;
use crate::tasks::Following;
use crate::{failures, gil, python};

/// Runs orchestrators: `OrchestratorRequest` bytes in, `OrchestratorResponse` bytes out.
///
/// `registry` answers `get_orchestrator(name, version_name) -> (function or None, version or None)`; `logger` is a
/// `logging.Logger` or None; `context_class` makes contexts from an instance id and defaults to
/// `durabletask.worker._RuntimeOrchestrationContext`, looked up at every turn since packages replace it.
///
/// `replay_cache` is `(max_instances, max_bytes, idle_timeout in seconds)`, or None to replay every turn from the start.
///
/// `context` is the `contextvars.Context` that each execution begins with a copy of; None is the one in which this is called.
///
/// `on_mismatch="stall"` raises `Stalled` where "fail" fails an instance that the code does not fit, or for which there is
/// no orchestrator. A turn that takes more than `long_turn` seconds is logged as a warning.
///
/// `semantics` names the release whose decisions are followed.
///
/// `spans` is told what to make spans from: `durabletask._worker.tracing.OrchestrationSpans`, or None.
#[pyclass(frozen, module = "durabletask._core")]
pub(crate) struct Executor {
    registry: Py<PyAny>,
    logger: Py<PyAny>,
    context_class: Py<PyAny>,
    live: Option<LiveExecutions>,
    surroundings: Surroundings,
    stalls: bool,
    /// A turn that takes longer is worth a warning.
    long_turn: Duration,
    semantics: Semantics,
    spans: Py<PyAny>,
    counters: Counters,
}

#[pymethods]
impl Executor {
    #[new]
    #[pyo3(signature = (
        registry, logger=None, context_class=None, *, replay_cache=None, context=None, on_mismatch="fail",
        long_turn=2.0, semantics="0.17", spans=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords of a Python class")]
    fn new(
        py: Python<'_>,
        registry: Py<PyAny>,
        logger: Option<Py<PyAny>>,
        context_class: Option<Py<PyAny>>,
        replay_cache: Option<(usize, usize, f64)>,
        context: Option<&Bound<'_, PyAny>>,
        on_mismatch: &str,
        long_turn: f64,
        semantics: &str,
        spans: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let none = || py.None();
        let stalls = match on_mismatch {
            "fail" => false,
            "stall" => true,
            other => {
                let message = format!("on_mismatch is \"fail\" or \"stall\", found {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(Self {
            semantics: named(semantics)?,
            registry,
            logger: logger.unwrap_or_else(none),
            context_class: context_class.unwrap_or_else(none),
            live: replay_cache.map(LiveExecutions::new),
            surroundings: Surroundings::of(py, context)?,
            stalls,
            long_turn: Duration::try_from_secs_f64(long_turn).unwrap_or(Duration::MAX),
            spans: spans.unwrap_or_else(none),
            counters: Counters::default(),
        })
    }

    /// Answers a serialized `OrchestratorRequest` with a serialized `OrchestratorResponse`. Whatever is wrong with the
    /// request or the orchestrator is said in the response. Raises what the orchestrator raises that is about the process
    /// (`KeyboardInterrupt`, `SystemExit`, `MemoryError`, …), and `Stalled`.
    ///
    /// `fetch_history(instance_id)` returns a serialized `GetInstanceHistoryResponse`; it is called when the request leaves
    /// out a past that is not known here. What it raises is raised here.
    #[pyo3(signature = (request, completion_token="", fetch_history=None))]
    fn execute<'py>(
        &self,
        request: &Bound<'py, PyBytes>,
        completion_token: &str,
        fetch_history: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = request.py();
        let response = self.answer(py, Span::whole(request.as_bytes()), completion_token, fetch_history)?;
        Ok(encode(py, &response))
    }

    /// The same for the serialized `WorkItem` that holds the request and its completion token.
    #[pyo3(signature = (item, fetch_history=None))]
    fn execute_work_item<'py>(
        &self,
        item: &Bound<'py, PyBytes>,
        fetch_history: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = item.py();
        let response = match WorkItem::decode(Span::whole(item.as_bytes())) {
            Ok(item) => self.answer(py, item.request, item.completion_token, fetch_history)?,
            Err(corrupt) => unreadable("", "", corrupt),
        };
        Ok(encode(py, &response))
    }

    /// What was done: turns, `new_events`, `replayed_events` and `warm_events`, which an orchestrator that was alive had
    /// behind it.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.counters.all() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    /// What the replay cache has done and holds: hits, misses, evictions, instances, bytes; empty if it is off.
    fn replay_cache_counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        if let Some(live) = &self.live {
            for (name, value) in live.counters(py) {
                counters.set_item(name, value)?;
            }
        }
        Ok(counters)
    }

    /// The number of an attempt at an activity that has failed here, `(attempt, max_attempts, next attempt at)`, the time in
    /// microseconds and None if there is none; for a line in the log, with which it is told of. None: there is no retry
    /// policy, or the orchestrator is not alive here.
    fn tell_of_attempt(
        &self,
        py: Python<'_>,
        instance_id: &str,
        task_id: i32,
        activity: &str,
        error_type: &str,
        now: i64,
    ) -> Option<(u32, u32, Option<i64>)> {
        let context = self.live.as_ref()?.context(py, instance_id)?;
        let orchestration = &mut context.get().lock(py).orchestration;
        let number = orchestration.tells_of_attempt(task_id, activity, error_type, Timestamp::from_micros(now))?;
        Some((number.attempt, number.max_attempts, number.next.map(Timestamp::micros)))
    }

    /// Lets go of executions that have been idle for too long.
    fn expire_idle(&self, py: Python<'_>) {
        if let Some(live) = &self.live {
            drop(live.expire(py));
        }
    }

    /// Lets go of all executions.
    fn clear_replay_cache(&self, py: Python<'_>) {
        if let Some(live) = &self.live {
            drop(live.clear(py));
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for object in [&self.registry, &self.logger, &self.context_class, &self.spans] {
            visit.call(object)?;
        }
        self.surroundings.visit(&visit)?;
        self.live.as_ref().map_or(Ok(()), |live| live.visit(&visit))
    }

    /// Other cycles that it is in go through the registry and its like, which can let go of what they hold.
    fn __clear__(&self, py: Python<'_>) {
        self.clear_replay_cache(py);
    }
}

impl Executor {
    fn answer(
        &self,
        py: Python<'_>,
        request: Span<'_>,
        completion_token: &str,
        fetch_history: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<OrchestratorResponse> {
        let mut instance_id = String::new();
        let answered = match &self.live {
            Some(live) => self.answer_live(py, live, request, completion_token, fetch_history, &mut instance_id),
            None => self.answer_cold(py, request, completion_token, fetch_history, &mut instance_id),
        };
        match answered {
            Ok(response) => Ok(response),
            Err(Unanswered::Corrupt(corrupt)) => Ok(unreadable(&instance_id, completion_token, corrupt)),
            Err(Unanswered::Raised(error)) if failures::ends_more_than_the_orchestrator(py, &error) => Err(error),
            Err(Unanswered::Raised(error)) => {
                let details = failures::details(py, &error);
                Ok(decode_failure_response(instance_id, completion_token.to_owned(), details))
            }
            Err(Unanswered::Left(error)) => Err(error),
        }
    }

    fn answer_cold(
        &self,
        py: Python<'_>,
        span: Span<'_>,
        completion_token: &str,
        fetch_history: Option<&Bound<'_, PyAny>>,
        instance_id: &mut String,
    ) -> Result<OrchestratorResponse, Unanswered> {
        let request = decode(py, span)?;
        request.instance_id.clone_into(instance_id);
        let whole = whole_request(&request, fetch_history)?;
        let request = match &whole {
            Some(whole) => decode(py, Span::whole(whole))?,
            None => request,
        };
        let history = whole.as_deref().unwrap_or(span.bytes);
        Ok(self.turn(py, &request, None, completion_token, Some(history))?.0)
    }

    /// Goes on with a live execution if there is one that fits the request, and keeps the execution that comes out of it.
    fn answer_live(
        &self,
        py: Python<'_>,
        live: &LiveExecutions,
        span: Span<'_>,
        completion_token: &str,
        fetch_history: Option<&Bound<'_, PyAny>>,
        instance_id: &mut String,
    ) -> Result<OrchestratorResponse, Unanswered> {
        let Found { request, turn, execution } = gil::work_through(py, span.bytes.len(), || live.find(span))?;
        request.instance_id.clone_into(instance_id);
        if let Some((execution, fingerprint, seen)) = execution {
            let history = request.cached_count.is_none().then_some(span.bytes);
            let (response, kept) = self.turn(py, &request, Some((execution, seen)), completion_token, history)?;
            turn.end(match kept {
                Some(kept) => fingerprint.after(&request)?.map(|fingerprint| (kept, fingerprint)),
                None => None,
            });
            return Ok(response);
        }
        let whole = whole_request(&request, fetch_history)?;
        let request = match &whole {
            Some(whole) => decode(py, Span::whole(whole))?,
            None => request,
        };
        let history = whole.as_deref().unwrap_or(span.bytes);
        let (response, kept) = self.turn(py, &request, None, completion_token, Some(history))?;
        turn.end(match kept {
            Some(kept) => {
                let bytes = request.past_bytes().map_or(0, <[u8]>::len);
                let fingerprint = gil::work_through(py, bytes, || LiveExecutions::fingerprint(&request))?;
                fingerprint.map(|fingerprint| (kept, fingerprint))
            }
            None => None,
        });
        Ok(response)
    }

    /// `history` is the request in full, if that is at hand.
    fn turn(
        &self,
        py: Python<'_>,
        request: &Request<'_>,
        execution: Option<(Execution, usize)>,
        completion_token: &str,
        history: Option<&[u8]>,
    ) -> Result<(OrchestratorResponse, Option<Execution>), Unanswered> {
        if request.new_count == 0 {
            let message = format!(
                "{}: the request has {} past events and no new one; expected at least one new event",
                request.instance_id,
                request.known_count + request.past_count
            );
            return Err(failures::raised(py, &python::ORCHESTRATION_STATE_ERROR, message).into());
        }
        let registry = self.registry.bind(py);
        let log = Log::new(self.logger.bind(py).clone());
        let spans = Spans::new(self.spans.bind(py).clone());
        self.counters.count(request, execution.as_ref().map(|(_, seen)| *seen));
        // Left when everything below is dropped, which may run the user's code.
        let _entered;
        let (mut turn, seen) = if let Some((execution, seen)) = execution {
            let turn = Turn::resumed(registry, &log, execution);
            _entered = turn.enter()?;
            (turn, seen)
        } else {
            let variables = self.surroundings.fresh(py)?;
            _entered = variables.enter(py)?;
            let context = self.new_context(py, request.instance_id)?;
            (Turn::new(registry, &log, context, variables, spans.collector()), 0)
        };
        let _following = Following::release(self.semantics);
        let context = turn.context().clone();
        context.get().set_propagated_history(py, request.propagated_history.map(|history| history.bytes));
        let began = Instant::now();
        let ran = turn.run(request, seen);
        let took = began.elapsed();
        if took >= self.long_turn {
            let place = failures::whereabouts(py, &turn.code(None));
            log.long_turn(About { instance_id: request.instance_id, name: turn.name() }, took, &place)?;
        }
        // What failed while it was replayed knows of no status but an early one; none at all keeps the last.
        if ran.is_err() && context.get().lock(py).orchestration.is_replaying() {
            context.get().lock(py).orchestration.set_custom_status(None);
        }
        match ran {
            Ok(()) => {}
            Err(Stop::Corrupt(corrupt)) => return Err(Unanswered::Corrupt(corrupt)),
            Err(Stop::Unfit(kind, error)) if self.stalls => {
                let version = context.get().lock(py).orchestration.version().map(str::to_owned);
                let subject =
                    Subject { instance_id: request.instance_id, name: turn.name(), version: version.as_deref() };
                return Err(Unanswered::Left(stalled(registry, &subject, kind, &error, history)?));
            }
            Err(Stop::Unfit(Mismatch::Version, _)) => {
                context.get().lock(py).orchestration.version_not_available();
            }
            Err(Stop::Failed(error) | Stop::Raised(error)) if failures::ends_more_than_the_orchestrator(py, &error) => {
                return Err(Unanswered::Left(error));
            }
            Err(Stop::Failed(error) | Stop::Raised(error) | Stop::Unfit(_, error)) => {
                let details = failures::details(py, &error);
                context.get().lock(py).orchestration.fail(details);
            }
        }
        let response = respond(py, context.get(), completion_token)?;
        log.turn_ended(&context, About { instance_id: request.instance_id, name: turn.name() }, &response)?;
        if let Some(trace) = &mut turn.trace {
            let now = context.get().lock(py).orchestration.now().micros();
            spans.turn_ended(trace, request.instance_id, now, &response)?;
        }
        Ok((response, turn.into_execution()))
    }

    fn new_context<'py>(&self, py: Python<'py>, instance_id: &str) -> PyResult<Bound<'py, RuntimeContext>> {
        let class = self.context_class.bind(py);
        let instance_id = PyString::new(py, instance_id);
        let context = if class.is_none() {
            python::runtime_context_class(py)?.call1((instance_id,))?
        } else {
            class.call1((instance_id,))?
        };
        let context = context.cast_into::<RuntimeContext>()?;
        context.get().lock(py).orchestration.set_semantics(self.semantics);
        Ok(context)
    }
}

/// The semantics of this name.
pub(super) fn named(name: &str) -> PyResult<Semantics> {
    Semantics::named(name).ok_or_else(|| {
        let known: Vec<_> = Semantics::names().map(|known| format!("'{known}'")).collect();
        PyValueError::new_err(format!("semantics must be one of {}; found '{name}'", known.join(", ")))
    })
}
