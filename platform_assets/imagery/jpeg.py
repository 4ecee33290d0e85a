"""Baseline JPEG files of any size, written strip by strip.

libjpeg-turbo, which Pillow carries, encodes many times faster than the plain libjpeg in rasterio's GDAL, but Pillow wants the whole
image in memory. A JPEG whose restart interval is one line of blocks can be put together from strips, since nothing is carried
over a restart marker: the pixels are exactly those of an image encoded at once.
"""

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

MOST_PX = 65_500
"""libjpeg's own limit; the format's is 65,535."""

STRIP_LINES = 128
"""Lines of a strip: blocks are 8 or 16 lines high and the eight restart markers take turns, so every strip begins anew."""

_START_OF_FRAME, _START_OF_SCAN = 0xC0, 0xDA
_LAST_RESTART, _END = b"\xff\xd7", b"\xff\xd9"

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""Lines x columns for grey, or lines x columns x 3 for RGB."""


class JpegWriter:
    """Writes one JPEG; a context manager.

    Args:
        path: The file to write.
        height: Lines the image will have.
        quality: 1 to 100.
        icc_profile: What its colours mean; empty for sRGB.
    """

    def __init__(self, path: Path, height: int, quality: int, icc_profile: bytes = b"") -> None:
        self._height = height
        self._quality = quality
        self._icc_profile = icc_profile
        self._file = path.open("wb")
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if not kind:
            self._file.write(_END)
        self._file.close()

    def write(self, pixels: Pixels) -> None:
        """Append lines: a multiple of `STRIP_LINES`, unless they are the last."""
        for top in range(0, len(pixels), STRIP_LINES):
            head, scan = self._encoded(pixels[top : top + STRIP_LINES])
            self._file.write(_LAST_RESTART if self._begun else head)
            self._file.write(scan)
            self._begun = True

    def _encoded(self, strip: Pixels) -> tuple[bytes, memoryview]:
        buffer = io.BytesIO()
        options: dict[str, Any] = {"icc_profile": self._icc_profile} if self._icc_profile and not self._begun else {}
        Image.fromarray(strip).save(buffer, "JPEG", quality=self._quality, subsampling="4:2:0", restart_marker_rows=1, **options)
        data = buffer.getbuffer()
        start = 2
        while True:
            kind, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4], "big")
            if kind == _START_OF_FRAME:
                data[start + 5 : start + 7] = self._height.to_bytes(2, "big")
            start += 2 + length
            if kind == _START_OF_SCAN:
                return bytes(data[:start]), data[start:-2]
