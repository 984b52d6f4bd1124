//! Gets a session that is to be recorded, and the settings.
//! Gives a running recording on a writer thread, and its reports as events.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::RecordingInfo;
use super::digest::Reported;
use super::events::EventBody;
use super::notifier::UntilTold;
use super::retention::Hold;
use super::session::MediaSession;
use crate::media::{Error, ErrorKind, Result};
use crate::recording::inlet::{Inlet, Told};
use crate::recording::naming::Template;
use crate::recording::plan::{Naming, Plan};
use crate::recording::recording::Recording;
use crate::recording::report::{PartEnd, Report, Reporter, SessionIdentity};
use crate::recording::rotation::RotationLimit;
use crate::recording::status::Status;

/// What [`super::Session::record`] is told; `None` means as the settings say.
#[derive(Clone, Debug, Default)]
pub struct RecordOptions {
    /// A file-name template (`stream_record_policy_template`).
    pub template: Option<String>,
    /// A rotation (`record_rotation`).
    pub rotation: Option<String>,
}

/// A running recording, as the engine and the host's handles hold it.
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) identity: Arc<SessionIdentity>,
    pub(crate) may_rotate: bool,
    pub(crate) inlet: Arc<Inlet>,
    pub(crate) status: Arc<Status>,
    pub(crate) engine: Weak<Inner>,
}

impl RecordOptions {
    /// Checks template and rotation.
    ///
    /// # Errors
    /// `InvalidArgument` naming the option.
    pub fn check(&self) -> Result<()> {
        self.template()?;
        self.rotation()?;
        Ok(())
    }

    fn template(&self) -> Result<Option<Template>> {
        let read = |text: &String| Template::parse(text).map_err(|error| invalid("template", text, error));
        self.template.as_ref().map(read).transpose()
    }

    fn rotation(&self) -> Result<Option<RotationLimit>> {
        let read = |text: &String| RotationLimit::parse(text).map_err(|error| invalid("rotation", text, error));
        self.rotation.as_ref().map(read).transpose()
    }
}

fn invalid(option: &'static str, value: &str, error: Error) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "start a recording",
        error.message().to_owned(),
    )
    .with("option", option)
    .with("value", value)
}

impl Running {
    pub(crate) fn info(&self) -> RecordingInfo {
        let facts = self.status.facts();
        RecordingInfo {
            recording_id: self.id.clone(),
            media_session_id: self.identity.media_session_id.clone(),
            file_name: facts.file_name,
            part: facts.part,
            duration_ms: facts.duration_ms,
            size_bytes: facts.size_bytes,
            paused: facts.paused,
        }
    }

    /// Queues a command.
    pub(crate) fn command(&self, operation: &'static str, told: Told) -> Result<()> {
        let at = self.engine.upgrade().map(|engine| engine.clock.mono());
        if at.is_some_and(|at| self.inlet.command(told, at)) {
            return Ok(());
        }
        Err(self.state_error(operation, "the recording has ended"))
    }

    pub(crate) fn state_error(&self, operation: &'static str, message: &'static str) -> Error {
        Error::new(ErrorKind::InvalidState, operation, message).with("recording_id", &self.id)
    }

    pub(crate) fn stop(&self, wait: Option<Duration>) -> Result<()> {
        self.command("stop a recording", Told::Stop(PartEnd::Stopped))?;
        match wait {
            Some(timeout) if !self.status.wait(timeout) => Err(Error::new(
                ErrorKind::Timeout,
                "stop a recording",
                "its files are not finished yet; they will be, with their events",
            )
            .with("recording_id", &self.id)
            .with("timeout_ms", timeout.as_millis())),
            _ => Ok(()),
        }
    }
}

impl Inner {
    /// Puts a recording of `session` on a writer thread; the caller connects its inlet.
    pub(crate) fn start_recording(
        self: &Arc<Self>,
        session: &MediaSession,
        options: &RecordOptions,
        fresh: bool,
    ) -> Result<Arc<Running>> {
        let plan = Arc::new(self.plan(session, options, fresh)?);
        let writers = self.writers.lock();
        let (Some(writers), Some(folders)) = (writers.as_ref(), self.folders.get()) else {
            return Err(Error::new(
                ErrorKind::InvalidState,
                "start a recording",
                "the engine does not run",
            ));
        };
        let mut running = None;
        writers.assign(|waker| {
            let inlet = Arc::new(Inlet::new(waker));
            let status = Arc::new(Status::default());
            let reporter = EngineReporter {
                engine: Arc::downgrade(self),
                identity: Arc::clone(&session.identity),
                recording_id: plan.recording_id.clone(),
            };
            running = Some(Arc::new(Running {
                id: plan.recording_id.clone(),
                identity: Arc::clone(&session.identity),
                may_rotate: plan.may_rotate,
                inlet: Arc::clone(&inlet),
                status: Arc::clone(&status),
                engine: Arc::downgrade(self),
            }));
            Box::new(Recording::new(
                Arc::clone(&plan),
                Arc::clone(folders),
                inlet,
                status,
                Arc::new(reporter),
            ))
        });
        let running =
            running.ok_or_else(|| Error::new(ErrorKind::Internal, "start a recording", "there is no writer thread"))?;
        self.recordings.lock().insert(running.id.clone(), Arc::clone(&running));
        self.history.recording_started(&session.identity.media_session_id);
        Ok(running)
    }

