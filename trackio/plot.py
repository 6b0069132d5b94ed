"""What a track file holds, in one picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import BackendUnavailableError, SettingError
from .atomic import atomic_output
from .columns import NULL, codes, numbers
from .curves import Curve, centre_curve
from .files import TrackFile
from .metadata import SUSPECT_KINDS
from .schema import INTERPOLATED, ORIGINS, PERSONS, SIDES
from .spans import Sightings, merged
from .timecode import format_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = {".png": "png", ".svg": "svg"}
WIDTH_INCHES, DPI = 14.0, 110

# Okabe and Ito's colours, which colour-blind people can tell apart; the dashes tell them apart in grey, too.
_PERSON_COLOURS = dict(zip(PERSONS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True))
_PERSON_DASHES: dict[str, Any] = dict(zip(PERSONS, ("-", (0, (6, 1.5)), (0, (3, 1)), (0, (6, 1, 1, 1))), strict=True))
_KIND_COLOURS = dict(
    zip(
        SUSPECT_KINDS,
        ("#CC3377", "#882255", "#B8860B", "#117733", "#2288CC", "#332288", "#777777"),
        strict=True,
    )
)
_GREY, _CUT_COLOUR = "#9A9A9A", "#555555"
_BAR = 0.62  # height of a bar in a lane
_LEAST_SHARE = 1 / 400  # of the time axis, so that a suspect of one frame still shows
_TICK_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def plot_tracks(track_file: TrackFile, path: Path, *, overwrite: bool) -> None:
    """Draw where the faces are over time, who is on which side, and what is doubtful.

    Args:
        track_file: The tracks.
        path: A ``.png`` or ``.svg`` file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        SettingError: ``path`` has another suffix.
        BackendUnavailableError: matplotlib is not installed.
        OutputError: The picture cannot be written.
    """
    save_figure(lambda: _draw(track_file), path, overwrite=overwrite)


def save_figure(draw: Callable[[], Figure], path: Path, *, overwrite: bool) -> None:
    """Write what ``draw`` makes as a ``.png`` or ``.svg`` file; see ``plot_tracks``."""
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise SettingError(f"cannot draw {path}", got=f"suffix {path.suffix!r}", expected="one of .png, .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            "plots need matplotlib", got=error, hint="pip install 'dual-face-tracker[plot]'"
        ) from error
    with atomic_output(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        # A file name in a script that the font lacks is drawn as boxes; that is no reason to complain.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        metadata = {"Date": None} if form == "svg" else None
        draw().savefig(temporary, format=form, dpi=DPI, metadata=metadata)


def _draw(track_file: TrackFile) -> Figure:
    """The figure, without pyplot and its global state."""
    from matplotlib.figure import Figure

    metadata = track_file.metadata
    kinds = _kinds(track_file)
    lanes = [len(SIDES) + len(metadata.persons), *([len(kinds)] if kinds else [])]
    heights = [3.6, *(0.32 * count for count in lanes)]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 1.6), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    _draw_positions(panels[0], track_file)
    _draw_lanes(panels[1], track_file)
    if kinds:
        _draw_suspects(panels[2], track_file, kinds)
    for panel in panels:
        _draw_cuts(panel, track_file)
        panel.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels(panels)
    set_time_axis(panels[-1], _end_seconds(track_file))
    video = metadata.video
    panels[0].set_title(
        f"{track_file.path.name}    {video.width} x {video.height}, {float(video.fps):.6g} fps, "
        f"{format_clock(video.duration_seconds)}",
        loc="left",
        fontsize=11,
        parse_math=False,
        pad=26,
    )
    return figure


def _end_seconds(track_file: TrackFile) -> float:
    pts = numbers(track_file.table, "pts")
    last = track_file.metadata.video.seconds(int(pts.max())) if len(pts) else 0.0
    return max(track_file.metadata.video.duration_seconds, last, 1e-3)


def _draw_positions(panel: Axes, track_file: TrackFile) -> None:
    table, metadata = track_file.table, track_file.metadata
    person = codes(table, "person", metadata.persons)
    guessed = False
    for code, name in enumerate(metadata.persons):
        curve = centre_curve(table, person == code, metadata.video)
        _draw_curve(panel, curve, name)
        guessed |= bool(curve.interpolated.any())
    if guessed:
        panel.plot([], [], color="#444444", linewidth=1.3, linestyle=":", alpha=0.7, label="interpolated")
    others = centre_curve(table, person == NULL, metadata.video, by_track=True)
    if len(others.seconds):
        panel.plot(others.seconds, others.middle, color=_GREY, linewidth=0.8, label="other people", zorder=1)
    if len(metadata.shots) > 1:
        upright: dict[str, Any] = {
            "marker": "|",
            "markersize": 12,
            "markeredgewidth": 0.8,
            "linestyle": "none",
        }
        panel.plot([], [], color=_CUT_COLOUR, alpha=0.8, label="cut", **upright)
    panel.set_ylim(-0.02, 1.02)
    panel.set_yticks([0, 0.25, 0.5, 0.75, 1], ["left edge", "0.25", "0.5", "0.75", "right edge"])
    panel.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_ylabel("face centre x / frame width")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="lower left", bbox_to_anchor=(-0.005, 1.0), ncols=8, frameon=False, fontsize=9, handlelength=3)


def _draw_curve(panel: Axes, curve: Curve, name: str) -> None:
    colour = _PERSON_COLOURS[name]
    # The points beside a guessed one belong to both lines, so that they meet.
    near = curve.interpolated.copy()
    near[1:] |= curve.interpolated[:-1]
    near[:-1] |= curve.interpolated[1:]
    if curve.thinned:
        panel.fill_between(curve.seconds, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0, zorder=2)
    style: dict[str, Any] = {"color": colour, "zorder": 3, "solid_capstyle": "butt"}
    dashes = _PERSON_DASHES[name]
    panel.plot(curve.seconds, curve.where(~curve.interpolated), linewidth=1.6, linestyle=dashes, label=name, **style)
    panel.plot(curve.seconds, curve.where(near), linewidth=1.3, linestyle=":", alpha=0.7, **style)


def _draw_lanes(panel: Axes, track_file: TrackFile) -> None:
    table, metadata = track_file.table, track_file.metadata
    person, side = codes(table, "person", metadata.persons), codes(table, "side", SIDES)
    detected = codes(table, "origin", ORIGINS) != ORIGINS.index(INTERPOLATED)
    names = [*(f"{name} side" for name in SIDES), *(f"{name} seen" for name in metadata.persons)]
    for code, name in enumerate(metadata.persons):
        colour = _PERSON_COLOURS[name]
        for lane in range(len(SIDES)):
            spans = _spans(track_file, (person == code) & (side == lane))
            _draw_bars(panel, spans, lane, color=colour)
            _letter(panel, spans, lane, name, _end_seconds(track_file))
        lane = len(SIDES) + code
        _draw_bars(panel, _spans(track_file, person == code), lane, color=colour, alpha=0.35)
        _draw_bars(panel, _spans(track_file, (person == code) & detected), lane, color=colour)
    _set_lanes(panel, names)


def _spans(track_file: TrackFile, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(R, 2)`` start and end in seconds of runs of ``chosen (N,)`` rows, joined where no gap would show."""
    table, video = track_file.table, track_file.metadata.video
    seen = Sightings(numbers(table, "frame_index")[chosen], video.seconds_array(numbers(table, "pts")[chosen]))
    frame_seconds = float(1 / video.fps) if video.fps > 0 else 0.0
    return merged(seen.run_seconds(frame_seconds), _end_seconds(track_file) / 3000)


