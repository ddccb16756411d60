//! A second event stream decoder, as plain as the standard's text, to hold the first one to.

/// Name, data, and whether a blank line ended it.
pub type Taken = Vec<(String, String, bool)>;

/// The standard's algorithm, word for word over the whole text: lines first, then fields.
pub fn naive(text: &[u8]) -> Taken {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut lines: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut line = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\r' | b'\n' => {
                if text[at] == b'\r' && text.get(at + 1) == Some(&b'\n') {
                    at += 1;
                }
                lines.push((std::mem::take(&mut line), true));
            }
            byte => line.push(byte),
        }
        at += 1;
    }
    if !line.is_empty() {
        lines.push((line, false));
    }
    let (mut name, mut data, mut events) = (Vec::new(), None::<Vec<u8>>, Vec::new());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (line, _) in lines {
        if line.is_empty() {
            if let Some(data) = data.take() {
                events.push((text(&name), text(&data), true));
            }
            name.clear();
            continue;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (&line[..], &[][..]),
        };
        match field {
            b"data" => match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            },
            b"event" => name = value.to_vec(),
            _ => {}
        }
    }
    events.extend(data.map(|data| (text(&name), text(&data), false)));
    events
}
