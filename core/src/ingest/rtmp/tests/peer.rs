//! Gets a connection without a socket.
//! Gives it an encoder or a server to talk to, made of the crate's serializers, and the crate's reading of the answers.

use std::time::Duration;

use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::RtmpMessage;
use rml_rtmp::time::RtmpTimestamp;

use super::super::commands::Ask;
use super::super::connection::{Action, Connection};
use super::super::message::Message;
use super::super::player::Wish;
use super::chunked;
use crate::media::Result;

/// An encoder or a server at the other end of a [`Connection`].
pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) now: Duration,
    serializer: ChunkSerializer,
    deserializer: ChunkDeserializer,
    /// Everything that it sent, as a recording to mutate.
    pub(super) sent: Vec<u8>,
}

pub(super) fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

pub(super) fn object(properties: &[(&str, Amf0Value)]) -> Amf0Value {
    let named = properties.iter().map(|(name, value)| (name.to_string(), value.clone()));
    Amf0Value::Object(named.collect())
}

/// The text property of an information object.
pub(super) fn property<'a>(value: &'a Amf0Value, name: &str) -> &'a str {
    match value {
        Amf0Value::Object(properties) => match properties.get(name) {
            Some(Amf0Value::Utf8String(text)) => text,
            other => panic!("{name}: {other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

impl Peer {
    /// A peer that has shaken hands.
    pub(super) fn new() -> Self {
        let mut peer = Self {
            connection: Connection::default(),
            now: Duration::ZERO,
            serializer: ChunkSerializer::new(),
            deserializer: ChunkDeserializer::new(),
            sent: Vec::new(),
        };
        let mut client = Handshake::new(PeerType::Client);
        let first = client.generate_outbound_p0_and_p1().unwrap();
        peer.feed(&first).unwrap();
        let HandshakeProcessResult::Completed { response_bytes, .. } = client.process_bytes(&peer.output()).unwrap()
        else {
            panic!("the handshake is not over");
        };
        peer.feed(&response_bytes).unwrap();
        peer
    }

    /// A server that has shaken hands with a player.
    pub(super) fn of_player() -> Self {
        let wish = Wish {
            app: "live".to_owned(),
            tc_url: "rtmp://host:1935/live".to_owned(),
            stream: "cam?token=x".to_owned(),
        };
        let mut peer = Self {
            connection: Connection::player(wish).unwrap(),
            now: Duration::ZERO,
            serializer: ChunkSerializer::new(),
            deserializer: ChunkDeserializer::new(),
            sent: Vec::new(),
        };
        let mut server = Handshake::new(PeerType::Server);
        let HandshakeProcessResult::InProgress { response_bytes } = server.process_bytes(&peer.output()).unwrap()
        else {
            panic!("the handshake is over too early");
        };
        peer.feed(&response_bytes).unwrap();
        let second = peer.connection.output()[..1536].to_vec();
        peer.connection.written(second.len());
        assert!(matches!(
            server.process_bytes(&second),
            Ok(HandshakeProcessResult::Completed { .. })
        ));
        peer
    }

    /// A server whose player waits for media on message stream 1.
    pub(super) fn playing() -> Self {
        let mut peer = Self::of_player();
        let result = object(&[("code", text("NetConnection.Connect.Success"))]);
        peer.command("_result", 1.0, vec![Amf0Value::Null, result], 0).unwrap();
        let stream = Amf0Value::Number(1.0);
        peer.command("_result", 2.0, vec![Amf0Value::Null, stream], 0).unwrap();
        peer.answers();
        peer
    }

    /// Says an `onStatus` of a level and code.
    pub(super) fn status(&mut self, level: &str, code: &str) -> Result<Vec<Action>> {
        let info = object(&[
            ("level", text(level)),
            ("code", text(code)),
            ("description", text("so it is")),
        ]);
        self.command("onStatus", 0.0, vec![Amf0Value::Null, info], 1)
    }

    /// A peer that has connected to the app `live` and created message stream 1.
    pub(super) fn connected() -> Self {
        let mut peer = Self::new();
        peer.connect("live");
        peer.command("createStream", 2.0, vec![Amf0Value::Null], 0).unwrap();
        peer.answers();
        peer
    }

    /// A peer that publishes `cam`.
    pub(super) fn publishing() -> Self {
        let mut peer = Self::connected();
        peer.publish("cam");
        peer.connection.accept(peer.now).unwrap();
        peer.answers();
        peer
    }

    pub(super) fn connect(&mut self, app: &str) {
        let properties = object(&[("app", text(app)), ("tcUrl", text("rtmp://localhost/live"))]);
        assert!(self.command("connect", 1.0, vec![properties], 0).unwrap().is_empty());
    }

    pub(super) fn publish(&mut self, name: &str) -> Ask {
        let arguments = vec![Amf0Value::Null, text(name), text("live")];
        match self.command("publish", 3.0, arguments, 1).unwrap().pop() {
            Some(Action::Publish(ask)) => ask,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn command(
        &mut self,
        name: &str,
        transaction: f64,
        mut arguments: Vec<Amf0Value>,
        stream_id: u32,
    ) -> Result<Vec<Action>> {
        let command_object = arguments.remove(0);
        let payload = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id: transaction,
            command_object,
            additional_arguments: arguments,
        }
        .into_message_payload(RtmpTimestamp::new(0), stream_id)
        .unwrap();
        let bytes = self.serializer.serialize(&payload, false, false).unwrap().bytes;
        self.feed(&bytes)
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<Vec<Action>> {
        let bytes = chunked(&mut self.serializer, message);
        self.feed(&bytes)
    }

    /// Changes the chunk size of both sides.
    pub(super) fn set_chunk_size(&mut self, size: u32) {
        let bytes = self
            .serializer
            .set_max_chunk_size(size, RtmpTimestamp::new(0))
            .unwrap()
            .bytes;
        assert!(self.feed(&bytes).unwrap().is_empty());
    }

    /// Gives bytes to the connection, all that it takes; tells what they caused.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Action>> {
        self.sent.extend_from_slice(bytes);
        let mut actions = Vec::new();
        while let Some(action) = self.connection.handle(&mut bytes, self.now)? {
            actions.push(action);
        }
        Ok(actions)
    }

    fn output(&mut self) -> Vec<u8> {
        let output = self.connection.output().to_vec();
        self.connection.written(output.len());
        output
    }

    /// What the connection answered since the last call, message stream first.
    pub(super) fn answers(&mut self) -> Vec<(u32, RtmpMessage)> {
        let output = self.output();
        let mut messages = Vec::new();
        let mut bytes = &output[..];
        while let Some(payload) = self.deserializer.get_next_message(bytes).unwrap() {
            bytes = &[];
            let message = payload.to_rtmp_message().unwrap();
            if let RtmpMessage::SetChunkSize { size } = message {
                self.deserializer.set_max_chunk_size(size as usize).unwrap();
            }
            messages.push((payload.message_stream_id, message));
        }
        messages
    }

    /// The commands among the answers: name, transaction, last argument.
    pub(super) fn command_answers(&mut self) -> Vec<(String, f64, Amf0Value)> {
        let commands = self.answers().into_iter().filter_map(|(_, message)| match message {
            RtmpMessage::Amf0Command {
                command_name,
                transaction_id,
                mut additional_arguments,
                ..
            } => Some((
                command_name,
                transaction_id,
                additional_arguments.pop().unwrap_or(Amf0Value::Null),
            )),
            _ => None,
        });
        commands.collect()
    }

    /// The `onStatus` codes among the answers.
    pub(super) fn status_codes(&mut self) -> Vec<String> {
        let answers = self.command_answers().into_iter();
        let status = answers.filter(|(name, _, _)| name == "onStatus");
        status.map(|(_, _, info)| property(&info, "code").to_owned()).collect()
    }
}
