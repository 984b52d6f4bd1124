//! Gets a template, the facts of a file, and the options of the settings.
//! Gives the file's name: expanded, encoded, made safe, numbered, trimmed. Pure: touches no folder.
//!
//! The order is fixed: expand, encode, remove excluded characters, make safe, number, trim.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::media::{Container, Error, ErrorKind, Result};

/// Longest name of a Linux file system; some have less.
pub const MAX_NAME_BYTES: usize = 255;

/// Something in a template that stands for a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// The name that the stream was published under.
    StreamName,
    /// Milliseconds of media; MP4 only, nothing in other containers.
    Duration,
    /// Start by the stream's own clock, in milliseconds.
    StartTime,
    /// End by the stream's own clock, in milliseconds.
    EndTime,
    /// Start by the server's clock, in Unix milliseconds.
    StartTimeMillis,
    /// End by the server's clock, in Unix milliseconds.
    EndTimeMillis,
    /// The connection's session id in URL-safe Base64.
    SessionId,
    /// The media session's UUID.
    MediaSessionId,
    /// Who published.
    Login,
    /// The audio codec's name.
    AudioCodec,
    /// The video codec's name.
    VideoCodec,
}

impl Element {
    /// Every element with its spelling and the most characters it takes.
    pub const ALL: &'static [(Self, &'static str, usize)] = &[
        (Self::StreamName, "streamName", MAX_NAME_BYTES),
        (Self::Duration, "duration", 20),
        (Self::StartTime, "startTime", 20),
        (Self::EndTime, "endTime", 20),
        (Self::StartTimeMillis, "startTimeMillis", 20),
        (Self::EndTimeMillis, "endTimeMillis", 20),
        (Self::SessionId, "sessionId", 60),
        (Self::MediaSessionId, "mediaSessionId", 36),
        (Self::Login, "login", 32),
        (Self::AudioCodec, "audioCodec", 4),
        (Self::VideoCodec, "videoCodec", 4),
    ];

    fn row(self) -> (&'static str, usize) {
        let row = Self::ALL.iter().find(|(element, ..)| *element == self);
        row.map_or(("", 0), |(_, name, most)| (name, *most))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Element(Element),
}

/// A file-name template; the default has nothing in it and makes `_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a template such as `stream-{mediaSessionId}-{login}`.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty template, an unknown element or a brace without its partner,
    /// naming what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |message: String| {
            let allowed: Vec<_> = Element::ALL.iter().map(|(_, name, _)| format!("{{{name}}}")).collect();
            Error::new(ErrorKind::InvalidArgument, "read a file-name template", message)
                .with("value", text)
                .with("elements", allowed.join(" "))
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find(['{', '}']).unwrap_or(rest.len());
            let (before, from) = rest.split_at(open);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let Some(inside) = from.strip_prefix('{') else {
                if from.is_empty() {
                    break;
                }
                return Err(wrong("a } has no { before it".to_owned()));
            };
            let Some((name, after)) = inside.split_once('}') else {
                return Err(wrong("a { has no } behind it".to_owned()));
            };
            let known = Element::ALL.iter().find(|(_, known, _)| *known == name);
            let (element, ..) = known.ok_or_else(|| wrong(format!("there is no element {{{name}}}")))?;
            pieces.push(Piece::Element(*element));
            rest = after;
        }
        if pieces.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        Ok(Self { pieces })
    }

    /// Whether an element in it tells every file from every other of the same stream name: a time or
    /// an id. Without one a later file replaces an earlier one.
    pub fn has_unique_part(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Element(
                    Element::StartTimeMillis
                        | Element::EndTimeMillis
                        | Element::StartTime
                        | Element::EndTime
                        | Element::SessionId
                        | Element::MediaSessionId
                )
            )
        })
    }

    /// Whether an element in it tells one part of a recording from the next without a number: a time.
    pub fn tells_parts_apart(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Element(
                    Element::StartTimeMillis | Element::EndTimeMillis | Element::StartTime | Element::EndTime
                )
            )
        })
    }

    fn expand(&self, facts: &NameFacts, container: Container) -> String {
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Element(element) => {
                    let (spelling, most) = element.row();
                    match facts.value(*element, container) {
                        Some(value) => name.extend(value.chars().take(most)),
                        None => name.push_str(&format!("{{{spelling}}}")),
                    }
                }
            }
        }
        name
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Element(element) => write!(f, "{{{}}}", element.row().0),
        })
    }
}

