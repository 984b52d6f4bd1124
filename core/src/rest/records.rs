//! Gets the path and headers of a download.
//! Gives the file: whole, in ranges, or as far as it has grown; or the list of files.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::clips;
use super::conditions::{Verdict, Version};
use super::disposition;
use super::error::{ErrorBody, RestError};
use super::ranges::{self, ByteRange, Ranges};
use super::router::{RestState, blocking, record_name, record_url};
use super::segments::{Segment, Segments, SegmentsBody};
use crate::engine::Engine;
use crate::media::{Container, ErrorKind};
use crate::storage::read::{ReadFile, ReadFolder};

/// Longest list of files; the newest are told. A list of so many is 2 MB.
const MAX_LISTED: usize = 10_000;

/// A file in the list of files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedFile {
    name: String,
    size_bytes: u64,
    /// How long it plays, where that is remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    modified_unix_ms: i64,
    /// Where it is downloaded, relative to the server.
    url: String,
}

/// A file to be sent.
pub(crate) struct Sent {
    pub(crate) file: Arc<ReadFile>,
    /// As the client is told.
    pub(crate) name: String,
    pub(crate) container: Container,
    /// It grows: its length is that of the moment, and there is no version to name.
    pub(crate) growing: bool,
}

/// The files in the record folder, newest first.
#[utoipa::path(get, path = "/client/records/", tag = "records",
    security((), ("download_token" = [])), responses(
    (status = 200, description = "The files, newest first, 10,000 at most", body = [ListedFile])))]
pub(crate) async fn list(State(state): State<RestState>) -> Result<Response, RestError> {
    let engine = state.engine()?;
    let listing = state.clone();
    let files = blocking(move || {
        let entries = match ReadFolder::open(&engine.settings().record_dir).and_then(|folder| folder.list()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_clip = listing.clips().among_recordings(&engine, listing.options());
        let durations = engine.remembered_durations();
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| container(&entry.name).is_some() && !is_clip(&entry.name))
            .collect();
        entries.sort_unstable_by(|left, right| (right.modified, &left.name).cmp(&(left.modified, &right.name)));
        entries.truncate(MAX_LISTED);
        let listed = entries.into_iter().map(|entry| ListedFile {
            url: record_url(&entry.name),
            duration_ms: durations.get(&entry.name).copied(),
            size_bytes: entry.len_bytes,
            modified_unix_ms: entry.modified.0,
            name: entry.name,
        });
        Ok(listed.collect::<Vec<_>>())
    })
    .await?;
    let mut response = Json(files).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A recorded file, or one that still grows (by the name that `find_all` tells, or by the id of its
/// recording) as far as it is.
#[utoipa::path(get, path = "/client/records/{file}", tag = "records",
    params(
        ("file" = String, Path, description = "The name of a file, or the id of a running recording"),
        ("start" = Option<f64>, Query, description = "A clip of it: from this second"),
        ("end" = Option<f64>, Query, description = "A clip of it: to this second"),
        ("exact" = Option<bool>, Query, description = "A clip of MP4: `false` shows all from the key frame on"),
        ("download" = Option<u8>, Query, description = "`1`: offer it as an attachment"),
        ("token" = Option<String>, Query, description = "The download token, for links"),
        ("Range" = Option<String>, Header, description = "`bytes=0-499`, several are fine"),
    ),
    security((), ("download_token" = [])), responses(
    (status = 200, description = "The file", content_type = "video/mp4"),
    (status = 206, description = "Ranges of it", content_type = "video/mp4"),
    (status = 304, description = "The client has this version"),
    (status = 400, description = "A query parameter is wrong", body = ErrorBody),
    (status = 404, description = "There is no such file", body = ErrorBody),
    (status = 412, description = "It is another version by now", body = ErrorBody),
    (status = 416, description = "It has no such range, or no such stretch of time", body = ErrorBody)))]
pub(crate) async fn download(State(state): State<RestState>, request: Request) -> Result<Response, RestError> {
    let engine = state.engine()?;
    let name = record_name(request.uri().path()).ok_or_else(no_file)?;
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let clip = clips::parse(query.value("start"), query.value("end"), query.value("exact"))?;
    let attachment = match query.value("download").as_deref() {
        Some("1" | "true") => true,
        Some("0" | "false") => false,
        None => state.options().attachment,
        Some(_) => return Err(RestError::field("download", "allowed: 1 or 0")),
    };
    let permit = match &clip {
        Some(_) => Some(state.may_cut().await?),
        None => None,
    };
    let maker = state.clone();
    let sent = blocking(move || {
        let _permit = permit;
        let sent = open(&engine, &name)?;
        match clip {
            Some(clip) => maker.clips().cut(&engine, maker.options(), sent, &clip),
            None => Ok(sent),
        }
    })
    .await?;
    respond(&state, sent, attachment, request.method(), request.headers())
}

