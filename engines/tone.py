"""A quiet tone as AAC: the sound of the demo's video."""

from pathlib import Path

import av
import numpy as np

SAMPLE_RATE = 48_000


def write_tone(path: Path, seconds: float, hertz: float = 220.0, level: float = 0.05) -> None:
    """Write ``path`` (its suffix names the container) with one mono AAC track.

    Args:
        path: The file.
        seconds: Its length.
        hertz: Pitch.
        level: Amplitude, 0..1.
    """
    samples = round(seconds * SAMPLE_RATE)
    wave = (level * np.sin(2 * np.pi * hertz / SAMPLE_RATE * np.arange(samples))).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for start in range(0, samples, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
