//! Gets numbers in a row, most of them small or like the one before.
//! Gives them back in order from a few bytes each, in memory that grows page by page.

/// Bytes of a page: growing by pages instead of doubling one vector keeps the peak at what is used.
const PAGE_BYTES: usize = 4096;

/// Most bytes of one number: 64 bits at 7 a byte.
const MAX_NUMBER_BYTES: usize = 10;

/// Unsigned numbers at 7 bits a byte, the lowest first, the top bit set on all bytes but the last.
#[derive(Default)]
pub(super) struct Packed {
    pages: Vec<Vec<u8>>,
}

impl Packed {
    pub(super) fn push(&mut self, mut value: u64) {
        let full = |page: &Vec<u8>| page.len() + MAX_NUMBER_BYTES > PAGE_BYTES;
        if self.pages.last().is_none_or(full) {
            self.pages.push(Vec::new());
        }
        if let Some(page) = self.pages.last_mut() {
            while value >= 0x80 {
                page.push(value as u8 | 0x80);
                value >>= 7;
            }
            page.push(value as u8);
        }
    }

    pub(super) fn iter(&self) -> Numbers<'_> {
        Numbers {
            pages: self.pages.iter(),
            page: [].iter(),
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Vec::capacity).sum();
        pages + self.pages.capacity() * size_of::<Vec<u8>>()
    }
}

/// The numbers of a [`Packed`] in order.
pub(super) struct Numbers<'a> {
    pages: std::slice::Iter<'a, Vec<u8>>,
    page: std::slice::Iter<'a, u8>,
}

impl Iterator for Numbers<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.page.as_slice().is_empty() {
            self.page = self.pages.next()?.iter();
        }
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = *self.page.next()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }
}

/// Signed numbers, equal neighbours kept once with their count.
///
/// A run is its number in zigzag form, doubled, plus 1 where a count follows: single numbers, as the
/// composition offsets of B-frames are, take no count.
#[derive(Default)]
pub(super) struct Runs {
    closed: Packed,
    closed_count: u32,
    open: Option<(i64, u32)>,
}

impl Runs {
    pub(super) fn push(&mut self, value: i64) {
        match &mut self.open {
            Some((open, count)) if *open == value => *count += 1,
            open => {
                if let Some((value, count)) = open.replace((value, 1)) {
                    let zigzag = (value << 1 ^ value >> 63) as u64;
                    self.closed.push(zigzag << 1 | u64::from(count > 1));
                    if count > 1 {
                        self.closed.push(u64::from(count));
                    }
                    self.closed_count += 1;
                }
            }
        }
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> u32 {
        self.closed_count + u32::from(self.open.is_some())
    }

    /// Each run's number and how often it stands in a row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u32)> + '_ {
        let mut numbers = self.closed.iter();
        let closed = std::iter::from_fn(move || {
            let word = numbers.next()?;
            let zigzag = word >> 1;
            let value = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            let count = if word & 1 == 1 { numbers.next()? as u32 } else { 1 };
            Some((value, count))
        });
        closed.chain(self.open)
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.closed.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back_across_pages() {
        let numbers: Vec<u64> = (0..20_000_u64)
            .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (n % 64))
            .collect();
        let mut packed = Packed::default();
        numbers.iter().for_each(|&n| packed.push(n));
        assert!(packed.pages.len() > 1);
        assert_eq!(packed.iter().collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn runs_come_back_with_their_counts_negative_ones_too() {
        let values = [5, 5, 5, -3, 0, 0, i64::from(u32::MAX), i64::from(i32::MIN), -1, -1];
        let mut runs = Runs::default();
        values.iter().for_each(|&v| runs.push(v));
        let expected = [
            (5, 3),
            (-3, 1),
            (0, 2),
            (i64::from(u32::MAX), 1),
            (i64::from(i32::MIN), 1),
            (-1, 2),
        ];
        assert_eq!(runs.iter().collect::<Vec<_>>(), expected);
        assert_eq!(runs.count(), 6);
    }
}
