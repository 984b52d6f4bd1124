//! Gets an FLV file from the disk.
//! Gives its tags as RTMP messages, which have the same payload, to `replay`.

use std::path::Path;

use bytes::{Buf, Bytes};

/// What a message carries. The number is both the FLV tag type and the RTMP message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Audio = 8,
    Video = 9,
    Data = 18,
}

/// One tag of the file.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) kind: Kind,
    /// Decode time in milliseconds from the start of the file.
    pub(crate) at_ms: u32,
    pub(crate) payload: Bytes,
}

impl Tag {
    /// A codec configuration (AVC or AAC sequence header) and no sample.
    pub(crate) fn is_sequence_header(&self) -> bool {
        match (self.kind, self.payload.as_ref()) {
            (Kind::Video, [first, 0, ..]) => first & 0x0f == 7,
            (Kind::Audio, [first, 0, ..]) => first >> 4 == 10,
            _ => false,
        }
    }
}

/// Reads all tags of the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<Tag>, String> {
    let file = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(Bytes::from(file)).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn parse(mut file: Bytes) -> Result<Vec<Tag>, String> {
    if file.len() < 13 || !file.starts_with(b"FLV\x01") {
        return Err("not an FLV file".to_owned());
    }
    file.advance(13);
    let mut tags = Vec::new();
    while file.len() >= 11 {
        let kind = match file.get_u8() {
            8 => Some(Kind::Audio),
            9 => Some(Kind::Video),
            18 => Some(Kind::Data),
            _ => None,
        };
        let length = usize::try_from(file.get_uint(3)).unwrap_or(usize::MAX);
        let low = file.get_uint(3);
        let high = u64::from(file.get_u8());
        file.advance(3);
        if file.len() < length.saturating_add(4) {
            break;
        }
        let payload = file.split_to(length);
        file.advance(4);
        if let (Some(kind), Ok(at_ms)) = (kind, u32::try_from(high << 24 | low))
            && !is_end_of_sequence(kind, &payload)
        {
            tags.push(Tag { kind, at_ms, payload });
        }
    }
    if tags
        .iter()
        .all(|tag| tag.kind == Kind::Data || tag.is_sequence_header())
    {
        return Err("no audio or video in it".to_owned());
    }
    Ok(tags)
}

/// The AVC "end of sequence" tag: it would end the stream before its next pass.
fn is_end_of_sequence(kind: Kind, payload: &[u8]) -> bool {
    kind == Kind::Video && matches!(payload, [first, 2, ..] if first & 0x0f == 7)
}
