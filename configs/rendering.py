"""The settings of pass two, ``dft render``."""

from dataclasses import dataclass, field

from .settings import setting


@dataclass(frozen=True)
class OutputSettings:
    """The delivered picture."""

    width: int = setting(1920, "Width of the output.", unit="pixels", even=True, minimum=64, maximum=8192)
    height: int = setting(1080, "Height of the output.", unit="pixels", even=True, minimum=64, maximum=8192)
    lone: str = setting(
        "single",
        "For a video of one person only: single gives the whole picture, hold keeps a still view in the other tile.",
        choices=("single", "hold"),
    )


@dataclass(frozen=True)
class CameraSettings:
    """The virtual camera: what each tile shows."""

    head_share: float = setting(
        0.36, "Height of the face box in the tile.", unit="tile heights", minimum=0.05, maximum=0.95
    )
    face_level: float = setting(
        0.42, "Height of the face's centre in the tile, from the top.", unit="tile heights", minimum=0.1, maximum=0.9
    )
    still_zone: float = setting(
        0.25,
        "The camera keeps the face's centre within this distance of its place in the tile, but for brief excursions.",
        unit="face heights",
        minimum=0,
        maximum=2,
    )
    smooth_seconds: float = setting(
        0.8,
        "Time constant of the camera's motion where it must move; excursions shorter than this are not followed.",
        unit="seconds",
        minimum=0.05,
        maximum=10,
    )


@dataclass(frozen=True)
class EncodeSettings:
    """Encoding."""

    preset: str = setting(
        "medium",
        "x264 preset: faster is larger.",
        choices=("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
    )
    crf: int = setting(18, "x264 constant rate factor: lower is better and larger.", minimum=0, maximum=51)
    bitrate: int | None = setting(
        None, "Average bit rate instead of the constant rate factor.", unit="kbit/s", minimum=50, maximum=400000
    )
    audio: str = setting(
        "all", "Which audio tracks of the input are kept, copied as they are.", choices=("none", "first", "all")
    )
    device: str = setting(
        "auto",
        "Where to decode, compose and encode; cuda fails where it cannot be had, auto says why it chose the CPU.",
        choices=("auto", "cpu", "cuda"),
    )
    threads: int | None = setting(None, "CPU threads for decoding and encoding; not set means all cores.", minimum=1)


@dataclass(frozen=True)
class RenderSettings:
    """All settings of ``dft render``, by stage."""

    output: OutputSettings = field(default_factory=OutputSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
