//! Gets what signalling says of G.711.
//! Gives its configuration.

use crate::media::{Error, ErrorKind, G711Config, G711Law, Result};

/// Sample rates taken, in Hz: 8,000 of the standard, up to the wide-band rate of odd devices.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// The configuration of a G.711 stream (ITU-T G.711): it has no headers, so signalling tells.
///
/// # Errors
/// `Unsupported` for another sample rate than 8,000 to 48,000 Hz or other channels than 1 or 2.
pub fn config(law: G711Law, sample_rate: u32, channels: u8) -> Result<G711Config> {
    if !RATES.contains(&sample_rate) || !(1..=2).contains(&channels) {
        return Err(
            Error::new(ErrorKind::Unsupported, "describe G.711", "no device sends this")
                .with("sample_rate", sample_rate)
                .with("channels", channels),
        );
    }
    Ok(G711Config {
        law,
        sample_rate,
        channels,
    })
}
