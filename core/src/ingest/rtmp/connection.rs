//! Gets the bytes of one RTMP connection and the time, from the task that owns the socket.
//! Gives what they ask for, one action at a time, and the bytes to write back. Does no I/O itself.

use std::time::Duration;

use serde_json::Map;

use super::amf0::{self, Value};
use super::chunks::Dechunker;
use super::commands::{Ask, Commands, Event};
use super::handshake::HalfHandshake;
use super::limits::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, MAX_METADATA_BYTES, PUBLISH_TIMEOUT};
use super::log_limit::LogLimit;
use super::message::{Aggregate, Message, message_type};
use super::player::{Player, Wish};
use super::reader::Reader;
use super::replies::Replies;
use super::tracks::{Dropped, Media, Tracks};
use crate::media::{Error, ErrorKind, Result, Sample, TrackConfig};

/// Received bytes between two acknowledgements where the peer names no window.
const DEFAULT_WINDOW_BYTES: u64 = 2_500_000;

/// What a connection wants done, in the order in which the peer caused it.
#[derive(Debug)]
pub enum Action {
    /// A publish is asked for: [`Connection::accept`] or [`Connection::refuse`] is to be called next.
    Publish(Ask),
    /// A track appeared or has a new configuration.
    Track(TrackConfig),
    /// The publisher told facts of itself.
    Facts(Map<String, serde_json::Value>),
    /// A sample of the publication.
    Sample(Sample),
    /// Samples that came and are not taken.
    Dropped(Dropped),
    /// The publisher ended the publication. Another publish may follow.
    Unpublish,
}

/// One RTMP connection: handshake, chunks, commands, media.
///
/// Time is an argument, measured from the accept of the connection, and never goes back. After an
/// error the connection is to be closed; what was handed out before stays valid.
pub struct Connection {
    handshake: Option<Box<HalfHandshake>>,
    chunks: Dechunker,
    aggregate: Option<Aggregate>,
    role: Role,
    replies: Replies,
    tracks: Option<Tracks>,
    /// A sample whose track was handed out just before.
    sample: Option<Sample>,
    received_bytes: u64,
    acknowledged_bytes: u64,
    window_bytes: u64,
    deadline: Duration,
    stray: LogLimit,
    bad_facts: LogLimit,
}

/// Who we are.
enum Role {
    /// A server, to which publishers come.
    Server(Commands),
    /// A player, which a server sends a stream to.
    Player(Player),
}

impl Role {
    fn is_closing(&self) -> bool {
        match self {
            Self::Server(commands) => commands.is_closing(),
            Self::Player(player) => player.is_closing(),
        }
    }

    fn is_asking(&self) -> bool {
        matches!(self, Self::Server(commands) if commands.is_asking())
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            handshake: Some(Box::new(HalfHandshake::of_server())),
            chunks: Dechunker::default(),
            aggregate: None,
            role: Role::Server(Commands::new()),
            replies: Replies::new(),
            tracks: None,
            sample: None,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: DEFAULT_WINDOW_BYTES,
            deadline: HANDSHAKE_TIMEOUT,
            stray: LogLimit::default(),
            bad_facts: LogLimit::default(),
        }
    }
}

impl Connection {
    /// A connection to a server that is to send us a stream.
    ///
    /// # Errors
    /// `Internal` where there is no randomness to be had.
    pub(super) fn player(wish: Wish) -> Result<Self> {
        let (handshake, first) = HalfHandshake::of_player()?;
        let mut connection = Self {
            handshake: Some(Box::new(handshake)),
            role: Role::Player(Player::new(wish)),
            ..Self::default()
        };
        connection.replies.raw(&first);
        Ok(connection)
    }

    /// Takes bytes off the front of `input` until they cause an action; `None` when all are taken
    /// and caused nothing more. To be called again with the rest after every action.
    ///
    /// # Errors
    /// `Malformed` or `LimitExceeded` where the peer breaks the protocol or meets a limit.
    pub fn handle(&mut self, input: &mut &[u8], now: Duration) -> Result<Option<Action>> {
        let before = input.len();
        let result = self.next_action(input, now);
        self.received_bytes += (before - input.len()) as u64;
        if matches!(result, Ok(None)) {
            self.acknowledge()?;
        }
        result
    }

