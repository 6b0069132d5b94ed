"""Small videos with known truth, made once per session.

Every picture of a video shows its own number as eight grey stripes, so that any decoded picture tells which frame it
is, whatever the codec did to it (see :func:`read_number`).
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

NUM_STRIPES = 8


@dataclass(frozen=True)
class Recipe:
    """How a video is made.

    Attributes:
        name: File name; its suffix names the container.
        num_frames: Frames, unless ``pts`` says.
        pts: Time stamps in ``time_base``; evenly spaced if not given.
        time_base: Unit of ``pts``; one frame at 25 fps if not given.
        size: Coded width and height.
        codec: FFmpeg's name of the encoder.
        pixel_format: FFmpeg's name.
        options: Options of the encoder; without B-frames and at a keyframe per second if not given.
        container_options: Options of the container.
        rotation: Clockwise degrees to the displayed picture.
        pixel_aspect: Width to height of a pixel.
        audio: Whether there is sound: as long as the picture.
        cover: Whether there is a cover picture, larger than the video.
    """

    name: str = "v.mp4"
    num_frames: int = 50
    pts: tuple[int, ...] | None = None
    time_base: Fraction = Fraction(1, 25)
    size: tuple[int, int] = (96, 64)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = (("g", "25"), ("bf", "0"), ("preset", "ultrafast"))
    container_options: tuple[tuple[str, str], ...] = ()
    rotation: int = 0
    pixel_aspect: Fraction | None = None
    audio: bool = False
    cover: bool = False

    @property
    def stamps(self) -> tuple[int, ...]:
        """Time stamp of every frame."""
        return tuple(range(self.num_frames)) if self.pts is None else self.pts


def x264(keyint: int, b_frames: int, *, open_gop: bool = False) -> tuple[tuple[str, str], ...]:
    params = f"keyint={keyint}:min-keyint={keyint}:scenecut=0:bframes={b_frames}:b-adapt=0:open-gop={int(open_gop)}"
    return (("preset", "veryfast"), ("x264-params", params))


def interlaced(keyint: int, *, open_gop: bool = False) -> tuple[tuple[str, str], ...]:
    """Options of x264 for pictures of two fields, the upper one first."""
    preset, (name, params) = x264(keyint, 2, open_gop=open_gop)
    return (preset, (name, f"{params}:tff=1"))


def x265_hdr(transfer: str) -> tuple[tuple[str, str], ...]:
    """Options of x265 for BT.2020 with the transfer ``smpte2084`` (PQ) or ``arib-std-b67`` (HLG)."""
    tags = f"colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}"
    return (("preset", "ultrafast"), ("x265-params", f"keyint=12:log-level=none:{tags}"))


IRREGULAR = tuple(np.cumsum([0, *np.random.default_rng(7).choice([17, 33, 41, 120], 49)]).tolist())
VIDEOS = {
    "closed gop": Recipe(options=x264(12, 3)),
    "open gop": Recipe(options=x264(12, 3, open_gop=True)),
    "intra only": Recipe(options=x264(1, 0)),
    "one keyframe": Recipe(options=x264(250, 3)),
    "variable rate": Recipe("v.mkv", pts=IRREGULAR, time_base=Fraction(1, 1000), options=x264(10, 2)),
    "variable rate mp4": Recipe(pts=IRREGULAR, time_base=Fraction(1, 1000), options=x264(10, 2)),
    "start offset": Recipe("v.mkv", pts=tuple(range(2500, 4500, 40)), time_base=Fraction(1, 1000), options=x264(8, 2)),
    "transport stream": Recipe("v.ts", options=x264(9, 2)),
    "hevc": Recipe(codec="libx265", options=(("preset", "ultrafast"), ("x265-params", "keyint=12:log-level=0"))),
    "vp9": Recipe("v.webm", codec="libvpx-vp9", size=(97, 63), options=(("g", "15"), ("deadline", "realtime"))),
    "mpeg2": Recipe("v.mpg", codec="mpeg2video", size=(352, 288), options=(("g", "12"), ("bf", "2"), ("qmax", "2"))),
    "odd size": Recipe("v.mkv", codec="ffv1", size=(97, 63), num_frames=20, options=()),
    "ten bits": Recipe(pixel_format="yuv420p10le", options=x264(12, 2)),
    "4:4:4": Recipe(pixel_format="yuv444p", size=(97, 63), options=x264(12, 2)),
    "avi": Recipe("v.avi", codec="mpeg4", options=(("g", "12"), ("bf", "2"))),
    "h264 in avi": Recipe("v.avi", options=x264(12, 3)),
    "raw h264": Recipe("v.h264", options=x264(12, 2)),
    "interlaced": Recipe(options=interlaced(12)),
    "interlaced mpeg2": Recipe(
        "v.ts", codec="mpeg2video", size=(352, 288), options=(("g", "12"), ("bf", "2"), ("flags", "+ildct+ilme"))
    ),
    "pq": Recipe(codec="libx265", pixel_format="yuv420p10le", options=x265_hdr("smpte2084")),
    "hlg": Recipe(codec="libx265", pixel_format="yuv420p10le", options=x265_hdr("arib-std-b67")),
    "rotated": Recipe(rotation=90),
    "with sound": Recipe(audio=True, options=x264(12, 2)),
}


def picture(number: int, size: tuple[int, int]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """``(H, W, 3)`` uint8 RGB that shows ``number``, in a hue of its own."""
    width, height = size
    stripes = np.array([200 if number >> bit & 1 else 50 for bit in range(NUM_STRIPES)], np.uint8)
    row = stripes[np.arange(width) * NUM_STRIPES // width]
    rgb = np.broadcast_to(row[None, :, None], (height, width, 3)).copy()
    rgb[: height // 4] = 128 + np.array([60, -60, 30]) * np.sin(number)
    return rgb


def read_number(luma: "np.ndarray[Any, np.dtype[np.uint8]]") -> int:
    """The number that the luma plane of a decoded picture shows."""
    height, width = luma.shape
    columns = [(2 * bit + 1) * width // (2 * NUM_STRIPES) for bit in range(NUM_STRIPES)]
    level = luma[height * 5 // 8 - 4 : height * 5 // 8 + 4, columns].mean(axis=0)
    return sum(1 << bit for bit in range(NUM_STRIPES) if level[bit] > 125)


def write_video(path: Path, recipe: Recipe, pictures: Callable[[int], Any] | None = None) -> None:
    """Make the video; ``pictures`` gives frame ``i`` as RGB, or its number is drawn."""
    with av.open(str(path), "w", options=dict(recipe.container_options)) as container:
        cover = (
            container.add_stream("mjpeg", rate=25, width=64, height=64, pix_fmt="yuvj420p") if recipe.cover else None
        )
        if cover is not None:
            cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream(recipe.codec, rate=25, options=dict(recipe.options))
        stream.width, stream.height = recipe.size
        stream.pix_fmt = recipe.pixel_format
        stream.codec_context.time_base = recipe.time_base
        if recipe.pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = recipe.pixel_aspect
        if recipe.rotation:
            stream.set_display_rotation(-recipe.rotation)  # FFmpeg counts anticlockwise
        sound = container.add_stream("aac", rate=48000, layout="mono") if recipe.audio else None
        if cover is not None:
            frame = av.VideoFrame.from_ndarray(picture(255, (256, 256)), "rgb24").reformat(format="yuvj420p")
            container.mux(cover.encode(frame))
            container.mux(cover.encode(None))
        for number, pts in enumerate(recipe.stamps):
            pixels = picture(number, recipe.size) if pictures is None else pictures(number)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame = frame.reformat(format=recipe.pixel_format)
            frame.pts, frame.time_base = pts, recipe.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_silence(container, sound, float(recipe.stamps[-1] * recipe.time_base))


def _write_silence(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, round(seconds * 48000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


class Media:
    """The videos, each made when it is first asked for."""

    recipe = Recipe
    videos = VIDEOS
    read_number = staticmethod(read_number)
    picture = staticmethod(picture)
    x264 = staticmethod(x264)
    interlaced = staticmethod(interlaced)

    def __init__(self, folder: Path):
        self._folder = folder
        self._made: dict[Recipe, Path] = {}

    def __call__(self, recipe: str | Recipe, **changes: Any) -> Path:
        """Path of the video of ``recipe``, or of that name in ``VIDEOS``, with ``changes``; never write to it."""
        recipe = replace(VIDEOS[recipe] if isinstance(recipe, str) else recipe, **changes)
        if recipe not in self._made:
            folder = self._folder / str(len(self._made))
            folder.mkdir()
            write_video(folder / recipe.name, recipe)
            self._made[recipe] = folder / recipe.name
        return self._made[recipe]

    def write(self, path: Path, recipe: Recipe, pictures: Callable[[int], Any]) -> Path:
        """A video of other pictures, written now."""
        write_video(path, recipe, pictures)
        return path


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Ctrl-C reaches the tests, and what they start: shells have it ignored by what they run in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def media(tmp_path_factory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def needs_cuda() -> Callable[[], None]:
    """To be called by a test of a CUDA backend: skips where no GPU is, and fails there under DFT_REQUIRE_CUDA=1."""
    from dft.configs.hardware import why_no_cuda

    def check(reason: str | None = None) -> None:
        reason = reason or why_no_cuda()
        if reason and os.environ.get("DFT_REQUIRE_CUDA") == "1":
            pytest.fail(f"DFT_REQUIRE_CUDA=1, but {reason}")
        if reason:
            pytest.skip(reason)

    return check


@dataclass(frozen=True)
class Talk:
    """A video of two portraits with its truth.

    Attributes:
        video: 640 x 360 pixels at 25 fps, a keyframe every 10 frames.
        scene: What was drawn: A left and B right, a close-up of B, both again.
        truth: One row per person and frame.
        cuts: First frame of each shot but the first.
    """

    video: Path
    scene: Any
    truth: tuple[Any, ...]
    cuts: tuple[int, ...]


@pytest.fixture(scope="session")
def talk(tmp_path_factory) -> Talk:
    """Two people talk for 4.4 s in three shots."""
    from dft.render.portraits import eileen_collins, grace_hopper
    from dft.render.scene import Key, Scene, SceneShot

    scene = Scene(
        {"A": grace_hopper, "B": eileen_collins},
        (
            SceneShot(
                2.0,
                {
                    "A": (Key(0, 0.25, 0.42, 0.26), Key(2.0, 0.33, 0.42, 0.28)),
                    "B": (Key(0, 0.74, 0.40, 0.24), Key(2.0, 0.70, 0.42, 0.24)),
                },
                background=1,
            ),
            SceneShot(1.0, {"B": (Key(0, 0.60, 0.42, 0.38), Key(1, 0.58, 0.42, 0.38))}, background=2),
            SceneShot(
                1.4,
                {"A": (Key(0, 0.28, 0.42, 0.26),), "B": (Key(0, 0.72, 0.40, 0.24), Key(1.4, 0.66, 0.40, 0.24))},
                background=1,
            ),
        ),
        width=640,
        height=360,
    )
    return write_talk(tmp_path_factory.mktemp("talk") / "talk.mp4", scene)


def write_talk(path: Path, scene: Any) -> Talk:
    import cv2

    from dft.render.scene import draw

    drawn, truth = [], []
    for image, rows in draw(scene):
        planes = np.concatenate([plane.ravel() for plane in (image.y, image.u, image.v)])
        drawn.append(cv2.cvtColor(planes.reshape(scene.height * 3 // 2, scene.width), cv2.COLOR_YUV2RGB_I420))
        truth += rows
    recipe = Recipe(num_frames=len(drawn), size=(scene.width, scene.height), options=x264(10, 2), audio=True)
    write_video(path, recipe, drawn.__getitem__)
    lengths = [round(shot.seconds * scene.fps) for shot in scene.shots]
    return Talk(path, scene, tuple(truth), tuple(int(cut) for cut in np.cumsum(lengths)[:-1]))
