"""Pieces of a video's sound as WAV, for a page that plays it beside the pictures."""

import io
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .foreign import UNREADABLE, reading

MAX_CHANNELS = 2
EARLIER_SECONDS = 0.5  # decoders need some packets before they are in step


def has_sound(path: Path) -> bool:
    """Whether a video has an audio track.

    Raises:
        VideoError: The file cannot be read.
    """
    with reading(path), av.open(str(path), metadata_errors="ignore") as container:
        return len(container.streams.audio) > 0


def wav(path: Path, start_seconds: float, seconds: float) -> bytes | None:
    """A piece of the first audio track: 16 bits, in its own sampling rate, mono or stereo.

    Args:
        path: The video.
        start_seconds: Where it begins, by the file's own time stamps.
        seconds: How long it is; silence fills what the track does not have.

    Returns:
        A WAV file; None if there is no audio track.

    Raises:
        VideoError: The file cannot be read.
    """
    with reading(path), av.open(str(path), metadata_errors="ignore") as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        rate, channels = stream.rate, min(stream.channels, MAX_CHANNELS)
        samples = np.zeros((round(seconds * rate), channels), np.int16)
        seek = max(start_seconds - EARLIER_SECONDS, 0.0)
        container.seek(int(seek * av.time_base), backward=True, any_frame=False)
        resampler = av.AudioResampler(format="s16", layout="mono" if channels == 1 else "stereo", rate=rate)
        _fill(samples, container.decode(stream), resampler, start_seconds)
    return _as_wav(samples, rate)


def _fill(samples: NDArray[np.int16], frames: Any, resampler: Any, start_seconds: float) -> None:
    """Put decoded frames where they belong in ``samples (N, C)``, to its end or to where the sound ends."""
    try:
        for frame in frames:
            for part in resampler.resample(frame):
                at = round((float(part.pts * part.time_base) - start_seconds) * part.sample_rate)
                if at >= len(samples):
                    return
                values = part.to_ndarray().reshape(-1, samples.shape[1])
                skipped = max(-at, 0)
                fits = values[skipped : len(samples) - at]
                samples[at + skipped : at + skipped + len(fits)] = fits
    except UNREADABLE:
        return  # what follows is damaged, and silent


def _as_wav(samples: NDArray[np.int16], rate: int) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(samples.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return made.getvalue()
