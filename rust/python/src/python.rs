//! Names of Python modules that the binding uses, looked up once, at first use: importing `_core` imports nothing else.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// An attribute of a module.
pub(crate) struct Import {
    module: &'static str,
    name: &'static str,
    cell: PyOnceLock<Py<PyAny>>,
}

impl Import {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, cell: PyOnceLock::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let found = self.cell.get_or_try_init(py, || py.import(self.module)?.getattr(self.name).map(Bound::unbind))?;
        Ok(found.bind(py))
    }

    pub(crate) fn is_instance(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        value.is_instance(self.get(value.py())?)
    }
}

/// The class of the contexts that orchestrators are handed. Packages put their own in its place, so it is looked up anew.
pub(crate) fn runtime_context_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("durabletask.worker")?.getattr("_RuntimeOrchestrationContext")
}

pub(crate) static FAILURE_DETAILS: Import = Import::new("durabletask.task", "FailureDetails");
pub(crate) static TASK: Import = Import::new("durabletask._core", "Task");
pub(crate) static TASK_FAILED_ERROR: Import = Import::new("durabletask.task", "TaskFailedError");
pub(crate) static NON_DETERMINISM_ERROR: Import = Import::new("durabletask.task", "NonDeterminismError");
pub(crate) static ORCHESTRATION_STATE_ERROR: Import = Import::new("durabletask.task", "OrchestrationStateError");
pub(crate) static HISTORY_FORMAT_ERROR: Import = Import::new("durabletask.replay", "HistoryFormatError");
pub(crate) static MISMATCH_REPORT: Import = Import::new("durabletask.replay._check", "mismatch_report");
pub(crate) static NO_TASK_HINT: Import = Import::new("durabletask._source_lines", "hint_about");
pub(crate) static NEXT_DELAY: Import = Import::new("durabletask._retries", "next_delay");
pub(crate) static CANCELLED_ERROR: Import = Import::new("asyncio.exceptions", "CancelledError");
pub(crate) static STANDS_AT: Import = Import::new("durabletask._source_lines", "stands_at");
pub(crate) static ENDED_AT: Import = Import::new("durabletask._source_lines", "ended_at");
pub(crate) static RAISED_AT: Import = Import::new("durabletask._source_lines", "raised_at");
pub(crate) static BEGINS_AT: Import = Import::new("durabletask._source_lines", "begins_at");
pub(crate) static GET_NAME: Import = Import::new("durabletask.task", "get_name");
pub(crate) static ORCHESTRATOR_NOT_REGISTERED: Import =
    Import::new("durabletask.worker", "OrchestratorNotRegisteredError");
pub(crate) static VERSION_NOT_REGISTERED: Import = Import::new("durabletask.worker", "VersionNotRegisteredException");
pub(crate) static TO_JSON: Import = Import::new("durabletask.internal.shared", "to_json");
pub(crate) static FROM_JSON: Import = Import::new("durabletask.internal.shared", "from_json");
pub(crate) static DECODE_PROPAGATED_HISTORY: Import =
    Import::new("durabletask._propagation", "decode_propagated_history");
pub(crate) static FORMAT_TB: Import = Import::new("traceback", "format_tb");
pub(crate) static FORMAT_EXCEPTION: Import = Import::new("traceback", "format_exception");
pub(crate) static UUID: Import = Import::new("uuid", "UUID");
pub(crate) static TIMEDELTA: Import = Import::new("datetime", "timedelta");
pub(crate) static GENERATOR_TYPE: Import = Import::new("types", "GeneratorType");
pub(crate) static COROUTINE_TYPE: Import = Import::new("types", "CoroutineType");
