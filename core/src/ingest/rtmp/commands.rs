//! Gets the commands of a peer (RTMP 1.0 section 7.2), decoded.
//! Gives the answers, and tells when a publish is asked for and when one ends.

use rml_amf0::Amf0Value;

use super::amf0::Value;
use super::flv_tags::{AUDIO_FOURCCS, VIDEO_FOURCCS};
use super::names::{self, Name};
use super::replies::{Replies, object, status, text};
use crate::media::{Error, ErrorKind, Result};

/// What a command means to those above.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A publish is asked for; nothing more may be read before [`Commands::decide`].
    Publish(Ask),
    /// The publish that was let in is over.
    Unpublish,
}

/// A publish that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The app of the connection, without query and trailing slashes.
    pub app: String,
    /// The stream name without its query.
    pub stream_name: String,
    /// The query of the stream name, then that of the app, percent-decoded.
    pub query: Vec<(String, String)>,
}

/// Where the peer stands.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet.
    New,
    /// `connect` was answered; nothing is published.
    Connected,
    /// A publish waits for [`Commands::decide`].
    Asking { stream_id: u32, name: String },
    /// A publish was let in on this message stream.
    Publishing { stream_id: u32, name: String },
    /// The last word was said; the connection is to be closed.
    Closing,
}

/// The command state machine of one connection.
#[derive(Debug)]
pub(super) struct Commands {
    state: State,
    app: Name,
    last_stream_id: u32,
}

/// One decoded command.
struct Command<'a> {
    name: &'a str,
    transaction: f64,
    arguments: &'a [Value],
    stream_id: u32,
}

impl Commands {
    pub(super) fn new() -> Self {
        Self {
            state: State::New,
            app: Name::default(),
            last_stream_id: 0,
        }
    }

    pub(super) fn is_publishing(&self) -> bool {
        matches!(self.state, State::Publishing { .. })
    }

    pub(super) fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Takes a command message: its decoded values and the message stream that it came on.
    ///
    /// # Errors
    /// `Malformed` where it is no command or comes out of order.
    pub(super) fn on_command(
        &mut self,
        values: &[Value],
        stream_id: u32,
        replies: &mut Replies,
    ) -> Result<Option<Event>> {
        let Some((name, rest)) = values.split_first() else {
            return Err(malformed("a command message is empty"));
        };
        let command = Command {
            name: name.as_str().ok_or_else(|| malformed("a command has no name"))?,
            transaction: rest.first().and_then(Value::as_number).unwrap_or(0.0),
            arguments: rest.get(1..).unwrap_or_default(),
            stream_id,
        };
        match (command.name, &self.state) {
            ("connect", State::New) => self.on_connect(&command, replies).map(|()| None),
            ("connect", _) => Err(malformed("connect comes twice")),
            (_, State::New) => Err(malformed("a command comes before connect")),
            ("createStream", _) => self.on_create_stream(&command, replies).map(|()| None),
            ("releaseStream", _) => answer(&command, Amf0Value::Undefined, replies).map(|()| None),
            ("FCPublish", _) => on_fc_publish(&command, replies).map(|()| None),
            ("publish", _) => self.on_publish(&command, replies),
            ("FCUnpublish", _) => {
                let ours = self
                    .published_name()
                    .is_some_and(|name| command.text(1).is_none_or(|asked| names::parse(asked).path == name));
                if !ours {
                    return Ok(None);
                }
                let info = status("status", "NetStream.Unpublish.Success", "the publish is over");
                replies.command("onFCUnpublish", 0.0, Amf0Value::Null, info, 0)?;
                self.end_publish(replies)
            }
            ("deleteStream", _) => match command.arguments.get(1).and_then(Value::as_number) {
                Some(id) if Some(id) != self.published_stream().map(f64::from) => Ok(None),
                _ => self.end_publish(replies),
            },
            ("closeStream", _) if Some(stream_id) == self.published_stream() => self.end_publish(replies),
            ("play" | "play2", _) => on_play(&command, replies).map(|()| None),
            _ => {
                tracing::debug!(command = %command.name.escape_debug(), "a command is not known and was left out");
                Ok(None)
            }
        }
    }

    /// Answers the publish that was asked for. A refusal closes the connection.
    ///
    /// # Errors
    /// `InvalidState` where none was asked for.
    pub(super) fn decide(&mut self, decision: Result<(), &str>, replies: &mut Replies) -> Result<()> {
        let State::Asking { stream_id, name } = std::mem::replace(&mut self.state, State::Closing) else {
            return Err(Error::new(
                ErrorKind::InvalidState,
                OPERATION,
                "no publish was asked for",
            ));
        };
        match decision {
            Ok(()) => {
                replies.stream_begin(stream_id)?;
                replies.on_status(stream_id, "status", "NetStream.Publish.Start", "publishing has begun")?;
                self.state = State::Publishing { stream_id, name };
                Ok(())
            }
            Err(sentence) => replies.on_status(stream_id, "error", "NetStream.Publish.Denied", sentence),
        }
    }

    /// Ends from our side: the peer is told, and the connection is to be closed.
    pub(super) fn close(&mut self, replies: &mut Replies) -> Result<()> {
        self.end_publish(replies)?;
        self.state = State::Closing;
        Ok(())
    }

    fn published_stream(&self) -> Option<u32> {
        match &self.state {
            State::Publishing { stream_id, .. } => Some(*stream_id),
            _ => None,
        }
    }

