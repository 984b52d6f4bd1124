//! Gets the reports of all recordings, where `record_file_sha256` is set.
//! Gives them on, in order, each finished file with its SHA-256; one thread, so no writer waits.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use crate::media::sync::Mutex;
use sha2::{Digest as _, Sha256};

use super::retention::Hold;
use crate::media::{Error, Result};
use crate::recording::report::{FinishedFile, Report, SessionIdentity};

/// Bytes read at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// A report, and whose it is.
pub(crate) struct Reported {
    pub(crate) identity: Arc<SessionIdentity>,
    pub(crate) recording_id: String,
    pub(crate) report: Report,
    /// Keeps the file in the record folder.
    pub(crate) hold: Option<Hold>,
}

/// The thread that hashes. Dropped, it ends after what was passed to it, and nobody waits.
pub(crate) struct Digest {
    sender: Mutex<Option<mpsc::Sender<Reported>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Digest {
    /// Starts the thread; `deliver` takes every report from it.
    ///
    /// # Errors
    /// `Io` where the system refuses a thread.
    pub(crate) fn start(mut deliver: impl FnMut(Reported) + Send + 'static) -> Result<Self> {
        let (sender, passed) = mpsc::channel::<Reported>();
        let thread = std::thread::Builder::new()
            .name("livereel-sha256".to_owned())
            .spawn(move || {
                for mut reported in passed {
                    if let Report::FileFinished { file, .. } = &mut reported.report {
                        let warning = describe(file);
                        if let Some(message) = warning {
                            deliver(Reported {
                                identity: Arc::clone(&reported.identity),
                                recording_id: reported.recording_id.clone(),
                                report: Report::Warning {
                                    code: "no_sha256",
                                    message,
                                },
                                hold: None,
                            });
                        }
                    }
                    deliver(reported);
                }
            })
            .map_err(|error| Error::io("start the SHA-256 thread", error))?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes a report; gives it back where the thread has ended.
    pub(crate) fn pass(&self, reported: Reported) -> Option<Reported> {
        match &*self.sender.lock() {
            Some(sender) => sender.send(reported).err().map(|error| error.0),
            None => Some(reported),
        }
    }

    /// Waits until everything that was passed is delivered.
    pub(crate) fn finish(&self) {
        drop(self.sender.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the SHA-256 thread panicked");
        }
    }
}

/// Puts the SHA-256 of a finished file into its facts, or says why it has none.
pub(crate) fn describe(file: &mut FinishedFile) -> Option<String> {
    match sha256(&file.path) {
        Ok(digest) => {
            file.sha256 = Some(digest);
            None
        }
        Err(error) => Some(format!("{} has no SHA-256: {error}", file.path.display())),
    }
}

/// SHA-256 of a file, in lower-case hex.
fn sha256(path: &Path) -> Result<String> {
    let failed = |error| Error::io("read a finished file", error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(length) => hasher.update(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Container, UnixMs};
    use crate::recording::report::PartEnd;

    fn finished(path: &Path) -> Report {
        let file = FinishedFile {
            path: path.to_owned(),
            file_name: String::new(),
            part: 1,
            size_bytes: 0,
            container: Container::Mp4,
            video_codec: None,
            audio_codec: None,
            start_time_ms: 0,
            end_time_ms: 0,
            start_unix_ms: UnixMs(0),
            end_unix_ms: UnixMs(0),
            duration_ms: 0,
            reason: PartEnd::Stopped,
            tracks: Vec::new(),
            sha256: None,
        };
        Report::FileFinished { file, receipt: None }
    }

    fn pass(digest: &Digest, recording_id: &str, report: Report) -> bool {
        let identity = SessionIdentity {
            media_session_id: String::new(),
            session_id: String::new(),
            stream_name: String::new(),
            login: String::new(),
        };
        digest
            .pass(Reported {
                identity: Arc::new(identity),
                recording_id: recording_id.to_owned(),
                report,
                hold: None,
            })
            .is_none()
    }

    fn started(file_name: &str) -> Report {
        Report::Started {
            file_name: file_name.to_owned(),
        }
    }

    #[test]
    fn every_report_passes_in_order_and_files_get_the_digest_that_sha256sum_prints() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|index| (index * 7 / 5) as u8).collect();
        std::fs::write(path("long"), &bytes).unwrap();
        std::fs::write(path("empty"), b"").unwrap();
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&delivered);
        let digest = Digest::start(move |reported| {
            let text = match reported.report {
                Report::Started { file_name } => file_name,
                Report::FileFinished { file, .. } => format!("{:?}", file.sha256),
                Report::Warning { code, .. } => code.to_owned(),
                other => panic!("{other:?}"),
            };
            taken.lock().push((reported.recording_id, text));
        })
        .unwrap();
        assert!(pass(&digest, "1", started("before")));
        assert!(pass(&digest, "1", finished(&path("long"))));
        assert!(pass(&digest, "2", finished(&path("empty"))));
        assert!(pass(&digest, "2", finished(&path("missing"))));
        assert!(pass(&digest, "1", started("after")));
        digest.finish();
        assert!(!pass(&digest, "1", started("too late")));
        let expected = |name: &str| {
            let output = std::process::Command::new("sha256sum")
                .arg(path(name))
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            format!("{:?}", Some(text.split(' ').next().unwrap()))
        };
        let own = |id: &str, text: String| (id.to_owned(), text);
        assert_eq!(
            *delivered.lock(),
            [
                own("1", "before".to_owned()),
                own("1", expected("long")),
                own("2", expected("empty")),
                own("2", "no_sha256".to_owned()),
                own("2", "None".to_owned()),
                own("1", "after".to_owned()),
            ]
        );
    }
}
