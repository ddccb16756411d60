//! Undoes the chunked transfer coding (RFC 9112, section 7.1) where the bytes stand. Pure: no I/O.

/// Bytes of a chunk's first line at most, and of all fields behind the last chunk.
const LINE: usize = 8 * 1024;

/// How far the coding was undone.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    /// Bytes of the present line that came so far, behind the last chunk of all lines.
    line: usize,
}

#[derive(Debug, Default)]
enum State {
    /// The digits of a chunk's size.
    #[default]
    FirstDigit,
    Digits(u64),
    /// What follows them: white space and extensions, which mean nothing to us.
    Extension(u64),
    /// The line feed behind that.
    EndOfSize(u64),
    /// Bytes of a chunk's data that are still to come.
    Data(u64),
    /// Behind the data.
    Return,
    LineFeed,
    /// Behind the last chunk: fields, then an empty line.
    Trailer,
    TrailerLine,
    EndOfTrailerLine,
    Last,
    Over,
    /// What came is no chunk.
    Broken(NotChunks),
}

/// Why the bytes are not chunks, as the end of a sentence.
pub(crate) type NotChunks = &'static str;

/// What became of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undone {
    /// So many bytes of data stand at the beginning.
    pub data: usize,
    /// So many bytes at the end came behind the last chunk and are none of ours.
    pub surplus: usize,
}

impl Chunked {
    /// Why what came last is no chunk.
    pub fn broken(&self) -> Option<NotChunks> {
        if let State::Broken(why) = self.state { Some(why) } else { None }
    }

    /// Whether the last chunk and what follows it were seen.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the last chunk was seen; servers exist that say no more.
    pub fn is_last(&self) -> bool {
        matches!(
            self.state,
            State::Trailer | State::TrailerLine | State::EndOfTrailerLine | State::Last | State::Over
        )
    }

    /// Takes the coding off the next bytes; the data moves to their beginning. What is wrong behind data is
    /// told the next time.
    pub fn undo(&mut self, bytes: &mut [u8]) -> Result<Undone, NotChunks> {
        let (mut at, mut data) = (0, 0);
        while at < bytes.len() {
            if let State::Data(left) = self.state {
                let length = left.min((bytes.len() - at) as u64) as usize;
                if at != data {
                    bytes.copy_within(at..at + length, data);
                }
                at += length;
                data += length;
                let left = left - length as u64;
                self.state = if left == 0 { State::Return } else { State::Data(left) };
                continue;
            }
            match self.state {
                State::Over => break,
                State::Broken(why) => return Err(why),
                _ => {}
            }
            if let Some((length, size)) = self.next_size(&bytes[at..]) {
                self.state = State::Data(size);
                at += length;
                continue;
            }
            if let Err(why) = self.take(bytes[at]) {
                self.state = State::Broken(why);
                if data == 0 {
                    return Err(why);
                }
                return Ok(Undone { data, surplus: 0 });
            }
            at += 1;
        }
        Ok(Undone { data, surplus: bytes.len() - at })
    }

    /// What leads to the next chunk's data, where all of it is here and as it is mostly: its length, and that
    /// of the data. It is none of the last chunk's.
    fn next_size(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        let (before, rest) = match self.state {
            State::FirstDigit => (0, bytes),
            State::Return => (2, bytes.strip_prefix(b"\r\n")?),
            _ => return None,
        };
        let mut size = 0;
        for (count, byte) in rest.iter().enumerate().take(8) {
            match byte {
                b'0'..=b'9' => size = size << 4 | u64::from(byte - b'0'),
                b'a'..=b'f' => size = size << 4 | u64::from(byte - b'a' + 10),
                b'\r' if size > 0 && rest.get(count + 1) == Some(&b'\n') => {
                    return Some((before + count + 2, size));
                }
                _ => return None,
            }
        }
        None
    }

    /// One byte that is no data.
    fn take(&mut self, byte: u8) -> Result<(), NotChunks> {
        self.line += 1;
        if self.line > LINE {
            return Err("what stands between or behind the chunks is too long");
        }
        self.state = match (&self.state, byte) {
            (State::FirstDigit, _) => {
                State::Digits(digit(byte).ok_or("a chunk does not begin with its size")?)
            }
            (State::Digits(size), b'\r') => State::EndOfSize(*size),
            (State::Digits(size), b';' | b' ' | b'\t') => State::Extension(*size),
            (State::Digits(size), _) => {
                let digit = digit(byte).ok_or("a chunk's size is not a hexadecimal number")?;
                let larger = size.checked_mul(16).ok_or("a chunk's size is beyond measure")?;
                State::Digits(larger | digit)
            }
            (State::Extension(size), b'\r') => State::EndOfSize(*size),
            (State::Extension(_), b'\n') => return Err("a chunk's first line does not end in CR LF"),
            (State::Extension(size), _) => State::Extension(*size),
            (State::EndOfSize(0), b'\n') => self.next_line(State::Trailer),
            (State::EndOfSize(size), b'\n') => self.next_line(State::Data(*size)),
            (State::EndOfSize(_), _) => return Err("a chunk's first line does not end in CR LF"),
            (State::Return, b'\r') => State::LineFeed,
            (State::LineFeed, b'\n') => self.next_line(State::FirstDigit),
            (State::Return | State::LineFeed, _) => return Err("a chunk is longer than its size"),
            (State::Trailer, b'\r') => State::Last,
            (State::Trailer | State::TrailerLine, b'\n') => {
                return Err("a field's line does not end in CR LF");
            }
            (State::TrailerLine, b'\r') => State::EndOfTrailerLine,
            (State::Trailer | State::TrailerLine, _) => State::TrailerLine,
            (State::EndOfTrailerLine, b'\n') => State::Trailer,
            (State::Last, b'\n') => State::Over,
            (State::EndOfTrailerLine | State::Last, _) => return Err("a field's line does not end in CR LF"),
            // Not reached: these are seen to before.
            (State::Data(left), _) => State::Data(*left),
            (State::Over, _) => State::Over,
            (State::Broken(why), _) => return Err(why),
        };
        Ok(())
    }

