//! Gets nothing.
//! Gives the containers by name and extension.

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// ISO base media file, `.mp4`.
    Mp4,
    /// MPEG transport stream, `.ts`.
    Ts,
    /// WebM, `.webm`.
    Webm,
}

impl Container {
    /// The name, which is the extension without its dot too.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Ts => "ts",
            Self::Webm => "webm",
        }
    }
}
