//! The event stream decoder (WHATWG HTML, "Server-sent events"), fed with bytes: pure, no I/O.
//!
//! Every event is there as soon as its last byte is; a line is looked at once, however long it
//! grows; the data of a one-line event is lent, not copied. Beyond the standard, lines that are bare
//! JSON are kept: a gateway that fails after its first keep-alive writes its error so.

/// A decoder; `room` and `filled` put bytes in, `next_event` takes events out.
#[derive(Debug)]
pub struct Decoder {
    window: Vec<u8>,
    /// The filled part of the window.
    end: usize,
    /// Where the lines of the present event begin; bytes before it are done with.
    start: usize,
    /// Where the present line begins.
    line: usize,
    /// How far the present line was looked at.
    scanned: usize,
    /// A carriage return ended the last line: a line feed right behind it belongs to it.
    skip_line_feed: bool,
    at_start: bool,
    pending: Pending,
    /// The data of an event with more than one line.
    joined: Vec<u8>,
    /// The event that was taken out last.
    lent: Pending,
    lent_whole: bool,
    /// Lines that are JSON without a field name.
    bare: Vec<u8>,
    limit: usize,
    /// Room that is made for the next bytes at least.
    wanted: usize,
}

/// The fields of the event under way, as places in the window.
#[derive(Debug, Default)]
struct Pending {
    name: Option<(usize, usize)>,
    data: Data,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    Line(usize, usize),
    /// More than one line, joined in [`Decoder::joined`].
    Lines,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty where there is none.
    pub name: &'a [u8],
    /// The `data` lines, joined by line feeds.
    pub data: &'a [u8],
    /// A blank line ended it; otherwise the stream did.
    pub whole: bool,
}

/// An event grew beyond the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// What a line did.
enum Line {
    /// It ended an event that has data.
    Event,
    Other,
}

/// Bare JSON is an error text; more of it serves nobody.
const BARE_MOST: usize = 64 * 1024;
const ROOM: usize = 16 * 1024;
/// Where events come faster than they are taken, more of them at once; so many that the window is not yet of
/// the size that allocators take from the system for each stream anew.
const ROOM_MOST: usize = 64 * 1024;
const KEPT: usize = 1024 * 1024;

