//! Gets a recording whose samples have their places.
//! Gives its parts: when one begins, what goes with the one before, and how the last one ends.

use super::*;
use crate::media::Container;

/// How often a source is asked for the key frame that a new part waits for.
const KEY_FRAME_EVERY: Duration = Duration::from_secs(1);

impl Recording {
    pub(super) fn new_part(&mut self, number: u32, base: i64, start: PartStart) -> Result<Part> {
        self.check_free_space()?;
        let container = self.container();
        let mut part = Part::create(&self.plan, &self.folders, number, container, base, start)?;
        for track in &mut self.tracks {
            track.needs_part = false;
            let fitted = track.fit(&self.plan, container);
            track.unsupported = match fitted.and_then(|()| part.track(track.written())) {
                Ok(()) => false,
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    if !track.unsupported {
                        self.reporter.report(cannot_carry(&error));
                    }
                    true
                }
                Err(error) => return Err(error),
            };
        }
        Ok(part)
    }

    /// The container of what the tracks are now.
    fn container(&self) -> Container {
        self.plan.container(self.tracks.iter().map(|track| &*track.config))
    }

    /// The part that begins at `moment` is of another container: sound that was encoded for the one
    /// before is finished in it, and what comes late for it is in the wrong codec.
    fn leave_container(&mut self, moment: i64, now: Now) -> Result<()> {
        self.finish_sound(now)?;
        for track in self.tracks.iter_mut().filter(|track| track.kind() == TrackKind::Audio) {
            track.not_before = moment;
        }
        Ok(())
    }

    /// Begins a new part at `moment` if it is time to: the sample there can be decoded by itself.
    pub(super) fn rotate_if_due(&mut self, track: TrackId, moment: i64, at: Duration, now: Now) -> Result<()> {
        let State::Running(part) = &self.state else {
            return Ok(());
        };
        let needs_part = self.tracks.iter().any(|known| known.id() == track && known.needs_part);
        let facts = self.facts(part, moment);
        let reason = if needs_part {
            PartEnd::FormatChange
        } else if !self.plan.may_rotate || part.is_empty() || moment <= part.base() {
            return Ok(());
        } else {
            match rotation::due(self.plan.rotation, &facts) {
                Some(reason) => reason,
                None => return Ok(()),
            }
        };
        self.rotate_requested = false;
        self.close_last()?;
        let number = part_number(&self.state) + 1;
        let stream_ms = to_ms(self.timeline.stream_time(track, moment));
        let start = PartStart {
            stream_ms,
            unix: now.unix_at(at),
        };
        if Some(self.container()) != part_container(&self.state) {
            self.leave_container(moment, now)?;
        }
        let next = self.new_part(number, moment, start)?;
        let State::Running(part) = std::mem::replace(&mut self.state, State::Running(Box::new(next))) else {
            return Err(Error::new(ErrorKind::Internal, "rotate", "no part was running"));
        };
        let waiting = self
            .tracks
            .iter()
            .filter(|other| other.id() != track && other.kind() == TrackKind::Audio)
            .filter(|other| {
                let late = |seen| seen < moment && moment - seen < from_ms(CLOSING_MS);
                moment > other.not_before && other.seen.is_some_and(late)
            })
            .map(|other| other.id())
            .collect::<Vec<_>>();
        let done = waiting.is_empty();
        self.closing = Some(Closing {
            part,
            end: End {
                at: moment,
                stream_ms,
                unix: start.unix,
                reason,
            },
            waiting,
        });
        self.update_status();
        if done { self.close_last() } else { Ok(()) }
    }

    /// Asks for a key frame where the next part waits for one; sources that cannot be asked send theirs.
    pub(super) fn want_key_frame(&mut self, now: Now) {
        let State::Running(part) = &self.state else { return };
        let asked = self
            .key_frame_asked_at
            .is_some_and(|at| now.mono.saturating_sub(at) < KEY_FRAME_EVERY);
        if asked || !self.plan.may_rotate || part.is_empty() || !self.has_picture() {
            return;
        }
        if rotation::due(self.plan.rotation, &self.facts(part, part.head())).is_some() {
            self.key_frame_asked_at = Some(now.mono);
            self.reporter.want_key_frame();
        }
    }

    /// What rotation decides by, if a part began at `moment`.
    fn facts(&self, part: &Part, moment: i64) -> PartFacts {
        PartFacts {
            elapsed_ms: to_ms(moment.saturating_sub(part.base())),
            projected_bytes: part.projected_size(),
            index_nearly_full: part.index_nearly_full(),
            requested: self.rotate_requested,
        }
    }

    /// Finishes the part before the current one.
    pub(super) fn close_last(&mut self) -> Result<()> {
        let Some(mut closing) = self.closing.take() else {
            return Ok(());
        };
        match closing.part.finish(&closing.end) {
            Ok(outcome) => {
                self.finished(outcome, *closing.part);
                Ok(())
            }
            Err(error) => {
                self.closing = Some(closing);
                Err(error)
            }
        }
    }

    fn finished(&mut self, outcome: PartOutcome, part: Part) {
        let PartOutcome { file, replaced } = outcome;
        self.totals.parts += 1;
        self.totals.size_bytes += file.size_bytes;
        self.totals.duration_ms += file.duration_ms;
        if replaced {
            self.reporter.report(Report::Warning {
                code: "file_replaced",
                message: format!("{} replaced an older file of that name", file.path.display()),
            });
        }
        self.reporter.report(Report::FileFinished {
            file,
            receipt: part.into_receipt(),
        });
    }

    pub(super) fn stop(&mut self, reason: PartEnd, now: Now) -> Result<()> {
        if let State::Opening(opening) = &mut self.state
            && let Some(opened) = opening.close()
        {
            self.open(opened, now)?;
        }
        self.finish_sound(now)?;
        self.close_last()?;
        let end = self.end_now(reason, now);
        if let State::Running(part) = &mut self.state
            && !part.is_empty()
        {
            let outcome = part.finish(&end)?;
            if let State::Running(part) = std::mem::replace(&mut self.state, State::Over) {
                self.finished(outcome, *part);
            }
        } else if let State::Running(part) = std::mem::replace(&mut self.state, State::Over) {
            part.discard()?;
        }
        self.end(reason);
        Ok(())
    }

    /// The end of all that was written, by every clock.
    fn end_now(&self, reason: PartEnd, now: Now) -> End {
        let at = match &self.state {
            State::Running(part) => part.head(),
            _ => 0,
        };
        let last = self
            .tracks
            .iter()
            .filter(|track| track.seen.is_some())
            .max_by_key(|track| track.last_arrival);
        let stream_ms = last.map_or(0, |track| to_ms(self.timeline.stream_time(track.id(), at)));
        let unix = last.map_or(now.unix, |track| now.unix_at(track.last_arrival));
        End {
            at,
            stream_ms,
            unix,
            reason,
        }
    }

    pub(super) fn end(&mut self, reason: PartEnd) {
        let Totals {
            parts,
            size_bytes,
            duration_ms,
        } = self.totals;
        self.state = State::Over;
        self.closing = None;
        self.inlet.close();
        self.reporter.report(Report::Finished {
            parts,
            size_bytes,
            duration_ms,
            reason,
        });
        self.status.update(|facts| facts.ended = true);
    }

    /// A failure ends the recording; what is on the disk is finished where that can be done.
    pub(super) fn fail(&mut self, error: &Error, now: Now) {
        let reason = match error.kind() {
            ErrorKind::DiskFull => PartEnd::DiskFull,
            _ => PartEnd::IoError,
        };
        let path = match &self.state {
            State::Running(part) => part.growing_path(),
            _ => self.folders.tmp.path().to_owned(),
        };
        self.reporter.report(Report::Failed {
            code: error.kind().name(),
            message: error.to_string(),
            path,
        });
        let end = self.end_now(reason, now);
        let closing = self.closing.take().map(|closing| (closing.part, closing.end));
        let running = match std::mem::replace(&mut self.state, State::Over) {
            State::Running(part) => Some((part, end)),
            _ => None,
        };
        for (mut part, end) in closing.into_iter().chain(running) {
            match part.salvage(&End { reason, ..end }) {
                Ok(outcome) => self.finished(outcome, *part),
                Err(error) => self.reporter.report(Report::Warning {
                    code: "left_for_recovery",
                    message: format!(
                        "{} stays for the next start to finish: {error}",
                        part.growing_path().display()
                    ),
                }),
            }
        }
        self.end(reason);
    }
}

/// A track that no file can carry is told once.
pub(super) fn cannot_carry(error: &Error) -> Report {
    Report::Warning {
        code: "codec_not_supported",
        message: error.to_string(),
    }
}

fn part_container(state: &State) -> Option<Container> {
    match state {
        State::Running(part) => Some(part.container()),
        _ => None,
    }
}

fn part_number(state: &State) -> u32 {
    match state {
        State::Running(part) => part.number(),
        _ => 0,
    }
}
