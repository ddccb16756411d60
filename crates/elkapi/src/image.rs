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
    for picture in markdown_pictures(text).filter(|picture| is_data_url(picture.url)) {
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
            let Some(length) = memchr::memchr2(b')', b'\n', &text.as_bytes()[open..]) else { continue };
            if text.as_bytes()[open + length] != b')' {
                continue;
            }
            let target = text[open..open + length].trim();
            let url = target.split([' ', '\t']).next().unwrap_or_default();
            from = open + length + 1;
            return Some(MarkdownPicture { start, end: from, url });
        }
        None
    })
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
        let plain = if self.data.contains('%') {
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

fn is_data_url(text: &str) -> bool {
    // A text that merely begins like one and goes on in words is not.
    DataUrl::parse(text).is_some_and(|url| url.is_image()) && !text.contains(char::is_whitespace)
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
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
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

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Base64 with or without padding, in either alphabet, line breaks allowed.
fn decode_base64(data: &[u8]) -> Option<Vec<u8>> {
    if let Ok(bytes) = STANDARD.decode(data) {
        return Some(bytes);
    }
    let compact: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(&compact).or_else(|_| URL_SAFE.decode(&compact)).ok()
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

    #[test]
    fn odd_data_urls_are_decoded() {
        let unpadded = PNG.trim_end_matches('=');
        let url_safe = PNG.replace('+', "-").replace('/', "_");
        let broken_lines = format!("{}\n{}", &PNG[..40], &PNG[40..]);
        let percent = PNG.replace('/', "%2F").replace('+', "%2b");
        for (content, what) in [
            (format!("![a](data:image/png;base64,{PNG})"), "plain"),
            (format!("![](data:image/png;base64,{unpadded})"), "no padding"),
            (format!("![a](data:image/png;base64,{url_safe})"), "URL-safe alphabet"),
            (format!("![a](data:image/png;base64,{percent})"), "percent-encoded"),
            (format!("![a](data:image/png;charset=utf-8;base64,{PNG})"), "charset"),
            (format!("![a](DATA:IMAGE/PNG;BASE64,{PNG})"), "upper case"),
            (format!("![a](data:image/png;base64,{PNG} \"title\")"), "title"),
            (format!("x ![not closed ![a](data:image/png;base64,{PNG})"), "open bracket before"),
        ] {
            let images = images_in(&content);
            assert_eq!((images.list.len(), images.errors), (1, 0), "{what}");
            assert_eq!(images.list[0].bytes().unwrap().len(), 78, "{what}");
            assert_eq!(images.list[0].media_type(), Some("image/png"), "{what}");
        }
        let mut images = Images::default();
        images.add_data("", &broken_lines, Source::ContentParts);
        assert_eq!(images.list.len(), 1, "line breaks");
    }

    #[test]
    fn broken_data_is_counted_and_other_media_is_no_picture() {
        for content in ["![a](data:image/png;base64,iVB*)", "![a](data:image/png;base64,)"] {
            let images = images_in(content);
            assert_eq!((images.list.len(), images.errors), (0, 1), "{content}");
        }
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
    fn pictures_are_cut_out_of_the_text_and_links_stay() {
        let text = format!("a![i](data:image/png;base64,{PNG})b![j](https://x/y.png)c");
        assert_eq!(without_pictures(&text), "ab![j](https://x/y.png)c");
        assert_eq!(without_pictures(&format!("data:image/png;base64,{PNG}")), "");
        assert_eq!(without_pictures("plain"), "plain");
    }
}
