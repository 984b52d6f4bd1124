//! Gets ticks from ingest and the containers.
//! Gives time as a type: ticks carry their timescale, and wall time never mixes with media time.

use std::num::NonZeroU32;

use super::error::{Error, ErrorKind, Result};

/// How many ticks make one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// 1000 ticks a second: RTMP, FLV, and what events tell.
    pub const MILLIS: Self = Self::constant(1000);
    /// 90,000 ticks a second: MPEG-TS (ISO/IEC 13818-1 section 2.4.2) and RTP video.
    pub const MPEG: Self = Self::constant(90_000);

    /// 705,600,000 ticks a second: whole numbers of every common frame and sample rate, of a
    /// millisecond and of 1/90,000 s, so sums and offsets in it are exact. 64 bits hold 414 years.
    pub const FLICKS: Self = Self::constant(705_600_000);

    const fn constant(per_second: u32) -> Self {
        match NonZeroU32::new(per_second) {
            Some(value) => Self(value),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// A timescale of `per_second` ticks, or `None` for zero.
    pub const fn new(per_second: u32) -> Option<Self> {
        match NonZeroU32::new(per_second) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Ticks a second.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// Which way [`Timestamp::rescale`] rounds where the new ticks are coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards minus infinity.
    Floor,
    /// To the nearest tick; a half goes up.
    Nearest,
    /// Towards plus infinity.
    Ceil,
}

/// A point in (or a length of) media time: a number of ticks and how long a tick is.
///
/// It never holds wall time; that is [`UnixMs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    ticks: i64,
    scale: Timescale,
}

impl Timestamp {
    /// `ticks` of `scale`.
    pub const fn new(ticks: i64, scale: Timescale) -> Self {
        Self { ticks, scale }
    }

    /// `ms` milliseconds, in ticks of a millisecond.
    pub const fn from_ms(ms: i64) -> Self {
        Self::new(ms, Timescale::MILLIS)
    }

    /// The number of ticks.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// The length of a tick.
    pub const fn scale(self) -> Timescale {
        self.scale
    }

    /// The same moment in ticks of `scale`.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] where the result does not fit 64 bits.
    pub fn rescale(self, scale: Timescale, rounding: Rounding) -> Result<Self> {
        if scale == self.scale {
            return Ok(self);
        }
        let from = i128::from(self.scale.get());
        let product = i128::from(self.ticks) * i128::from(scale.get());
        let ticks = match rounding {
            Rounding::Floor => product.div_euclid(from),
            Rounding::Nearest => (product * 2 + from).div_euclid(from * 2),
            Rounding::Ceil => -(-product).div_euclid(from),
        };
        i64::try_from(ticks).map(|ticks| Self { ticks, scale }).map_err(|_| {
            Error::new(
                ErrorKind::LimitExceeded,
                "rescale a timestamp",
                "the result does not fit 64 bits",
            )
            .with("ticks", self.ticks)
            .with("from_timescale", self.scale.get())
            .with("to_timescale", scale.get())
        })
    }

    /// Whole milliseconds, rounded to the nearest; saturates at the ends of 64 bits.
    pub fn as_ms(self) -> i64 {
        match self.rescale(Timescale::MILLIS, Rounding::Nearest) {
            Ok(ms) => ms.ticks,
            Err(_) if self.ticks < 0 => i64::MIN,
            Err(_) => i64::MAX,
        }
    }

    /// Which of two moments is earlier, exactly, whatever their timescales.
    pub fn cmp_moment(self, other: Self) -> std::cmp::Ordering {
        let left = i128::from(self.ticks) * i128::from(other.scale.get());
        let right = i128::from(other.ticks) * i128::from(self.scale.get());
        left.cmp(&right)
    }
}

/// A point in wall time: milliseconds since 1970-01-01T00:00:00Z by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_rounds_as_it_is_told_below_zero_too() {
        let cd = Timescale::new(44_100).unwrap();
        let at = |ticks| Timestamp::new(ticks, cd);
        let ms = |ticks, rounding| at(ticks).rescale(Timescale::MILLIS, rounding).unwrap().ticks();
        assert_eq!(ms(1024, Rounding::Floor), 23);
        assert_eq!(ms(1024, Rounding::Nearest), 23);
        assert_eq!(ms(1024, Rounding::Ceil), 24);
        assert_eq!(ms(-1024, Rounding::Floor), -24);
        assert_eq!(ms(-1024, Rounding::Nearest), -23);
        assert_eq!(ms(-1024, Rounding::Ceil), -23);
    }

    #[test]
    fn rescaling_past_64_bits_is_an_error_that_names_the_numbers() {
        let error = Timestamp::from_ms(i64::MAX)
            .rescale(Timescale::MPEG, Rounding::Floor)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(error.to_string().contains("to_timescale: 90000"), "{error}");
        assert_eq!(Timestamp::new(i64::MIN, Timescale::new(1).unwrap()).as_ms(), i64::MIN);
    }

    #[test]
    fn moments_of_different_timescales_compare_exactly() {
        let third = Timestamp::new(1, Timescale::new(3).unwrap());
        assert_eq!(third.cmp_moment(Timestamp::from_ms(333)), std::cmp::Ordering::Greater);
        assert_eq!(
            third.cmp_moment(Timestamp::new(30_000, Timescale::MPEG)),
            std::cmp::Ordering::Equal
        );
    }
}
