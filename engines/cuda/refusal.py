"""When a video is not decoded on the GPU, and why: the next rung takes it."""

from ...configs.errors import EngineError
from ..protocols import PictureOptions, VideoInfo

BITS = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10}  # by pixel format; others than 4:2:0 become no NV12 or P016


class RefusedError(EngineError):
    """A rung cannot decode this video, or cannot go on with it; another one may.

    It goes from the rungs to :class:`dft.engines.cuda.decode.CudaDecoder`, which raises it on where none is left.
    """


def coded_size(info: VideoInfo) -> tuple[int, int]:
    """Width and height of the pictures before rotation."""
    return (info.height, info.width) if info.rotation in (90, 270) else (info.width, info.height)


def why_unfit(info: VideoInfo, picture: PictureOptions) -> str | None:
    """Why no decoder that leaves pictures on the GPU can make ``picture`` of the video, or None."""
    if picture.tone_map and info.is_hdr:
        return "tone mapping runs on the CPU"
    if picture.deinterlace and info.interlaced:
        return "deinterlacing runs on the CPU"
    if info.pixel_format not in BITS:
        return f"pixel format {info.pixel_format} is neither 8- nor 10-bit 4:2:0"
    if any(length % 2 for length in coded_size(info)):
        return f"a size of {info.width}x{info.height} is odd"
    return None
