//! A gzip file of one megabyte that decompresses to a gigabyte of zeros.
//!
//! Made by hand: one deflate block whose codes are so short that a zero byte of the file stands
//! for four copies of 258 bytes, the most that deflate can say. Pure.

/// Zero bytes of the file between head and tail.
const ZEROS: usize = (1 << 20) - 1;
/// What they decompress to, one literal included.
const DECOMPRESSED: usize = 1 + (ZEROS + 1) * 4 * 258;
/// CRC-32 of that many zeros.
const CHECKSUM: u32 = 0x83F7_E39B;

/// The file.
pub(crate) fn gzip() -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255], used: 8 };
    // The last block, with codes of its own: 286 for literals and lengths, one for distances.
    bits.push(0b1, 1);
    bits.push(0b10, 2);
    bits.push(286 - 257, 5);
    bits.push(0, 5);
    bits.push(18 - 4, 4);
    // Lengths of the code length codes, in deflate's order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1:
    // "18" (a run of zeros) gets one bit, "1" and "2" get two.
    for length in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
        bits.push(length, 3);
    }
    let run = |bits: &mut Bits, length: u32| {
        bits.push(0b0, 1);
        bits.push(length - 11, 7);
    };
    let (one, two) = (0b01, 0b11); // The codes 10 and 11, first bit lowest.
    bits.push(two, 2); // Literal 0.
    run(&mut bits, 138);
    run(&mut bits, 117);
    bits.push(two, 2); // 256, the end.
    run(&mut bits, 28);
    bits.push(one, 2); // 285, a copy of 258 bytes.
    bits.push(one, 2); // Distance 1.
    bits.push(0b01, 2); // The literal 0, code 10.
    // Each copy is two zero bits: one for the length, one for the distance.
    let in_head = 8 - bits.used;
    bits.push(0, in_head);
    bits.bytes.resize(bits.bytes.len() + ZEROS, 0);
    bits.push(0, 8 - in_head);
    bits.push(0b11, 2); // The end, code 11.
    bits.bytes.extend_from_slice(&CHECKSUM.to_le_bytes());
    bits.bytes.extend_from_slice(&(DECOMPRESSED as u32).to_le_bytes());
    bits.bytes
}

/// Bits put together as deflate wants them, the lowest first.
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken; 8 when it is full.
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used == 8 {
                self.bytes.push(0);
                self.used = 0;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << self.used;
            }
            self.used += 1;
        }
    }
}