    fn plan(&self, session: &MediaSession, options: &RecordOptions, fresh: bool) -> Result<Plan> {
        let settings = &self.settings;
        let template = options.template()?.unwrap_or_else(|| settings.template.clone());
        let may_rotate = session.room.is_empty();
        let rotation = options.rotation()?.unwrap_or(settings.rotation);
        Ok(Plan {
            recording_id: uuid::Uuid::new_v4().to_string(),
            identity: Arc::clone(&session.identity),
            naming: Naming {
                template,
                options: settings.name_options(self.max_name_bytes()),
                numbered: settings.rotation_index_enabled,
            },
            rotation: if may_rotate { rotation } else { RotationLimit::Disabled },
            may_rotate,
            containers: settings.containers,
            sound: settings.sound,
            index_first: settings.index_first,
            index_reserve_bytes: settings.index_reserve_bytes,
            new_part_on_change: settings.new_part_on_change,
            cluster_max_ms: settings.cluster_max_ms,
            cluster_max_bytes: settings.cluster_max_bytes,
            max_audio: settings.audio_buffer_max_size,
            sync_interval: settings.sync_interval,
            fresh,
            min_free_bytes: settings.min_free_space,
        })
    }

    /// Turns a recording's report into an event, and runs what hangs on it; by way of the SHA-256 thread
    /// where the settings ask for it.
    pub(crate) fn reported(&self, identity: &Arc<SessionIdentity>, recording_id: &str, report: Report) {
        let reported = Reported {
            identity: Arc::clone(identity),
            recording_id: recording_id.to_owned(),
            hold: self.hold_file(&report),
            report,
        };
        let left = match self.digest.get() {
            Some(digest) => digest.pass(reported),
            None => Some(reported),
        };
        if let Some(reported) = left {
            self.tell(reported);
        }
    }

    fn hold_file(&self, report: &Report) -> Option<Hold> {
        match report {
            Report::FileFinished { file, .. } => Some(self.retention.as_ref()?.hold(&file.file_name)),
            _ => None,
        }
    }

    pub(crate) fn tell(&self, reported: Reported) {
        let Reported {
            identity,
            recording_id,
            report,
            hold,
        } = reported;
        let mut until_told = UntilTold::default();
        let body = match report {
            Report::Started { file_name } => EventBody::RecordingStarted { file_name },
            Report::FileFinished { file, receipt } => {
                self.run_hook(&identity, &recording_id, &file, hold.clone());
                until_told = UntilTold { receipt, hold };
                self.history
                    .file_finished(&identity.media_session_id, &recording_id, &file);
                EventBody::FileFinished(file)
            }
            Report::Finished {
                parts,
                size_bytes,
                duration_ms,
                reason,
            } => {
                self.recordings.lock().remove(&recording_id);
                self.history.recording_finished(&identity.media_session_id);
                EventBody::RecordingFinished {
                    parts,
                    size_bytes,
                    duration_ms,
                    reason,
                }
            }
            Report::Failed { code, message, path } => EventBody::RecordingFailed {
                code: code.to_owned(),
                message,
                path: path.display().to_string(),
            },
            Report::Warning { code, message } => EventBody::Warning {
                code: code.to_owned(),
                message,
            },
        };
        self.notifier
            .emit_file(body, Some(identity), Some(recording_id), until_told);
    }
}

/// A recording's way to the engine. It holds the engine weakly: an engine that is gone is told nothing.
struct EngineReporter {
    engine: Weak<Inner>,
    identity: Arc<SessionIdentity>,
    recording_id: String,
}

impl Reporter for EngineReporter {
    fn report(&self, report: Report) {
        if let Some(engine) = self.engine.upgrade() {
            engine.reported(&self.identity, &self.recording_id, report);
        }
    }

    fn want_key_frame(&self) {
        let Some(engine) = self.engine.upgrade() else { return };
        let sessions = engine.sessions.lock();
        let session = sessions
            .as_ref()
            .and_then(|all| all.get(&self.identity.media_session_id));
        if let Some(session) = session {
            session.request_key_frame();
        }
    }
}
