//! Gets a file and the stretch of its time that is asked for.
//! Gives the clip, out of the folder of clips: made once, reused, all of them bounded together.

use std::sync::{Arc, OnceLock};

use http::StatusCode;

use super::error::RestError;
use super::options::RestOptions;
use super::records::Sent;
use crate::clip::store::{ClipStore, StoreOptions, parse_seconds};
use crate::clip::{ClipRequest, is_past_the_end};
use crate::engine::Engine;
use crate::media::sync::Mutex;
use crate::media::{Container, Error, ErrorKind, Result};
use crate::storage::read::ReadFile;

/// The folder of clips, opened by the first that is asked for.
#[derive(Default)]
pub(crate) struct Clips {
    store: OnceLock<Arc<ClipStore>>,
    opening: Mutex<()>,
}

impl Clips {
    /// The clip of a file.
    pub(crate) fn cut(
        &self,
        engine: &Engine,
        options: &RestOptions,
        sent: Sent,
        request: &ClipRequest,
    ) -> Result<Sent, RestError> {
        if options.clip_whole_file && sent.container != Container::Mp4 {
            return Ok(sent);
        }
        let (stem, _) = sent.name.rsplit_once('.').unwrap_or((&sent.name, ""));
        let source = sent.file.try_clone()?;
        let store = self.open(engine, options)?;
        let held = store.get(stem, &[source], sent.container, request).map_err(refusal)?;
        let file = held
            .file()
            .try_clone()
            .map_err(|error| Error::io("read a clip", error))?;
        let name = held.name().to_owned();
        Ok(Sent {
            file: Arc::new(ReadFile::of(file, held.path().to_owned(), Box::new(held))?),
            name,
            container: sent.container,
            growing: false,
        })
    }

    /// The clips that lie among the recordings, by a test of names; clips of an earlier run too.
    pub(crate) fn among_recordings(&self, engine: &Engine, options: &RestOptions) -> impl Fn(&str) -> bool + use<> {
        let apart = options
            .record_fragments_dir
            .as_ref()
            .is_some_and(|folder| *folder != engine.settings().record_dir);
        let store = if apart { None } else { self.open(engine, options).ok() };
        move |name| store.as_ref().is_some_and(|store| store.is_clip(name))
    }

    fn open(&self, engine: &Engine, options: &RestOptions) -> Result<Arc<ClipStore>> {
        let _one = self.opening.lock();
        if let Some(store) = self.store.get() {
            return Ok(Arc::clone(store));
        }
        let folder = options.record_fragments_dir.as_ref();
        let store = ClipStore::new(StoreOptions {
            folder: folder.unwrap_or(&engine.settings().record_dir).clone(),
            max_bytes: options.record_fragments_max_size,
        })?;
        Ok(Arc::clone(self.store.get_or_init(|| Arc::new(store))))
    }
}

/// Reads `start`, `end` and `exact`; `None` where no clip is asked for.
pub(crate) fn parse(
    start: Option<String>,
    end: Option<String>,
    exact: Option<String>,
) -> Result<Option<ClipRequest>, RestError> {
    let exact = match exact.as_deref() {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err(RestError::field("exact", "allowed: true or false")),
    };
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let request = ClipRequest {
        start: start.map(|text| parse_seconds("start", &text)).transpose()?,
        end: end.map(|text| parse_seconds("end", &text)).transpose()?,
        exact,
    };
    if request.end.is_some_and(|end| end <= request.start.unwrap_or_default()) {
        return Err(RestError::field("end", "it has to be later than the start"));
    }
    Ok(Some(request))
}

fn refusal(error: Error) -> RestError {
    if is_past_the_end(&error) {
        return RestError::new(StatusCode::RANGE_NOT_SATISFIABLE, "invalid_argument", error.message()).about("start");
    }
    match error.kind() {
        // A clip larger than all clips may be.
        ErrorKind::LimitExceeded => {
            RestError::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", error.message()).about("end")
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_no_stretch_of_time_is_refused_by_its_field() {
        let read = |start: Option<&str>, end: Option<&str>, exact: Option<&str>| {
            parse(
                start.map(str::to_owned),
                end.map(str::to_owned),
                exact.map(str::to_owned),
            )
        };
        let request = read(Some("11"), Some("60.25"), None).unwrap().unwrap();
        assert_eq!(request.end, Some(Duration::from_millis(60_250)));
        assert!(request.exact);
        assert!(read(None, None, None).unwrap().is_none());
        for wrong in ["", "-1", "1e3", "nan", "1,5", " 1", ".5", "9999999999"] {
            assert!(read(Some(wrong), None, None).is_err(), "{wrong:?}");
        }
        assert!(read(Some("5"), Some("5"), None).is_err());
        assert!(read(None, Some("0"), None).is_err());
        assert!(read(Some("1"), None, Some("maybe")).is_err());
    }
}
