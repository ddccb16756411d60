//! Sixty-four bytes of a string looked at together: which of them are quotes, backslashes or control
//! characters.

/// Bytes of a block.
pub(crate) const LENGTH: usize = 64;

/// One bit for each byte of a block, the lowest for the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub quotes: u64,
    pub backslashes: u64,
    pub controls: u64,
}

impl Block {
    #[cfg(target_arch = "x86_64")]
    pub fn of(bytes: &[u8; LENGTH]) -> Block {
        // SAFETY: every x86-64 has SSE2.
        unsafe { sse2::block(bytes) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub fn of(bytes: &[u8; LENGTH]) -> Block {
        portable(bytes)
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::{Block, LENGTH};

    #[target_feature(enable = "sse2")]
    pub(crate) fn block(bytes: &[u8; LENGTH]) -> Block {
        let mut block = Block { quotes: 0, backslashes: 0, controls: 0 };
        let (quarters, _) = bytes.as_chunks::<16>();
        for (place, quarter) in quarters.iter().enumerate() {
            let word = u128::from_le_bytes(*quarter);
            let vector = _mm_set_epi64x((word >> 64) as i64, word as i64);
            let equal = |byte: u8| bits(_mm_cmpeq_epi8(vector, _mm_set1_epi8(byte as i8)));
            block.quotes |= equal(b'"') << (16 * place);
            block.backslashes |= equal(b'\\') << (16 * place);
            let least = _mm_min_epu8(vector, _mm_set1_epi8(0x1f));
            block.controls |= bits(_mm_cmpeq_epi8(vector, least)) << (16 * place);
        }
        block
    }

    #[target_feature(enable = "sse2")]
    fn bits(vector: __m128i) -> u64 {
        u64::from(_mm_movemask_epi8(vector) as u32)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn portable(bytes: &[u8; LENGTH]) -> Block {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    /// One bit for each byte that is zero.
    fn zeros(word: u64) -> u64 {
        let others = ((word & !HIGH) + !HIGH) | word;
        // The high bits are gathered in the highest byte.
        ((!others & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
    let mut block = Block { quotes: 0, backslashes: 0, controls: 0 };
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        block.quotes |= zeros(word ^ (ONES * u64::from(b'"'))) << (8 * place);
        block.backslashes |= zeros(word ^ (ONES * u64::from(b'\\'))) << (8 * place);
        block.controls |= zeros(word & (ONES * 0xe0)) << (8 * place);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_seen_at_every_place_and_both_ways_agree() {
        for byte in 0..=u8::MAX {
            for place in 0..LENGTH {
                let mut bytes = [b'x'; LENGTH];
                bytes[place] = byte;
                bytes[LENGTH - 1 - place] = byte;
                let bits = |wanted: fn(u8) -> bool| {
                    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(wanted(*byte)))
                };
                let expected = Block {
                    quotes: bits(|byte| byte == b'"'),
                    backslashes: bits(|byte| byte == b'\\'),
                    controls: bits(|byte| byte < 0x20),
                };
                assert_eq!(Block::of(&bytes), expected, "{byte} at {place}");
                assert_eq!(portable(&bytes), expected, "{byte} at {place}");
            }
        }
    }
}