/// What the elements stand for. `None` is not known yet.
#[derive(Clone, Debug, Default)]
pub struct NameFacts {
    /// `{streamName}`.
    pub stream_name: String,
    /// `{sessionId}`, before Base64.
    pub session_id: String,
    /// `{mediaSessionId}`.
    pub media_session_id: String,
    /// `{login}`.
    pub login: String,
    /// `{audioCodec}`.
    pub audio_codec: String,
    /// `{videoCodec}`.
    pub video_codec: String,
    /// `{startTime}`.
    pub start_time_ms: i64,
    /// `{startTimeMillis}`.
    pub start_unix_ms: i64,
    /// `{duration}`.
    pub duration_ms: Option<i64>,
    /// `{endTime}`.
    pub end_time_ms: Option<i64>,
    /// `{endTimeMillis}`.
    pub end_unix_ms: Option<i64>,
}

impl NameFacts {
    fn value(&self, element: Element, container: Container) -> Option<String> {
        Some(match element {
            Element::StreamName => self.stream_name.clone(),
            Element::Duration if container != Container::Mp4 => String::new(),
            Element::Duration => self.duration_ms?.to_string(),
            Element::StartTime => self.start_time_ms.to_string(),
            Element::EndTime => self.end_time_ms?.to_string(),
            Element::StartTimeMillis => self.start_unix_ms.to_string(),
            Element::EndTimeMillis => self.end_unix_ms?.to_string(),
            Element::SessionId => URL_SAFE.encode(&self.session_id),
            Element::MediaSessionId => self.media_session_id.clone(),
            Element::Login => self.login.clone(),
            Element::AudioCodec => self.audio_codec.clone(),
            Element::VideoCodec => self.video_codec.clone(),
        })
    }
}

/// How the expanded name is written (`encode_record_name`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameEncoding {
    /// As it is.
    #[default]
    None,
    /// Lower-case hexadecimal of its UTF-8 bytes.
    Hex,
    /// URL-safe Base64 of its UTF-8 bytes, without padding.
    Base64,
}

/// What the settings say of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameOptions {
    /// `encode_record_name`.
    pub encoding: NameEncoding,
    /// `exclude_record_name_characters`.
    pub exclude: String,
    /// Most bytes of a name in the record folder.
    pub max_bytes: usize,
}

impl Default for NameOptions {
    fn default() -> Self {
        Self {
            encoding: NameEncoding::None,
            exclude: ":".to_owned(),
            max_bytes: MAX_NAME_BYTES,
        }
    }
}

/// The final name of a file. `number` is the part's, where parts are numbered; `distinct` tells files
/// apart whose names are taken: 2, 3 and so on.
///
/// The result is one path component of at most `options.max_bytes` bytes that begins with no dot,
/// has no separator and no control character, and ends in the number and the extension.
pub fn expand(
    template: &Template,
    facts: &NameFacts,
    options: &NameOptions,
    number: Option<u32>,
    distinct: Option<u32>,
    container: Container,
) -> String {
    let name = template.expand(facts, container);
    let encoded = match options.encoding {
        NameEncoding::None => name,
        NameEncoding::Hex => hex::encode(name),
        NameEncoding::Base64 => URL_SAFE_NO_PAD.encode(name),
    };
    finish(&encoded, options, number, distinct, container)
}

