//! Pictures: those of an answer, with one `bytes` object for all who look, and those to be sent.

use std::io::Read;
use std::path::{Path, PathBuf};

use elkapi::{Completion as Answered, Error, Kind};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::failure::{raised, refused, type_name, wrong_type};

/// A picture of an answer, embedded or remote.
///
/// Remote pictures are never fetched; their address is `url`.
///
///     answer.images[0].save("cat.png")
#[pyclass(frozen, module = "elkapi")]
pub struct Image {
    /// Where in the answer it stood: `content_markdown`, `content_data_url`, `content_parts` or
    /// `message_images`.
    #[pyo3(get)]
    source: String,
    /// Media type such as `"image/png"`, told by the bytes; None for a remote picture.
    #[pyo3(get)]
    media_type: Option<String>,
    /// The address of a remote picture; None for an embedded one.
    #[pyo3(get)]
    url: Option<String>,
    /// The answer and the picture's place in it; None for a picture out of a pickle.
    answer: Option<(Answered, usize)>,
    bytes: PyOnceLock<Option<Py<PyBytes>>>,
}

impl Image {
    /// The picture at that place of the answer.
    pub fn of_answer(answer: &Answered, place: usize) -> Option<Image> {
        let image = answer.images().get(place)?;
        Some(Image {
            source: image.source().name().to_owned(),
            media_type: image.media_type().map(str::to_owned),
            url: image.url().map(str::to_owned),
            answer: Some((answer.clone(), place)),
            bytes: PyOnceLock::new(),
        })
    }

    fn in_core(&self) -> Option<&elkapi::Image> {
        let (answer, place) = self.answer.as_ref()?;
        answer.images().get(*place)
    }

    fn same_type_bytes(&self, py: Python<'_>, media_type: &str) -> Option<Py<PyBytes>> {
        if self.media_type.as_deref() == Some(media_type) { self.bytes(py) } else { None }
    }
}

#[pymethods]
impl Image {
    #[new]
    #[pyo3(signature = (source, media_type=None, url=None, bytes=None))]
    fn new(
        py: Python<'_>,
        source: String,
        media_type: Option<String>,
        url: Option<String>,
        bytes: Option<Py<PyBytes>>,
    ) -> Image {
        let cell = PyOnceLock::new();
        let _ = cell.set(py, bytes);
        Image { source, media_type, url, answer: None, bytes: cell }
    }

    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["media_type", "bytes"])
    }

    /// The decoded picture file, always the same object; None for a remote picture.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        let bytes = self
            .bytes
            .get_or_init(py, || self.in_core()?.bytes().map(|bytes| PyBytes::new(py, bytes).unbind()));
        bytes.as_ref().map(|bytes| bytes.clone_ref(py))
    }

    /// Writes the picture to a file, replacing what was there. The folder must exist; the name's ending
    /// changes nothing, `media_type` says what the picture is.
    ///
    /// Raises `FileError` (also an `OSError`) when it cannot be written, and `InvalidArgumentError`
    /// for a remote picture, which has no bytes here.
    fn save(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(path) = path.extract::<PathBuf>() else {
            let is = type_name(path);
            return wrong_type(format!(
                "path must be str or os.PathLike, not {is}; the file's content is bytes"
            ));
        };
        if let Some(image) = self.in_core() {
            return py.detach(|| image.save(&path)).map_err(|error| raised(py, &error));
        }
        let Some(bytes) = self.bytes(py) else {
            let detail = "The picture is remote and not fetched by this library; its address is its url";
            return refused(py, Kind::InvalidArgument, detail.to_owned(), "");
        };
        let content = bytes.as_bytes(py);
        py.detach(|| std::fs::write(&path, content)).map_err(|error| {
            let detail = format!("The picture could not be written to {}: {error}", path.display());
            raised(py, &Error::new(Kind::File, detail))
        })
    }

    fn _repr_png_(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.same_type_bytes(py, "image/png")
    }

    fn _repr_jpeg_(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.same_type_bytes(py, "image/jpeg")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<Bound<'py, PyAny>>,
        exclude: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let _ = (include, exclude);
        let py = slf.py();
        let bundle = PyDict::new(py);
        let image = slf.get();
        bundle.set_item("text/plain", slf.repr()?)?;
        if let (Some(media_type), Some(bytes)) = (&image.media_type, image.bytes(py)) {
            bundle.set_item(media_type, bytes)?;
        }
        Ok(bundle)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast::<Image>() else { return false };
        let other = other.get();
        let same_bytes = match (self.bytes(py), other.bytes(py)) {
            (Some(one), Some(two)) => one.as_bytes(py) == two.as_bytes(py),
            (None, None) => true,
            _ => false,
        };
        same_bytes
            && self.source == other.source
            && self.media_type == other.media_type
            && self.url == other.url
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let what = match (&self.media_type, &self.url) {
            (Some(media_type), _) => {
                let size = match self.in_core() {
                    Some(image) => image.bytes().map_or(0, <[u8]>::len),
                    None => self.bytes(py).map_or(0, |bytes| bytes.as_bytes(py).len()),
                };
                format!("{media_type}, {size} bytes")
            }
            (None, Some(url)) => url.clone(),
            (None, None) => "nothing".to_owned(),
        };
        format!("<elkapi.Image {what}, from {}>", self.source)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let image = slf.get();
        let parts = (&image.source, &image.media_type, &image.url, image.bytes(slf.py()));
        (slf.get_type(), parts).into_pyobject(slf.py())
    }
}

