//! Gets the first 3,073 bytes of a connection.
//! Gives one half of the handshake, a server's or a player's, plain (RTMP 1.0 section 5.2) or with digests.

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

use crate::media::{Error, ErrorKind, Result};

/// C0, C1 and C2, or S0, S1 and S2. The crate keeps whatever it is given, so it is given no more than this.
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

/// Our side of one handshake.
pub(super) struct HalfHandshake {
    inner: Handshake,
    left: usize,
}

impl HalfHandshake {
    pub(super) fn of_server() -> Self {
        Self {
            inner: Handshake::new(PeerType::Server),
            left: HANDSHAKE_BYTES,
        }
    }

    /// A player's half, and the bytes that it begins with.
    ///
    /// # Errors
    /// `Internal` where there is no randomness to be had.
    pub(super) fn of_player() -> Result<(Self, Vec<u8>)> {
        let mut inner = Handshake::new(PeerType::Client);
        let first = inner
            .generate_outbound_p0_and_p1()
            .map_err(|error| Error::new(ErrorKind::Internal, "shake hands with an RTMP peer", error.to_string()))?;
        let half = Self {
            inner,
            left: HANDSHAKE_BYTES,
        };
        Ok((half, first))
    }

    /// Takes bytes of the handshake off `input`; tells the answer, and whether the handshake is over.
    ///
    /// # Errors
    /// `Malformed` where the peer speaks another version, or RTMPE.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<(Vec<u8>, bool)> {
        let Some((taken, rest)) = input.split_at_checked(self.left.min(input.len())) else {
            return Ok((Vec::new(), false));
        };
        *input = rest;
        self.left -= taken.len();
        match self.inner.process_bytes(taken) {
            Ok(HandshakeProcessResult::InProgress { response_bytes }) => Ok((response_bytes, false)),
            Ok(HandshakeProcessResult::Completed { response_bytes, .. }) => Ok((response_bytes, true)),
            Err(error) => Err(Error::new(
                ErrorKind::Malformed,
                "shake hands with an RTMP peer",
                error.to_string(),
            )),
        }
    }
}
