//! Payloads: JSON on one side, Python values on the other.
//!
//! Whatever is simple is done here; the rest goes to `durabletask.internal.shared`, whose answer counts. So a payload
//! means the same whichever way it takes.

use jiter::{PythonParse, StringCacheMode};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::python;

/// The key that marks objects to be read back as `SimpleNamespace`.
const MARKER: &[u8] = b"__durabletask_autoobject__";

/// Reads JSON.
pub(crate) fn decode<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    let bytes = json.as_bytes();
    if let [b'"', inner @ .., b'"'] = bytes
        && is_plain(inner)
    {
        return Ok(PyString::new(py, &json[1..json.len() - 1]).into_any());
    }
    if !(contains(bytes, b"{") && contains(bytes, MARKER)) {
        let parser = PythonParse { allow_inf_nan: true, cache_mode: StringCacheMode::Keys, ..PythonParse::default() };
        if let Ok(value) = parser.python_parse(py, bytes) {
            return Ok(value);
        }
    }
    python::FROM_JSON.get(py)?.call1((json,))
}

/// Writes JSON.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        if let Ok(text) = text.to_str()
            && text.is_ascii()
            && is_plain(text.as_bytes())
        {
            return Ok(format!("\"{text}\""));
        }
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(if flag.is_true() { "true" } else { "false" }.to_owned());
    } else if value.is_exact_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<i64>()
    {
        return Ok(number.to_string());
    }
    let encoded = python::TO_JSON.get(value.py())?.call1((value,))?;
    encoded.extract()
}

/// Values in values, at most, that `is_encodable` looks into.
const LOOKED_INTO: usize = 16;

/// Whether a value is known to have a JSON form, which is found without making it.
pub(crate) fn is_encodable(value: &Bound<'_, PyAny>) -> bool {
    fn known(value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if value.is_none()
            || value.is_exact_instance_of::<PyString>()
            || value.is_exact_instance_of::<PyBool>()
            || value.is_exact_instance_of::<PyFloat>()
        {
            return true;
        }
        if value.is_exact_instance_of::<PyInt>() {
            // Longer ones may exceed what Python writes.
            return value.extract::<i64>().is_ok();
        }
        if depth == 0 {
            return false;
        }
        if let Ok(items) = value.cast_exact::<PyList>() {
            items.iter().all(|item| known(&item, depth - 1))
        } else if let Ok(items) = value.cast_exact::<PyTuple>() {
            items.iter().all(|item| known(&item, depth - 1))
        } else if let Ok(items) = value.cast_exact::<PyDict>() {
            items.iter().all(|(key, item)| key.is_exact_instance_of::<PyString>() && known(&item, depth - 1))
        } else {
            false
        }
    }
    known(value, LOOKED_INTO)
}

/// Whether text stands in JSON as it is, between quotes.
#[inline]
#[allow(clippy::needless_bitwise_bool, reason = "without branches the loop is vectorized")]
fn is_plain(text: &[u8]) -> bool {
    // No early exit, so that the compiler can look at many bytes at a time. 0x7f is written by json as it is.
    !text.iter().fold(false, |found, &byte| found | (byte == b'"') | (byte == b'\\') | (byte < 0x20))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