/// A picture as a part of a message's content: a plain dict.
///
/// `picture`: the path of a file, the bytes of one, a picture of an answer, or an address that begins
/// with `https:`, `http:` or `data:` and is passed on as it is. The media type is told by the bytes;
/// `media_type` is used where they do not tell. `detail`: `"low"`, `"high"` or `"auto"`, for models that
/// know it.
///
/// Raises `FileError` (also an `OSError`) when the file cannot be read, `InvalidArgumentError` when it is
/// no picture or too large for a request, and `TypeError` for a wrong type.
///
///     picture = elkapi.image_part(answer.images[0])
///     question = {"type": "text", "text": "What is on it?"}
///     client.chat_completions({"messages": [{"role": "user", "content": [question, picture]}]})
#[pyfunction]
#[pyo3(signature = (picture, *, detail=None, media_type=None))]
pub fn image_part<'py>(
    py: Python<'py>,
    picture: &Bound<'py, PyAny>,
    detail: Option<&Bound<'py, PyAny>>,
    media_type: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let media_type = text_of(media_type, "media_type")?;
    let address = PyDict::new(py);
    address.set_item("url", address_of(picture, media_type.as_deref())?)?;
    if let Some(detail) = text_of(detail, "detail")? {
        address.set_item("detail", detail)?;
    }
    let part = PyDict::new(py);
    part.set_item("type", "image_url")?;
    part.set_item("image_url", address)?;
    Ok(part)
}

fn text_of(value: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    match value.cast::<PyString>() {
        Ok(text) => Ok(Some(text.to_str()?.to_owned())),
        Err(_) => wrong_type(format!("{name} must be str, not {}", type_name(value))),
    }
}

/// Where the gateway finds the picture: most often in the address itself.
fn address_of(picture: &Bound<'_, PyAny>, media_type: Option<&str>) -> PyResult<String> {
    let py = picture.py();
    let embedded = |bytes: &[u8]| {
        let url = py.detach(|| elkapi::data_url(bytes, media_type));
        url.map_err(|error| raised(py, &error))
    };
    if let Ok(text) = picture.cast::<PyString>()
        && let Ok(text) = text.to_str()
        && is_address(text)
    {
        return Ok(text.to_owned());
    }
    if let Ok(image) = picture.cast::<Image>() {
        let image = image.get();
        return match (image.bytes(py), &image.url) {
            (Some(bytes), _) => embedded(bytes.as_bytes(py)),
            (None, Some(url)) => Ok(url.clone()),
            (None, None) => embedded(&[]),
        };
    }
    if let Ok(bytes) = picture.cast::<PyBytes>() {
        return embedded(bytes.as_bytes());
    }
    if let Ok(buffer) = PyBuffer::<u8>::get(picture) {
        return embedded(&buffer.to_vec(py)?);
    }
    let Ok(path) = picture.extract::<PathBuf>() else {
        return wrong_type(format!(
            "picture must be a path, bytes, elkapi.Image or an address, not {}",
            type_name(picture)
        ));
    };
    let bytes = py.detach(|| content(&path)).map_err(|error| raised(py, &error))?;
    embedded(&bytes)
}

fn is_address(text: &str) -> bool {
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    begins("data:") || begins("https://") || begins("http://")
}

/// A file's bytes; of one that is too large for any request only as many as show it.
fn content(path: &Path) -> Result<Vec<u8>, Error> {
    const ENOUGH: u64 = 128 * 1024 * 1024;
    let unreadable = |error: std::io::Error| {
        Error::new(Kind::File, format!("The picture could not be read from {}: {error}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(ENOUGH).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
