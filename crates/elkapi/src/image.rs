//! Pictures in an answer, in every shape that gateways send, decoded to bytes.
//!
//! Markdown pictures and bare data URLs in the text, content parts, and `message.images`. Remote
//! pictures are handed out as URLs and never fetched. Pure: no I/O but [`Image::save`].

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Error, Kind};
use crate::json::{Type, View};

/// Where in the answer a picture stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `![…](data:…)` or `![…](https://…)` in the text.
    ContentMarkdown,
    /// The text is one data URL.
    ContentDataUrl,
    /// A part of a content array.
    ContentParts,
    /// An element of `message.images`.
    MessageImages,
}

impl Source {
    /// The name used in every language.
    pub fn name(self) -> &'static str {
        match self {
            Source::ContentMarkdown => "content_markdown",
            Source::ContentDataUrl => "content_data_url",
            Source::ContentParts => "content_parts",
            Source::MessageImages => "message_images",
        }
    }
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    source: Source,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Embedded { media_type: String, bytes: Vec<u8> },
    Remote(String),
}

impl Image {
    /// Where in the answer it stood.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Media type such as `image/png`, told by the bytes first; `None` for a remote picture.
    pub fn media_type(&self) -> Option<&str> {
        match &self.place {
            Place::Embedded { media_type, .. } => Some(media_type),
            Place::Remote(_) => None,
        }
    }

    /// The decoded picture file; `None` for a remote picture.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Embedded { bytes, .. } => Some(bytes),
            Place::Remote(_) => None,
        }
    }

    /// The address of a remote picture; `None` for an embedded one.
    pub fn url(&self) -> Option<&str> {
        match &self.place {
            Place::Embedded { .. } => None,
            Place::Remote(url) => Some(url),
        }
    }

    /// Writes the picture's bytes to a file, replacing what was there.
    ///
    /// # Errors
    ///
    /// `file` when it cannot be written; `invalid_argument` for a remote picture, which has no
    /// bytes here.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        match &self.place {
            Place::Embedded { bytes, .. } => fs::write(path, bytes).map_err(|error| {
                Error::new(
                    Kind::File,
                    format!("The picture could not be written to {}: {error}", path.display()),
                )
            }),
            Place::Remote(url) => Err(Error::argument(format!(
                "The picture is remote and not fetched by this library; its address is {url}"
            ))),
        }
    }
}

/// The pictures of an answer in order, and how many could not be decoded.
#[derive(Debug, Default)]
pub struct Images {
    /// Pictures that can be used.
    pub list: Vec<Image>,
    /// Pictures whose data is broken; the rest of the answer stands.
    pub errors: usize,
}

impl Images {
    /// Adds what stands in one message.
    pub(crate) fn collect(&mut self, message: View<'_>) {
        if let Some(content) = message.get("content") {
            match content.kind() {
                Type::String => self.collect_text(&content.as_str().unwrap_or_default()),
                Type::Array => content.items().for_each(|part| self.collect_part(part, Source::ContentParts)),
                _ => {}
            }
        }
        if let Some(images) = message.get("images") {
            images.items().for_each(|part| self.collect_part(part, Source::MessageImages));
        }
    }

    fn collect_text(&mut self, text: &str) {
        if is_data_url(text.trim()) {
            self.add_url(text.trim(), Source::ContentDataUrl);
            return;
        }
        for picture in markdown_pictures(text) {
            self.add_url(picture.url, Source::ContentMarkdown);
        }
    }

    /// A part or list element: `image_url` as object or text, `b64_json`, `inline_data`, plain text.
    fn collect_part(&mut self, part: View<'_>, source: Source) {
        let text = |view: View<'_>, name: &str| view.get(name).and_then(|v| v.as_str().map(Cow::into_owned));
        if let Some(url) = part.as_str() {
            self.add_url(&url, source);
        } else if let Some(url) = part.get("image_url") {
            if let Some(url) = url.as_str().map(Cow::into_owned).or_else(|| text(url, "url")) {
                self.add_url(&url, source);
            }
        } else if let Some(data) = text(part, "b64_json") {
            let media_type = text(part, "media_type").or_else(|| text(part, "mime_type"));
            self.add_data(media_type.as_deref().unwrap_or_default(), &data, source);
        } else if let Some(inline) = part.get("inline_data").or_else(|| part.get("inlineData")) {
            let media_type =
                text(inline, "mime_type").or_else(|| text(inline, "mimeType")).unwrap_or_default();
            let picture = media_type.is_empty() || is_image_type(&media_type);
            if let Some(data) = text(inline, "data").filter(|_| picture) {
                self.add_data(&media_type, &data, source);
            }
        } else if let Some(url) = text(part, "url").filter(|_| source == Source::MessageImages) {
            self.add_url(&url, source);
        } else if let Some(part_text) = text(part, "text") {
            self.collect_text(&part_text);
        }
    }