    fn next_line(&mut self, state: State) -> State {
        self.line = 0;
        state
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, how much came behind, and whether it was over, of bytes that come in pieces.
    fn undone(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), NotChunks> {
        let mut chunked = Chunked::default();
        let (mut data, mut surplus) = (Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let undone = chunked.undo(&mut piece)?;
            if let Some(why) = chunked.broken() {
                assert!(undone.data > 0);
                return Err(why);
            }
            data.extend_from_slice(&piece[..undone.data]);
            surplus += undone.surplus;
        }
        Ok((data, surplus, chunked.is_over()))
    }

    #[test]
    fn chunks_are_undone_however_they_arrive() {
        for (bytes, data, surplus, is_over) in [
            (&b"5\r\nhello\r\n0\r\n\r\n"[..], "hello", 0, true),
            (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nHTTP", "hello world", 4, true),
            (b"00A\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n", "0123456789", 0, true),
            (b"2;name=\"value\"\r\nhi\r\n1 \r\n!\r\n000;last\r\n\r\n", "hi!", 0, true),
            (b"f\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n0\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n0", 0, true),
            (b"5\r\nhel", "hel", 0, false),
            (b"5\r\nhello\r\n0\r\n", "hello", 0, false),
            (b"", "", 0, false),
        ] {
            for piece in 1..=bytes.len().max(1) {
                let got = undone(bytes, piece).unwrap();
                assert_eq!(got, (data.as_bytes().to_vec(), surplus, is_over), "{bytes:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_are_no_chunks_is_refused() {
        let long = [b"1;".to_vec(), vec![b'x'; LINE], b"\r\n".to_vec()].concat();
        let field = [b"0\r\n".to_vec(), vec![b'x'; LINE + 1]].concat();
        for bytes in [
            &b"elk\r\n"[..],
            b"\r\n",
            b";\r\n",
            b"-1\r\n",
            b"+1\r\nx\r\n",
            b"0x5\r\nhello",
            b"5\nhello",
            b"5;x\nhello",
            b"5\rhello",
            b"5\r\nhello!\r\n",
            b"5\r\nhello\n",
            b"10000000000000000\r\n",
            b"0\r\n\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\nA: b\rX",
            b"0\r\n\rX",
            &long,
            &field,
        ] {
            for piece in [1, 2, bytes.len()] {
                assert!(undone(bytes, piece).is_err(), "{:?}", bytes.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn data_before_what_is_no_chunk_is_kept_however_it_arrives() {
        let bytes = b"5\r\nhello\r\n1\r\n!\r\nXX\r\n";
        for size in 1..=bytes.len() {
            let (mut chunked, mut data) = (Chunked::default(), Vec::new());
            let mut failed = None;
            for piece in bytes.chunks(size) {
                let mut piece = piece.to_vec();
                match chunked.undo(&mut piece) {
                    Ok(undone) => data.extend_from_slice(&piece[..undone.data]),
                    Err(why) => failed = Some(why),
                }
            }
            assert_eq!(data, b"hello!", "by {size}");
            assert_eq!(chunked.broken(), Some("a chunk does not begin with its size"));
            assert!(failed.is_none_or(|why| Some(why) == chunked.broken()));
        }
    }

    #[test]
    fn fields_behind_the_last_chunk_have_an_end() {
        let mut chunked = Chunked::default();
        let flood = [&b"0\r\n"[..], &b"A: b\r\n".repeat(LINE)].concat();
        assert!(chunked.undo(&mut flood.clone()).is_err());
    }

    #[test]
    fn the_last_chunk_is_told_from_a_stream_that_breaks_off() {
        let mut chunked = Chunked::default();
        chunked.undo(&mut b"1\r\nx\r\n0\r".to_vec()).unwrap();
        assert!(!chunked.is_last());
        chunked.undo(&mut b"\n".to_vec()).unwrap();
        assert!(chunked.is_last() && !chunked.is_over());
    }
}
