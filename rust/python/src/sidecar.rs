//! The embedded sidecar, started from Python: a handle on its threads, and the command.
//!
//! Everything that blocks does so without the GIL; the sidecar itself never calls into Python.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use durabletask_sidecar::{Access, BlockingSidecar, BlockingTime, Options, Retention, VirtualTime, back_up, command};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// A sidecar that runs in threads of this process.
#[pyclass(frozen, module = "durabletask._core")]
struct SidecarServer {
    /// Taken out by whoever stops it.
    running: Mutex<Option<BlockingSidecar>>,
    address: String,
    metrics_address: Option<String>,
    /// Threads do not survive a fork: a child has this object and nothing behind it.
    pid: u32,
}

#[pymethods]
impl SidecarServer {
    #[new]
    #[pyo3(signature = (
        *, host, port, metrics_port, db, cache_bytes, accept_data_loss, insecure, api_token_file, tls_cert, tls_key, tls_client_ca,
        max_message_bytes, turn_lease, retain, virtual_time
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords, one for each option")]
    fn start(
        py: Python<'_>,
        host: String,
        port: u16,
        metrics_port: Option<u16>,
        db: Option<PathBuf>,
        cache_bytes: usize,
        accept_data_loss: bool,
        insecure: bool,
        api_token_file: Option<PathBuf>,
        tls_cert: Option<PathBuf>,
        tls_key: Option<PathBuf>,
        tls_client_ca: Option<PathBuf>,
        max_message_bytes: Option<usize>,
        turn_lease: Duration,
        retain: Vec<(String, Duration)>,
        virtual_time: Option<(i64, u64)>,
    ) -> PyResult<Self> {
        let access = Access { insecure, api_token_file, tls_cert, tls_key, tls_client_ca };
        let mut options =
            Options { host, port, metrics_port, db, cache_bytes, accept_data_loss, access, ..Options::default() };
        options.turn_lease = turn_lease;
        options.retention = retention(retain)?;
        options.virtual_time = virtual_time.map(|(start, seed)| VirtualTime { start, seed });
        options.max_message_bytes = max_message_bytes.unwrap_or(options.max_message_bytes);
        let sidecar = py.detach(|| BlockingSidecar::start(options)).map_err(|error| to_python(py, &error))?;
        let address = sidecar.address().to_string();
        let metrics_address = sidecar.metrics_address().map(|address| address.to_string());
        Ok(Self { running: Mutex::new(Some(sidecar)), address, metrics_address, pid: std::process::id() })
    }

    /// Where it listens: "127.0.0.1:4001".
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// Where metrics are read: "127.0.0.1:4002".
    #[getter]
    fn metrics_address(&self) -> Option<&str> {
        self.metrics_address.as_deref()
    }

    /// The process that it runs in.
    #[getter]
    fn pid(&self) -> u32 {
        self.pid
    }

    /// What time it is in it, in nanoseconds since the Unix epoch.
    fn now(&self, py: Python<'_>) -> PyResult<i64> {
        let time = self.time()?;
        py.detach(|| time.now()).ok_or_else(ended)
    }

    /// Lets virtual time pass; None if it could not within `patience`.
    fn skip(&self, py: Python<'_>, by: Duration, patience: Duration) -> PyResult<Option<i64>> {
        let time = self.time()?;
        Ok(py.detach(|| time.skip(by, patience)))
    }

    /// Stops it and waits until it has stopped; once is enough.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let here = std::process::id();
        if here != self.pid {
            return Err(PyRuntimeError::new_err(format!(
                "this sidecar runs in process {}, of which process {here} is a fork without its threads; stop it \
                 there, and start one of your own here",
                self.pid
            )));
        }
        if let Some(sidecar) = self.take() {
            py.detach(|| sidecar.stop());
        }
        Ok(())
    }
}

impl SidecarServer {
    fn time(&self) -> PyResult<BlockingTime> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().and_then(BlockingSidecar::time).ok_or_else(ended)
    }

    fn take(&self) -> Option<BlockingSidecar> {
        // Whoever panicked with the lock held has not changed what is in it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for SidecarServer {
    fn drop(&mut self) {
        if let Some(sidecar) = self.take() {
            if std::process::id() == self.pid {
                Python::attach(|py| py.detach(|| sidecar.stop()));
            } else {
                sidecar.abandon();
            }
        }
    }
}

fn retention(rules: Vec<(String, Duration)>) -> PyResult<Retention> {
    let mut retention = Retention::default();
    for (status, time) in rules {
        retention.keep(&status, time).map_err(|error| PyValueError::new_err(error.to_string()))?;
    }
    Ok(retention)
}

fn to_python(py: Python<'_>, error: &dyn std::error::Error) -> PyErr {
    let raised = py
        .import("durabletask.sidecar")
        .and_then(|module| module.getattr("SidecarError"))
        .and_then(|class| class.call1((error.to_string(),)));
    raised.map_or_else(|error| error, PyErr::from_value)
}

/// Copies a database, also while a sidecar is at work on it; returns the size of the copy in bytes.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "arguments from Python are extracted, and owned")]
fn back_up_sidecar(py: Python<'_>, db: PathBuf, to: PathBuf) -> PyResult<u64> {
    py.detach(|| back_up(&db, &to)).map_err(|error| to_python(py, &error))
}

fn ended() -> PyErr {
    PyRuntimeError::new_err("the sidecar has ended")
}

/// Runs the `durabletask-sidecar` command until a signal ends it; returns the exit code.
#[pyfunction]
fn sidecar_main(py: Python<'_>, arguments: Vec<String>) -> i32 {
    py.detach(|| command::run(arguments))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SidecarServer>()?;
    module.add_function(wrap_pyfunction!(back_up_sidecar, module)?)?;
    module.add_function(wrap_pyfunction!(sidecar_main, module)?)
}