    fn add_url(&mut self, url: &str, source: Source) {
        match DataUrl::parse(url) {
            Some(data) if data.is_image() => self.add(data.decode(), data.media_type, source),
            Some(_) => {}
            None if is_remote(url) => {
                self.list.push(Image { source, place: Place::Remote(url.to_owned()) });
            }
            None => {}
        }
    }

    fn add_data(&mut self, declared: &str, data: &str, source: Source) {
        // Some servers put a whole data URL where bare base64 is meant.
        match DataUrl::parse(data) {
            Some(url) => self.add(url.decode(), url.media_type, source),
            None => self.add(decode_base64(data.as_bytes()), declared, source),
        }
    }

    fn add(&mut self, decoded: Option<Vec<u8>>, declared: &str, source: Source) {
        match decoded.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => {
                let media_type = sniff(&bytes).map_or_else(|| declared_or_unknown(declared), str::to_owned);
                self.list.push(Image { source, place: Place::Embedded { media_type, bytes } });
            }
            None => self.errors += 1,
        }
    }
}

/// The text with its embedded Markdown pictures cut out; remote ones stay, they are links to read.
pub(crate) fn without_pictures(text: &str) -> Cow<'_, str> {
    if is_data_url(text.trim()) {
        return Cow::Borrowed("");
    }
    let mut kept = String::new();
    let mut from = 0;
    for picture in markdown_pictures(text).filter(|picture| is_embedded(picture.url)) {
        kept.push_str(&text[from..picture.start]);
        from = picture.end;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

struct MarkdownPicture<'a> {
    start: usize,
    end: usize,
    url: &'a str,
}

/// `![alt](url)` or `![alt](url "title")`; the alternative text is one line without brackets.
fn markdown_pictures(text: &str) -> impl Iterator<Item = MarkdownPicture<'_>> {
    let mut from = 0;
    // The next end of a target or a line that was seen, so that none is looked for twice.
    let mut end = 0;
    std::iter::from_fn(move || {
        while let Some(found) = memchr::memmem::find(&text.as_bytes()[from..], b"![") {
            let start = from + found;
            from = start + 2;
            // A short window: no alternative text is longer, and a text of many "![" stays cheap.
            let window = &text.as_bytes()[from..text.len().min(from + 1024)];
            let Some(close) = memchr::memchr3(b']', b'[', b'\n', window) else { continue };
            if !text.as_bytes()[from + close..].starts_with(b"](") {
                continue;
            }
            let open = from + close + 2;
            // An address is one line; data may be broken into lines.
            let close = if is_embedded(text[open..].trim_start()) {
                open + memchr::memchr(b')', &text.as_bytes()[open..])?
            } else {
                if end < open {
                    end = open + memchr::memchr2(b')', b'\n', &text.as_bytes()[open..])?;
                }
                end
            };
            if text.as_bytes()[close] != b')' {
                continue;
            }
            let url = without_title(text[open..close].trim());
            from = close + 1;
            return Some(MarkdownPicture { start, end: from, url });
        }
        None
    })
}

/// The address of a Markdown target, which a title may follow. Base64 has no quotes, but may have spaces.
fn without_title(target: &str) -> &str {
    let is_base64 = DataUrl::parse(target).is_some_and(|url| url.base64);
    let (one, other) = if is_base64 { (b'"', b'\'') } else { (b' ', b'\t') };
    let end = memchr::memchr2(one, other, target.as_bytes()).unwrap_or(target.len());
    target[..end].trim_end()
}

struct DataUrl<'a> {
    media_type: &'a str,
    base64: bool,
    data: &'a str,
}

