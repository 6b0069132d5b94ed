"""Tone-mapping of pictures on the CPU: the operator of ``tonemap.py`` as a 3D table, applied by FFmpeg."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EngineError
from ..protocols import Colour, VideoInfo
from .filters import FilterChain, geometry
from .image import PIXEL_FORMATS
from .tonemap import source_peak, to_sdr

SDR = Colour(matrix=1, primaries=1, transfer=1, full_range=False)
GRID = 65  # values per side of the table
# FFmpeg's names of matrices by H.273 code; HDR that tells none is BT.2020's, and RGB (0) needs none.
MATRICES = {0: "bt2020", 1: "bt709", 2: "bt2020", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}


class ToneMapper:
    """Turns HDR pictures into SDR ones in BT.709 of limited range.

    The table is interpolated in tetrahedra, which keeps greys grey, on 16-bit R'G'B'.

    Args:
        info: Facts of the HDR video.
        depth: Bits of the values that come out, 8 or 10.
        threads: Threads of the filters, or 0 for one per core.

    Raises:
        EngineError: The video's colour matrix is not one that FFmpeg's scaler knows.
    """

    def __init__(self, info: VideoInfo, depth: int = 8, threads: int = 0):
        colour = info.colour
        if colour.matrix not in MATRICES:
            raise EngineError(
                f"cannot tone-map {info.path}",
                got=f"colour matrix {colour.matrix} of H.273",
                expected="BT.2020 with non-constant luminance (9), or an older one",
                hint="keep HDR, or convert the video first",
            )
        self._depth, self._threads = depth, threads
        self._matrix, self._range = MATRICES[colour.matrix], "full" if colour.full_range else "limited"
        self._table = table(colour, source_peak(colour.transfer, info.hdr))
        self._chain: FilterChain | None = None

    def __call__(self, picture: Any) -> Any:
        """``picture`` (PyAV's ``VideoFrame``, of any format) as SDR in planar YUV 4:2:0."""
        if self._chain is None or self._chain.geometry != geometry(picture):
            self._chain = self._made(picture)
        self._chain.push(picture)
        return self._chain.pull()

    def _made(self, picture: Any) -> FilterChain:
        with _cube_file(self._table) as path:  # FFmpeg reads it while the chain is made
            steps = [
                ("scale", {"in_color_matrix": self._matrix, "in_range": self._range, "out_range": "full"}),
                ("format", {"pix_fmts": "gbrp16le"}),
                ("lut3d", {"file": str(path), "interp": "tetrahedral"}),
                ("scale", {"out_color_matrix": "bt709", "out_range": "limited"}),
                ("format", {"pix_fmts": PIXEL_FORMATS[self._depth]}),
            ]
            return FilterChain(picture, steps, self._threads)


def table(colour: Colour, peak: float, size: int = GRID) -> NDArray[np.float64]:
    """``(size, size, size, 3)`` R'G'B' of SDR at HDR's evenly spaced blue, green and red, in this order of axes."""
    steps = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    return to_sdr(np.stack([red, green, blue], axis=-1), colour.transfer, colour.primaries, peak)


@contextmanager
def _cube_file(values: NDArray[np.float64]) -> Iterator[Path]:
    """A table as a temporary ``.cube`` file (Adobe's Cube LUT Specification 1.0: red changes fastest)."""
    rows = "%.6f %.6f %.6f\n" * len(values) ** 3 % tuple(values.ravel().tolist())  # four times as fast as savetxt
    with ExitStack() as opened:
        try:
            path = Path(opened.enter_context(TemporaryDirectory(prefix="dft-"))) / "tone.cube"
            path.write_text(f"LUT_3D_SIZE {len(values)}\n{rows}", encoding="ascii")
        except OSError as error:
            raise EngineError(
                "cannot write a temporary file of 8 MB", got=error.strerror, hint="free some space, or set TMPDIR"
            ) from error
        yield path
