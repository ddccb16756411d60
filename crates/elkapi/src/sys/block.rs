//! Many bytes of a JSON string looked at together: which of them are quotes, backslashes or control
//! characters, and which may follow a backslash.

/// Bytes of a block.
pub(crate) const LENGTH: usize = 64;

/// Blocks that are looked at in one go at most.
pub(crate) const AT_ONCE: usize = 16;

/// One bit for each byte of a block, the lowest for the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub quotes: u64,
    pub backslashes: u64,
    pub controls: u64,
    /// Some of `"`, `\`, `/`, `b`, `f`, `n`, `r` and `t`, which behind a backslash are an escape of two
    /// characters: all where it costs nothing, and otherwise those of a block with a backslash.
    pub escapes: u64,
}

/// Looks at the first blocks of the bytes, as many as there is room for or as there are; how many.
pub(crate) fn look(bytes: &[u8], blocks: &mut [Block]) -> usize {
    let (whole, _) = bytes.as_chunks::<LENGTH>();
    let count = whole.len().min(blocks.len());
    let (whole, blocks) = (&whole[..count], &mut blocks[..count]);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked.
        unsafe { avx2::look(whole, blocks) };
        return count;
    }
    for (bytes, block) in whole.iter().zip(blocks) {
        *block = portable(bytes);
    }
    count
}

/// Bytes that are passed over in one go.
pub(crate) const WINDOW: usize = 1024;

/// Whether the string goes on through all of the bytes at `at` and is in order there: then whether it has
/// a backslash. A backslash always begins an escape of two characters here, also the one before `at`; where
/// one is escaped itself, or begins an escape with digits, the answer is `None` as well.
///
/// `None` too where the processor cannot tell faster than block by block.
pub(crate) fn goes_on(bytes: &[u8], at: usize) -> Option<bool> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        let (window, before) = (bytes.get(at..at + WINDOW)?, bytes.get(at.checked_sub(1)?..)?);
        let ((window, _), (before, _)) = (window.as_chunks(), before.as_chunks());
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { avx2::goes_on(window, &before[..window.len()]) };
    }
    let _ = (bytes, at);
    None
}

/// One bit for each byte of a block that has to be escaped in a string: quotes, backslashes and control
/// characters.
pub(crate) fn to_be_escaped(bytes: &[u8; LENGTH]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { avx2::to_be_escaped(bytes) };
    }
    portable_to_be_escaped(bytes)
}

