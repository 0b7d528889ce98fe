//! What goes with calls beside their message: headers out, and those of the answer that say how it ended.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;

use crate::status::{Code, Status};

// Whoever writes may leave the padding out or not; gRPC has both read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BINARY: &str = "-bin";

// gRPC's and HTTP's own are not a program's to set.
const OWN: [&str; 6] = ["te", "content-type", "user-agent", "host", "connection", "transfer-encoding"];

/// Metadata that HTTP can not carry.
#[derive(Debug, thiserror::Error)]
#[error("metadata can not have the name {name:?} with such a value")]
pub struct InvalidMetadata {
    name: String,
}

/// Names and values that go with a call.
#[derive(Debug, Clone, Default)]
pub struct Metadata(HeaderMap);

impl Metadata {
    /// Metadata of these pairs. Values under names that end in `-bin` may be any bytes, others are text.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, InvalidMetadata> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let invalid = || InvalidMetadata { name: name.to_owned() };
            let value = if name.ends_with(BINARY) {
                HeaderValue::from_str(&BASE64.encode(value)).map_err(|_| invalid())?
            } else if value.is_ascii() {
                HeaderValue::from_bytes(value).map_err(|_| invalid())?
            } else {
                return Err(invalid());
            };
            let name = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| invalid())?;
            if name.as_str().starts_with("grpc-") || OWN.contains(&name.as_str()) {
                return Err(invalid());
            }
            headers.append(name, value);
        }
        Ok(Self(headers))
    }

    /// The headers of each call: these, and what gRPC itself asks for.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.0.len() + 4);
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let agent = concat!("durabletask-rs/", env!("CARGO_PKG_VERSION"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &self.0 {
            headers.append(name.clone(), value.clone());
        }
        headers
    }

    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// How a call ended by its trailers; None if they do not say.
pub(crate) fn ended(trailers: &HeaderMap) -> Option<Result<(), Status>> {
    let code = trailers.get("grpc-status")?;
    let number = code.to_str().ok().and_then(|code| code.parse().ok());
    let code = number.map_or(Code::Unknown, Code::numbered);
    if code == Code::Ok {
        return Some(Ok(()));
    }
    let message = trailers.get("grpc-message").map_or(&b""[..], HeaderValue::as_bytes);
    let details = trailers.get("grpc-status-details-bin").and_then(|value| BASE64.decode(value).ok());
    Some(Err(Status {
        code,
        message: percent_decode(message).decode_utf8_lossy().into_owned(),
        details: details.map_or_else(Bytes::new, Bytes::from),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_status_is_read_from_trailers() {
        assert_eq!(ended(&trailers(&[])), None);
        assert_eq!(ended(&trailers(&[("grpc-status", "0"), ("grpc-message", "x")])), Some(Ok(())));
        let found = ended(&trailers(&[
            ("grpc-status", "8"),
            ("grpc-message", "no%20room: %C3%A4%zz"),
            ("grpc-status-details-bin", "AQI="),
        ]));
        let expected = Status {
            code: Code::ResourceExhausted,
            message: "no room: ä%zz".to_owned(),
            details: Bytes::from_static(&[1, 2]),
        };
        assert_eq!(found, Some(Err(expected)));
    }

    #[test]
    fn a_status_that_is_no_number_is_unknown() {
        for odd in ["", "-1", "99", "x", "4294967296"] {
            let found = ended(&trailers(&[("grpc-status", odd)]));
            assert_eq!(found.and_then(Result::err).map(|status| status.code), Some(Code::Unknown), "{odd:?}");
        }
    }

    #[test]
    fn bytes_travel_as_base64_and_nothing_that_could_not_travel_is_taken() {
        let metadata = Metadata::of([("a", &b"text"[..]), ("b-bin", &[0, 255, 1]), ("a", b"more")]);
        let headers = metadata.expect("is valid").headers();
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["text", "more"]);
        assert_eq!(headers["b-bin"], "AP8B");
        for (name, value) in
            [("A", &b""[..]), ("a b", b""), ("", b""), ("a", b"\n"), ("a", "ä".as_bytes()), ("te", b"0")]
        {
            assert!(Metadata::of([(name, value)]).is_err(), "{name:?}: {value:?}");
        }
    }
}
