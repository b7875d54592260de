//! How tonic turns messages into bytes and back.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::scan::{Scanned, scan};

/// Protobuf both ways; what comes in is looked over before it is decoded.
pub(super) struct Protobuf<Out, In>(PhantomData<(Out, In)>);

impl<Out, In> Protobuf<Out, In> {
    pub fn new() -> Self {
        Protobuf(PhantomData)
    }
}

impl<Out: Message + 'static, In: Scanned> Codec for Protobuf<Out, In> {
    type Encode = Out;
    type Decode = In;
    type Encoder = ToBytes<Out>;
    type Decoder = FromBytes<In>;

    fn encoder(&mut self) -> ToBytes<Out> {
        ToBytes(PhantomData)
    }

    fn decoder(&mut self) -> FromBytes<In> {
        FromBytes(PhantomData)
    }
}

pub(super) struct ToBytes<T>(PhantomData<T>);

impl<T: Message> Encoder for ToBytes<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|e| Status::internal(e.to_string()))
    }
}

pub(super) struct FromBytes<T>(PhantomData<T>);

impl<T: Scanned> Decoder for FromBytes<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        // tonic hands out a whole message in one piece; were it not so, nothing would be scanned.
        if buffer.chunk().len() != buffer.remaining() {
            return Err(Status::internal("a message in several pieces"));
        }
        scan::<T>(buffer.chunk())?;
        let wrong = |e| Status::invalid_argument(format!("not the message that is expected: {e}"));
        T::decode(buffer).map(Some).map_err(wrong)
    }
}
