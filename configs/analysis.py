"""The settings of pass one, ``dft analyze``."""

from dataclasses import dataclass, field

from .settings import setting


@dataclass(frozen=True)
class RuntimeSettings:
    """Where the work runs."""

    device: str = setting(
        "auto",
        "Where to decode and infer; cuda fails where it cannot be had, auto says why it chose the CPU.",
        choices=("auto", "cpu", "cuda"),
    )
    threads: int | None = setting(None, "CPU threads for decoding and inference; not set means all cores.", minimum=1)
    workers: int | None = setting(
        None,
        "Processes that look at parts of the video at once; not set means one, or for a long video on GPUs as many as "
        "keep their decoders busy.",
        minimum=1,
        maximum=64,
    )


@dataclass(frozen=True)
class DetectionSettings:
    """Finding faces in single frames."""

    detector: str = setting("yunet", "Face detector: a known name, or the path of its ONNX file.")
    detect_size: int = setting(
        448,
        "Longer side of the picture that the detector sees; smaller frames are not enlarged.",
        unit="pixels",
        minimum=128,
        maximum=4096,
    )
    closer_size: int = setting(
        896,
        "Longer side of the picture for a second look where main persons may be too small for the first; "
        "not above --detect-size means never.",
        unit="pixels",
        minimum=0,
        maximum=4096,
    )
    batch_size: int | None = setting(
        None, "Frames per call of the detector; not set means 4, or 8 on a GPU.", unit="frames", minimum=1, maximum=8
    )
    max_corrupt: float = setting(
        0.2, "Share of frames that may be missing or damaged before the analysis gives up.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class TrackingSettings:
    """Linking detections of neighbouring frames into tracklets (ByteTrack)."""

    high_score: float = setting(0.6, "Detections from this score on enter the first association.", minimum=0, maximum=1)
    low_score: float = setting(0.3, "Detections from this score on may continue a tracklet.", minimum=0, maximum=1)
    birth_score: float = setting(0.7, "Score that a detection needs to begin a tracklet.", minimum=0, maximum=1)
    match_expand: float = setting(
        0.5, "Boxes are enlarged by this much on each side for matching.", unit="box sizes", minimum=0, maximum=2
    )
    min_overlap: float = setting(0.2, "Least IoU of the enlarged boxes for a match.", minimum=0, maximum=1)
    split_margin: float = setting(
        0.2,
        "A tracklet is split where another continuation overlaps as well to within this; 0 never splits.",
        minimum=0,
        maximum=2,
    )
    max_lost_seconds: float = setting(0.5, "A tracklet unseen for longer ends.", unit="seconds", minimum=0, maximum=10)


@dataclass(frozen=True)
class ShotSettings:
    """Finding cuts from luma thumbnails."""

    cut_level: float = setting(10.0, "Least mean luma change at a cut.", unit="grey levels", minimum=0, maximum=255)
    doubtful_level: float = setting(
        3.0,
        "Least mean luma change that may be a cut between pictures alike; it is one if nobody's track goes on there.",
        unit="grey levels",
        minimum=0,
        maximum=255,
    )
    cut_ratio: float = setting(
        3.0, "Least ratio of the change at a cut to the changes around it.", minimum=1, maximum=100
    )
    cut_window_seconds: float = setting(
        0.5,
        "The changes around a cut are taken within this time on each side.",
        unit="seconds",
        minimum=0.05,
        maximum=10,
    )


@dataclass(frozen=True)
class IdentitySettings:
    """Joining tracklets to persons, and closing gaps."""

    people: int = setting(2, "How many main persons there are.", minimum=1, maximum=4)
    main: str | None = setting(
        None,
        "Who is a main person: x,y@time, separated by spaces; x and y in pixels, or in shares of the frame if both are "
        "below 1; time in seconds or HH:MM:SS.mmm.",
    )
    reid: str = setting(
        "conditional",
        "Which faces are embedded: conditional, where it can decide who is who; always; or off, by place alone.",
        choices=("conditional", "always", "off"),
    )
    embedder: str = setting("dlib", "Face embedder: a known name, or the path of its ONNX file.")
    min_presence_seconds: float = setting(
        0.3, "Somebody seen for less in the whole video is no main person.", unit="seconds", minimum=0, maximum=60
    )
    max_join_seconds: float = setting(
        2.0,
        "Longest time unseen after which motion alone may join two tracklets of a shot.",
        unit="seconds",
        minimum=0,
        maximum=60,
    )
    max_gap_seconds: float = setting(
        1.0, "Gaps up to this long within a shot are interpolated.", unit="seconds", minimum=0, maximum=60
    )


@dataclass(frozen=True)
class SideSettings:
    """Who is left and who is right."""

    assign: str = setting(
        "identity",
        "identity: each person keeps one side; position: the side follows the person's place in the picture.",
        choices=("identity", "position"),
    )
    side_mean_seconds: float = setting(
        1.0, "Time constant of the mean of x that --assign position looks at.", unit="seconds", minimum=0.01, maximum=60
    )
    side_hold_seconds: float = setting(
        0.5, "Least time on a side before --assign position changes it.", unit="seconds", minimum=0, maximum=60
    )
    side_margin: float = setting(
        0.1,
        "Width of the band around the centre in which a side does not change.",
        unit="frame widths",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class ChunkSettings:
    """Checkpoints."""

    chunk_seconds: float = setting(
        20.0,
        "Video is cut into chunks of about this length, at keyframes; each finished chunk is kept.",
        unit="seconds",
        minimum=0.5,
        maximum=3600,
    )


STAGE_TWO = (
    "people", "main", "min_presence_seconds", "max_join_seconds", "max_gap_seconds",
    "assign", "side_mean_seconds", "side_hold_seconds", "side_margin",
)  # fmt: skip
"""Settings that stage 2 alone looks at, so that evidence kept from one analysis can be decided anew with others."""


@dataclass(frozen=True)
class AnalyzeSettings:
    """All settings of ``dft analyze``, by stage."""

    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    shots: ShotSettings = field(default_factory=ShotSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    sides: SideSettings = field(default_factory=SideSettings)
    chunks: ChunkSettings = field(default_factory=ChunkSettings)
