//! Gets the tracks of the file.
//! Gives the two tables by which a reader finds them (ISO/IEC 13818-1 section 2.4.4), a packet each.

use bytes::BytesMut;

use super::packet::{PACKET_BYTES, Pid, SYNC_BYTE};

/// Where the program map table is.
pub(super) const PMT_PID: u16 = 0x1000;

/// What the program association table calls the one program of the file.
const PROGRAM_NUMBER: u16 = 1;

const PAT_TABLE_ID: u8 = 0x00;
const PMT_TABLE_ID: u8 = 0x02;

/// `stream_type`s (table 2-34).
pub(super) mod stream_type {
    /// ISO/IEC 11172-3 audio: MPEG-1.
    pub(in super::super) const MPEG1_AUDIO: u8 = 0x03;
    /// ISO/IEC 13818-3 audio: MPEG-2, the lower sample rates.
    pub(in super::super) const MPEG2_AUDIO: u8 = 0x04;
    /// ISO/IEC 13818-7 audio in ADTS.
    pub(in super::super) const AAC_ADTS: u8 = 0x0f;
    /// ITU-T H.264 in a byte stream.
    pub(in super::super) const H264: u8 = 0x1b;
    /// ITU-T H.265 in a byte stream.
    pub(in super::super) const H265: u8 = 0x24;
}

/// An elementary stream as the program map table lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
}

/// The tables, ready to be repeated.
#[derive(Debug)]
pub(super) struct Tables {
    pat: Pid,
    pmt: Pid,
    pat_section: Vec<u8>,
    pmt_section: Vec<u8>,
    /// `version_number` of the program map table: 5 bits.
    version: u8,
}

impl Tables {
    /// The tables of a program with these streams, whose clock is on `pcr_pid`.
    pub(super) fn new(pcr_pid: u16, streams: impl Iterator<Item = Listed>) -> Self {
        let mut program = PROGRAM_NUMBER.to_be_bytes().to_vec();
        program.extend((0xe000 | PMT_PID).to_be_bytes());
        Self {
            pat: Pid::new(0),
            pmt: Pid::new(PMT_PID),
            pat_section: section(PAT_TABLE_ID, 1, 0, &program),
            pmt_section: pmt_section(0, pcr_pid, streams),
            version: 0,
        }
    }

    /// Lists other streams from now on, under a new version.
    pub(super) fn update(&mut self, pcr_pid: u16, streams: impl Iterator<Item = Listed>) {
        self.version = (self.version + 1) & 0x1f;
        self.pmt_section = pmt_section(self.version, pcr_pid, streams);
    }

    /// Appends both, two packets.
    pub(super) fn write(&mut self, out: &mut BytesMut) {
        write_section(&mut self.pat, &self.pat_section, out);
        write_section(&mut self.pmt, &self.pmt_section, out);
    }
}

/// Section 2.4.4.8; there are no descriptors.
fn pmt_section(version: u8, pcr_pid: u16, streams: impl Iterator<Item = Listed>) -> Vec<u8> {
    let mut body = (0xe000 | pcr_pid).to_be_bytes().to_vec();
    body.extend([0xf0, 0]);
    for stream in streams {
        body.push(stream.stream_type);
        body.extend((0xe000 | stream.pid).to_be_bytes());
        body.extend([0xf0, 0]);
    }
    section(PMT_TABLE_ID, PROGRAM_NUMBER, version, &body)
}

/// A section of the long form, alone in its table (section 2.4.4.3).
fn section(table_id: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = 5 + body.len() + 4;
    let mut out = vec![table_id, 0xb0 | (length >> 8) as u8, length as u8];
    out.extend(extension.to_be_bytes());
    out.extend([0xc1 | version << 1, 0, 0]);
    out.extend(body);
    out.extend(crc32(&out).to_be_bytes());
    out
}

/// The one packet of a section; [`crate::media::limits::MAX_TRACKS`] keeps it below 183 bytes.
fn write_section(pid: &mut Pid, section: &[u8], out: &mut BytesMut) {
    let end = out.len() + PACKET_BYTES;
    out.extend_from_slice(&pid.payload_header(true));
    out.extend_from_slice(&[0]); // pointer_field: the section starts at once
    out.extend_from_slice(section);
    out.resize(end, 0xff);
}

/// The CRC of annex A: polynomial 0x04C11DB7, not reflected, from all ones. Tables change seldom, so
/// a bit at a time is fast enough.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            let carry = crc >> 31;
            crc = crc << 1 ^ (carry * 0x04c1_1db7);
        }
        crc
    })
}

/// Reads the packet of a program map table as [`Tables`] writes it; `None` for anything else.
pub(super) fn read_pmt(packet: &[u8]) -> Option<Vec<Listed>> {
    let [
        SYNC_BYTE,
        _,
        _,
        control,
        0,
        PMT_TABLE_ID,
        length_high,
        length_low,
        rest @ ..,
    ] = packet
    else {
        return None;
    };
    if control & 0x30 != 0x10 {
        return None;
    }
    let length = usize::from(length_high & 0x0f) << 8 | usize::from(*length_low);
    let section = packet.get(5..5 + 3 + length)?;
    // The CRC over a section with its own CRC behind it is 0.
    if crc32(section) != 0 {
        return None;
    }
    let streams = rest.get(9..length.checked_sub(4)?)?;
    let listed = streams.chunks(5).map(|stream| match *stream {
        [stream_type, high, low, 0xf0, 0] => Some(Listed {
            stream_type,
            pid: u16::from_be_bytes([high & 0x1f, low]),
        }),
        _ => None,
    });
    listed.collect()
}
