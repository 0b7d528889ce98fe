//! Payloads: JSON on one side, Python values on the other.
//!
//! Whatever is simple is done here; the rest goes to `durabletask.internal.shared`, whose answer counts. So a payload
//! means the same whichever way it takes.

use jiter::{PythonParse, StringCacheMode};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::plain_json::{self, MARKER};
use crate::python;

/// Reads the commonest payloads without checking first that they are text: strings of plain ASCII, and whole numbers of up
/// to eighteen digits.
#[inline]
#[allow(unsafe_code, reason = "Python has no safe way to be told that text is ASCII")]
pub(crate) fn decode_short<'py>(py: Python<'py>, json: &[u8]) -> Option<Bound<'py, PyAny>> {
    if let [b'"', text @ .., b'"'] = json {
        if !is_plain_ascii(text) {
            return None;
        }
        // SAFETY: every byte is ASCII, as was just seen; that is what both ask for.
        return Some(unsafe { jiter::pystring_ascii_new(py, str::from_utf8_unchecked(text)) }.into_any());
    }
    let (negative, digits) = match json {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // JSON has no leading zeros, and -0 is a float in some readers' eyes.
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 18 {
        return None;
    }
    let mut number = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    let number = if negative { -number } else { number };
    number.into_pyobject(py).ok().map(Bound::into_any)
}

/// Reads JSON.
pub(crate) fn decode<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    let bytes = json.as_bytes();
    if let Some(value) = decode_short(py, bytes) {
        return Ok(value);
    }
    if let Some(value) = plain_json::read(py, json) {
        return Ok(value);
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
            && is_plain_ascii(text.as_bytes())
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
    match python::TO_JSON.get(value.py())?.call1((value,)) {
        Ok(encoded) => encoded.extract(),
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => Err(not_waited_for(value).unwrap_or(error)),
        Err(error) => Err(error),
    }
}

/// The error for a value that is a task, or has one in it: somebody has forgotten to wait for it.
pub(crate) fn not_waited_for(value: &Bound<'_, PyAny>) -> Option<PyErr> {
    fn task_in<'py>(value: &Bound<'py, PyAny>, depth: usize) -> Option<Bound<'py, PyAny>> {
        if python::TASK.is_instance(value).unwrap_or(false) {
            return Some(value.clone());
        }
        let depth = depth.checked_sub(1)?;
        if let Ok(items) = value.cast::<PyList>() {
            items.iter().find_map(|item| task_in(&item, depth))
        } else if let Ok(items) = value.cast::<PyTuple>() {
            items.iter().find_map(|item| task_in(&item, depth))
        } else if let Ok(items) = value.cast::<PyDict>() {
            items.iter().find_map(|(_, item)| task_in(&item, depth))
        } else {
            None
        }
    }
    let class = task_in(value, LOOKED_INTO)?.get_type();
    let class = class.name().map_or_else(|_| "Task".to_owned(), |name| name.to_string());
    Some(PyTypeError::new_err(format!(
        "Object of type {class} is not JSON serializable: it is a task, whose result is there once the orchestrator has \
         waited for it. Write `result = yield task` (in a coroutine, `await task`) and go on with the result; several tasks \
         are waited for with `yield when_all(tasks)`."
    )))
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

/// Whether text is ASCII and stands for itself in JSON, between quotes; eight bytes at a time. Such text is written as it
/// is, too, which 0x7f is not.
#[inline]
fn is_plain_ascii(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of some byte is set if any byte is what is looked for.
    let not_plain = |word: u64| {
        let (quote, backslash, delete) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c), word ^ (ONES * 0x7f));
        let quotes = quote.wrapping_sub(ONES) & !quote;
        let backslashes = backslash.wrapping_sub(ONES) & !backslash;
        let deletes = delete.wrapping_sub(ONES) & !delete;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        (quotes | backslashes | deletes | controls | word) & HIGH
    };
    let (words, _) = text.as_chunks::<8>();
    let last = match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => text.iter().fold(ONES * 0x20, |word, &byte| word << 8 | u64::from(byte)),
    };
    words.iter().fold(not_plain(last), |found, &word| found | not_plain(u64::from_le_bytes(word))) == 0
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
