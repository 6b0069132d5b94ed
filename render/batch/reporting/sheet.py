"""Stills of finished videos, for the summary."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ....engines.devices import DeviceChoice, open_decoder
from ....engines.stills.jpeg import whole_jpeg
from ....engines.stills.reader import FOR_EYES

NUM_STILLS = 4
WIDTH = 360  # pixels


def write_stills(videos: Sequence[Path], folder: Path) -> None:
    """Write stills of each video, from as many equal parts of it the middle frame, as ``0-0.jpg`` and so on.

    Args:
        videos: Finished videos.
        folder: Is made, in place of an older one.

    Raises:
        VideoError: A video cannot be read.
        OSError: The folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, video in enumerate(videos):
        with open_decoder(video, DeviceChoice("cpu", "for stills"), threads=1, picture=FOR_EYES) as decoder:
            length = len(decoder.index)
            for part in range(NUM_STILLS):
                wanted = (2 * part + 1) * length // (2 * NUM_STILLS)
                for frame in decoder.frames(wanted, wanted + 1):
                    (folder / f"{number}-{part}.jpg").write_bytes(whole_jpeg(frame.image, decoder.info, WIDTH))


def read_stills(folder: Path) -> list[bytes]:
    """The stills in a folder, in order."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
