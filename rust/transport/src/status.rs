//! How calls end: gRPC's status, and which ends may be followed by another attempt.

use std::fmt;

use bytes::Bytes;
use h2::Reason;

/// gRPC's status codes, under gRPC's numbers.
#[allow(missing_docs, reason = "they are gRPC's")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

const CODES: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

impl Code {
    /// The code of a number; one that gRPC does not have is `Unknown`.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        usize::try_from(number).ok().and_then(|index| CODES.get(index)).copied().unwrap_or(Self::Unknown)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }
}

/// How a call ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What sort of end.
    pub code: Code,
    /// What is said about it.
    pub message: String,
    /// A serialized `google.rpc.Status` that the other side sent along, or nothing.
    pub details: Bytes,
}

/// Failures of a stream or of the connection under it arrive under codes that also mean other things.
const CONNECTION_WORDS: [&str; 8] = [
    "rst_stream",
    "stream removed",
    "goaway",
    "too_many_pings",
    "enhance_your_calm",
    "connection reset",
    "socket closed",
    "broken pipe",
];

const RETRY_INFO: &[u8] = b"/google.rpc.RetryInfo";

impl Status {
    /// A status without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new() }
    }

    /// Whether the same call may succeed later: it lost its connection or its time, or the other side says so.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let by_code = match self.code {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted => true,
            Code::Internal | Code::Unknown | Code::ResourceExhausted => {
                let message = self.message.to_lowercase();
                CONNECTION_WORDS.iter().any(|words| message.contains(words))
            }
            _ => false,
        };
        by_code || self.details.windows(RETRY_INFO.len()).any(|window| window == RETRY_INFO)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(Code::Cancelled, "the connection was closed")
    }

    pub(crate) fn timed_out() -> Self {
        Self::new(Code::DeadlineExceeded, "Deadline Exceeded")
    }

    /// What gRPC makes of an error of the protocol below.
    pub(crate) fn of_http2(error: &h2::Error) -> Self {
        if error.is_reset()
            && error.is_remote()
            && let Some(reason) = error.reason()
        {
            let message = format!("Received RST_STREAM with error code {} ({reason})", u32::from(reason));
            return Self::new(code_of_reset(reason), message);
        }
        if error.is_go_away() && error.is_remote() {
            return Self::unavailable(format!("GOAWAY received: {error}"));
        }
        if let Some(io) = error.get_io() {
            return Self::unavailable(format!("the connection broke: {io}"));
        }
        Self::unavailable(format!("the connection broke: {error}"))
    }

    /// What gRPC makes of an answer that is HTTP's alone.
    pub(crate) fn of_http(status: http::StatusCode) -> Self {
        let code = match status.as_u16() {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        };
        Self::new(code, format!("Received http2 header with status: {}; that is no answer of gRPC", status.as_u16()))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}

fn code_of_reset(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_grpcs_numbers() {
        for (number, code) in (0..).zip(CODES) {
            assert_eq!(code.number(), number);
            assert_eq!(Code::numbered(number), code);
        }
        assert_eq!(Code::numbered(17), Code::Unknown);
        assert_eq!(Code::numbered(u32::MAX), Code::Unknown);
    }

    #[test]
    fn losing_a_connection_is_transient_and_being_refused_is_not() {
        for (code, message, transient) in [
            (Code::Unavailable, "", true),
            (Code::Cancelled, "", true),
            (Code::DeadlineExceeded, "", true),
            (Code::Aborted, "", true),
            (Code::Internal, "Received RST_STREAM with error code 2", true),
            (Code::Unknown, "Stream removed", true),
            (Code::ResourceExhausted, "ENHANCE_YOUR_CALM", true),
            (Code::ResourceExhausted, "larger than max", false),
            (Code::Unknown, "no such instance", false),
            (Code::NotFound, "goaway", false),
            (Code::Unauthenticated, "", false),
        ] {
            assert_eq!(Status::new(code, message).is_transient(), transient, "{code:?} {message}");
        }
    }

    #[test]
    fn a_status_that_asks_for_it_is_transient_whatever_its_code() {
        let mut status = Status::new(Code::ResourceExhausted, "no room");
        status.details = Bytes::from_static(b"\x1a\x28type.googleapis.com/google.rpc.RetryInfo");
        assert!(status.is_transient());
    }
}
