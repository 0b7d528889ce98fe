//! `Stalled`: a turn that is not answered, because the code here does not fit the instance.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::python;

/// Why the code does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// It does something else than the history says.
    NonDeterminism,
    /// There is no orchestrator of that name.
    Orchestrator,
    /// There is one, but not in the version that the history asks for.
    Version,
}

impl Mismatch {
    fn kind(self) -> &'static str {
        match self {
            Self::NonDeterminism => "nondeterminism",
            Self::Orchestrator => "orchestrator",
            Self::Version => "version",
        }
    }
}

/// Raised by an executor with `on_mismatch="stall"` instead of failing an instance whose history the code here does not fit:
/// the work item is to be left to a worker that has the right code. Nothing of the instance is kept alive.
#[pyclass(frozen, extends = PyException, module = "durabletask._core")]
#[derive(Debug)]
pub(crate) struct Stalled {
    /// The instance.
    #[pyo3(get)]
    instance_id: String,
    /// Its orchestrator; "" if the history does not say.
    #[pyo3(get)]
    name: String,
    /// The version of it that the history asks for, or that was run.
    #[pyo3(get)]
    version: Option<String>,
    kind: Mismatch,
    /// What does not fit, for people.
    #[pyo3(get)]
    report: String,
}

#[pymethods]
impl Stalled {
    /// "nondeterminism", "orchestrator" (there is none of the name) or "version" (not this one).
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind.kind()
    }

    fn __str__(&self) -> &str {
        &self.report
    }
}

/// Which instance stalls.
pub(super) struct Subject<'a> {
    pub(super) instance_id: &'a str,
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
}

/// The exception for an instance. `error` is what it would fail with; `history` its whole history, if that is at hand,
/// which is then checked as `Replayer.check` does, whose report knows the lines.
pub(super) fn stalled(
    registry: &Bound<'_, PyAny>,
    subject: &Subject<'_>,
    kind: Mismatch,
    error: &PyErr,
    history: Option<&[u8]>,
) -> PyResult<PyErr> {
    let py = registry.py();
    let mut report = None;
    if kind == Mismatch::NonDeterminism
        && let Some(history) = history
    {
        let history = pyo3::types::PyBytes::new(py, history);
        report = python::MISMATCH_REPORT.get(py)?.call1((registry, history))?.extract::<Option<String>>()?;
    }
    let text =
        |error: &PyErr| error.value(py).str().map(|text: Bound<'_, PyString>| text.to_string_lossy().into_owned());
    let report = match report {
        Some(report) => report,
        None => text(error)?,
    };
    let stalled = Stalled {
        instance_id: subject.instance_id.to_owned(),
        name: subject.name.to_owned(),
        version: subject.version.map(str::to_owned),
        kind,
        report,
    };
    Ok(PyErr::from_value(Bound::new(py, stalled)?.into_any()))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Stalled>()
}
