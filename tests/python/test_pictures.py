"""Pictures: asked for in every language, decoded by Pillow, and sent from Python."""

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import elkapi
import pytest
from conftest import KEY, ROOT, Answering, Gateway
from PIL import Image

RELEASE = ROOT / "target" / "release"
MODEL = "gemini-3-pro-image-preview"

#: Every ratio that the models of docs/gateway.md know, as width and height.
RATIOS = [
    *("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"),
]
#: About how many pixels a picture of each size has.
AREAS = {"512": 512**2, "1K": 1024**2, "2K": 2048**2, "4K": 4096**2}


def decoded(data: bytes) -> Image.Image:
    """The picture, decoded to its last pixel by a decoder that shares nothing with this library."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def assert_shaped(picture: Image.Image, ratio: str, size: str) -> None:
    across, down = map(int, ratio.split(":"))
    width, height = picture.size
    assert width * down == height * across, f"{width} x {height} is not {ratio}"
    assert 0.9 < width * height / AREAS[size] < 1.1, f"{width} x {height} is not {size}"


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_picture_has_the_ratio_that_was_asked_for(client: elkapi.Client, ratio: str) -> None:
    answer = client.ask("A cat", model=MODEL, image=elkapi.ImageOptions(ratio, "1K"))
    data = answer.images[-1].bytes
    assert data
    picture = decoded(data)
    assert picture.format == "PNG"
    assert_shaped(picture, ratio, "1K")


@pytest.mark.parametrize("size", AREAS)
def test_a_picture_has_the_size_that_was_asked_for(client: elkapi.Client, size: str) -> None:
    answer = client.ask("A cat", model=MODEL, image=elkapi.ImageOptions("3:2", size))
    data = answer.images[-1].bytes
    assert data
    assert_shaped(decoded(data), "3:2", size)


def _compiled(source: str, compiler: list[str], folder: Path) -> list[str]:
    program = folder / "picture"
    libraries = [f"-L{RELEASE}", "-lelkapi", "-lpthread", f"-Wl,-rpath,{RELEASE}"]
    command = [*compiler, "-I", str(ROOT / "include"), str(ROOT / source), "-o", str(program), *libraries]
    subprocess.run(command, check=True, timeout=120)
    return [str(program)]


#: How the example of each language is started.
EXAMPLES: dict[str, Callable[[Path], list[str]]] = {
    "c": lambda folder: _compiled("examples/c/picture.c", ["gcc", "-std=c99"], folder),
    "cpp": lambda folder: _compiled("examples/cpp/picture.cpp", ["g++", "-std=c++17"], folder),
    "python": lambda _: [sys.executable, str(ROOT / "examples" / "python" / "picture.py")],
}


@pytest.mark.parametrize("language", EXAMPLES)
def test_the_example_saves_a_picture_as_it_was_asked_for(
    language: str, gateway: Gateway, tmp_path: Path
) -> None:
    saved = tmp_path / "drawn.png"
    environment = {**os.environ, "ELKAPI_API_KEY": KEY, "ELKAPI_BASE_URL": gateway.url()}
    command = [*EXAMPLES[language](tmp_path), str(saved)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    asked = gateway.last_body()["extra_body"]["google"]["image_config"]
    picture = decoded(saved.read_bytes())
    assert picture.format == "PNG"
    assert asked["aspect_ratio"] != "1:1", "a square would tell nothing"
    assert_shaped(picture, asked["aspect_ratio"], asked["image_size"])


# Sending


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "teal").save(out, kind)
    return out.getvalue()


PNG = encoded("PNG")


def url_of(part: dict[str, Any]) -> str:
    assert part["type"] == "image_url"
    url: str = part["image_url"]["url"]
    return url


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
def test_the_media_type_of_a_part_comes_from_the_bytes(kind: str, media_type: str, tmp_path: Path) -> None:
    data = encoded(kind)
    misnamed = tmp_path / "picture.txt"
    misnamed.write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), misnamed, str(misnamed)):
        head, content = url_of(elkapi.image_part(source)).split(",")
        assert head == f"data:{media_type};base64"
        assert base64.b64decode(content, validate=True) == data


def test_a_part_is_a_plain_dict_and_detail_stands_only_where_it_was_given() -> None:
    part = elkapi.image_part(PNG)
    assert (type(part), set(part), set(part["image_url"])) == (dict, {"type", "image_url"}, {"url"})
    assert elkapi.image_part(PNG, detail="low")["image_url"]["detail"] == "low"


def test_an_address_is_passed_on_as_it_is() -> None:
    for address in ("https://example.com/a b.png", "HTTP://example.com/a", "data:image/png;base64,AAAA"):
        assert url_of(elkapi.image_part(address)) == address


def test_a_picture_of_an_answer_can_be_sent_back(client: elkapi.Client, answering: Answering) -> None:
    drawn = client.ask("A cat", model=MODEL).images[0]
    assert drawn.bytes is not None
    assert url_of(elkapi.image_part(drawn)) == url_of(elkapi.image_part(drawn.bytes))
    remote = elkapi.Image("message_images", url="https://example.com/a.png")
    assert url_of(elkapi.image_part(remote)) == "https://example.com/a.png"


def test_a_part_reaches_the_wire(client: elkapi.Client, gateway: Gateway) -> None:
    content = [{"type": "text", "text": "What is on it?"}, elkapi.image_part(PNG, detail="high")]
    client.chat_completions({"messages": [{"role": "user", "content": content}]})
    sent = gateway.last_body()["messages"][0]["content"]
    assert sent == json.loads(json.dumps(content))
    assert decoded(base64.b64decode(sent[1]["image_url"]["url"].split(",")[1])).size == (4, 4)


def test_bytes_that_do_not_tell_need_a_media_type() -> None:
    with pytest.raises(elkapi.InvalidArgumentError, match='begin with "<svg/>"'):
        elkapi.image_part(b"<svg/>")
    part = elkapi.image_part(b"<svg/>", media_type="image/svg+xml")
    assert url_of(part) == "data:image/svg+xml;base64,PHN2Zy8+"
    assert url_of(elkapi.image_part(PNG, media_type="image/svg+xml")).startswith("data:image/png;")


def test_what_cannot_be_sent_is_refused_with_a_sentence(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write(PNG)
        file.truncate(10**12)
    invalid = elkapi.InvalidArgumentError
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (b"", {}, invalid, "The picture has no bytes"),
        (huge, {}, invalid, "The picture is larger than the 99614720 bytes"),
        (PNG, {"media_type": "text/plain"}, invalid, "not a picture's"),
        (tmp_path / "none.png", {}, elkapi.FileError, "none.png: No such file"),
        (tmp_path, {}, elkapi.FileError, "directory"),
        (3, {}, TypeError, "picture must be a path, bytes, elkapi.Image or an address, not int"),
        (None, {}, TypeError, "not NoneType"),
        (PNG, {"detail": 1}, TypeError, "detail must be str, not int"),
        (PNG, {"media_type": b"image/png"}, TypeError, "media_type must be str, not bytes"),
    ]
    for source, options, error, words in cases:
        with pytest.raises(error, match=words):
            elkapi.image_part(source, **options)


# Why none came


def answered(answering: Answering, choice: str) -> elkapi.Completion:
    body = f'{{"choices":[{{"index":0,{choice}}}]}}'.encode()
    with answering(body) as client:
        return client.ask("A cat", model=MODEL, image=elkapi.ImageOptions("16:9"))


def test_the_verdict_says_that_a_filter_kept_the_picture_back(answering: Answering) -> None:
    for message in ('{"content":""}', '{"content":null}', "{}"):
        choice = f'"message":{message},"finish_reason":"content_filter","native_finish_reason":"IMAGE_SAFETY"'
        answer = answered(answering, choice)
        assert (answer.images, answer.image_errors, answer.verdict) == ([], 0, "filtered")
        assert answer.choices[0].native_finish_reason == "IMAGE_SAFETY"


def test_the_words_of_a_refusal_are_at_hand(answering: Answering) -> None:
    said = answered(answering, '"message":{"content":"I cannot draw that."},"finish_reason":"stop"')
    assert (said.images, said.verdict, said.text) == ([], "complete", "I cannot draw that.")
    message = '"message":{"content":null,"refusal":"No real people."},"finish_reason":"stop"'
    apart = answered(answering, message)
    assert (apart.images, apart.text, apart.choices[0].message.refusal) == ([], "", "No real people.")


def test_a_picture_that_cannot_be_decoded_is_counted(answering: Answering) -> None:
    message = '"message":{"content":"![image](data:image/png;base64,iVB*)"},"finish_reason":"stop"'
    answer = answered(answering, message)
    assert (answer.images, answer.image_errors) == ([], 1)
    assert b"iVB*" in answer.raw


def test_an_error_says_why_no_picture_came(gateway: Gateway) -> None:
    for fixture, kind, verdict, words in (
        ("error_400_prompt_blocked", "content_filter", "filtered", "Rephrase the prompt."),
        ("error_500_empty_response", "empty_response", "failed", "rephrase the prompt"),
        ("unary_choices_empty", "empty_response", "failed", "no answer in it"),
        ("error_400_image_size", "invalid_request", "failed", "image_size"),
        ("error_500_image_config_camel", "invalid_request", "failed", "Change the request"),
    ):
        with gateway.client(f"/wire/{fixture}/v1") as client, pytest.raises(elkapi.Error) as caught:
            client.ask("A cat", model=MODEL)
        assert (caught.value.kind, caught.value.verdict) == (kind, verdict), fixture
        assert words in str(caught.value), fixture