impl Decoder {
    /// A decoder that takes events of at most `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder {
            window: Vec::new(),
            end: 0,
            start: 0,
            line: 0,
            scanned: 0,
            skip_line_feed: false,
            at_start: true,
            pending: Pending::default(),
            joined: Vec::new(),
            lent: Pending::default(),
            lent_whole: false,
            bare: Vec::new(),
            limit,
            wanted: ROOM,
        }
    }

    /// Space for more bytes, at least a few thousand.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end && self.window.len() > KEPT {
            // After a picture of many megabytes the window need not stay that large.
            self.window = Vec::new();
            self.lent = Pending::default();
            (self.start, self.end, self.line, self.scanned) = (0, 0, 0, 0);
        }
        // The beginning of an event is moved for little; moving less than half of the window keeps the cost
        // of moving below that of reading.
        let pending = self.end - self.start;
        let wanted = if pending <= ROOM / 4 { self.wanted } else { self.wanted / 4 };
        let is_short = self.window.len() - self.end < wanted;
        if pending == 0 || is_short && (pending <= ROOM / 4 || self.start >= self.window.len() / 2) {
            self.shift();
        }
        if self.window.len() - self.end < wanted {
            // Doubling a window of many megabytes would hold as much again for nothing.
            let more = if self.window.len() < 4 << 20 { self.window.len() } else { self.window.len() / 8 };
            let more = if pending <= ROOM / 4 { wanted } else { more.max(wanted) };
            self.window.resize(self.end + more, 0);
        }
        &mut self.window[self.end..]
    }

    /// Moves what is not done with to the front.
    fn shift(&mut self) {
        let by = self.start;
        if by == 0 {
            return;
        }
        self.lent = Pending::default();
        self.window.copy_within(self.start..self.end, 0);
        self.end -= by;
        self.line -= by;
        self.scanned -= by;
        self.start = 0;
        if let Some((from, to)) = &mut self.pending.name {
            *from -= by;
            *to -= by;
        }
        if let Data::Line(from, to) = &mut self.pending.data {
            *from -= by;
            *to -= by;
        }
    }

    /// That many bytes were put into the room.
    pub fn filled(&mut self, amount: usize) {
        // Bytes without their framing never fill the room.
        if amount >= ROOM / 2 {
            self.wanted = (2 * amount).clamp(self.wanted, ROOM_MOST);
        }
        self.end = (self.end + amount).min(self.window.len());
    }

    /// Puts bytes in.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let fitting = room.len().min(bytes.len());
            room[..fitting].copy_from_slice(&bytes[..fitting]);
            self.filled(fitting);
            bytes = &bytes[fitting..];
        }
    }

    /// Lines of bare JSON that came so far.
    pub fn bare(&self) -> &[u8] {
        &self.bare
    }

    /// The next event that is whole; `None` until more bytes are put in.
    ///
    /// # Errors
    ///
    /// When an event grows beyond the limit.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, TooLarge> {
        Ok(if self.advance()? { Some(self.current()) } else { None })
    }

    /// Goes on to the next whole event; `false` until more bytes are put in.
    pub fn advance(&mut self) -> Result<bool, TooLarge> {
        self.forget_last();
        while let Some((from, to)) = self.next_line() {
            if let Line::Event = self.take_line(from, to) {
                self.lend(true);
                return Ok(true);
            }
        }
        if self.end - self.start > self.limit {
            return Err(TooLarge);
        }
        Ok(false)
    }

    /// What is left when the stream has ended: a last line without an end, an event without a blank
    /// line. `false` when there is nothing.
    pub fn finish(&mut self) -> bool {
        self.forget_last();
        if self.at_start {
            self.skip_mark();
        }
        let (from, to) = (self.line, self.end);
        if from < to {
            self.begin_line(to);
            self.take_line(from, to);
        }
        let has_data = !matches!(self.pending.data, Data::None);
        if has_data {
            self.lend(false);
        }
        has_data
    }

    /// The event that was gone on to last; valid until bytes are put in.
    pub fn current(&self) -> Event<'_> {
        let name = self.lent.name.map_or(&[][..], |(from, to)| &self.window[from..to]);
        let data = match self.lent.data {
            Data::None => &[],
            Data::Line(from, to) => &self.window[from..to],
            Data::Lines => &self.joined[..self.joined.len() - 1],
        };
        Event { name, data, whole: self.lent_whole }
    }

    /// The event that was lent last is done with.
    fn forget_last(&mut self) {
        if self.start != self.line && matches!(self.pending.data, Data::None) && self.pending.name.is_none() {
            self.start = self.line;
        }
    }

    /// Lends the event and begins the next one.
    fn lend(&mut self, whole: bool) {
        self.lent = std::mem::take(&mut self.pending);
        self.lent_whole = whole;
        // A NUL takes the place of the line end behind the data, so that C can borrow it.
        match self.lent.data {
            Data::None => {}
            Data::Line(_, to) if to < self.window.len() => self.window[to] = 0,
            Data::Line(..) => self.window.push(0),
            Data::Lines => self.joined.push(0),
        }
    }

    /// The data of the event that was gone on to last, with a NUL behind it.
    pub fn current_with_nul(&self) -> &[u8] {
        match self.lent.data {
            Data::None => &[0],
            Data::Line(from, to) => &self.window[from..=to],
            Data::Lines => &self.joined,
        }
    }

    /// The place of the next whole line, without its end.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        if self.at_start && !self.skip_mark() {
            return None;
        }
        if self.skip_line_feed && self.scanned < self.end {
            self.skip_line_feed = false;
            if self.window[self.scanned] == b'\n' {
                self.begin_line(self.scanned + 1);
            }
        }
        let found = memchr::memchr2(b'\n', b'\r', &self.window[self.scanned..self.end]);
        let Some(found) = found else {
            self.scanned = self.end;
            return None;
        };
        let (from, to) = (self.line, self.scanned + found);
        self.skip_line_feed = self.window[to] == b'\r';
        self.begin_line(to + 1);
        Some((from, to))
    }

    /// The next line begins there; an event that has nothing yet begins there too.
    fn begin_line(&mut self, to: usize) {
        self.line = to;
        self.scanned = to;
    }

    /// Skips a byte order mark at the very beginning; `false` until it is known whether there is one.
    fn skip_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let head = &self.window[..self.end];
        if head.len() < MARK.len() && MARK.starts_with(head) {
            return false;
        }
        self.at_start = false;
        if head.starts_with(MARK) {
            self.start = MARK.len();
            self.begin_line(MARK.len());
        }
        true
    }

    fn take_line(&mut self, from: usize, to: usize) -> Line {
        let line = &self.window[from..to];
        if line.is_empty() {
            let has_data = !matches!(self.pending.data, Data::None);
            if !has_data {
                self.pending = Pending::default();
                self.start = self.line;
            }
            return if has_data { Line::Event } else { Line::Other };
        }
        let colon = memchr::memchr(b':', line);
        let (name, value) = match colon {
            Some(at) => {
                let space = usize::from(line.get(at + 1) == Some(&b' '));
                (&line[..at], from + at + 1 + space)
            }
            None => (line, to),
        };
        match name {
            b"data" => self.take_data(value, to),
            b"event" => self.pending.name = Some((value, to)),
            // Comments, `id` and `retry`, which reconnecting readers need, and unknown fields.
            _ => {
                let is_json = matches!(line[0], b'{' | b'[' | b'}' | b']' | b'"' | b' ' | b'\t');
                let has_room = self.bare.len() < BARE_MOST;
                if is_json && has_room && (line[0] == b'{' || line[0] == b'[' || !self.bare.is_empty()) {
                    let fitting = line.len().min(BARE_MOST.saturating_sub(self.bare.len()));
                    self.bare.extend_from_slice(&line[..fitting]);
                    self.bare.push(b'\n');
                }
                // A comment between events is done with at once, so that keep-alives never add up.
                if matches!(self.pending.data, Data::None) && self.pending.name.is_none() {
                    self.start = self.line;
                }
            }
        }
        Line::Other
    }

    fn take_data(&mut self, from: usize, to: usize) {
        self.pending.data = match self.pending.data {
            Data::None => Data::Line(from, to),
            Data::Line(first, end) => {
                self.joined.clear();
                self.joined.extend_from_slice(&self.window[first..end]);
                self.join(from, to)
            }
            Data::Lines => self.join(from, to),
        };
    }

    fn join(&mut self, from: usize, to: usize) -> Data {
        self.joined.push(b'\n');
        self.joined.extend_from_slice(&self.window[from..to]);
        Data::Lines
    }
}

