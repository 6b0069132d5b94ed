"""``dft bench``: both passes against this machine's own limits, measured in one run.

Each pass runs as its own ``dft`` process, so that its peak memory is its own; the limits are measured in this one.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..configs.errors import DftError, EngineError
from ..configs.rendering import RenderSettings
from ..configs.settings import all_settings, as_values
from ..engines.devices import (
    DeviceChoice,
    choose_device,
    encoder_rungs,
    finish,
    open_compositor,
    open_decoder,
    open_encoder,
)
from ..engines.limits import Crop, decode_fps, transcode_fps
from ..engines.prefetch import prefetch
from ..engines.probe import probe, scan
from ..engines.protocols import EncodeOptions, Encoder, VideoInfo
from ..trackio.files import read_tracks
from .camera.plan import CameraPlan, plan
from .encoding import DECODED_AHEAD
from .pipeline import encode_options

COMPOSED_RUNS, RUN_FRAMES = 8, 30
KEPT_CANVASES, ENCODE_SECONDS = 40, 5.0
STAGES = ("plan", "decode", "compose", "encode", "finish", "wait", "mux", "check")


@dataclass(frozen=True)
class BenchReport:
    """Speeds in frames per second, shares of the limit, and memory.

    Attributes:
        frames: Frames of the video.
        device: Where both passes ran.
        decode_fps: Decoding alone, on that device.
        analyze_fps: ``dft analyze``, as a whole.
        analyze_share: Its share of ``decode_fps``.
        faces: Faces that were detected.
        embedded: Faces that were embedded, to tell who they are.
        reid_share: Share of the analysis that cutting and embedding faces took, with loading the embedder.
        transcode_fps: Plain decode, crop, scale, hstack, x264, at the settings and crops of the rendering.
        render_fps: ``dft render``, as a whole.
        render_share: Its share of ``transcode_fps``.
        compose_fps: Decoding and composing, with the encoder taken out.
        compose_share: Its share of ``decode_fps``.
        encode_fps: The encoder alone, of canvases that lie in memory.
        encode_share: The rendering's share of that.
        compose_ms: Composing one frame, alone: core time on one core, or the time until a GPU is done; the median over
            the video.
        compose_ms_p95: Its 95th percentile.
        peak_rss_mb: Largest resident memory of either pass, 10^6 bytes.
        stages: Milliseconds per frame that each stage of the rendering worked: side by side ``decode``, ``compose``,
            ``encode`` and ``finish`` (the end of a segment, beside the next one), and what the encoder had to ``wait``
            for the others; before and after them ``plan``, ``mux`` and ``check``.
    """

    frames: int
    device: str
    decode_fps: float
    analyze_fps: float
    analyze_share: float
    faces: int
    embedded: int
    reid_share: float
    transcode_fps: float
    render_fps: float
    render_share: float
    compose_fps: float
    compose_share: float
    encode_fps: float
    encode_share: float
    compose_ms: float
    compose_ms_p95: float
    peak_rss_mb: float
    stages: dict[str, float]

    def as_text(self) -> str:
        """A table for people."""
        of = "of core time" if self.device == "cpu" else "until the GPU is done"
        return "\n".join(
            [
                f"decode only  {self.decode_fps:8.1f} frames/s   on {self.device}",
                f"analyze      {self.analyze_fps:8.1f} frames/s   {self.analyze_share:.2f} of decode only",
                f"ReID         {self.embedded:8,} of {self.faces:,} faces   {self.reid_share:.3f} of the analysis",
                f"transcode    {self.transcode_fps:8.1f} frames/s",
                f"render       {self.render_fps:8.1f} frames/s   {self.render_share:.2f} of the plain transcode",
                f"  of which   {self._breakdown()}",
                f"no encoder   {self.compose_fps:8.1f} frames/s   {self.compose_share:.2f} of decode only",
                f"encode only  {self.encode_fps:8.1f} frames/s   render is {self.encode_share:.2f} of it",
                f"compose      {self.compose_ms:8.2f} ms {of}, 95 % within {self.compose_ms_p95:.2f} ms",
                f"peak memory  {self.peak_rss_mb:8.0f} MB over {self.frames} frames",
            ]
        )

    def _breakdown(self) -> str:
        return ", ".join(f"{stage} {taken:.2f}" for stage, taken in self.stages.items()) + " ms a frame"


def bench(video: Path, settings: RenderSettings, repeat: int = 1) -> BenchReport:
    """Measure both passes on ``video``.

    Args:
        video: Should be long enough for start-up to matter little: 20 s or more.
        settings: Of the rendering, and of the transcode that it is compared with.
        repeat: Rounds; limits and passes take turns, and each figure is the median of its rounds.

    Raises:
        DftError: A pass fails; the message is its own.
    """
    with TemporaryDirectory(prefix="dft-bench-") as folder:
        rounds = [_round(video, settings, Path(folder)) for _ in range(repeat)]
    middle = {name: float(np.median([r[name] for r in rounds])) for name in rounds[0]}
    return BenchReport(
        frames=int(middle["frames"]),
        device=choose_device(settings.encode.device).kind,
        decode_fps=round(middle["decode"], 2),
        analyze_fps=round(middle["analyze"], 2),
        analyze_share=round(float(np.median([r["analyze"] / r["decode"] for r in rounds])), 3),
        faces=int(middle["faces"]),
        embedded=int(middle["embedded"]),
        reid_share=round(middle["reid_share"], 3),
        transcode_fps=round(middle["transcode"], 2),
        render_fps=round(middle["render"], 2),
        render_share=round(float(np.median([r["render"] / r["transcode"] for r in rounds])), 3),
        compose_fps=round(middle["composing"], 2),
        compose_share=round(float(np.median([r["composing"] / r["decode"] for r in rounds])), 3),
        encode_fps=round(middle["encoding"], 2),
        encode_share=round(float(np.median([r["render"] / r["encoding"] for r in rounds])), 3),
        compose_ms=round(middle["compose"], 2),
        compose_ms_p95=round(middle["compose p95"], 2),
        peak_rss_mb=max(r["memory"] for r in rounds),
        stages={stage: round(middle[f"stage {stage}"], 3) for stage in STAGES},
    )


def _round(video: Path, settings: RenderSettings, folder: Path) -> dict[str, float]:
    """One measurement of everything, in frames per second and MB."""
    tracks, output = folder / "bench.tracks.parquet", folder / "bench.mp4"
    device, info = choose_device(settings.encode.device), probe(video)
    decoding = _decode_fps(video, settings, device)
    analysis = _dft("analyze", video, "-o", tracks, "--overwrite", "--device", device.kind)
    camera = _camera(video, tracks, info, settings)
    options = encode_options(camera.canvas, info, settings.encode)
    transcoding = transcode_fps(video, folder / "transcode.mp4", _coded_crops(camera, info), options)
    composing, canvases = _composing(video, camera, settings, device)
    encoding = _encode_fps(folder / "encode.mp4", options, device, canvases)
    composed = _compose_ms(video, camera, device)
    rendering = _dft("render", video, tracks, "-o", output, "--overwrite", *_flags(settings), "--no-reuse")
    return {
        "frames": analysis["frames"],
        "decode": decoding,
        "analyze": analysis["fps"],
        "faces": analysis["faces"],
        "embedded": analysis["embedded"],
        "reid_share": analysis["reid_seconds"] / analysis["seconds"],
        "transcode": transcoding,
        "render": rendering["fps"],
        "composing": composing,
        "encoding": encoding,
        "compose": float(np.median(composed)),
        "compose p95": float(np.percentile(composed, 95)),
        "memory": max(analysis["peak_rss_mb"], rendering["peak_rss_mb"]),
        **{f"stage {stage}": rendering["stages"].get(stage, 0.0) * 1000 / rendering["frames"] for stage in STAGES},
    }


def _decode_fps(video: Path, settings: RenderSettings, device: DeviceChoice) -> float:
    """Frames per second of decoding alone: FFmpeg's own speed on the CPU, our decoder's on a GPU."""
    if device.kind == "cpu":
        return decode_fps(video, settings.encode.threads)
    with open_decoder(video, device) as decoder:
        started, frames = time.perf_counter(), sum(1 for _ in decoder.frames())
        return frames / (time.perf_counter() - started)


def _composing(
    video: Path, camera: CameraPlan, settings: RenderSettings, device: DeviceChoice
) -> tuple[float, list[Any]]:
    """Frames per second of decoding and composing, and the canvases of frames from the middle on."""
    kept: list[Any] = []
    with (
        open_decoder(video, device, settings.encode.threads) as decoder,
        open_compositor(device, camera.canvas) as compositor,
    ):
        for frame in decoder.frames(len(camera) // 2, len(camera) // 2 + KEPT_CANVASES):
            kept.append(compositor.compose(frame.image, camera.tiles(frame.frame_index)))
        started, frames = time.perf_counter(), 0
        with prefetch(decoder.frames(), DECODED_AHEAD) as decoded:
            for frame in decoded:
                compositor.compose(frame.image, camera.tiles(frame.frame_index))
                frames += 1
        return frames / (time.perf_counter() - started), kept


def _encode_fps(path: Path, options: EncodeOptions, device: DeviceChoice, canvases: Sequence[Any]) -> float:
    """Frames per second of encoding ``canvases``, there and back again, with the end of the file."""
    order = [*range(len(canvases)), *range(len(canvases) - 2, 0, -1)]
    step = round(1 / (options.fps * options.time_base))
    started, frames = time.perf_counter(), 0
    with _best_encoder(path, options, device) as encoder:
        while time.perf_counter() - started < ENCODE_SECONDS:
            encoder.write(canvases[order[frames % len(order)]], frames * step)
            frames += 1
        encoder.finish()
    return frames / (time.perf_counter() - started)


def _best_encoder(path: Path, options: EncodeOptions, device: DeviceChoice) -> Encoder:
    *better, last = encoder_rungs(device)
    for rung in better:
        with suppress(EngineError):
            return open_encoder(path, options, device, rung)
    return open_encoder(path, options, device, last)


def _compose_ms(video: Path, camera: CameraPlan, device: DeviceChoice) -> list[float]:
    """Milliseconds of composing single frames, in runs spread over the video: of core time, or until a GPU is done."""
    import cv2

    clock = time.thread_time if device.kind == "cpu" else time.perf_counter
    threads, taken = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    try:
        with open_decoder(video, device) as decoder, open_compositor(device, camera.canvas) as compositor:
            for start in np.linspace(0, max(len(camera) - RUN_FRAMES, 0), COMPOSED_RUNS).astype(int).tolist():
                for frame in decoder.frames(start, start + RUN_FRAMES):
                    tiles = camera.tiles(frame.frame_index)
                    finish(device)
                    begun = clock()
                    compositor.compose(frame.image, tiles)
                    finish(device)
                    taken.append((clock() - begun) * 1000)
    finally:
        cv2.setNumThreads(threads)
    return taken


def _dft(*arguments: str | Path) -> dict[str, Any]:
    """Run a command of dft in a process of its own and return its JSON result."""
    command = [sys.executable, "-m", "dft", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DftError(message.removeprefix("dft: error: "))
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _flags(settings: RenderSettings) -> Iterator[str]:
    known = all_settings(RenderSettings)
    for name, value in as_values(settings).items():
        flag = known[name].flag
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif value is not None:
            yield from (flag, str(value))


def _camera(video: Path, tracks: Path, info: VideoInfo, settings: RenderSettings) -> CameraPlan:
    file = read_tracks(tracks)
    return plan(file.table, file.metadata, settings, scan(video).pts, pixel_aspect=info.pixel_aspect)


def _coded_crops(camera: CameraPlan, info: VideoInfo) -> Sequence[Crop]:
    """The crop of each tile in the middle of the video, for a filter graph, which knows no rotation."""
    if info.rotation:
        raise EngineError(
            f"{info.path} is rotated by {info.rotation} degrees", hint="bench needs a video without rotation"
        )
    crops = []
    for view in camera.views:
        path = view.crops_xyxy
        x1, y1, x2, y2 = (int(v) // 2 * 2 for v in np.round(path[len(path) // 2]))
        crops.append((x1, y1, x2 - x1, y2 - y1))
    return crops
