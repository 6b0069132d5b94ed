"""The video under analysis, as far as stage 2 needs it: kept beside the evidence, so that no video is needed again."""

import json
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import EvidenceError
from ..configs.version import VERSION
from ..engines.devices import DeviceChoice
from ..engines.protocols import FrameIndex, VideoInfo
from ..engines.weights import ModelFile
from ..trackio.atomic import atomic_output
from .chunks import Chunk

FILE = "source.npz"


@dataclass(frozen=True)
class Source:
    """Facts of the video, and what looked at it.

    Attributes:
        path: The video, for messages.
        width: Displayed width in pixels.
        height: Displayed height in pixels.
        rotation: Clockwise degrees from the coded to the displayed picture.
        time_base: Seconds per unit of pts.
        fps: Average frames per second.
        index: Every frame.
        sha256: Fingerprint of the file.
        detector: Name and SHA-256 of the detector's weights.
        device: Where stage 1 ran.
    """

    path: Path
    width: int
    height: int
    rotation: int
    time_base: Fraction
    fps: Fraction
    index: FrameIndex
    sha256: str
    detector: tuple[str, str]
    device: DeviceChoice

    @classmethod
    def of(cls, info: VideoInfo, index: FrameIndex, sha256: str, model: ModelFile, device: DeviceChoice) -> "Source":
        """From what the engines know."""
        return cls(
            info.path, info.width, info.height, info.rotation, info.time_base, info.fps, index, sha256,
            (model.name, model.sha256), device,
        )  # fmt: skip

    def times_seconds(self) -> NDArray[np.float64]:
        """``(N,)`` float64 seconds of every frame from the first."""
        return np.asarray(self.index.pts - self.index.pts[0], np.float64) * float(self.time_base)

    def evidence_key(self, settings: AnalyzeSettings) -> dict[str, Any]:
        """What the evidence of stage 1 depends on."""
        groups = (settings.detection, settings.tracking, settings.shots, settings.chunks)
        values = {f.name: getattr(group, f.name) for group in groups for f in fields(group)}
        identity = settings.identity
        values.update(reid=identity.reid, embedder=identity.embedder, people=identity.people)
        return {"version": VERSION, "video": self.sha256, "model": self.detector[1], **values}

    def save(self, folder: Path, chunks: list[Chunk]) -> None:
        """Keep it in ``folder``, with the chunks of its evidence.

        Raises:
            OutputError: The folder cannot be written.
        """
        facts = {
            "path": str(self.path), "width": self.width, "height": self.height, "rotation": self.rotation,
            "time_base": str(self.time_base), "fps": str(self.fps), "sha256": self.sha256, "detector": self.detector,
            "device": [self.device.kind, self.device.why], "ended_early": self.index.ended_early,
            "end_pts": self.index.end_pts, "seekable": self.index.seekable,
        }  # fmt: skip
        with atomic_output(folder / FILE, overwrite=True) as path, path.open("wb") as file:
            np.savez(
                file, facts=np.array(json.dumps(facts)), pts=self.index.pts, keyframe=self.index.keyframe,
                packet_pts=() if self.index.packet_pts is None else self.index.packet_pts,
                chunks=np.array([(c.first, c.end) for c in chunks], np.int64).reshape(-1, 2),
            )  # fmt: skip

    @classmethod
    def load(cls, folder: Path) -> tuple["Source", list[Chunk]]:
        """What :meth:`save` kept.

        Raises:
            EvidenceError: It is not there, or damaged.
        """
        try:
            with (folder / FILE).open("rb") as file, np.load(file) as arrays:
                facts = json.loads(str(arrays["facts"]))
                carried = arrays.get("packet_pts", ())
                index = FrameIndex(
                    arrays["pts"], arrays["keyframe"], facts["end_pts"], facts["seekable"], facts["ended_early"],
                    carried if len(carried) else None,
                )  # fmt: skip
                chunks = [Chunk(i, int(first), int(end)) for i, (first, end) in enumerate(arrays["chunks"])]
            name, sha256 = facts["detector"]
            return cls(
                Path(facts["path"]), facts["width"], facts["height"], facts["rotation"], Fraction(facts["time_base"]),
                Fraction(facts["fps"]), index, facts["sha256"], (name, sha256), DeviceChoice(*facts["device"]),
            ), chunks  # fmt: skip
        except FileNotFoundError as error:
            raise EvidenceError(
                f"there is no evidence in {folder}", hint="run dft analyze with --keep-evidence, or name it: --evidence"
            ) from error
        except Exception as error:  # numpy, zip and JSON have no common base
            raise EvidenceError(
                f"evidence in {folder} is damaged", got=error, hint="run dft analyze with --keep-evidence again"
            ) from error
