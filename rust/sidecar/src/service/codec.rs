//! Answers that are encoded already.

use std::marker::PhantomData;

use bytes::BufMut;
use durabletask_proto::prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

use crate::wire::EncodedMessage;

pub(super) fn encoded<T>() -> Grpc<EncodedCodec<T>>
where
    EncodedCodec<T>: Codec,
{
    Grpc::new(EncodedCodec(PhantomData)).apply_max_message_size_config(None, Some(usize::MAX))
}

/// Requests by prost, answers as they are.
pub(super) struct EncodedCodec<T>(PhantomData<T>);

impl<T: Message + Default + Send + 'static> Codec for EncodedCodec<T> {
    type Encode = EncodedMessage;
    type Decode = T;
    type Encoder = AsItIs;
    type Decoder = <ProstCodec<(), T> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        AsItIs
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<(), T>::default().decoder()
    }
}

pub(super) struct AsItIs;

impl Encoder for AsItIs {
    type Item = EncodedMessage;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Self::Error> {
        buffer.reserve(item.len());
        for chunk in item.chunks {
            buffer.put(chunk);
        }
        Ok(())
    }
}
