"""Pictures: from the bytes of a file to 8 bits each of red, green and blue, and from those to what is stored."""

import zlib
from collections.abc import Mapping
from hashlib import blake2b
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

MODES = {"jpg": 0, "raw": 1}  # FFCV's numbers
LONGEST = 0xFFFF  # pixels of a side that FFCV's files can tell
PHOTOMETRIC, BITS, SAMPLE_FORMAT = 262, 258, 339  # tags of TIFF
BLACK_IS_HIGHEST, UNSIGNED = 0, 1


class Stored(NamedTuple):
    """A picture as it is stored: one of `MODES`, its size in pixels and its bytes."""

    mode: int
    width: int
    height: int
    data: bytes

    def digest(self, label: int) -> bytes:
        """Digest all that a network can see of it (16 bytes), its label included."""
        hashed = blake2b(np.array([label, *self[:3]], "<i8").tobytes(), digest_size=16)
        hashed.update(self.data)
        return hashed.digest()


def read_picture(stored: bytes) -> Image.Image:
    """Read a file's first picture as RGB, as Pillow and torchvision do, its pixels as they lie there.

    So a camera's rotation (EXIF orientation) and colour profiles are ignored, transparency is dropped, what shows
    through being what is stored there, and CMYK becomes RGB by Pillow's simple rule. Of 16 bits a channel the upper 8
    are taken; torchvision, which cuts greys off at 255, does not.

    Raises:
        ValueError: no picture, or pixels of an unknown range: floats and whole numbers of 32 bits or with a sign.
        Exception: whatever Pillow raises for a file that it cannot read.
    """
    try:
        with Image.open(BytesIO(stored)) as picture:
            return _rgb(picture)
    except UnidentifiedImageError:
        raise ValueError("Pillow knows no such format" if stored else "the file is empty") from None


def _rgb(picture: Image.Image) -> Image.Image:
    tags = getattr(picture, "tag_v2", {}) if picture.format == "TIFF" else {}
    has_sign = any(kind != UNSIGNED for kind in tags.get(SAMPLE_FORMAT, ()))
    is_deep = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")
    if has_sign or (picture.mode in ("I", "F") and not is_deep):
        raise ValueError(
            f"its pixels are {'floats' if picture.mode == 'F' else 'numbers of 32 bits or with a sign'}, whose darkest "
            "and brightest value it does not tell; convert it to 8 bits a channel"
        )
    if is_deep:
        values = np.asarray(picture).astype(np.uint16)  # those of PPM too: Pillow spreads them over 16 bits
        bits = tags.get(BITS, (16,))[0]
        values = values >> (bits - 8)
        if tags.get(PHOTOMETRIC) == BLACK_IS_HIGHEST:
            values = 255 - values
        picture = Image.fromarray(values.astype(np.uint8))
    if picture.mode == "La":  # premultiplied; Pillow takes it to LA alone
        picture = picture.convert("LA")
    return picture.convert("RGB")


def shrink(picture: Image.Image, longest: int | None) -> Image.Image:
    """Shrink a picture to a longer side of `longest` pixels at most; the other side keeps one at least.

    Pillow's filter HAMMING keeps as much contrast as means over areas do, which FFCV takes, and Pillow has not.
    """
    if longest is None or max(picture.size) <= longest:
        return picture
    width, height = (max(1, side * longest // max(picture.size)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.HAMMING)


def store(picture: Image.Image, settings: Mapping[str, Any]) -> Stored:
    """Store an RGB picture as `settings` say: max_resolution, write_mode and jpeg_quality.

    The write mode `proportion` makes JPEGs of half of the pictures: of those whose checksum (CRC-32) is odd.

    Raises:
        ValueError: a side of more than 65,535 pixels.
        Exception: whatever Pillow raises.
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
