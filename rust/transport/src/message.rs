//! Messages as gRPC puts them on a stream: a byte that says whether they are compressed, their length, and they.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::status::{Code, Status};

const PREFIX: usize = 5;

/// A message with its prefix, in one piece.
pub(crate) fn framed(message: &[u8]) -> Result<Bytes, Status> {
    let length = u32::try_from(message.len()).map_err(|_| {
        let problem = format!("a message of {} bytes is too large for gRPC", message.len());
        Status::new(Code::ResourceExhausted, problem)
    })?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(framed.freeze())
}

/// Puts messages together from the pieces in which they arrive.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The piece that came last.
    piece: Bytes,
    /// The beginning of a message that goes on in the next one.
    begun: BytesMut,
}

impl Messages {
    /// Takes in the next piece; the one before has to be used up.
    pub(crate) fn feed(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty());
        self.piece = piece;
    }

    /// Whether everything that came in was part of a whole message.
    pub(crate) fn is_empty(&self) -> bool {
        self.piece.is_empty() && self.begun.is_empty()
    }

    /// The next message; None if another piece is needed.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.begun.is_empty() {
            let Some(length) = announced(&self.piece)? else { return Ok(self.begin()) };
            if self.piece.len() - PREFIX < length {
                return Ok(self.begin());
            }
            self.piece.advance(PREFIX);
            return Ok(Some(self.piece.split_to(length)));
        }
        if !self.continued_to(PREFIX) {
            return Ok(None);
        }
        let length = announced(&self.begun)?.unwrap_or_default();
        if !self.continued_to(PREFIX + length) {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.begun).freeze();
        message.advance(PREFIX);
        Ok(Some(message))
    }

    fn begin(&mut self) -> Option<Bytes> {
        self.begun.extend_from_slice(&std::mem::take(&mut self.piece));
        None
    }

    /// Moves bytes over until the message that has begun has so many; false if there are not enough.
    fn continued_to(&mut self, length: usize) -> bool {
        // What is announced is not believed until it is there: room grows as bytes arrive.
        let missing = length.saturating_sub(self.begun.len()).min(self.piece.len());
        self.begun.extend_from_slice(&self.piece.split_to(missing));
        self.begun.len() >= length
    }
}

fn announced(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some((&[compressed, ref length @ ..], _)) = bytes.split_first_chunk::<PREFIX>() else { return Ok(None) };
    if compressed != 0 {
        return Err(Status::new(Code::Internal, "received a compressed message, which was not asked for"));
    }
    Ok(Some(u32::from_be_bytes(*length) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_their_bytes_are_cut() {
        let wanted: Vec<Vec<u8>> = [0, 1, 4, 5, 6, 300].map(|length| vec![7; length]).into();
        let sent: Vec<u8> = wanted.iter().flat_map(|message| framed(message).expect("fits")).collect();
        for size in 1..=sent.len() {
            let (mut messages, mut found) = (Messages::default(), Vec::new());
            for piece in sent.chunks(size) {
                messages.feed(Bytes::copy_from_slice(piece));
                while let Some(message) = messages.next().expect("is well formed") {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, wanted, "in pieces of {size}");
            assert!(messages.is_empty());
        }
    }

    #[test]
    fn a_length_takes_no_memory_before_its_bytes_are_there() {
        let mut messages = Messages::default();
        messages.feed(Bytes::from_static(&[0, 255, 255, 255, 255, 1]));
        assert_eq!(messages.next(), Ok(None));
        assert!(messages.begun.capacity() < 1024);
        assert!(!messages.is_empty());
    }

    #[test]
    fn a_compressed_message_is_refused() {
        let mut messages = Messages::default();
        messages.feed(Bytes::from_static(&[1, 0, 0, 0, 0]));
        assert_eq!(messages.next().map_err(|status| status.code), Err(Code::Internal));
    }
}
