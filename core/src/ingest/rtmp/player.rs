//! Gets the commands of a server (RTMP 1.0 section 7.2), decoded.
//! Gives what a player says to be sent a stream, and tells when it comes and when it is over.

use rml_amf0::Amf0Value;

use super::amf0::Value;
use super::commands::{Event, capabilities};
use super::replies::{Replies, object, text};
use crate::media::{Error, ErrorKind, Result};

const OPERATION: &str = "play an RTMP stream";

/// Transactions of what we ask for (section 7.2.1).
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 2.0;
/// Section 7.2.2.1 has it so.
const PLAY: f64 = 0.0;

/// The answers that a player needs before media can come: to its handshake, `connect` and `createStream`.
pub(super) const NEEDED_ANSWERS: u8 = 3;

/// Milliseconds that the server may send ahead: what players ask for.
const BUFFER_MS: u32 = 3000;

/// What a player asks a server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The app.
    pub(super) app: String,
    /// `rtmp://host:port/app`.
    pub(super) tc_url: String,
    /// The stream's name with its query.
    pub(super) stream: String,
}

/// The command state machine of one connection to a server.
#[derive(Debug)]
pub(super) struct Player {
    wish: Wish,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The handshake is under way.
    New,
    /// `connect` was sent.
    Connecting,
    /// `createStream` was sent.
    Creating,
    /// `play` was sent on this message stream.
    Playing(u32),
    /// The last word was said.
    Closing,
}

impl Player {
    pub(super) fn new(wish: Wish) -> Self {
        Self {
            wish,
            state: State::New,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    pub(super) fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// How many of [`NEEDED_ANSWERS`] have come, once the handshake is over.
    pub(super) fn answers(&self) -> u8 {
        match self.state {
            State::New | State::Connecting => 1,
            State::Creating => 2,
            State::Playing(_) | State::Closing => NEEDED_ANSWERS,
        }
    }

    /// The handshake is over: section 7.2.1.1.
    pub(super) fn connect(&mut self, replies: &mut Replies) -> Result<()> {
        /// Every codec of a Flash player: servers that filter by it would leave media out otherwise.
        const AUDIO_CODECS: f64 = 4071.0;
        const VIDEO_CODECS: f64 = 252.0;
        replies.larger_chunks()?;
        let Amf0Value::Object(mut about) = object([
            ("app", text(&self.wish.app)),
            ("tcUrl", text(&self.wish.tc_url)),
            ("flashVer", text("LNX 9,0,124,2")),
            ("fpad", Amf0Value::Boolean(false)),
            ("capabilities", Amf0Value::Number(15.0)),
            ("audioCodecs", Amf0Value::Number(AUDIO_CODECS)),
            ("videoCodecs", Amf0Value::Number(VIDEO_CODECS)),
            ("videoFunction", Amf0Value::Number(1.0)),
            ("objectEncoding", Amf0Value::Number(0.0)),
        ]) else {
            return Ok(());
        };
        about.extend(capabilities());
        self.state = State::Connecting;
        replies.call("connect", CONNECT, Amf0Value::Object(about), Vec::new(), 0)
    }

    /// Takes a command message of the server.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied` and the like with the server's own words; `Malformed` where it is no command.
    pub(super) fn on_command(&mut self, values: &[Value], replies: &mut Replies) -> Result<Option<Event>> {
        let malformed = |message| Error::new(ErrorKind::Malformed, OPERATION, message);
        let Some((name, rest)) = values.split_first() else {
            return Err(malformed("a command message is empty"));
        };
        let name = name.as_str().ok_or_else(|| malformed("a command has no name"))?;
        let transaction = rest.first().and_then(Value::as_number).unwrap_or(0.0);
        // Behind the command object: a result, or an information object.
        let argument = rest.get(2);
        match (name, self.state) {
            ("_result", State::Connecting) if transaction == CONNECT => {
                self.state = State::Creating;
                replies.window()?;
                replies.call("createStream", CREATE_STREAM, Amf0Value::Null, Vec::new(), 0)?;
                Ok(None)
            }
            ("_result", State::Creating) if transaction == CREATE_STREAM => {
                let id = argument.and_then(Value::as_number).unwrap_or(1.0);
                self.play(id as u32, replies).map(|()| None)
            }
            ("_error", State::Connecting | State::Creating) => Err(refused(argument)),
            ("_error", State::Playing(_)) if transaction == PLAY => Err(refused(argument)),
            ("onStatus", _) => self.on_status(argument),
            ("close", _) => Ok(self.end()),
            _ => Ok(None),
        }
    }

    /// The server says that the stream is over (`StreamEOF`, section 7.1.7).
    pub(super) fn end(&mut self) -> Option<Event> {
        let played = self.is_playing();
        self.state = State::Closing;
        played.then_some(Event::Unpublish)
    }

    /// Says good-bye.
    pub(super) fn close(&mut self, replies: &mut Replies) -> Result<()> {
        let before = std::mem::replace(&mut self.state, State::Closing);
        match before {
            State::Playing(id) => {
                let stream = vec![Amf0Value::Number(f64::from(id))];
                replies.call("deleteStream", 0.0, Amf0Value::Null, stream, 0)
            }
            _ => Ok(()),
        }
    }

    /// Section 7.2.2.1.
    fn play(&mut self, stream_id: u32, replies: &mut Replies) -> Result<()> {
        /// The live stream of the name, or else the recorded one: -2 s, in milliseconds as servers read it.
        const LIVE_OR_RECORDED: f64 = -2000.0;
        let arguments = vec![text(&self.wish.stream), Amf0Value::Number(LIVE_OR_RECORDED)];
        self.state = State::Playing(stream_id);
        replies.call("play", PLAY, Amf0Value::Null, arguments, stream_id)?;
        replies.buffer_length(stream_id, BUFFER_MS)
    }

    fn on_status(&mut self, info: Option<&Value>) -> Result<Option<Event>> {
        let of = |key| info.and_then(|info| info.get(key)).and_then(Value::as_str);
        let code = of("code").unwrap_or_default();
        match code {
            "NetStream.Play.Stop" | "NetStream.Play.Complete" | "NetStream.Play.UnpublishNotify" => Ok(self.end()),
            _ if of("level") == Some("error") || code.ends_with(".StreamNotFound") => Err(refused(info)),
            _ => Ok(None),
        }
    }
}

/// What the server says of why not, cut to what a log takes.
fn refused(info: Option<&Value>) -> Error {
    const MAX_CHARS: usize = 200;
    let of = |key: &str| {
        let said = info.and_then(|info| info.get(key)).and_then(Value::as_str);
        said.unwrap_or_default().chars().take(MAX_CHARS).collect::<String>()
    };
    let code = of("code");
    let (kind, message) = if code.ends_with("NotFound") {
        (ErrorKind::NotFound, "the server has no stream of that name")
    } else if code.ends_with("Rejected") {
        (ErrorKind::AccessDenied, "the server refuses the connection")
    } else {
        (ErrorKind::Io, "the server refuses")
    };
    Error::new(kind, OPERATION, message)
        .with("code", code.escape_debug())
        .with("description", of("description").escape_debug())
}