/// Finds a file by the name that a client gave.
fn open(engine: &Engine, name: &str) -> Result<Sent, RestError> {
    let settings = engine.settings();
    // Names of unfinished files have other extensions or begin with a dot.
    if let Some(container) = container(name) {
        match ReadFolder::open(&settings.record_dir).and_then(|folder| folder.file(name)) {
            Ok(file) => {
                return Ok(Sent {
                    file: Arc::new(file),
                    name: name.to_owned(),
                    container,
                    growing: false,
                });
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidArgument) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let running = engine.recordings().into_iter();
    let mut running = running.filter(|info| info.recording_id == name || info.file_name == name);
    let info = running.next().ok_or_else(no_file)?;
    let container = container(&info.file_name).ok_or_else(no_file)?;
    let growing = crate::recording::part::growing_file_name(&info.recording_id, info.part, container);
    let file = ReadFolder::open(settings.record_tmp_dir()).and_then(|folder| folder.file(&growing));
    Ok(Sent {
        file: Arc::new(file.map_err(|_| no_file())?),
        name: info.file_name,
        container,
        growing: true,
    })
}

/// What a file is by its name; `None` for what is no recording, and for hidden names.
pub(crate) fn container(name: &str) -> Option<Container> {
    let (stem, extension) = name.rsplit_once('.')?;
    if stem.is_empty() || name.starts_with('.') {
        return None;
    }
    [Container::Mp4, Container::Ts, Container::Webm]
        .into_iter()
        .find(|container| container.extension() == extension)
}

fn no_file() -> RestError {
    RestError::not_found("there is no file of this name")
}

fn content_type(container: Container) -> &'static str {
    match container {
        Container::Mp4 => "video/mp4",
        Container::Ts => "video/mp2t",
        Container::Webm => "video/webm",
    }
}

fn respond(
    state: &RestState,
    sent: Sent,
    attachment: bool,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, RestError> {
    let len = sent.file.len_bytes;
    let version = (!sent.growing).then(|| Version::of(&sent.file));
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(version) = &version {
        insert(&mut headers, header::ETAG, &version.etag);
        insert(
            &mut headers,
            header::LAST_MODIFIED,
            &httpdate::fmt_http_date(version.modified),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    } else {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    match version.as_ref().map_or(Verdict::Send, |version| version.judge(asked)) {
        Verdict::Send => {}
        Verdict::NotModified => return Ok((StatusCode::NOT_MODIFIED, headers).into_response()),
        Verdict::Failed => {
            let message = "the file is another version by now";
            return Err(RestError::new(
                StatusCode::PRECONDITION_FAILED,
                "invalid_state",
                message,
            ));
        }
    }
    headers.insert(header::CONTENT_DISPOSITION, disposition::header(attachment, &sent.name));
    let wanted = asked.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A growing file has no version that an If-Range could name.
    let applies = match &version {
        Some(version) => version.range_applies(asked),
        None => !asked.contains_key(header::IF_RANGE),
    };
    let ranges = match wanted {
        // RFC 9110 section 14.2: Range means something with GET only.
        Some(wanted) if applies && *method == Method::GET => ranges::parse(wanted, len),
        _ => Ranges::Whole,
    };
    let media_type = content_type(sent.container);
    let piece = |range: ByteRange| Segment::File {
        file: Arc::clone(&sent.file),
        offset: range.first,
        len: range.len,
    };
    let (status, segments) = match ranges {
        Ranges::Unsatisfiable => {
            let message = format!("the file has {len} bytes");
            let range = HeaderValue::try_from(format!("bytes */{len}")).map_err(|error| RestError::internal(&error))?;
            return Err(
                RestError::new(StatusCode::RANGE_NOT_SATISFIABLE, "invalid_argument", message)
                    .about("Range")
                    .with_header(header::CONTENT_RANGE, range),
            );
        }
        Ranges::Whole => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            (StatusCode::OK, Segments::new([piece(ByteRange { first: 0, len })]))
        }
        Ranges::Some(ranges) => {
            let segments = match ranges.as_slice() {
                [range] => {
                    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
                    insert(&mut headers, header::CONTENT_RANGE, &range.content_range(len));
                    Segments::new([piece(*range)])
                }
                ranges => {
                    let boundary = uuid::Uuid::new_v4().simple().to_string();
                    let several = format!("multipart/byteranges; boundary={boundary}");
                    insert(&mut headers, header::CONTENT_TYPE, &several);
                    multipart(ranges, len, media_type, &boundary, piece)
                }
            };
            (StatusCode::PARTIAL_CONTENT, segments)
        }
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(segments.len()));
    let mut response = (status, headers).into_response();
    if *method != Method::HEAD {
        *response.body_mut() = Body::new(SegmentsBody::new(segments.clone(), state.reads()));
        response.extensions_mut().insert(segments);
    }
    Ok(response)
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// RFC 9110 section 14.6.
fn multipart(
    ranges: &[ByteRange],
    len: u64,
    media_type: &str,
    boundary: &str,
    piece: impl Fn(ByteRange) -> Segment,
) -> Segments {
    let mut segments = Vec::new();
    let mut text = String::new();
    for range in ranges {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
            range.content_range(len)
        );
        segments.push(Segment::Text(Bytes::from(std::mem::take(&mut text))));
        segments.push(piece(*range));
        text.push_str("\r\n");
    }
    let _ = write!(text, "--{boundary}--\r\n");
    segments.push(Segment::Text(Bytes::from(text)));
    Segments::new(segments)
}

/// The query of a URL.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    fn value(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }
}