impl<'a> DataUrl<'a> {
    /// `data:[type][;parameter…][;base64],data` (RFC 2397).
    fn parse(url: &'a str) -> Option<DataUrl<'a>> {
        let head = url.get(..5)?;
        if !head.eq_ignore_ascii_case("data:") {
            return None;
        }
        let (meta, data) = url[5..].split_once(',')?;
        let mut pieces = meta.split(';');
        let media_type = pieces.next().unwrap_or_default().trim();
        let base64 = pieces.any(|piece| piece.trim().eq_ignore_ascii_case("base64"));
        Some(DataUrl { media_type, base64, data })
    }

    fn is_image(&self) -> bool {
        is_image_type(self.media_type)
    }

    fn decode(&self) -> Option<Vec<u8>> {
        let plain = if memchr::memchr(b'%', self.data.as_bytes()).is_some() {
            percent_decoded(self.data)
        } else {
            Cow::Borrowed(self.data.as_bytes())
        };
        if self.base64 { decode_base64(&plain) } else { Some(plain.into_owned()) }
    }
}

fn is_image_type(media_type: &str) -> bool {
    media_type.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("image/"))
}

/// Whether it begins as a data URL of a picture does.
fn is_embedded(url: &str) -> bool {
    // The comma comes soon, and a text of many such beginnings stays cheap.
    let head = url.get(..url.floor_char_boundary(256)).unwrap_or(url);
    DataUrl::parse(head).is_some_and(|url| url.is_image())
}

/// Whether it is a data URL and nothing else; the data may be broken into lines.
fn is_data_url(text: &str) -> bool {
    // A text that merely begins like one and goes on in words is not.
    let is_space = |c: char| c.is_whitespace() && !matches!(c, '\r' | '\n');
    is_embedded(text) && !text.contains(is_space)
}

fn is_remote(url: &str) -> bool {
    let head = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    head.starts_with("https://") || head.starts_with("http://")
}

fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = match bytes[at..] {
            [b'%', high, low, ..] => hex_digit(high).zip(hex_digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Of how base64 is written: with padding, as every reader takes it.
const PADDED: GeneralPurposeConfig = GeneralPurposeConfig::new();
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Many bytes at once, where the machine can: a picture has millions.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn standard(config: GeneralPurposeConfig) -> impl Engine {
    base64::engine::Simd::standard(config)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn standard(config: GeneralPurposeConfig) -> impl Engine {
    GeneralPurpose::new(&alphabet::STANDARD, config)
}

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Base64 with any padding or none, in either alphabet, line breaks allowed.
fn decode_base64(data: &[u8]) -> Option<Vec<u8>> {
    let standard = standard(LENIENT);
    if let Ok(bytes) = standard.decode(data) {
        return Some(bytes);
    }
    let mut compact: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    while compact.last() == Some(&b'=') {
        compact.pop();
    }
    standard.decode(&compact).or_else(|_| URL_SAFE.decode(&compact)).ok()
}

/// The largest picture that a request can carry: written as base64 it grows by a third, and the gateway
/// takes 128 MiB at most (docs/gateway.md, "Limits").
const MAX_SENT: usize = 95 * 1024 * 1024;

/// A picture file as a data URL, to be sent as `{"type":"image_url","image_url":{"url":…}}`.
///
/// The media type is told by the bytes; `media_type` is used where they do not tell.
///
/// ```no_run
/// # let client = elkapi::Client::new(elkapi::Config::new())?;
/// let url = elkapi::data_url(&std::fs::read("cat.png")?, None)?;
/// let picture = format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#);
/// let question = r#"{"type":"text","text":"What is on it?"}"#;
/// let request = format!(r#"{{"messages":[{{"role":"user","content":[{question},{picture}]}}]}}"#);
/// let answer = client.chat_completions(request, None)?;
/// if let Some(picture) = answer.images().last() {
///     picture.save("cat.png")?;
///     println!("{:?}", picture.media_type());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// `invalid_argument` when there are no bytes, when they are no picture and no media type is given,
/// when that is no type of a picture, or when there are too many for any request.
pub fn data_url(picture: &[u8], media_type: Option<&str>) -> Result<String, Error> {
    if picture.is_empty() {
        return Err(Error::argument("The picture has no bytes"));
    }
    if picture.len() > MAX_SENT {
        return Err(Error::argument(format!(
            "The picture is larger than the {MAX_SENT} bytes that a request can carry; make it smaller"
        )));
    }
    let is_name = |name: &str| {
        is_image_type(name)
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-_".contains(&byte))
    };
    if let Some(given) = media_type.filter(|given| !is_name(given)) {
        return Err(Error::argument(format!(
            "The media type {given:?} is not a picture's, such as image/png"
        ))
        .with_param("media_type"));
    }
    let Some(media_type) = sniff(picture).or(media_type) else {
        return Err(Error::argument(format!(
            "The bytes are of no picture format that is known here; they begin with \"{}\"",
            picture[..picture.len().min(12)].escape_ascii()
        )));
    };
    let mut url = String::with_capacity(media_type.len() + 16 + picture.len().div_ceil(3) * 4);
    url.push_str("data:");
    url.push_str(media_type);
    url.push_str(";base64,");
    standard(PADDED).encode_string(picture, &mut url);
    Ok(url)
}

/// The media type that the first bytes tell.
fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'B', b'M', ..] => Some("image/bmp"),
        [b'I', b'I', 0x2A, 0, ..] | [b'M', b'M', 0, 0x2A, ..] => Some("image/tiff"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some("image/avif"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', b'i', b'c' | b'x', ..] => Some("image/heic"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'm', b'i', b'f', b'1', ..] => Some("image/heif"),
        _ => None,
    }
}

fn declared_or_unknown(declared: &str) -> String {
    if declared.is_empty() { "application/octet-stream".to_owned() } else { declared.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFUlEQVR4nAXBAQEAAACAEP9PF0JQGR7vBPykAXTzAAAAAElFTkSuQmCC";

    fn images_in(content: &str) -> Images {
        let message = Document::of_text(&format!("{{\"content\":{}}}", crate::json::quote(content))).unwrap();
        let mut images = Images::default();
        images.collect(message.root());
        images
    }

    /// What became of the picture in a message: its bytes, or `None` where it was counted as broken.
    fn only_picture(message: &str) -> (Option<Vec<u8>>, Option<String>) {
        let document = Document::of_text(message).unwrap();
        let mut images = Images::default();
        images.collect(document.root());
        assert_eq!(images.list.len() + images.errors, 1, "{message:.200}");
        let image = images.list.first();
        (
            image.and_then(Image::bytes).map(<[u8]>::to_vec),
            image.and_then(Image::media_type).map(str::to_owned),
        )
    }

    /// A message for each way that a data URL can travel.
    fn carriers(url: &str) -> Vec<(&'static str, String)> {
        let quoted = crate::json::quote(url);
        vec![
            ("image_url object", format!(r#"{{"content":[{{"image_url":{{"url":{quoted}}}}}]}}"#)),
            ("image_url text", format!(r#"{{"content":[{{"image_url":{quoted}}}]}}"#)),
            ("images", format!(r#"{{"content":"","images":[{{"image_url":{{"url":{quoted}}}}}]}}"#)),
            ("images as texts", format!(r#"{{"content":null,"images":[{quoted}]}}"#)),
            ("b64_json", format!(r#"{{"content":[{{"b64_json":{quoted}}}]}}"#)),
            ("inline_data", format!(r#"{{"content":[{{"inline_data":{{"data":{quoted}}}}}]}}"#)),
            ("inlineData", format!(r#"{{"content":[{{"inlineData":{{"data":{quoted}}}}}]}}"#)),
            ("Markdown", format!("{{\"content\":{}}}", crate::json::quote(&format!("a ![image]({url}) b")))),
            ("bare text", format!(r#"{{"content":{quoted}}}"#)),
            ("text part", format!(r#"{{"content":[{{"type":"text","text":{quoted}}}]}}"#)),
        ]
    }

    #[test]
    fn odd_data_urls_are_decoded_wherever_they_stand() {
        let png = standard(LENIENT).decode(PNG).unwrap();
        let unpadded = PNG.trim_end_matches('=');
        let url_safe = PNG.replace('+', "-").replace('/', "_");
        let percent = PNG.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D");
        let all_percent: String = PNG.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for (url, what) in [
            (format!("data:image/png;base64,{PNG}"), "plain"),
            (format!("data:image/png;base64,{unpadded}"), "no padding"),
            (format!("data:image/png;base64,{unpadded}===="), "too much padding"),
            (format!("data:image/png;base64,{url_safe}"), "URL-safe alphabet"),
            (
                format!("data:image/png;base64,{}", url_safe.trim_end_matches('=')),
                "URL-safe alphabet, no padding",
            ),
            (format!("data:image/png;base64,{percent}"), "percent-encoded where needed"),
            (format!("data:image/png;base64,{all_percent}"), "percent-encoded throughout"),
            (format!("data:image/png;charset=utf-8;base64,{PNG}"), "a charset"),
            (format!("data:image/png;name=a.png;charset=utf-8;base64,{PNG}"), "two parameters"),
            (format!("DATA:IMAGE/PNG;BASE64,{PNG}"), "upper case"),
            (format!("data:Image/Jpg;base64,{PNG}"), "another type than the bytes"),
        ] {
            for (carrier, message) in carriers(&url) {
                let (bytes, media_type) = only_picture(&message);
                assert_eq!(bytes.as_deref(), Some(&png[..]), "{what} as {carrier}");
                assert_eq!(media_type.as_deref(), Some("image/png"), "{what} as {carrier}");
            }
        }
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let png = standard(LENIENT).decode(PNG).unwrap();
        for line_end in ["\n", "\r\n", " ", "\t", "\n\n"] {
            let lines: Vec<_> =
                PNG.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let broken = lines.join(line_end) + line_end;
            let data = crate::json::quote(&broken);
            let url = crate::json::quote(&format!("data:image/png;base64,{broken}"));
            let in_text = crate::json::quote(&format!("![image](data:image/png;base64,{broken})"));
            for message in [
                format!(r#"{{"content":[{{"b64_json":{data}}}]}}"#),
                format!(r#"{{"content":[{{"inlineData":{{"mimeType":"image/png","data":{data}}}}}]}}"#),
                format!(r#"{{"content":[{{"image_url":{{"url":{url}}}}}]}}"#),
                format!(r#"{{"content":"","images":[{url}]}}"#),
                format!(r#"{{"content":{in_text}}}"#),
            ] {
                assert_eq!(only_picture(&message).0.as_deref(), Some(&png[..]), "{line_end:?} in {message}");
            }
        }
    }

    #[test]
    fn a_text_is_a_data_url_when_it_is_nothing_else() {
        let lines = format!("data:image/png;base64,{}\r\n{}\n", &PNG[..76], &PNG[76..]);
        assert_eq!(images_in(&lines).list.len(), 1);
        assert_eq!(without_pictures(&lines), "");
        let words = format!("data:image/png;base64,{PNG} is how a picture begins.");
        assert_eq!(images_in(&words).list.len(), 0);
        assert_eq!(without_pictures(&words), words);
    }

    #[test]
    fn markdown_that_is_cut_off_stays_text_and_is_no_broken_picture() {
        let cut = format!("A cat: ![cat](data:image/png;base64,{}", &PNG[..41]);
        let images = images_in(&cut);
        assert_eq!((images.list.len(), images.errors), (0, 0));
        assert_eq!(without_pictures(&cut), cut);
        // Closed, the same data is a broken picture.
        assert_eq!(images_in(&format!("{cut})")).errors, 1);
    }

    #[test]
    fn a_picture_broken_into_lines_is_cut_out_of_the_text() {
        let text = format!("a![i](data:image/png;base64,{}\n{} 'title')b", &PNG[..76], &PNG[76..]);
        assert_eq!(images_in(&text).list.len(), 1);
        assert_eq!(without_pictures(&text), "ab");
    }

    #[test]
    fn a_text_of_many_beginnings_is_read_in_one_go() {
        for beginning in ["![a](data:image/png;base64,", "![a](", "![", "![a](data:", "![a](   "] {
            for end in ["", "\n"] {
                let text = beginning.repeat(400_000) + end;
                let start = std::time::Instant::now();
                assert_eq!(markdown_pictures(&text).count(), 0);
                // Under a second without optimisation; twice over the text for each would take minutes.
                assert!(start.elapsed().as_secs() < 10, "{beginning:?} took {:?}", start.elapsed());
            }
        }
    }

    #[test]
    fn broken_data_is_counted_in_every_place() {
        for (data, what) in [
            ("", "zero bytes"),
            ("=", "padding alone"),
            ("%", "a percent sign alone"),
            ("iVBOR", "cut off within a group of four"),
            ("iVB*", "outside the alphabet"),
            ("iVBO\u{e9}", "not ASCII"),
            ("iVB+-_/O", "both alphabets"),
        ] {
            for (carrier, message) in carriers(&format!("data:image/png;base64,{data}")) {
                assert_eq!(only_picture(&message), (None, None), "{what} as {carrier}");
            }
        }
    }

    #[test]
    fn data_that_is_cut_off_between_groups_is_handed_out_as_it_came() {
        // Nothing tells it from a whole picture but a decoder of the format.
        for (carrier, message) in carriers(&format!("data:image/png;base64,{}", &PNG[..40])) {
            let (bytes, media_type) = only_picture(&message);
            assert_eq!((bytes.unwrap().len(), media_type.as_deref()), (30, Some("image/png")), "{carrier}");
        }
    }

    #[test]
    fn the_media_type_is_told_by_the_bytes_and_else_by_the_server() {
        for (bytes, declared, told) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/jpeg", "image/png"),
            (b"\xff\xd8\xff\xe0....", "image/png", "image/jpeg"),
            (b"RIFF....WEBPVP8 ", "image/png", "image/webp"),
            (b"RIFF....WAVEfmt ", "image/x-odd", "image/x-odd"),
            (b"GIF89a......", "image/png", "image/gif"),
            (b"BM..........", "image/png", "image/bmp"),
            (b"II*\0........", "image/png", "image/tiff"),
            (b"MM\0*........", "image/png", "image/tiff"),
            (b"\0\0\0\x1cftypavif....", "image/png", "image/avif"),
            (b"\0\0\0\x1cftypheic....", "image/png", "image/heic"),
            (b"\0\0\0\x1cftypmif1....", "image/png", "image/heif"),
            (b"<svg/>", "IMAGE/SVG+XML", "image/svg+xml"),
            (b"?", "", "application/octet-stream"),
        ] {
            let mut images = Images::default();
            images.add(Some(bytes.to_vec()), declared, Source::ContentParts);
            assert_eq!(images.list[0].media_type(), Some(told), "{bytes:?}");
        }
    }

    #[test]
    fn a_data_url_need_not_be_base64() {
        let svg = "<svg xmlns='http://www.w3.org/2000/svg'/>";
        let url = "data:image/svg+xml;utf8,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
        let message = format!(r#"{{"content":"","images":[{}]}}"#, crate::json::quote(url));
        assert_eq!(only_picture(&message), (Some(svg.as_bytes().to_vec()), Some("image/svg+xml".to_owned())));
        // A percent sign that begins no escape stands for itself.
        assert_eq!(&*percent_decoded("100%25 %zz %4"), b"100% %zz %4");
        assert_eq!(&*percent_decoded("%+1%-1%\u{20ac}"), "%+1%-1%\u{20ac}".as_bytes());
    }

    #[test]
    fn titles_and_open_brackets_do_not_hide_a_picture() {
        for content in [
            format!("![a](data:image/png;base64,{PNG} \"title\")"),
            format!("x ![not closed ![a](data:image/png;base64,{PNG})"),
            format!("![]( data:image/png;base64,{PNG} )"),
            format!("[![thumbnail](data:image/png;base64,{PNG})](https://example.com)"),
        ] {
            let images = images_in(&content);
            assert_eq!((images.list.len(), images.errors), (1, 0), "{content}");
        }
    }

    #[test]
    fn other_media_is_no_picture() {
        for content in [
            "[media](data:audio/wav;base64,UklGRiQA)",
            "![a](data:audio/wav;base64,UklG)",
            "![a](x.png)",
            "![",
            "![a]",
            "![a](",
        ] {
            let images = images_in(content);
            assert_eq!((images.list.len(), images.errors), (0, 0), "{content}");
        }
    }

    #[test]
    fn what_is_sent_is_what_would_be_found_in_an_answer() {
        for bytes in [&b"\x89PNG\r\n\x1a\n..."[..], b"\xff\xd8\xff\xe0....", b"GIF89a", b"RIFF....WEBP?"] {
            let url = data_url(bytes, Some("image/x-odd")).unwrap();
            let images = images_in(&url);
            assert_eq!(images.list[0].bytes(), Some(bytes));
            assert_eq!(images.list[0].media_type(), sniff(bytes));
            assert!(url.starts_with(&format!("data:{};base64,", sniff(bytes).unwrap())), "{url}");
        }
        assert_eq!(data_url(b"<svg/>", Some("image/svg+xml")).unwrap(), "data:image/svg+xml;base64,PHN2Zy8+");
    }

    #[test]
    fn what_is_no_picture_is_not_sent() {
        for (bytes, media_type, part) in [
            (&b""[..], None, "no bytes"),
            (b"<html>\n", None, "begin with \"<html>\\n\""),
            (b"\x89PNG", Some("text/plain"), "text/plain"),
            (b"?", Some("image/png;base64,AAAA"), "not a picture's"),
            (&vec![0xff; MAX_SENT + 1], None, "larger than"),
        ] {
            let error = data_url(bytes, media_type).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument);
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn pictures_are_cut_out_of_the_text_and_links_stay() {
        let text = format!("a![i](data:image/png;base64,{PNG})b![j](https://x/y.png)c");
        assert_eq!(without_pictures(&text), "ab![j](https://x/y.png)c");
        assert_eq!(without_pictures(&format!("data:image/png;base64,{PNG}")), "");
        assert_eq!(without_pictures("plain"), "plain");
    }
}
