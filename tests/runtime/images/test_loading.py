"""Images from files, bytes, data URLs and addresses, and what is refused."""

import base64
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from sample_images import PIL_IMAGES, scene
from transformers.image_utils import load_image as their_load_image

from headway.runtime import load_image
from headway.runtime.errors import InputError, InputTypeError, MissingExtraError
from headway.runtime.images.download import download
from headway.runtime.images.processor import ImageProcessor

FILE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "ICO")
KEEPING_MODES = {"grayscale": "PNG", "palette": "GIF", "rgba": "PNG", "cmyk": "TIFF", "bilevel": "PNG", "16-bit": "PNG"}


def encoded(image: PIL.Image.Image, file_format: str = "PNG") -> bytes:
    stream = BytesIO()
    image.save(stream, file_format)
    return stream.getvalue()


def their_load(path) -> PIL.Image.Image:
    """What transformers makes of a file; it leaves those open that it opens itself."""
    return their_load_image(PIL.Image.open(BytesIO(path.read_bytes())))


def assert_same_pixels(found: PIL.Image.Image, expected: PIL.Image.Image) -> None:
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_formats(file_format, tmp_path):
    content = encoded(PIL_IMAGES["small"](), file_format)
    path = tmp_path / "image"
    path.write_bytes(content)
    expected = their_load(path)
    assert_same_pixels(load_image(path), expected)
    assert_same_pixels(load_image(str(path)), expected)
    assert_same_pixels(load_image(content), expected)
    assert_same_pixels(load_image(memoryview(content)), expected)


@pytest.mark.parametrize(("name", "file_format"), KEEPING_MODES.items())
def test_modes(name, file_format, tmp_path):
    path = tmp_path / "image"
    PIL_IMAGES[name]().save(path, file_format)
    assert_same_pixels(load_image(path), their_load(path))
    assert_same_pixels(load_image(PIL_IMAGES[name]()), their_load_image(PIL_IMAGES[name]()))


def test_orientation():
    image = PIL_IMAGES["rotated"]()
    assert image.size == (130, 90)
    loaded = load_image(image)
    assert loaded.size == (90, 130)
    assert_same_pixels(loaded, their_load_image(image))


def test_data_urls_and_base64():
    content = encoded(PIL_IMAGES["small"]())
    text = base64.b64encode(content).decode()
    for source in (f"data:image/png;base64,{text}", text, "\n".join(text[i : i + 76] for i in range(0, len(text), 76))):
        assert_same_pixels(load_image(source), their_load_image(source))


def test_processors_load_files(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(PIL_IMAGES["rgba"]()))
    processor = ImageProcessor("CLIPImageProcessor")
    expected = processor(their_load(path), return_tensors="np").pixel_values
    for source in (str(path), path, path.read_bytes(), [path]):
        np.testing.assert_array_equal(processor(source, return_tensors="np").pixel_values, expected)


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""
    content = bytearray(encoded(PIL.Image.new("RGB", (1, 1))))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


SMALL = encoded(PIL_IMAGES["small"]())
BAD_SOURCES = {
    "truncated png": (SMALL[: len(SMALL) // 2], "cannot be decoded"),
    "truncated jpeg": (encoded(PIL_IMAGES["photo"](), "JPEG")[:2000], "cannot be decoded"),
    "header only": (SMALL[:20], "image"),
    "bomb": (_png_of(60_000, 60_000), "more pixels than is safe"),
    "text": (b"<html>no image</html>", "cannot be read as an image"),
    "nothing": (b"", "cannot be read as an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "cannot be read as an image"),
    "missing file": ("missing.png", "there is no file"),
    "null in a path": ("a\0b.png", "there is no file"),
    "data url without base64": ("data:image/png,abc", "no data URL that can be read"),
    "broken data url": ("data:image/png;base64,@@@", "not valid base64"),
    "long path": ("x" * 300 + ".png", "there is no file"),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_bad_sources(name):
    source, message = BAD_SOURCES[name]
    with pytest.raises(InputError, match=message) as caught:
        load_image(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 320


def test_folders_and_numbers(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(InputTypeError, match="int"):
        load_image(7)


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"headway\[vision\]"):
        load_image(b"abc")
    with pytest.raises(MissingExtraError, match=r"headway\[vision\]"):
        ImageProcessor("ViTImageProcessor")(scene(20, 30))


class Site(BaseHTTPRequestHandler):
    """An image, the way to it, a way out of the web, and nothing."""

    def do_GET(self) -> None:
        if self.path == "/image.png":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SMALL)
        elif self.path == "/slow":
            time.sleep(0.5)
        elif self.path in ("/moved", "/file"):
            self.send_response(302)
            self.send_header("Location", "/image.png" if self.path == "/moved" else "file:///etc/passwd")
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    server = HTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_addresses_only_where_allowed(site):
    with pytest.raises(InputError, match="allow_urls=True"):
        load_image(f"{site}/image.png")
    expected = load_image(SMALL)
    assert_same_pixels(load_image(f"{site}/image.png", allow_urls=True), expected)
    assert_same_pixels(load_image(f"{site}/moved", allow_urls=True, timeout=5), expected)


@pytest.mark.parametrize(("path", "message"), [("/none", "404"), ("/file", "file:///etc/passwd")])
def test_addresses_that_lead_nowhere(site, path, message):
    with pytest.raises(InputError, match=message):
        load_image(f"{site}{path}", allow_urls=True)


def test_downloads_have_limits(site, monkeypatch):
    with pytest.raises(InputError, match="the most that is fetched"):
        download(f"{site}/image.png", None, "The image", max_bytes=100)
    with pytest.raises(InputError, match=r"took over 0\.05 seconds"):
        download(f"{site}/slow", 0.05, "The image")