    fn next_action(&mut self, input: &mut &[u8], now: Duration) -> Result<Option<Action>> {
        if let Some(sample) = self.sample.take() {
            return Ok(Some(Action::Sample(sample)));
        }
        loop {
            if self.role.is_closing() {
                *input = &[];
                return Ok(None);
            }
            if self.role.is_asking() {
                return Ok(None);
            }
            if let Some(handshake) = &mut self.handshake {
                if input.is_empty() {
                    return Ok(None);
                }
                let (answer, is_over) = handshake.next(input)?;
                self.replies.raw(&answer);
                if is_over {
                    self.handshake = None;
                    self.deadline = now.saturating_add(PUBLISH_TIMEOUT);
                    if let Role::Player(player) = &mut self.role {
                        player.connect(&mut self.replies)?;
                    }
                }
                continue;
            }
            let message = match self.next_part()? {
                Some(part) => part,
                None => match self.chunks.next(input)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if let Some(action) = self.on_message(message, now)? {
                return Ok(Some(action));
            }
        }
    }

    /// Lets the publisher in.
    ///
    /// # Errors
    /// `InvalidState` where no publish was asked for.
    pub fn accept(&mut self, now: Duration) -> Result<()> {
        self.decide(Ok(()))?;
        self.chunks.set_publishing(true);
        self.tracks = Some(Tracks::default());
        self.deadline = now.saturating_add(IDLE_TIMEOUT);
        Ok(())
    }

    /// Does not let the publisher in, says why, and closes the connection.
    ///
    /// # Errors
    /// `InvalidState` where no publish was asked for.
    pub fn refuse(&mut self, sentence: &str) -> Result<()> {
        self.decide(Err(sentence))
    }

    fn decide(&mut self, decision: Result<(), &str>) -> Result<()> {
        match &mut self.role {
            Role::Server(commands) => commands.decide(decision, &mut self.replies),
            Role::Player(_) => Err(Error::new(
                ErrorKind::InvalidState,
                "follow an RTMP command",
                "a player is asked for nothing",
            )),
        }
    }

    /// Ends the connection from our side: the peer is told in the bytes that are left to write.
    ///
    /// # Errors
    /// `LimitExceeded` where the peer has not read earlier answers.
    pub fn close(&mut self) -> Result<()> {
        self.tracks = None;
        match &mut self.role {
            Role::Server(commands) => commands.close(&mut self.replies),
            Role::Player(player) => player.close(&mut self.replies),
        }
    }

    /// Whether the connection is to be closed once all is written.
    pub fn is_closing(&self) -> bool {
        self.role.is_closing()
    }

    /// Whether a publication is open.
    pub fn is_publishing(&self) -> bool {
        matches!(&self.role, Role::Server(commands) if commands.is_publishing())
    }

    /// How many of the answers that a player needs have come: to its handshake, `connect` and
    /// `createStream`. Always 0 for a server.
    pub(super) fn answers(&self) -> u8 {
        match &self.role {
            Role::Player(player) if self.handshake.is_none() => player.answers(),
            _ => 0,
        }
    }

    /// When the peer's patience with us, or ours with the peer, runs out unless it says something.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The bytes that are to be written.
    pub fn output(&self) -> &[u8] {
        self.replies.waiting()
    }

    /// Says that the first `len` bytes of [`Connection::output`] were written.
    pub fn written(&mut self, len: usize) {
        self.replies.written(len);
    }

    /// Memory that incomplete messages hold, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.chunks.held_bytes()
    }

    fn next_part(&mut self) -> Result<Option<Message>> {
        let part = match &mut self.aggregate {
            Some(aggregate) => aggregate.next()?,
            None => return Ok(None),
        };
        if part.is_none() {
            self.aggregate = None;
        }
        Ok(part)
    }

    fn on_message(&mut self, message: Message, now: Duration) -> Result<Option<Action>> {
        match message.type_id {
            message_type::VIDEO | message_type::AUDIO => Ok(self.on_media(message, now)),
            message_type::COMMAND_AMF0 => self.on_command(&message.payload, message.stream_id, now),
            message_type::COMMAND_AMF3 => self.on_command(after_format(&message.payload), message.stream_id, now),
            message_type::DATA_AMF0 => Ok(self.on_data(&message.payload, now)),
            message_type::DATA_AMF3 => Ok(self.on_data(after_format(&message.payload), now)),
            message_type::AGGREGATE => {
                self.aggregate = Some(Aggregate::new(message));
                Ok(None)
            }
            message_type::USER_CONTROL => self.on_user_control(&message.payload, now),
            message_type::WINDOW_ACK_SIZE => {
                if let Some(bytes @ 1..) = Reader::new(&message.payload).u32() {
                    self.window_bytes = u64::from(bytes);
                }
                Ok(None)
            }
            // Acknowledgements and bandwidth do not matter to one who sends nothing; shared objects
            // are not served.
            _ => Ok(None),
        }
    }