/// A block of which less than all is there, as if zeros followed, which no string has.
pub(crate) fn last(bytes: &[u8]) -> Block {
    let mut whole = [0; LENGTH];
    let length = bytes.len().min(LENGTH);
    whole[..length].copy_from_slice(&bytes[..length]);
    let mut block = [Block::default()];
    look(&whole, &mut block);
    block[0]
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_andnot_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setr_epi8, _mm256_setzero_si256,
        _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_testz_si256,
    };

    use super::{Block, LENGTH};

    // The kinds of bytes: a byte is of those on which the entries of its two halves agree.
    const QUOTE: i8 = 1;
    const BACKSLASH: i8 = 1 << 1;
    const SLASH: i8 = 1 << 2;
    const CONTROL: i8 = 1 << 3;
    const B_F_N: i8 = 1 << 4;
    const R_T: i8 = 1 << 5;

    /// The kinds of each byte.
    #[target_feature(enable = "avx2")]
    fn kinds(bytes: __m256i) -> __m256i {
        const C: i8 = CONTROL;
        #[rustfmt::skip]
        let by_low = _mm256_setr_epi8(
            C, C, C | QUOTE | B_F_N | R_T, C, C | R_T, C, C | B_F_N, C, C, C, C, C, C | BACKSLASH, C, C | B_F_N, C | SLASH,
            C, C, C | QUOTE | B_F_N | R_T, C, C | R_T, C, C | B_F_N, C, C, C, C, C, C | BACKSLASH, C, C | B_F_N, C | SLASH,
        );
        #[rustfmt::skip]
        let by_high = _mm256_setr_epi8(
            C, C, QUOTE | SLASH, 0, 0, BACKSLASH, B_F_N, R_T, 0, 0, 0, 0, 0, 0, 0, 0,
            C, C, QUOTE | SLASH, 0, 0, BACKSLASH, B_F_N, R_T, 0, 0, 0, 0, 0, 0, 0, 0,
        );
        let half = _mm256_set1_epi8(0x0f);
        let low = _mm256_shuffle_epi8(by_low, _mm256_and_si256(bytes, half));
        let high = _mm256_shuffle_epi8(by_high, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half));
        _mm256_and_si256(low, high)
    }

    /// `before`: the same bytes, each one place later.
    #[target_feature(enable = "avx2")]
    pub(crate) fn goes_on(window: &[[u8; 32]], before: &[[u8; 32]]) -> Option<bool> {
        let backslash = _mm256_set1_epi8(b'\\' as i8);
        let never_alone = _mm256_set1_epi8(QUOTE | CONTROL);
        let escapes = _mm256_set1_epi8(QUOTE | SLASH | B_F_N | R_T);
        let (mut amiss, mut escaped) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        // Asked now and then, so that the end of a short string is soon seen.
        for (window, before) in window.chunks(8).zip(before.chunks(8)) {
            for (bytes, before) in window.iter().zip(before) {
                let kinds = kinds(vector(bytes));
                let behind = _mm256_cmpeq_epi8(vector(before), backslash);
                escaped = _mm256_or_si256(escaped, behind);
                let none = _mm256_cmpeq_epi8(_mm256_and_si256(kinds, escapes), _mm256_setzero_si256());
                let alone = _mm256_andnot_si256(behind, _mm256_and_si256(kinds, never_alone));
                amiss = _mm256_or_si256(amiss, _mm256_or_si256(alone, _mm256_and_si256(behind, none)));
            }
            if _mm256_testz_si256(amiss, amiss) == 0 {
                return None;
            }
        }
        let ends_in_one = window.last().is_some_and(|bytes| bytes[31] == b'\\');
        Some(ends_in_one || _mm256_testz_si256(escaped, escaped) == 0)
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn look(bytes: &[[u8; LENGTH]], blocks: &mut [Block]) {
        let any_escape = _mm256_set1_epi8(QUOTE | BACKSLASH | SLASH | B_F_N | R_T);
        for (bytes, block) in bytes.iter().zip(blocks) {
            let (halves, _) = bytes.as_chunks::<32>();
            let mut found = Block::default();
            for (place, bytes) in halves.iter().enumerate() {
                let kinds = kinds(vector(bytes));
                let at = 32 * place;
                // The kind's bit moves to where the mask is taken from.
                found.quotes |= bits(_mm256_slli_epi16::<7>(kinds)) << at;
                found.backslashes |= bits(_mm256_slli_epi16::<6>(kinds)) << at;
                found.controls |= bits(_mm256_slli_epi16::<4>(kinds)) << at;
                let none = _mm256_cmpeq_epi8(_mm256_and_si256(kinds, any_escape), _mm256_setzero_si256());
                found.escapes |= (bits(none) ^ u64::from(u32::MAX)) << at;
            }
            *block = found;
        }
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn to_be_escaped(bytes: &[u8; LENGTH]) -> u64 {
        let wanted = _mm256_set1_epi8(QUOTE | BACKSLASH | CONTROL);
        let (halves, _) = bytes.as_chunks::<32>();
        halves.iter().rev().fold(0, |marks, bytes| {
            let kinds = _mm256_and_si256(kinds(vector(bytes)), wanted);
            marks << 32 | bits(_mm256_cmpeq_epi8(kinds, _mm256_setzero_si256())) ^ u64::from(u32::MAX)
        })
    }

    #[target_feature(enable = "avx2")]
    fn vector(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: 32 bytes are there, and they need not be aligned.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn bits(vector: __m256i) -> u64 {
        u64::from(_mm256_movemask_epi8(vector) as u32)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;

/// The highest bit of each byte that is not zero; others are of no meaning.
fn others(word: u64) -> u64 {
    ((word & !HIGH) + !HIGH) | word
}

/// One bit for each byte whose highest is not set.
fn gathered(others: u64) -> u64 {
    // The high bits are gathered in the highest byte.
    ((!others & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

fn portable_to_be_escaped(bytes: &[u8; LENGTH]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().rev().fold(0, |marks, word| {
        let word = u64::from_le_bytes(*word);
        let is_not = |byte: u8| others(word ^ (ONES * u64::from(byte)));
        marks << 8 | gathered(is_not(b'"') & is_not(b'\\') & others(word & (ONES * 0xe0)))
    })
}

fn portable(bytes: &[u8; LENGTH]) -> Block {
    /// One bit for each byte that is zero.
    fn zeros(word: u64) -> u64 {
        gathered(others(word))
    }
    let mut block = Block::default();
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| zeros(word ^ (ONES * u64::from(byte))) << (8 * place);
        block.quotes |= equal(b'"');
        block.backslashes |= equal(b'\\');
        block.controls |= zeros(word & (ONES * 0xe0)) << (8 * place);
    }
    block.escapes = block.quotes | block.backslashes;
    if block.backslashes != 0 {
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            for byte in *b"/bfnrt" {
                block.escapes |= zeros(word ^ (ONES * u64::from(byte))) << (8 * place);
            }
        }
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
                    escapes: bits(|byte| b"\"\\/bfnrt".contains(&byte)),
                };
                let escaped = expected.quotes | expected.backslashes | expected.controls;
                assert_eq!([to_be_escaped(&bytes), portable_to_be_escaped(&bytes)], [escaped; 2]);
                let mut blocks = [Block::default(); 3];
                assert_eq!(look(&[bytes, bytes].concat(), &mut blocks), 2);
                assert_eq!(blocks, [expected, expected, Block::default()], "{byte} at {place}");
                let portable = portable(&bytes);
                assert_eq!(Block { escapes: expected.escapes, ..portable }, expected, "{byte} at {place}");
                assert_eq!(portable.escapes & !expected.escapes, 0, "{byte} at {place}");
                assert_eq!(last(&bytes[..place]).quotes, expected.quotes & ((1 << place) - 1));
            }
        }
    }

    #[test]
    fn neighbours_do_not_disturb_each_other() {
        let alphabet = *b"\0\x1f \x20\"\\/bfnrtuxA\x7f\x80\xa2\xdc\xff";
        let mut state = 11u64;
        for _ in 0..20_000 {
            let mut bytes = [0; LENGTH];
            for byte in &mut bytes {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *byte = alphabet[(state >> 33) as usize % alphabet.len()];
            }
            let bits = |wanted: fn(u8) -> bool| {
                bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(wanted(*byte)))
            };
            let escaped = bits(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\'));
            assert_eq!([to_be_escaped(&bytes), portable_to_be_escaped(&bytes)], [escaped; 2]);
            let mut looked = [Block::default()];
            assert_eq!(look(&bytes, &mut looked), 1);
            for block in [looked[0], portable(&bytes)] {
                assert_eq!(block.quotes, bits(|byte| byte == b'"'));
                assert_eq!(block.backslashes, bits(|byte| byte == b'\\'));
                assert_eq!(block.controls, bits(|byte| byte < 0x20));
                assert_eq!(block.escapes & !bits(|byte| b"\"\\/bfnrt".contains(&byte)), 0);
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_string_goes_on_where_every_backslash_begins_a_short_escape() {
        if !std::arch::is_x86_feature_detected!("avx2") {
            return;
        }
        for byte in 0..=u8::MAX {
            for place in [1, 2, 31, 32, 33, 500, WINDOW - 1, WINDOW] {
                let mut bytes = vec![b'x'; WINDOW + 9];
                bytes[place] = byte;
                let expected = match byte {
                    0..0x20 | b'"' => None,
                    // Behind it stands an x, or nothing that is looked at.
                    b'\\' if place < WINDOW => None,
                    other => Some(other == b'\\'),
                };
                assert_eq!(goes_on(&bytes, 1), expected, "{byte} at {place}");
                bytes[place - 1] = b'\\';
                let expected = b"\"/bfnrt".contains(&byte).then_some(true);
                assert_eq!(goes_on(&bytes, 1), expected, "backslash and {byte} at {place}");
            }
        }
        assert_eq!(goes_on(&[b'x'; WINDOW], 1), None, "there are too few");
        assert_eq!(goes_on(&[b'x'; WINDOW], 0), None, "nothing stands before");
    }
}
