"""The settings of pass two, ``dft render``."""

from dataclasses import dataclass, field
from typing import Any

from .forms import read_colour, read_layout, read_size
from .settings import all_settings, setting

SUBJECTS = ("left", "right", "A", "B", "C", "D")  # whom a tile can follow: a side, or a person on whatever side
OVERRIDABLE = ("zoom", "head_share", "face_level", "still_zone", "smooth_seconds", "absent")
ABSENT_MODES = ("hold", "wide", "blur", "black", "collapse")
COLOUR: dict[str, Any] = {
    "read": read_colour,
    "form": "#rgb, #rrggbb or one of the sixteen colour names of CSS 1",
    "example": "teal",
}


def read_overrides(text: str) -> dict[str, dict[str, Any]]:
    """The settings that have another value for one person or side, by subject and name.

    >>> read_overrides("A:zoom=1.2,absent=wide right:head_share=0.3")
    {'A': {'zoom': 1.2, 'absent': 'wide'}, 'right': {'head_share': 0.3}}

    Raises:
        ValueError: The text has another form, or a value is outside its setting's range.
    """
    made: dict[str, dict[str, Any]] = {}
    for part in text.split():
        subject, _, pairs = part.partition(":")
        if subject not in SUBJECTS:
            raise ValueError(f"{subject!r} is none of {', '.join(SUBJECTS)}")
        made.setdefault(subject, {}).update(_read_override(pair) for pair in pairs.split(","))
    return made


def _read_override(pair: str) -> tuple[str, Any]:
    name, _, value = pair.partition("=")
    if name not in OVERRIDABLE:
        raise ValueError(f"{name!r} is none of {', '.join(OVERRIDABLE)}")
    item = all_settings(RenderSettings)[name]
    try:
        return name, item.check(item.type(value))
    except ValueError:
        raise ValueError(f"{name} cannot be {value!r}, but {item.expected}") from None


@dataclass(frozen=True)
class OutputSettings:
    """The delivered picture."""

    layout: str = setting(
        "side-by-side",
        "How the tiles lie; separate makes a video of each person, pip shows one large and the other in a corner.",
        read=read_layout,
        form="side-by-side, stacked, separate, pip, single or the path of a layout file",
        example="talk.toml",
    )
    size: str | None = setting(
        None,
        "Size of the output; not set means 1920x1080, stacked 1080x1920, separate 960x1080, or the layout file's own.",
        read=read_size,
        form="WIDTHxHEIGHT in even numbers from 64 to 8192",
        example="1280x720",
        unit="pixels",
    )
    follow: str = setting(
        "left", "Whom the layout single shows, and pip shows large: a side or a person.", choices=SUBJECTS
    )
    lone: str = setting(
        "single",
        "For a video of one person only: single gives them the whole canvas, hold keeps a still view in the other "
        "tile; pip and single always do the first, separate and layout files the second.",
        choices=("single", "hold"),
    )
    divider: int = setting(
        0,
        "Width of the lines between tiles, and of the border of the small one in pip.",
        unit="pixels",
        even=True,
        minimum=0,
        maximum=200,
    )
    divider_colour: str = setting("#ffffff", "Colour of these lines.", **COLOUR)
    background: str | None = setting(
        None, "Colour where no tile lies; not set means the layout file's own, or black.", **COLOUR
    )
    pip_corner: str = setting(
        "bottom-right",
        "Where the small tile of pip lies.",
        choices=("top-left", "top-right", "bottom-left", "bottom-right"),
    )
    pip_share: float = setting(
        0.22,
        "Width and height of the small tile of pip, with its border.",
        unit="canvas widths",
        minimum=0.1,
        maximum=0.5,
    )
    pip_margin: float = setting(
        0.02, "Distance of the small tile of pip from the edges.", unit="canvas widths", minimum=0, maximum=0.2
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
        "The camera keeps the face's centre within this distance of its place in the tile, but for brief excursions, "
        "walks (up to 0.6), and where it gives way to the other's face.",
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
    match_heads: bool = setting(True, "Both heads are enlarged where the picture cannot show one as small as wanted.")
    match_eyes: bool = setting(
        True, "Where the picture's edge keeps a face from face_level, the other is shown as high, as far as it can be."
    )
    avoid_other: bool = setting(
        True,
        "A crop gives way to the other person's face by up to 0.6 face heights, and is up to 1.25 times closer where "
        "only that keeps it out.",
    )
    zoom: float = setting(1.0, "Heads are this much larger than head_share says.", minimum=0.2, maximum=5)
    override: str | None = setting(
        None,
        "Other values for one side or person, of " + ", ".join(OVERRIDABLE) + "; a person's go before a side's.",
        read=read_overrides,
        form="NAME:setting=value,... for each of left, right, A to D, separated by spaces",
        example='"A:zoom=1.2,face_level=0.4 right:absent=wide"',
    )


@dataclass(frozen=True)
class AbsenceSettings:
    """What a tile shows while nobody is there to follow."""

    absent: str = setting(
        "hold",
        "The last view as it is, as wide as the tile can be, blurred, or not at all; collapse gives the place to the "
        "other person.",
        choices=ABSENT_MODES,
    )
    absent_left: str | None = setting(
        None, "The same for the left side; not set means as absent says.", choices=ABSENT_MODES
    )
    absent_right: str | None = setting(
        None, "The same for the right side; not set means as absent says.", choices=ABSENT_MODES
    )
    min_absent: float = setting(
        2.0, "During shorter absences the last view is held.", unit="seconds", minimum=0, maximum=600
    )


@dataclass(frozen=True)
class EncodeSettings:
    """Encoding."""

    codec: str = setting("h264", "Codec of the picture: by x264, x265 or SVT-AV1.", choices=("h264", "hevc", "av1"))
    depth: int = setting(8, "Bits per sample.", unit="bits", even=True, minimum=8, maximum=10)
    keep_hdr: bool = setting(
        False,
        "HDR stays HDR (PQ or HLG), in 10 bits, as HEVC where the codec is h264; else it is tone-mapped to SDR.",
    )
    preset: str = setting(
        "medium",
        "Speed of encoding, by x264's names: faster is larger.",
        choices=("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
    )
    crf: int | None = setting(
        None,
        "Constant rate factor: lower is better and larger; not set means 18 for h264, 20 for hevc, 24 for av1.",
        minimum=0,
        maximum=63,
    )
    bitrate: int | None = setting(
        None, "Average bit rate instead of the constant rate factor.", unit="kbit/s", minimum=50, maximum=400000
    )
    encoder_busy: str = setting(
        "x264",
        "When all sessions of a GPU's encoder are at work: encode on the CPU, by x264 (or the codec's own encoder), or "
        "wait for one, for ten minutes at most.",
        choices=("x264", "wait"),
    )
    segment_seconds: float = setting(
        4,
        "Length of the segments that are encoded apart: a stopped rendering goes on after the last finished one, and "
        "after an edit only those are encoded again that it touches.",
        unit="seconds",
        minimum=0.5,
        maximum=600,
    )
    reuse: bool = setting(True, "Take segments that have not changed from the existing output.")
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
class ReviewSettings:
    """What is said of tracks that nobody has reviewed."""

    warn_suspects: float = setting(
        0.5,
        "Warn of moments to review that are more probably wrong than this and neither accepted nor fixed.",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class RenderSettings:
    """All settings of ``dft render``, by stage."""

    output: OutputSettings = field(default_factory=OutputSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    absence: AbsenceSettings = field(default_factory=AbsenceSettings)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)
