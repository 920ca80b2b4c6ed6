"""Pictures: decoded from the bytes of any file to RGB of 8 bits per channel, and encoded as .beton files store them."""

import zlib
from collections.abc import Mapping
from hashlib import blake2b
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

MODES = {"jpg": 0, "raw": 1}  # FFCV's numbers
LONGEST = 0xFFFF  # pixels of a side: FFCV's files hold it in 16 bits
PHOTOMETRIC, BITS, SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF
BLACK_IS_HIGHEST, UNSIGNED = 0, 1


class Stored(NamedTuple):
    """A picture as a .beton file stores it: its mode (a number of `MODES`), size in pixels and bytes."""

    mode: int
    width: int
    height: int
    data: bytes

    def digest(self, label: int) -> bytes:
        """Return a digest (16 bytes) of all that a network can see of the picture, and of its label."""
        hashed = blake2b(np.array([label, *self[:3]], "<i8").tobytes(), digest_size=16)
        hashed.update(self.data)
        return hashed.digest()


def read_picture(stored: bytes) -> Image.Image:
    """Read the first picture of a file, whose bytes are `stored`, as RGB, as Pillow and torchvision do.

    A camera's rotation (EXIF orientation) and colour profiles are ignored. Transparency is dropped: transparent pixels
    get the colour that the file stores for them. CMYK becomes RGB by Pillow's simple rule. Of 16 bits per channel the
    upper 8 are taken, unlike torchvision, which cuts greys off at 255.

    Raises:
        ValueError: the file is no picture, or its pixels have an unknown range: floats, integers of 32 bits or signed
            integers.
        Exception: any exception of Pillow for a file that it cannot read.
    """
    try:
        with Image.open(BytesIO(stored)) as picture:
            return _rgb(picture)
    except UnidentifiedImageError:
        raise ValueError("Pillow knows no such format" if stored else "the file is empty") from None


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB of 8 bits per channel.

    Raises:
        ValueError: pixels of an unknown range.
    """
    tags = getattr(picture, "tag_v2", {}) if picture.format == "TIFF" else {}
    has_sign = any(kind != UNSIGNED for kind in tags.get(SAMPLE_FORMAT, ()))
    is_deep = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")
    if has_sign or (picture.mode in ("I", "F") and not is_deep):
        raise ValueError(
            f"its pixels are {'floats' if picture.mode == 'F' else 'numbers of 32 bits or with a sign'}, and the file "
            "does not say which values are black and white; convert it to 8 bits per channel"
        )
    if is_deep:
        values = np.asarray(picture).astype(np.uint16)  # 32 bits for PPM, whose values Pillow scales to 16 bits
        bits = tags.get(BITS, (16,))[0]
        values = values >> (bits - 8)
        if tags.get(PHOTOMETRIC) == BLACK_IS_HIGHEST:
            values = 255 - values
        picture = Image.fromarray(values.astype(np.uint8))
    if picture.mode == "La":  # premultiplied by alpha; Pillow converts it to LA alone
        picture = picture.convert("LA")
    return picture.convert("RGB")


def shrink(picture: Image.Image, longest: int | None) -> Image.Image:
    """Shrink a picture whose longer side exceeds `longest` pixels to that size; no side gets shorter than a pixel.

    FFCV shrinks by means over areas, a filter that Pillow lacks; Pillow's HAMMING keeps as much contrast.
    """
    if longest is None or max(picture.size) <= longest:
        return picture
    width, height = (max(1, side * longest // max(picture.size)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.HAMMING)


def store(picture: Image.Image, settings: Mapping[str, Any]) -> Stored:
    """Encode an RGB picture as `settings` say: max_resolution, write_mode and jpeg_quality.

    The write mode `proportion` makes JPEGs of about half of the pictures: those whose pixels have an odd checksum
    (CRC-32).

    Raises:
        ValueError: a side has more than 65,535 pixels.
        Exception: any exception of Pillow.
    """
    picture = shrink(picture, settings.get("max_resolution"))
    if max(picture.size) > LONGEST:
        raise ValueError(f"a side of {max(picture.size):,} pixels, more than {LONGEST:,}; set max_resolution")
    mode, pixels = settings.get("write_mode", "raw"), picture.tobytes()
    if mode == "proportion":
        mode = "jpg" if zlib.crc32(pixels) % 2 else "raw"
    data = _jpeg(picture, settings.get("jpeg_quality", 90)) if mode == "jpg" else pixels
    return Stored(MODES[mode], *picture.size, data)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stored = BytesIO()
    picture.save(stored, "JPEG", quality=quality)
    return stored.getvalue()
