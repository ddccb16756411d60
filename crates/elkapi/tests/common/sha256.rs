//! SHA-256 (FIPS 180-4), for the digests in the fixtures: not worth a dependency.

/// The digest in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let constants: Vec<u32> = primes().take(64).map(|prime| fraction((prime as f64).cbrt())).collect();
    let mut state: Vec<u32> = primes().take(8).map(|prime| fraction((prime as f64).sqrt())).collect();

    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());

    for block in padded.chunks_exact(64) {
        compress(&mut state, &constants, block);
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

fn primes() -> impl Iterator<Item = u32> {
    (2..).filter(|number| (2..*number).all(|divisor| number % divisor != 0))
}

/// The first 32 bits behind the point.
fn fraction(number: f64) -> u32 {
    (number.fract() * 2f64.powi(32)) as u32
}

fn compress(state: &mut [u32], constants: &[u32], block: &[u8]) {
    let mut words: Vec<u32> =
        block.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
    for at in 16..64 {
        let (w15, w2) = (words[at - 15], words[at - 2]);
        let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
        let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
        words.push(words[at - 16].wrapping_add(s0).wrapping_add(words[at - 7]).wrapping_add(s1));
    }
    let mut v: [u32; 8] = (&*state).try_into().unwrap();
    for at in 0..64 {
        let [a, b, c, d, e, f, g, h] = v;
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(constants[at]).wrapping_add(words[at]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        v = [t1.wrapping_add(s0).wrapping_add(majority), a, b, c, d.wrapping_add(t1), e, f, g];
    }
    for (word, added) in state.iter_mut().zip(v) {
        *word = word.wrapping_add(added);
    }
}

#[test]
fn the_digest_agrees_with_the_standard() {
    assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(
        hex(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    );
}
