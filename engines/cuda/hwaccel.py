"""Decoding on NVDEC through FFmpeg's own CUDA support, with frames that stay on the GPU."""

from pathlib import Path
from typing import Any

import av.error
from av.codec.hwaccel import HWAccel

from ...configs.errors import VideoError
from ..cpu.decode import PyAvDecoder
from ..probe import open_video, probe
from ..protocols import FOR_ANALYSIS, FrameIndex, PictureOptions
from .aside import back_to_own_context
from .available import why_no_cupy
from .image import CudaImage
from .refusal import BITS, RefusedError, coded_size, why_unfit
from .ring import Ring, Slot
from .surfaces import SurfaceCopy

GPU = 0  # the device that CuPy uses


class HwAccelDecoder(PyAvDecoder):
    """Frames of one video in presentation order; implements :class:`dft.engines.protocols.Decoder`.

    FFmpeg uses CUDA's default stream: it writes a surface on it when the picture is mapped. The copy into our own
    memory goes to the same stream, so that the surface is not written again before it was read.

    FFmpeg is told to work in the context that is current, CuPy's. Left alone, PyAV has it take the device's primary
    context on its own terms (blocking waits), which FFmpeg refuses with ``Operation not supported`` if somebody has
    made that context before on other terms (``cuda_context_init`` in FFmpeg's ``hwcontext_cuda.c``).

    Args:
        path: The video.
        picture: What is made of the pictures.
        index: Its frames, if they are known: else the file is scanned for them.

    Raises:
        VideoError: The file cannot be read.
        RefusedError: The GPU, the driver or this FFmpeg cannot decode it.
    """

    rung = "pyav-cuda"

    def __init__(self, path: Path, picture: PictureOptions = FOR_ANALYSIS, index: FrameIndex | None = None):
        info = probe(path)
        if (reason := why_unfit(info, picture) or why_no_cupy()) is not None:
            raise RefusedError(f"PyAV does not decode {path.name} on the GPU", got=reason)
        super().__init__(path, threads=1, picture=picture, index=index)
        self._size = coded_size(info)
        self._try()
        import cupy

        self._stream = cupy.cuda.Stream.null
        self._ring = Ring(*self._size, picture.depth)
        self._copy = SurfaceCopy(*self._size, BITS[info.pixel_format], self._stream)

    def _try(self) -> None:
        try:
            first = next(self._open_at(0), None)
        except (VideoError, av.error.FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
            raise RefusedError("PyAV cannot open the GPU's decoder", got=error.__cause__ or error) from error
        finally:
            self.close()
        if first is None or first[1].format.name != "cuda":
            got = "no picture" if first is None else f"pictures in {first[1].format.name}"
            raise RefusedError(f"PyAV does not decode {self.info.path.name} on the GPU", got=got)
        self.num_corrupt = 0

    def _opened(self) -> tuple[Any, Any]:
        back_to_own_context(GPU)
        options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        wanted = HWAccel("cuda", str(GPU), allow_software_fallback=False, options=options, is_hw_owned=True)
        return open_video(self.info.path, wanted)

    def _image(self, picture: Any) -> CudaImage:
        if picture.format.name != "cuda" or (picture.width, picture.height) != self._size:
            got = f"{picture.format.name} of {picture.width}x{picture.height}"
            raise RefusedError("the pictures change midway", got=got)
        luma, chroma = ((plane.buffer_ptr, plane.line_size) for plane in picture.planes[:2])

        def enqueue(slot: Slot) -> None:
            self._copy(slot, luma, chroma)

        return self._ring.fill(self._stream, enqueue, self.info.colour, self.info.rotation)