def _draw_bars(panel: Axes, spans: NDArray[np.float64], lane: int, **style: Any) -> None:
    bars = [(start, end - start) for start, end in spans]
    panel.broken_barh(bars, (lane - _BAR / 2, _BAR), linewidth=0, **style)


def _letter(panel: Axes, spans: NDArray[np.float64], lane: int, name: str, end_seconds: float) -> None:
    for start, end in spans:
        if end - start > 0.025 * end_seconds:
            panel.text((start + end) / 2, lane, name, color="white", ha="center", va="center_baseline", fontsize=8)


def _kinds(track_file: TrackFile) -> list[str]:
    """The kinds of suspects that there are, the known ones first."""
    present = {suspect.kind for suspect in track_file.metadata.suspects}
    return [kind for kind in SUSPECT_KINDS if kind in present] + sorted(present - set(SUSPECT_KINDS))


def _draw_suspects(panel: Axes, track_file: TrackFile, kinds: list[str]) -> None:
    """One lane per kind, so that its name stands beside it and kinds do not cover each other."""
    video = track_file.metadata.video
    least = _end_seconds(track_file) * _LEAST_SHARE
    for lane, kind in enumerate(kinds):
        chosen = [suspect for suspect in track_file.metadata.suspects if suspect.kind == kind]
        starts = np.array([video.seconds(suspect.first_pts) for suspect in chosen])
        ends = np.array([video.seconds(suspect.last_pts) for suspect in chosen])
        short = np.maximum(least - (ends - starts), 0) / 2
        opacity = [0.3 + 0.7 * min(max(suspect.probability, 0.0), 1.0) for suspect in chosen]
        colour = _KIND_COLOURS.get(kind, "#000000")
        _draw_bars(panel, np.stack([starts - short, ends + short], axis=1), lane, color=colour, alpha=opacity)
    _set_lanes(panel, kinds, [_KIND_COLOURS.get(kind, "#000000") for kind in kinds])
    panel.set_ylabel("suspects\n(darker: likelier)" if len(kinds) > 3 else "suspects")


def _set_lanes(panel: Axes, names: Sequence[str], colours: Sequence[str] | None = None) -> None:
    panel.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    for label, colour in zip(panel.get_yticklabels(), colours or [], strict=False):
        label.set_color(colour)


def _draw_cuts(panel: Axes, track_file: TrackFile) -> None:
    video, shots = track_file.metadata.video, track_file.metadata.shots
    times = [video.seconds(shot.first_pts) for shot in shots[1:]]
    alpha = 0.6 if len(times) <= 60 else 0.25
    panel.vlines(
        times,
        0,
        1,
        transform=panel.get_xaxis_transform(),
        color=_CUT_COLOUR,
        linewidth=0.7,
        alpha=alpha,
        zorder=0.5,
    )


def set_time_axis(panel: Axes, end_seconds: float) -> None:
    """Ticks at round times."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    step = next((step for step in _TICK_SECONDS if end_seconds / step <= 14), end_seconds / 10)
    decimals = 0 if step >= 1 else 1
    panel.xaxis.set_major_locator(MultipleLocator(step))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_clock(value, decimals)))
    panel.set_xlim(0, end_seconds)
    panel.set_xlabel("time (h:mm:ss)" if end_seconds >= 3600 else "time (m:ss)")
