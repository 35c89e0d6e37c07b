"""Picture files, PNG and JPEG, as arrays of one size."""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from genjax.core.config import shown
from genjax.core.errors import UsageError, one_line
from genjax.data import rows

FORMATS = ("PNG", "JPEG")
# Squares of one size up to here stay as they are; else this is what pictures become.
LARGEST_KEPT, DEFAULT_SIZE = 64, 28
# Deflate packs no tighter than 1,032 to 1, and a byte holds 8 pixels at most; JPEG holds fewer.
_PIXELS_A_BYTE = 8 * 1032
_NAMED = 3


def read(
    flag: str, sources: Sequence[tuple[str, Path | bytes]], size: int | None, colour: str | None
) -> tuple[np.ndarray, list[bytes]]:
    """(images float32 [n, s, s, c] in [0, 1], SHA-256 of each file) of named files or contents.

    The middle square of each, resized to `size`; without one to their own where all are squares of
    one size up to 64 pixels, else to 28. Transparent parts become white. colour: `grey` or
    `rgb`; None: grey where all are.

    Raises:
      UsageError: what cannot be read, named; or more than memory holds.
    """
    if size is None:
        size = _own_size([source for _, source in sources]) or DEFAULT_SIZE
    channels = 1 if colour == "grey" else 3
    _require_memory(flag, len(sources), size, channels)
    pixels = np.empty((len(sources), size, size, channels), np.uint8)

    digests, bad = [], []
    for index, (name, source) in enumerate(sources):
        try:
            pixels[index] = _pixels(source, size, "L" if channels == 1 else "RGB")
            digests.append(_digest(source))
        except Exception as error:  # Pillow raises errors of many types for a damaged file.
            bad.append(f"{shown(name)} ({_why(error)})")
    if bad:
        more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
        raise UsageError(
            f"{flag}: {len(bad):,} of {len(sources):,} pictures cannot be read: "
            f"{', '.join(bad[:_NAMED])}{more}; mend them or take them out"
        )
    if colour is None and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return np.divide(pixels, 255, dtype=np.float32), digests


def open_(
    flag: str, sources: Sequence[tuple[str, Path]], size: int | None, colour: str | None
) -> tuple[rows.Rows, Callable[[], list[bytes]]]:
    """What `read` returns, of pictures that stay in their files; digests as a function.

    Raises:
      UsageError: no colour is given, which only all pixels would tell.
    """
    if colour is None:
        raise UsageError(
            f"{flag}: --input=stream needs --colour=grey or rgb; whether all are grey would be "
            "known once all are read"
        )
    files = [path for _, path in sources]
    size = size or _own_size(files) or DEFAULT_SIZE
    read = partial(_rows, flag, [*map(str, files)], size, "L" if colour == "grey" else "RGB")
    each = (size, size, 1 if colour == "grey" else 3)
    return rows.rows(read, each, len(files)), lambda: [_digest(path) for path in files]


def _rows(flag: str, files: list[str], size: int, mode: str, numbers) -> np.ndarray:
    found = np.empty((len(numbers), size, size, 1 if mode == "L" else 3), np.uint8)
    for i, number in enumerate(numbers):
        try:
            found[i] = _pixels(Path(files[number]), size, mode)
        except Exception as error:
            name = shown(Path(files[number]).name)
            raise UsageError(f"{flag}: {name} cannot be read: {_why(error)}") from error
    return found


def _why(error: Exception) -> str:
    """Of a picture that cannot be read; Pillow's own text names the file by its whole path."""
    return "no picture" if "cannot identify" in str(error) else shown(one_line(error))


def _open(source: Path | bytes):
    """A picture whose size is known, not yet its pixels. Raises for one too large to be true."""
    from PIL import Image

    stored = len(source) if isinstance(source, bytes) else source.stat().st_size
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, "r", FORMATS)
    width, height = image.size
    if width * height > _PIXELS_A_BYTE * stored:
        image.close()
        raise ValueError(f"{stored:,} bytes cannot hold {width:,} x {height:,} pixels")
    return image


@contextlib.contextmanager
def _strict():
    """Pillow's limit of pixels as an error, its other warnings unsaid."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _own_size(sources: Sequence[Path | bytes]) -> int | None:
    """The side of pictures that are squares of one size, up to LARGEST_KEPT; None of others."""
    found = set()
    for source in sources:
        with contextlib.suppress(Exception), _strict(), _open(source) as image:
            found.add(image.size)
    sides = {side for shape in found for side in shape}
    return sides.pop() if len(sides) == 1 and max(sides) <= LARGEST_KEPT else None


def _pixels(source: Path | bytes, size: int, mode: str) -> np.ndarray:
    """The middle square, resized: uint8 [size, size, c]."""
    from PIL import Image, ImageOps

    with _strict(), _open(source) as opened:
        opened.draft(None, (size, size))  # A large JPEG is decoded at a fraction of its size.
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion clips them.
            grey = np.clip(np.asarray(image, np.float64) / 257, 0, 255)
            image = Image.fromarray(np.round(grey).astype(np.uint8))
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        image = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(size, size, -1)


def _digest(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _require_memory(flag: str, count: int, size: int, channels: int) -> None:
    from genjax.core.machine import memory_free

    # Bytes, then as numbers of four.
    needed, free = 5.0 * count * size**2 * channels, memory_free()
    if needed > free:
        raise UsageError(
            f"--image_size={size}: the {count:,} pictures of {flag} need {needed / 1e9:,.1f} GB, "
            f"{free / 1e9:,.1f} GB are free"
        )
