//! Gets what the headers of a video codec say of colour.
//! Gives it in the code points that containers share.

/// Code points of ITU-T H.273 (ISO/IEC 23091-2); 2 is "unspecified".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// `ColourPrimaries`.
    pub primaries: u8,
    /// `TransferCharacteristics`.
    pub transfer: u8,
    /// `MatrixCoefficients`.
    pub matrix: u8,
    /// Whether samples use the full range.
    pub full_range: bool,
}