    fn published_name(&self) -> Option<&str> {
        match &self.state {
            State::Publishing { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Section 7.2.1.1. What the peer tells of itself beside the app (codecs, URLs) does not matter to
    /// a recorder. A peer that speaks of FourCCs or capabilities is told ours (Enhanced RTMP v2,
    /// section "Enhancing NetConnection connect Command").
    fn on_connect(&mut self, command: &Command<'_>, replies: &mut Replies) -> Result<()> {
        let properties = command.arguments.first();
        let app = properties
            .and_then(|properties| properties.get("app"))
            .and_then(Value::as_str);
        self.app = names::parse(app.unwrap_or_default());
        if names::is_too_long(app.unwrap_or_default()) {
            return Err(malformed("the app's name is too long"));
        }
        replies.opening()?;
        let about_us = object([
            ("fmsVer", text("FMS/3,0,1,123")),
            ("capabilities", Amf0Value::Number(31.0)),
        ]);
        let Amf0Value::Object(mut info) = status("status", "NetConnection.Connect.Success", "connected") else {
            return Ok(());
        };
        info.insert("objectEncoding".to_owned(), Amf0Value::Number(0.0));
        let enhanced = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"];
        if properties.is_some_and(|properties| enhanced.iter().any(|name| properties.get(name).is_some())) {
            info.extend(capabilities());
        }
        replies.command("_result", command.transaction, about_us, Amf0Value::Object(info), 0)?;
        self.state = State::Connected;
        Ok(())
    }

    fn on_create_stream(&mut self, command: &Command<'_>, replies: &mut Replies) -> Result<()> {
        self.last_stream_id = self.last_stream_id.wrapping_add(1).max(1);
        answer(command, Amf0Value::Number(f64::from(self.last_stream_id)), replies)
    }

    /// Section 7.2.2.6. The publishing type (live, record, append) says what a server of files would
    /// do with the name; here it is always live.
    fn on_publish(&mut self, command: &Command<'_>, replies: &mut Replies) -> Result<Option<Event>> {
        let stream_id = command.stream_id;
        let bad_name =
            |replies: &mut Replies, why| replies.on_status(stream_id, "error", "NetStream.Publish.BadName", why);
        if self.published_stream().is_some() {
            bad_name(replies, "one connection publishes one stream at a time")?;
            return Ok(None);
        }
        let asked = command.text(1).unwrap_or_default();
        let name = names::parse(asked);
        if name.path.is_empty() || names::is_too_long(asked) {
            let why = if name.path.is_empty() {
                "the stream name is empty"
            } else {
                "the stream name is too long"
            };
            bad_name(replies, why)?;
            self.state = State::Closing;
            return Ok(None);
        }
        let mut query = name.query;
        query.extend(self.app.query.iter().cloned());
        self.state = State::Asking {
            stream_id,
            name: name.path.clone(),
        };
        Ok(Some(Event::Publish(Ask {
            app: self.app.path.trim_end_matches('/').to_owned(),
            stream_name: name.path,
            query,
        })))
    }

    fn end_publish(&mut self, replies: &mut Replies) -> Result<Option<Event>> {
        let Some(stream_id) = self.published_stream() else {
            return Ok(None);
        };
        self.state = State::Connected;
        replies.on_status(
            stream_id,
            "status",
            "NetStream.Unpublish.Success",
            "the publish is over",
        )?;
        Ok(Some(Event::Unpublish))
    }
}

impl Command<'_> {
    /// The argument at `index`, the command object being 0, where it is a string.
    fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).and_then(Value::as_str)
    }
}

const OPERATION: &str = "follow an RTMP command";

/// What is taken of Enhanced RTMP, as `connect` and the answer to it tell.
pub(super) fn capabilities() -> [(String, Amf0Value); 4] {
    /// `CanDecode`, in an info map.
    const TAKEN: f64 = 1.0;
    /// `ModEx`, in `capsEx`.
    const MODIFIERS: f64 = 4.0;
    let name = |code: &[u8; 4]| String::from_utf8_lossy(code).into_owned();
    let video: Vec<String> = VIDEO_FOURCCS.iter().map(|(code, _)| name(code)).collect();
    let audio: Vec<String> = AUDIO_FOURCCS.iter().map(|(code, _)| name(code)).collect();
    let map = |names: &[String]| {
        Amf0Value::Object(
            names
                .iter()
                .map(|name| (name.clone(), Amf0Value::Number(TAKEN)))
                .collect(),
        )
    };
    let list = video.iter().chain(&audio).map(|name| text(name)).collect();
    [
        ("videoFourCcInfoMap".to_owned(), map(&video)),
        ("audioFourCcInfoMap".to_owned(), map(&audio)),
        ("fourCcList".to_owned(), Amf0Value::StrictArray(list)),
        ("capsEx".to_owned(), Amf0Value::Number(MODIFIERS)),
    ]
}

/// `_result`, where the peer waits for one (section 7.2.1.2: transaction 0 does not).
fn answer(command: &Command<'_>, result: Amf0Value, replies: &mut Replies) -> Result<()> {
    if command.transaction == 0.0 {
        return Ok(());
    }
    replies.command("_result", command.transaction, Amf0Value::Null, result, 0)
}

/// Not in the specification; Flash Media Live Encoder and its kin wait for `onFCPublish`.
fn on_fc_publish(command: &Command<'_>, replies: &mut Replies) -> Result<()> {
    let info = status("status", "NetStream.Publish.Start", "the name may be published");
    replies.command("onFCPublish", 0.0, Amf0Value::Null, info, 0)?;
    answer(command, Amf0Value::Undefined, replies)
}

fn on_play(command: &Command<'_>, replies: &mut Replies) -> Result<()> {
    let info = status("error", "NetStream.Play.Failed", "play is not served here");
    replies.command("_error", command.transaction, Amf0Value::Null, info, command.stream_id)
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, OPERATION, message)
}
