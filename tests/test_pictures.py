"""Pictures of every kind: their pixels as computed by hand, or why they cannot be read; shrinking and storing."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastscale.data.pictures import MODES, read_picture, shrink, store

RAMP = np.linspace(0, 1, 40)
GREY = np.tile(RAMP, (8, 1))  # from black to white, 8 x 40
COLOUR = np.stack([GREY, GREY[:, ::-1], np.full_like(GREY, 0.25)], axis=-1)


def png(values: np.ndarray, colour: int, depth: int) -> bytes:
    """Encode a PNG as its standard says: values (h, w, channels), colour type 0, 2, 4 or 6, depth 8 or 16 bits."""
    height, width = values.shape[:2]
    lines = values.astype(f">u{depth // 8}").reshape(height, -1)
    packed = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, photometric: int, order: str = "<", bits: int = 0, extra: int | None = None) -> bytes:
    """Encode an uncompressed TIFF as its standard says: values (h, w, channels), packed if `bits` is 12."""
    height, width, channels = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bits = bits or values.dtype.itemsize * 8
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if bits == 12:
        data = np.packbits(np.unpackbits(values.astype(">u2").view("u1"), axis=None).reshape(-1, 16)[:, 4:]).tobytes()
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [1]), (262, 3, [photometric])]
    tags += [(273, 4, [0]), (277, 3, [channels]), (278, 4, [height]), (279, 4, [len(data)])]
    tags += [(338, 3, [extra])] if extra is not None else []
    tags += [(339, 3, [kind] * channels)]
    place = 8 + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for tag, form, numbers in tags:
        packed = struct.pack(f"{order}{len(numbers)}{'H' if form == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            packed, beyond = struct.pack(f"{order}I", place + len(beyond)), beyond + packed
        entries += struct.pack(f"{order}HHI", tag, form, len(numbers)) + packed.ljust(4, b"\0")
    begin = place + len(beyond)
    at = entries.index(struct.pack(f"{order}HHI", 273, 4, 1)) + 8
    entries = entries[:at] + struct.pack(f"{order}I", begin) + entries[at + 4 :]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + beyond + data


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, kind, **options)
    return stored.getvalue()


def whole(values: np.ndarray, dtype: str) -> np.ndarray:
    """Scale values of 0 to 1 to the range of an integer type, with an axis of channels."""
    values = values[..., None] if values.ndim == 2 else values
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def with_alpha(values: np.ndarray, dtype: str = "u1") -> np.ndarray:
    """Add an alpha channel that makes the upper half transparent."""
    values = whole(values, dtype)
    alpha = np.full((*values.shape[:2], 1), np.iinfo(dtype).max, dtype)
    alpha[:4] = 0
    return np.concatenate([values, alpha], axis=-1)


def pgm(values: np.ndarray, most: int, plain: bool = False) -> bytes:
    values = np.rint(values * most).astype(">u2" if most > 255 else "u1")
    magic = {(2, False): "P5", (2, True): "P2", (3, False): "P6"}[values.ndim, plain]
    head = f"{magic}\n{values.shape[1]} {values.shape[0]}\n{most}\n".encode()
    return head + (" ".join(map(str, values.reshape(-1))).encode() if plain else values.tobytes())


def palette(**options: object) -> bytes:
    picture = Image.fromarray(whole(GREY, "u1")[..., 0]).convert("P")
    return saved(picture, "PNG", **options)


def lab() -> bytes:
    values = np.zeros((8, 40, 3), "u1")
    values[..., 0] = [round(255 * (116 * y ** (1 / 3) - 16) / 100) for y in np.maximum(RAMP, 0.01)]  # L, a and b are 0
    return tiff(values, 8)


def from_linear(light: np.ndarray) -> np.ndarray:
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)


def cmyk() -> np.ndarray:
    return whole(np.stack([GREY, GREY[:, ::-1], 0 * GREY, 0 * GREY + 0.5], axis=-1), "u1")


def ycbcr() -> np.ndarray:
    return np.stack([whole(GREY, "u1")[..., 0], np.full((8, 40), 128, "u1"), np.full((8, 40), 160, "u1")], axis=-1)


def ycbcr_by_hand() -> np.ndarray:
    luma, _, red = np.moveaxis(ycbcr().astype(float) - [0, 128, 128], -1, 0)
    return np.clip(np.stack([luma + 1.402 * red, luma - 0.714136 * red, luma], axis=-1), 0, 255) / 255


GREYS = {
    "1 bit": lambda: saved(Image.fromarray(GREY > 0.5), "PNG"),
    "8 bits": lambda: png(whole(GREY, "u1"), 0, 8),
    "8 bits, transparent": lambda: png(with_alpha(GREY), 4, 8),
    "8 bits, white is zero": lambda: tiff(255 - whole(GREY, "u1"), 0),
    "16 bits": lambda: png(whole(GREY, "u2"), 0, 16),
    "16 bits, transparent": lambda: png(with_alpha(GREY, "u2"), 4, 16),
    "16 bits TIFF": lambda: tiff(whole(GREY, "u2"), 1),
    "16 bits TIFF, big-endian": lambda: tiff(whole(GREY, "u2"), 1, ">"),
    "16 bits TIFF, white is zero": lambda: tiff(65535 - whole(GREY, "u2"), 0),
    "12 bits TIFF": lambda: tiff(np.rint(GREY * 4095).astype("u2")[..., None], 1, bits=12),
    "TIFF with alpha": lambda: tiff(with_alpha(GREY), 1, extra=2),
    "PGM, 16 bits": lambda: pgm(GREY, 65535),
    "PGM, 10 bits": lambda: pgm(GREY, 1023),
    "PGM, 16 bits as text": lambda: pgm(GREY, 65535, plain=True),
    "PGM, 4 bits": lambda: pgm(GREY, 15),
    "palette": palette,
    "palette, one colour transparent": lambda: palette(transparency=0),
    "palette, transparency of each": lambda: palette(transparency=bytes(range(256))),
    "palette with alpha": lambda: saved(Image.open(io.BytesIO(palette())).convert("PA"), "TIFF"),
    "LAB": lab,
    "GIF": lambda: saved(
        Image.open(io.BytesIO(palette())), "GIF", save_all=True, append_images=[Image.new("P", (40, 8))]
    ),
    "grey JPEG": lambda: saved(Image.fromarray(whole(GREY, "u1")[..., 0]), "JPEG", quality=100),
    "grey WebP": lambda: saved(Image.fromarray(whole(GREY, "u1")[..., 0]).convert("RGB"), "WEBP", lossless=True),
}
COLOURS = {
    "8 bits": lambda: png(whole(COLOUR, "u1"), 2, 8),
    "8 bits, transparent": lambda: png(with_alpha(COLOUR), 6, 8),
    "16 bits": lambda: png(whole(COLOUR, "u2"), 2, 16),
    "16 bits, transparent": lambda: png(with_alpha(COLOUR, "u2"), 6, 16),
    "16 bits TIFF": lambda: tiff(whole(COLOUR, "u2"), 2),
    "16 bits TIFF, big-endian": lambda: tiff(whole(COLOUR, "u2"), 2, ">"),
    "16 bits TIFF, transparent": lambda: tiff(with_alpha(COLOUR, "u2"), 2, extra=2),
    "PPM, 16 bits": lambda: pgm(COLOUR, 65535),
    "BMP": lambda: saved(Image.fromarray(whole(COLOUR, "u1")), "BMP"),
}


def expected(name: str) -> np.ndarray:
    """Return the greys of a picture of `GREYS` as computed by hand, from 0 to 1."""
    if name == "1 bit":
        return (GREY > 0.5).astype(float)
    if name == "PGM, 4 bits":
        return np.rint(GREY * 15) / 15
    return from_linear(np.maximum(GREY, 0.01)) if name == "LAB" else GREY


@pytest.mark.parametrize("name", GREYS)
def test_greys_of_every_kind(name: str) -> None:
    pixels = np.asarray(read_picture(GREYS[name]()))
    assert pixels.shape == (8, 40, 3) and pixels.dtype == np.uint8
    tolerance = 3 if name == "LAB" else 1.01
    assert np.abs(pixels - 255 * expected(name)[..., None]).max() < tolerance


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_every_kind(name: str) -> None:
    """Transparent pixels have the colour that the file stores for them."""
    assert np.abs(np.asarray(read_picture(COLOURS[name]())) - 255 * COLOUR).max() < 1.01


def test_cmyk_and_ycbcr() -> None:
    ink = cmyk() / 255
    by_hand = (1 - ink[..., :3]) * (1 - ink[..., 3:])
    assert np.abs(np.asarray(read_picture(tiff(cmyk(), 5))) - 255 * by_hand).max() < 1.01
    jpeg = saved(Image.fromarray(cmyk(), "CMYK"), "JPEG", quality=100, subsampling=0)
    assert np.abs(np.asarray(read_picture(jpeg)) - 255 * by_hand).max() < 6
    assert np.abs(np.asarray(read_picture(tiff(ycbcr(), 6))) - 255 * ycbcr_by_hand()).max() < 1.6


def test_premultiplied_transparency_is_undone() -> None:
    alpha = np.full((8, 40, 1), 128, "u1")
    for values, photometric in ((whole(GREY, "u1"), 1), (whole(COLOUR, "u1"), 2)):
        premultiplied = np.concatenate([values // 2, alpha], axis=-1)
        pixels = np.asarray(read_picture(tiff(premultiplied, photometric, extra=1)))
        assert np.abs(pixels - values.astype(int)).max() <= 3


def test_a_cameras_rotation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(whole(COLOUR, "u1"))
    stored = saved(picture, "PNG", exif=exif)
    assert np.array_equal(np.asarray(read_picture(stored)), np.asarray(picture))


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (lambda: tiff(whole(GREY, "i4"), 1), "numbers of 32 bits or with a sign"),
        (lambda: tiff(whole(GREY, "u4"), 1), "numbers of 32 bits or with a sign"),
        (lambda: tiff(whole(GREY, "i2"), 1), "numbers of 32 bits or with a sign"),
        (lambda: tiff(whole(GREY, "i1"), 1), "numbers of 32 bits or with a sign"),
        (lambda: tiff(GREY.astype("f4")[..., None], 1), "pixels are floats, .* convert it to 8 bits per channel"),
        (lambda: tiff(GREY.astype("f4")[..., None], 0), "pixels are floats"),
        (lambda: b"", "the file is empty"),
        (lambda: b"no picture", "Pillow knows no such format"),
        (lambda: png(whole(GREY, "u1"), 0, 8)[:60], "."),
    ],
)
def test_unreadable_pictures_raise_with_the_reason(stored: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(Exception, match=reason) as raised:
        read_picture(stored())
    assert "BytesIO" not in str(raised.value)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_pictures_are_shrunk_to_their_longer_side(width: int, height: int, longest: int) -> None:
    shrunk = shrink(Image.new("RGB", (width, height), (9, 8, 7)), longest)
    assert max(shrunk.size) == min(longest, max(height, width)) and min(shrunk.size) >= 1
    assert (np.asarray(shrunk) == (9, 8, 7)).all()


def test_pictures_are_shrunk_almost_as_by_ffcv() -> None:
    rgb_image = pytest.importorskip("ffcv.fields.rgb_image", reason="FFCV is not built here")
    pixels = cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8), (800, 600))
    for longest in (790, 500, 333, 100):
        shrunk = np.asarray(shrink(Image.fromarray(pixels), longest))
        by_ffcv = rgb_image.resizer(pixels, longest)
        assert np.abs(shrunk.astype(int) - by_ffcv).mean() < 1 and abs(shrunk.std() - by_ffcv.std()) < 0.5


@pytest.mark.parametrize("size", [(2, 1200), (1200, 2), (1, 1), (1, 65_000), (3, 2000)])
def test_no_side_of_elongated_pictures_shrinks_to_nothing(size: tuple[int, int]) -> None:
    for mode in ("raw", "jpg"):
        stored = store(Image.new("RGB", size, (90, 90, 90)), {"max_resolution": 500, "write_mode": mode})
        assert max(stored.width, stored.height) <= 500 and min(stored.width, stored.height) >= 1
        assert mode == "raw" or Image.open(io.BytesIO(stored.data)).size == (stored.width, stored.height)


def test_jpegs_equal_ffcvs(tmp_path: Path) -> None:
    """With the same quality and sampling of colours, and so the same pixels but for rounding."""
    rgb_image = pytest.importorskip("ffcv.fields.rgb_image", reason="FFCV is not built here")
    pixels = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8), (165, 135))
    stored = store(Image.fromarray(pixels), {"write_mode": "jpg", "jpeg_quality": 90})
    by_ffcv = rgb_image.encode_jpeg(pixels, 90).tobytes()
    decoded = [np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (stored.data, by_ffcv)]
    assert np.abs(decoded[0] - decoded[1]).max() <= 2
    assert {name: rgb_image.IMAGE_MODES[name] for name in MODES} == MODES


def test_half_of_the_pictures_become_jpegs_by_their_pixels_alone() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(1000)]
    modes = [store(picture, {"write_mode": "proportion"}).mode for picture in pictures]
    assert 440 < sum(mode == MODES["jpg"] for mode in modes) < 560
    assert [store(picture.copy(), {"write_mode": "proportion"}).mode for picture in pictures] == modes
