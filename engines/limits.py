"""This machine's own limits, which a pass is measured against: decoding alone, and a plain transcode."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from .cpu.encode import LIBRARIES, library_options
from .cpu.image import PIXEL_FORMATS
from .foreign import reading
from .probe import open_video
from .protocols import EncodeOptions

Crop = tuple[int, int, int, int]
"""x, y, width, height in pixels of the coded picture."""


def decode_fps(video: Path, threads: int | None = None) -> float:
    """Frames per second of decoding ``video`` and nothing else.

    Raises:
        VideoError: The file cannot be read.
    """
    started, frames = time.perf_counter(), 0
    container, stream = open_video(video)
    with container, reading(video):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads or 0
        for _ in container.decode(stream):
            frames += 1
    return frames / (time.perf_counter() - started)


def transcode_fps(video: Path, output: Path, crops: Sequence[Crop], options: EncodeOptions) -> float:
    """Frames per second of a plain transcode: PyAV decode -> crop, scale, hstack filter graph -> encode.

    Args:
        video: Input.
        output: Written, for the caller to delete.
        crops: One per tile, side by side.
        options: Size, preset and rate of the output.

    Raises:
        VideoError: The input cannot be read.
    """
    started, frames = time.perf_counter(), 0
    container, stream = open_video(video)
    with container, reading(video), av.open(str(output), "w") as target:
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = options.threads or 0
        graph = _split_screen(stream, crops, options)
        encoder = _encoder(target, options)
        for picture in container.decode(stream):
            graph.push(picture)
            tiled: Any = graph.pull()
            tiled.pict_type = 0
            target.mux(encoder.encode(tiled))
            frames += 1
        target.mux(encoder.encode(None))
    return frames / (time.perf_counter() - started)


def _split_screen(stream: Any, crops: Sequence[Crop], options: EncodeOptions) -> Graph:
    graph = Graph()
    source = graph.add_buffer(template=stream, time_base=stream.time_base)
    split = graph.add("split", str(len(crops)))
    stack = graph.add("hstack", f"inputs={len(crops)}") if len(crops) > 1 else graph.add("null")
    source.link_to(split)
    for place, (x, y, width, height) in enumerate(crops):
        crop = graph.add("crop", f"{width}:{height}:{x}:{y}")
        scale = graph.add("scale", f"{options.width // len(crops)}:{options.height}")
        split.link_to(crop, place, 0)
        crop.link_to(scale)
        scale.link_to(stack, 0, place)
    pixels, sink = graph.add("format", PIXEL_FORMATS[options.depth]), graph.add("buffersink")
    stack.link_to(pixels)
    pixels.link_to(sink)
    graph.configure()
    return graph


def _encoder(target: Any, options: EncodeOptions) -> Any:
    encoder = target.add_stream(LIBRARIES[options.codec], rate=options.fps, options=library_options(options))
    encoder.width, encoder.height, encoder.pix_fmt = options.width, options.height, PIXEL_FORMATS[options.depth]
    encoder.codec_context.time_base = options.time_base
    encoder.codec_context.thread_count = options.threads or 0
    if options.bitrate is not None:
        encoder.bit_rate = options.bitrate
    return encoder