/// The name in listings while the file grows: elements that are not known yet stay as they are
/// written, and nothing is encoded until all are.
pub fn listing_name(
    template: &Template,
    facts: &NameFacts,
    options: &NameOptions,
    number: Option<u32>,
    container: Container,
) -> String {
    finish(&template.expand(facts, container), options, number, None, container)
}

fn finish(
    name: &str,
    options: &NameOptions,
    number: Option<u32>,
    distinct: Option<u32>,
    container: Container,
) -> String {
    let mut safe: String = name
        .chars()
        .filter(|letter| !options.exclude.contains(*letter))
        .map(|letter| {
            if matches!(letter, '/' | '\\') || letter.is_control() {
                '_'
            } else {
                letter
            }
        })
        .collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    if safe.is_empty() {
        safe.push('_');
    }
    let mut ending = String::new();
    if let Some(number) = number {
        ending.push_str(&format!("_{number}"));
    }
    if let Some(distinct) = distinct {
        ending.push_str(&format!("-{distinct}"));
    }
    ending.push('.');
    ending.push_str(container.extension());
    let room = options
        .max_bytes
        .min(MAX_NAME_BYTES)
        .saturating_sub(ending.len())
        .max(1);
    let cut = (0..=room.min(safe.len()))
        .rev()
        .find(|at| safe.is_char_boundary(*at))
        .unwrap_or_default();
    safe.truncate(cut);
    if safe.is_empty() {
        safe.push('_');
    }
    safe + &ending
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> NameFacts {
        NameFacts {
            stream_name: "test".to_owned(),
            session_id: "a/b+c?".to_owned(),
            media_session_id: "6c1d1ae0-9c3e-4f3e-8a55-0123456789ab".to_owned(),
            login: "Alice".to_owned(),
            audio_codec: "aac".to_owned(),
            video_codec: "h264".to_owned(),
            start_time_ms: 0,
            start_unix_ms: 1_563_776_083_752,
            duration_ms: Some(5_000),
            end_time_ms: Some(5_001),
            end_unix_ms: Some(1_563_776_088_752),
        }
    }

    fn name(template: &str, facts: &NameFacts) -> String {
        expand(
            &Template::parse(template).unwrap(),
            facts,
            &NameOptions::default(),
            None,
            None,
            Container::Mp4,
        )
    }

    #[test]
    fn every_element_stands_for_its_fact() {
        let all = Element::ALL
            .iter()
            .map(|(_, name, _)| format!("{{{name}}}"))
            .collect::<Vec<_>>()
            .join(",");
        assert_eq!(
            name(&all, &facts()),
            "test,5000,0,5001,1563776083752,1563776088752,YS9iK2M_,\
             6c1d1ae0-9c3e-4f3e-8a55-0123456789ab,Alice,aac,h264.mp4"
        );
        let ts = expand(
            &Template::parse("{streamName}-{duration}").unwrap(),
            &facts(),
            &NameOptions::default(),
            None,
            None,
            Container::Ts,
        );
        assert_eq!(ts, "test-.ts");
    }

    #[test]
    fn what_is_not_known_yet_stays_literal_in_listings() {
        let facts = NameFacts {
            end_time_ms: None,
            duration_ms: None,
            end_unix_ms: None,
            ..facts()
        };
        let template = Template::parse("9c3e-{streamName}-{startTimeMillis}-{endTime}").unwrap();
        let options = NameOptions {
            encoding: NameEncoding::Hex,
            ..NameOptions::default()
        };
        let listed = listing_name(&template, &facts, &options, None, Container::Mp4);
        assert_eq!(listed, "9c3e-test-1563776083752-{endTime}.mp4");
        let numbered = listing_name(&template, &facts, &options, Some(3), Container::Ts);
        assert_eq!(numbered, "9c3e-test-1563776083752-{endTime}_3.ts");
    }

    #[test]
    fn each_element_takes_its_most_characters_and_no_more() {
        let facts = NameFacts {
            session_id: "s".repeat(200),
            login: "ä".repeat(100),
            audio_codec: "vorbis".to_owned(),
            ..facts()
        };
        assert_eq!(name("{sessionId}", &facts).len(), 60 + 4);
        assert_eq!(name("{login}", &facts).chars().count(), 32 + 4);
        assert_eq!(name("{audioCodec}", &facts), "vorb.mp4");
    }

    #[test]
    fn names_are_encoded_before_characters_are_removed() {
        let template = Template::parse("a:b{streamName}").unwrap();
        let with = |encoding, exclude: &str| {
            let options = NameOptions {
                encoding,
                exclude: exclude.to_owned(),
                ..NameOptions::default()
            };
            expand(&template, &facts(), &options, Some(2), None, Container::Mp4)
        };
        assert_eq!(with(NameEncoding::None, ":"), "abtest_2.mp4");
        assert_eq!(with(NameEncoding::Hex, ":"), "613a6274657374_2.mp4");
        assert_eq!(with(NameEncoding::Base64, ":"), "YTpidGVzdA_2.mp4");
        assert_eq!(with(NameEncoding::None, "abtes:"), "__2.mp4");
    }

    #[test]
    fn names_that_would_leave_the_folder_or_hide_are_made_harmless() {
        let named = |stream: &str| {
            name(
                "{streamName}",
                &NameFacts {
                    stream_name: stream.to_owned(),
                    ..facts()
                },
            )
        };
        assert_eq!(named("../../etc/passwd"), "_._.._etc_passwd.mp4");
        assert_eq!(named("a\\b\0c\nd\u{7f}e"), "a_b_c_d_e.mp4");
        assert_eq!(named(".hidden"), "_hidden.mp4");
        assert_eq!(named(""), "_.mp4");
        assert_eq!(named("-rf *"), "-rf *.mp4");
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_number_and_extension() {
        let facts = NameFacts {
            stream_name: "é".repeat(400),
            ..facts()
        };
        let template = Template::parse("{streamName}{streamName}").unwrap();
        let cut = expand(
            &template,
            &facts,
            &NameOptions::default(),
            Some(12),
            Some(7),
            Container::Mp4,
        );
        assert!(cut.len() <= 255 && cut.len() >= 253, "{}", cut.len());
        assert!(cut.ends_with("é_12-7.mp4"));
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused_with_the_elements() {
        for text in ["", "{nonsense}", "{streamName", "streamName}", "{}", "{ streamName }"] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.to_string().contains("{mediaSessionId}"), "{text}: {error}");
        }
        let text = "stream-{mediaSessionId}-{login}";
        assert_eq!(Template::parse(text).unwrap().to_string(), text);
        assert!(Template::parse(text).unwrap().has_unique_part());
        assert!(!Template::parse("{streamName}-{login}").unwrap().has_unique_part());
        assert!(!Template::parse(text).unwrap().tells_parts_apart());
        assert!(Template::parse("{streamName}-{endTime}").unwrap().tells_parts_apart());
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder_or_is_too_long(
            stream in "\\PC*|[./\\\\\\x00-\\x20]*", login in any::<String>(), max_bytes in 32_usize..400,
            exclude in any::<String>(), number in proptest::option::of(any::<u32>()),
        ) {
            let facts = NameFacts { stream_name: stream, login, ..facts() };
            let options = NameOptions { exclude, max_bytes, ..NameOptions::default() };
            let template = Template::parse("{login}{streamName}").unwrap();
            let name = expand(&template, &facts, &options, number, None, Container::Webm);
            prop_assert!(name.len() <= max_bytes.min(255));
            prop_assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
            prop_assert!(!name.chars().any(char::is_control));
            let ending = number.map_or(".webm".to_owned(), |number| format!("_{number}.webm"));
            prop_assert!(name.ends_with(&ending) && name.len() > ending.len());
        }
    }
}
