//! The worker's wire, for Python's threads: they wait in it without the interpreter's lock, and it never takes that lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use durabletask_transport as wire;
use durabletask_transport::{Bytes, Outcome, Settings, Status, Target, Tls};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyList, PyString};

use crate::gil;

/// A thread that does the network's work, until it is stopped. In a forked process it is not there.
#[pyclass(frozen, module = "durabletask._core")]
struct Transport {
    /// Taken out by whoever stops it.
    running: Mutex<Option<wire::Transport>>,
    pid: u32,
}

/// What metadata consists of: text, or bytes under names that end in "-bin".
#[derive(FromPyObject)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

fn metadata(pairs: &[(String, Value)]) -> PyResult<wire::Metadata> {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
        };
        (name.as_str(), value)
    });
    wire::Metadata::of(pairs).map_err(|error| PyValueError::new_err(error.to_string()))
}

#[pymethods]
impl Transport {
    #[new]
    fn start(py: Python<'_>) -> PyResult<Self> {
        let started = py.detach(wire::Transport::start)?;
        Ok(Self { running: Mutex::new(Some(started)), pid: std::process::id() })
    }

    /// A connection that is made at its first call. `tls` is root certificates in PEM and the server's name, or None for
    /// none; `metadata` goes with every call.
    ///
    /// Raises `ValueError` for certificates, names and metadata that can not be used.
    #[pyo3(signature = (host, port, *, tls, metadata))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are extracted, and owned")]
    fn connection(
        &self,
        py: Python<'_>,
        host: String,
        port: u16,
        tls: Option<(Vec<u8>, String)>,
        metadata: Vec<(String, Value)>,
    ) -> PyResult<TransportConnection> {
        here(self.pid)?;
        let tls = tls.map(|(roots, name)| py.detach(|| Tls::new(&roots, &name))).transpose();
        let tls = tls.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let settings = Settings { target: Target { host, port, tls }, metadata: self::metadata(&metadata)? };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref() else { return Err(PyRuntimeError::new_err("the transport was stopped")) };
        let connection = running.connection(settings).map_err(|error| PyValueError::new_err(error.message))?;
        Ok(TransportConnection { connection: Some(Arc::new(connection)), pid: self.pid })
    }

    /// Ends all connections and the thread; once is enough.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        here(self.pid)?;
        if let Some(running) = self.take() {
            py.detach(|| running.stop());
        }
        Ok(())
    }
}

impl Transport {
    fn take(&self) -> Option<wire::Transport> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if std::process::id() != self.pid {
            if let Some(running) = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
                running.abandon();
            }
        } else if let Some(running) = self.take() {
            Python::attach(|py| py.detach(|| running.stop()));
        }
    }
}

/// A connection to a sidecar. What its calls fail with is `durabletask._worker.native.CallError`.
#[pyclass(frozen, module = "durabletask._core")]
struct TransportConnection {
    /// There until it is dropped.
    connection: Option<Arc<wire::Connection<Py<PyAny>>>>,
    pid: u32,
}