    /// Audio and video of a connection belong to its one publication, whatever their message
    /// stream: some encoders do not send on the stream that they published on.
    fn on_media(&mut self, message: Message, now: Duration) -> Option<Action> {
        let Some(tracks) = &mut self.tracks else {
            if let Some(held_back) = self.stray.admit(now) {
                tracing::warn!(held_back, "media came without a publish and was left out");
            }
            return None;
        };
        self.deadline = now.saturating_add(IDLE_TIMEOUT);
        let Media { track, sample, dropped } = match message.type_id {
            message_type::VIDEO => tracks.on_video(message.timestamp_ms, message.payload, now),
            _ => tracks.on_audio(message.timestamp_ms, message.payload, now),
        };
        match track {
            Some(track) => {
                self.sample = sample;
                Some(Action::Track(track))
            }
            None => sample.map(Action::Sample).or(dropped.map(Action::Dropped)),
        }
    }

    fn on_command(&mut self, payload: &[u8], stream_id: u32, now: Duration) -> Result<Option<Action>> {
        let values = amf0::decode(payload)?;
        let event = match &mut self.role {
            Role::Server(commands) => commands.on_command(&values, stream_id, &mut self.replies)?,
            Role::Player(player) => {
                let event = player.on_command(&values, &mut self.replies)?;
                if player.is_playing() && self.tracks.is_none() {
                    // Media may come before the server says that it begins, or without a word.
                    self.tracks = Some(Tracks::default());
                    self.chunks.set_publishing(true);
                }
                event
            }
        };
        Ok(self.on_event(event, now))
    }

    fn on_event(&mut self, event: Option<Event>, now: Duration) -> Option<Action> {
        match event? {
            Event::Publish(ask) => Some(Action::Publish(ask)),
            Event::Unpublish => {
                self.tracks = None;
                self.chunks.set_publishing(false);
                self.deadline = now.saturating_add(IDLE_TIMEOUT);
                Some(Action::Unpublish)
            }
        }
    }

    /// `onMetaData`, with or without `@setDataFrame` before it. Facts are no media: broken ones are
    /// left out, and the stream goes on.
    fn on_data(&mut self, payload: &[u8], now: Duration) -> Option<Action> {
        self.tracks.as_ref()?;
        let values = if payload.len() > MAX_METADATA_BYTES {
            Err(
                Error::new(ErrorKind::LimitExceeded, "read stream metadata", "it is too long")
                    .with("length_bytes", payload.len())
                    .with("limit_bytes", MAX_METADATA_BYTES),
            )
        } else {
            amf0::decode(payload)
        };
        let values = match values {
            Ok(values) => values,
            Err(error) => {
                if let Some(held_back) = self.bad_facts.admit(now) {
                    tracing::warn!(%error, held_back, "a data message was left out");
                }
                return None;
            }
        };
        let mut values = values
            .into_iter()
            .skip_while(|value| value.as_str() == Some("@setDataFrame"));
        if values.next()?.as_str() != Some("onMetaData") {
            return None;
        }
        match values.next()? {
            Value::Object(properties) => Some(Action::Facts(amf0::properties_to_json(properties))),
            _ => None,
        }
    }

    /// Section 7.1.7: a ping is answered, and a player is told of the stream's end.
    fn on_user_control(&mut self, payload: &[u8], now: Duration) -> Result<Option<Action>> {
        const STREAM_EOF: u16 = 1;
        const PING_REQUEST: u16 = 6;
        let mut reader = Reader::new(payload);
        match (reader.u16(), reader.u32(), &mut self.role) {
            (Some(PING_REQUEST), Some(time), _) => self.replies.pong(time).map(|()| None),
            (Some(STREAM_EOF), Some(_), Role::Player(player)) => {
                let event = player.end();
                Ok(self.on_event(event, now))
            }
            _ => Ok(None),
        }
    }

    /// At most once an input, so that a window of one byte does not multiply our answers.
    fn acknowledge(&mut self) -> Result<()> {
        if self.handshake.is_some() || self.received_bytes - self.acknowledged_bytes < self.window_bytes {
            return Ok(());
        }
        self.acknowledged_bytes = self.received_bytes;
        self.replies.acknowledge(self.received_bytes)
    }
}

/// The values of an AMF3 message: encoders that announce AMF3 send AMF0 behind a format byte of 0.
fn after_format(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}