#[cfg(test)]
#[path = "../tests/common/naive_sse.rs"]
mod naive_sse;

#[cfg(test)]
mod tests {
    use super::naive_sse::{Taken, naive};
    use super::*;

    fn decode(pieces: &[&[u8]]) -> (Taken, Vec<u8>) {
        let mut decoder = Decoder::new(1 << 20);
        let mut taken = Vec::new();
        let own = |event: Event<'_>| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(event.name), text(event.data), event.whole)
        };
        for piece in pieces {
            decoder.feed(piece);
            while let Some(event) = decoder.next_event().unwrap() {
                taken.push(own(event));
            }
        }
        if decoder.finish() {
            taken.push(own(decoder.current()));
        }
        let bare = decoder.bare().to_vec();
        (taken, bare)
    }

    const SAMPLES: &[&[u8]] = &[
        b"data: a\n\ndata: b\n\n",
        b"data: a\r\n\r\ndata:b\r\rdata\n\n",
        b"\xEF\xBB\xBFdata: a\n\n",
        b"\xEF\xBBdata: a\n\ndata: x\n\n",
        b": PING\n\n: PING\ndata: a\n: between\ndata: b\nevent: e\nid: 1\n\nevent: lost\n\ndata: c\n\n",
        b"data:  two spaces\n\ndata\ndata\n\ndata:\n\n",
        b"data: a\ndata: b\ndata: c\n\ndata: d\n\n",
        b"event: error\ndata: {}\n\n",
        b"data: unfinished",
        b"data: no blank line\n",
        b"retry: 3\nid: a\0b\nfoo: bar\nfoo\n\ndata: a\n\n",
        b"",
        b"\n\n\n",
        "data: 絵文字 👩‍👩‍👧‍👦\n\n".as_bytes(),
    ];

    #[test]
    fn every_sample_decodes_as_the_standard_says_however_it_is_cut() {
        for sample in SAMPLES {
            let wanted = naive(sample);
            assert_eq!(decode(&[sample]).0, wanted, "{:?}", String::from_utf8_lossy(sample));
            let bytes: Vec<&[u8]> = sample.chunks(1).collect();
            assert_eq!(decode(&bytes).0, wanted, "by bytes: {:?}", String::from_utf8_lossy(sample));
            for cut in 0..sample.len() {
                let (a, b) = sample.split_at(cut);
                assert_eq!(decode(&[a, b]).0, wanted, "cut at {cut}: {:?}", String::from_utf8_lossy(sample));
            }
        }
    }

    #[test]
    fn random_texts_decode_as_the_standard_says() {
        let alphabet = [
            &b"data"[..],
            b":",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"event",
            b"x",
            b"id",
            b"\xEF\xBB\xBF",
            b"\xff",
        ];
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let text: Vec<u8> =
                (0..random(40)).flat_map(|_| alphabet[random(alphabet.len())].to_vec()).collect();
            let size = 1 + random(5);
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(decode(&pieces).0, naive(&text), "{:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn bare_json_is_kept() {
        let (events, bare) = decode(&[b": PING\n\n{\"error\":{\"message\":\"a: b\"}}"]);
        assert_eq!((events.len(), &bare[..]), (0, &b"{\"error\":{\"message\":\"a: b\"}}\n"[..]));
        let (_, bare) = decode(&[b"{\n  \"error\": \"x\"\n}\n"]);
        assert_eq!(bare, b"{\n  \"error\": \"x\"\n}\n");
    }

    #[test]
    fn an_event_beyond_the_limit_is_refused_and_comments_never_add_up() {
        let mut decoder = Decoder::new(100);
        for _ in 0..1000 {
            decoder.feed(b": PING\n");
            assert_eq!(decoder.next_event(), Ok(None));
        }
        decoder.feed(b"data: ");
        decoder.feed(&[b'x'; 200]);
        assert_eq!(decoder.next_event(), Err(TooLarge));
    }

    #[test]
    fn a_line_of_many_megabytes_takes_time_in_proportion() {
        let mut decoder = Decoder::new(1 << 30);
        decoder.feed(b"data: ");
        for _ in 0..4096 {
            decoder.feed(&[b'x'; 16 * 1024]);
            assert!(decoder.next_event().unwrap().is_none());
        }
        decoder.feed(b"\n\n");
        assert_eq!(decoder.next_event().unwrap().unwrap().data.len(), 64 << 20);
    }
}
