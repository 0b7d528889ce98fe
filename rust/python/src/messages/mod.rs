//! Messages of the sidecar protocol, as plain Python values.
//!
//! Requests are encoded from arguments, responses decoded into tuples; the Python side knows no field numbers. Bytes that
//! are no such message raise `ValueError` saying which message it was and what is wrong with it.

use durabletask_proto::prost::{DecodeError, Message};
use durabletask_proto::prost_types::Timestamp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

mod completions;
mod failure;
mod history;
mod listing;
mod requests;
mod responses;
mod work_item;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    requests::register(module)?;
    responses::register(module)?;
    work_item::register(module)?;
    completions::register(module)?;
    listing::register(module)?;
    history::register(module)
}

/// Encodes straight into a new bytes object: payloads can be megabytes, and are copied once less.
fn encode<'py>(py: Python<'py>, message: &impl Message) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, message.encoded_len(), |mut buffer| {
        message
            .encode(&mut buffer)
            .map_err(|error| PyValueError::new_err(format!("the message outgrew its buffer: {error}")))
    })
}

/// Decodes a whole message; `name` is what the error calls it.
fn decode<M: Message + Default>(name: &str, data: &[u8]) -> PyResult<M> {
    M::decode(data).map_err(|error| malformed(name, data.len(), &error))
}

fn malformed(name: &str, length: usize, error: &DecodeError) -> PyErr {
    PyValueError::new_err(format!("the sidecar sent {length} bytes that are no {name}: {error}"))
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A timestamp out of microseconds since 1970.
fn timestamp(micros: i64) -> Timestamp {
    let micros_of_second = i32::try_from(micros.rem_euclid(MICROS_PER_SECOND)).unwrap_or_default();
    Timestamp { seconds: micros.div_euclid(MICROS_PER_SECOND), nanos: micros_of_second * 1_000 }
}

/// Microseconds since 1970, as precise as Python's datetime; what is finer is cut off.
fn micros(timestamp: &Timestamp) -> i64 {
    timestamp.seconds.saturating_mul(MICROS_PER_SECOND).saturating_add(i64::from(timestamp.nanos).div_euclid(1_000))
}
