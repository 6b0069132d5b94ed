"""Drawing a two-person video with exact truth from portraits that move over a background."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..engines.cpu.image import YuvImage
from ..engines.protocols import Colour, EncodeOptions
from ..engines.tone import write_tone
from ..engines.writer import VideoWriter
from ..trackio.atomic import atomic_output, check_output
from .portraits import Portrait

SD_COLOUR = Colour(matrix=6, primaries=1, transfer=1)  # OpenCV converts by BT.601
HIDDEN = 0.5  # a face with more than this share covered counts as not visible


@dataclass(frozen=True)
class Key:
    """Where a person is at a moment; between keys the motion eases in and out.

    Attributes:
        seconds: Time from the start of the shot.
        x: Centre of the face, frame widths.
        y: Centre of the face, frame heights.
        size: Height of the face, frame heights.
    """

    seconds: float
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class SceneShot:
    """One shot: who moves where, before which background; later persons hide earlier ones."""

    seconds: float
    paths: Mapping[str, tuple[Key, ...]]
    background: int = 0


@dataclass(frozen=True)
class Scene:
    """A video to be drawn."""

    cast: Mapping[str, Callable[[], Portrait]]
    shots: tuple[SceneShot, ...]
    width: int = 1280
    height: int = 720
    fps: Fraction = Fraction(25)

    @property
    def num_frames(self) -> int:
        """Frames in all shots."""
        return sum(round(shot.seconds * self.fps) for shot in self.shots)


@dataclass(frozen=True)
class TruthRow:
    """Where a person's face is in one frame: displayed pixels, x2 y2 exclusive."""

    frame_index: int
    person: str
    x1: float
    y1: float
    x2: float
    y2: float
    visible: bool


def write_scene(
    scene: Scene, video: Path, *, overwrite: bool = False, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw and encode ``scene``, with a quiet tone as its sound.

    Returns:
        The truth beside the video, ``name.truth.parquet``: one row per person and frame (see :class:`TruthRow`).

    Raises:
        OutputError: The video or the truth cannot be written.
        BackendUnavailableError: The portraits are not installed.
    """
    video.parent.mkdir(parents=True, exist_ok=True)
    truth_path = video.with_suffix(".truth.parquet")
    for path in (video, truth_path):
        check_output(path, overwrite=overwrite)
    options = EncodeOptions(
        scene.width, scene.height, 1 / scene.fps, scene.fps, SD_COLOUR, preset="veryfast", crf=20
    )  # fmt: skip
    truth: list[TruthRow] = []
    with TemporaryDirectory() as folder, atomic_output(video, overwrite=overwrite) as unfinished:
        sound = Path(folder) / "tone.m4a"
        write_tone(sound, float(scene.num_frames / scene.fps))
        with VideoWriter(unfinished, options, sound) as encoder:
            for frame_index, (picture, rows) in enumerate(draw(scene)):
                encoder.write(picture, frame_index)
                truth += rows
                if progress is not None:
                    progress(frame_index + 1, scene.num_frames)
            encoder.finish()
    with atomic_output(truth_path, overwrite=overwrite) as unfinished:
        pq.write_table(pa.Table.from_pylist([vars(row) for row in truth]), unfinished)
    return truth_path


def draw(scene: Scene) -> Iterator[tuple[YuvImage, list[TruthRow]]]:
    """Each frame of ``scene`` with its truth."""
    first = 0
    for shot in scene.shots:
        backdrop = _background(scene.width, scene.height, shot.background)
        for step in range(round(shot.seconds * scene.fps)):
            places = {name: _place(keys, float(step / scene.fps)) for name, keys in shot.paths.items()}
            canvas, boxes = backdrop.copy(), {}
            for name, place in places.items():
                boxes[name] = _paste(canvas, scene.cast[name](), place)
            yield _to_yuv(canvas), _truth(first + step, boxes, scene)
        first += round(shot.seconds * scene.fps)


def _place(keys: tuple[Key, ...], seconds: float) -> tuple[float, float, float]:
    """x, y and size at a moment, with a slight nod."""
    times = [key.seconds for key in keys]
    after = min(int(np.searchsorted(times, seconds, side="right")), len(keys) - 1)
    start, end = keys[max(after - 1, 0)], keys[after]
    share = (
        1.0
        if end.seconds <= start.seconds
        else np.clip((seconds - start.seconds) / (end.seconds - start.seconds), 0, 1)
    )
    share = share * share * (3 - 2 * share)
    x, y, size = (getattr(start, f) * (1 - share) + getattr(end, f) * share for f in ("x", "y", "size"))
    nod = 0.03 * size * np.sin(2 * np.pi * (0.4 * seconds + 0.37 * keys[0].x))
    return x, y + nod, size


def _paste(
    canvas: NDArray[np.float32], portrait: Portrait, place: tuple[float, float, float]
) -> tuple[float, float, float, float]:
    """Put a portrait onto the canvas; returns its face box there."""
    height, width = canvas.shape[:2]
    x, y, size = place[0] * width, place[1] * height, place[2] * height
    x1, y1, x2, y2 = portrait.face_xyxy
    scale = size / (y2 - y1)
    shift = np.array([x - scale * (x1 + x2) / 2, y - scale * (y1 + y2) / 2])
    matrix = np.column_stack([np.eye(2) * scale, shift])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    layer = cv2.warpAffine(portrait.pixels, matrix, (width, height), flags=flags)
    opacity = layer[..., 3:]
    canvas *= 1 - opacity
    canvas += layer[..., :3] * opacity
    return tuple(float(v * scale + shift[i % 2]) for i, v in enumerate((x1, y1, x2, y2)))  # type: ignore[return-value]


def _truth(frame_index: int, boxes: dict[str, tuple[float, float, float, float]], scene: Scene) -> list[TruthRow]:
    rows, names = [], list(boxes)
    for order, name in enumerate(names):
        x1, y1, x2, y2 = boxes[name]
        inside = _shared(boxes[name], (0.0, 0.0, scene.width, scene.height))
        hidden = max((_shared(boxes[name], boxes[above]) for above in names[order + 1 :]), default=0.0)
        visible = inside - hidden >= HIDDEN * (x2 - x1) * (y2 - y1)
        rows.append(TruthRow(frame_index, name, x1, y1, x2, y2, bool(visible)))
    return rows


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _background(width: int, height: int, seed: int) -> NDArray[np.float32]:
    """``(H, W, 3)`` float32 BGR: a wall with soft light and a little colour, another for each seed."""
    random = np.random.default_rng(seed)
    light = random.uniform(60, 140, (4, 6, 1)) + random.uniform(-14, 14, (1, 1, 3))
    soft = cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft, 0, 255)


def _to_yuv(canvas: NDArray[np.float32]) -> YuvImage:
    height, width = canvas.shape[:2]
    planes = np.asarray(cv2.cvtColor(np.clip(canvas, 0, 255).astype(np.uint8), cv2.COLOR_BGR2YUV_I420), np.uint8)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return YuvImage(planes[:height], chroma[0], chroma[1], SD_COLOUR)