#[pymethods]
impl TransportConnection {
    /// Makes a call with one answer, and waits for it for so many seconds.
    fn call<'py>(&self, py: Python<'py>, path: &str, message: &[u8], timeout: f64) -> PyResult<Bound<'py, PyBytes>> {
        let connection = self.connection()?;
        let patience = Duration::try_from_secs_f64(timeout)?;
        let answer = py.detach(|| connection.call(path, message, patience));
        answer.map(|answer| PyBytes::new(py, &answer)).map_err(|status| raised(py, &status))
    }

    /// Asks for the stream whose messages `take` gives.
    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are extracted, and owned")]
    fn stream(&self, py: Python<'_>, path: &str, message: &[u8], metadata: Vec<(String, Value)>) -> PyResult<()> {
        let metadata = self::metadata(&metadata)?;
        self.connection()?.stream(path, message, metadata).map_err(|status| raised(py, &status))
    }

    /// Waits for messages, for the end of the stream, or for what became of reports, and takes all there is: pairs of a
    /// report and None (it was delivered), False (the connection was closed first) or an error; messages; and whether the
    /// stream has ended behind them, which is an error unless the other side ended it well.
    fn take<'py>(
        &self,
        py: Python<'py>,
        hastened: bool,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>)> {
        let connection = self.connection()?;
        let taken = py.detach(|| connection.take(hastened));
        let messages = PyList::new(py, taken.messages.iter().map(|message| PyBytes::new(py, message)))?;
        let ended = match taken.ended {
            None => truth(py, false),
            Some(Ok(())) => truth(py, true),
            Some(Err(status)) => error(py, &status),
        };
        Ok((outcomes(py, taken.outcomes)?, messages, ended))
    }

    /// Waits for what became of reports alone, so many seconds at most.
    fn take_outcomes<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyList>> {
        let connection = self.connection()?;
        let patience = Duration::try_from_secs_f64(timeout)?;
        outcomes(py, py.detach(|| connection.take_outcomes(patience)))
    }

    /// Hastens a `take` that waits.
    fn hasten(&self) -> PyResult<()> {
        self.connection()?.hasten();
        Ok(())
    }

    /// Hands a message over; `take` says what became of it, beside `report`. False: the connection was closed.
    fn report(&self, py: Python<'_>, path: &str, message: &Bound<'_, PyBytes>, report: Py<PyAny>) -> PyResult<bool> {
        let connection = self.connection()?;
        let bytes = message.as_bytes();
        let handed_over = gil::work_through(py, bytes.len(), || connection.report(path, bytes, report));
        match handed_over {
            Ok(()) => Ok(true),
            Err((_, status)) if status.code == wire::Code::Cancelled => Ok(false),
            Err((_, status)) => Err(raised(py, &status)),
        }
    }

    /// Gives up all that is on its way.
    fn close(&self) {
        if let Ok(connection) = self.connection() {
            connection.close();
        }
    }
}

impl TransportConnection {
    fn connection(&self) -> PyResult<&Arc<wire::Connection<Py<PyAny>>>> {
        here(self.pid)?;
        self.connection.as_ref().ok_or_else(|| PyRuntimeError::new_err("the connection was dropped"))
    }
}

impl Drop for TransportConnection {
    fn drop(&mut self) {
        if std::process::id() != self.pid {
            std::mem::forget(self.connection.take());
        }
    }
}

fn outcomes(py: Python<'_>, found: Vec<(Py<PyAny>, Outcome)>) -> PyResult<Bound<'_, PyList>> {
    let pairs = found.into_iter().map(|(report, outcome)| {
        let outcome = match outcome {
            Outcome::Delivered => py.None().into_bound(py),
            Outcome::Gone => truth(py, false),
            Outcome::Refused(status) => error(py, &status),
        };
        (report, outcome)
    });
    PyList::new(py, pairs.collect::<Vec<_>>())
}

fn truth(py: Python<'_>, value: bool) -> Bound<'_, PyAny> {
    PyBool::new(py, value).to_owned().into_any()
}

fn error<'py>(py: Python<'py>, status: &Status) -> Bound<'py, PyAny> {
    raised(py, status).into_value(py).into_bound(py).into_any()
}

/// Threads do not survive a fork, and locks may be held by those that are gone.
fn here(pid: u32) -> PyResult<()> {
    let process = std::process::id();
    if process == pid {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!("this connection is process {pid}'s, of which process {process} is a fork")))
}

fn raised(py: Python<'_>, status: &Status) -> PyErr {
    let details: &Bytes = &status.details;
    let made =
        py.import("durabletask._worker.native").and_then(|module| module.getattr("CallError")).and_then(|class| {
            class.call1((status.code.number(), PyString::new(py, &status.message), PyBytes::new(py, details)))
        });
    made.map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Transport>()?;
    module.add_class::<TransportConnection>()
}
