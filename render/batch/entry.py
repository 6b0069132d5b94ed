"""A video that is to be worked on, as it was meant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
RENDERING_SUFFIX = ".dft.mp4"


@dataclass(frozen=True)
class Entry:
    """A video that is to be worked on.

    Attributes:
        video: The file.
        name: Its results' path within the output folder, without their suffixes.
        priority: Higher ones come first.
        settings: Values of its own, of settings of either pass, by name.
        suffix: Of its rendering.
        where: Manifest and line, to begin an error with; empty for what is in none.
    """

    video: Path
    name: str
    priority: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = RENDERING_SUFFIX
    where: str = ""
