"""How the camera follows a face, in one picture: its path and its acceleration, beside those of two usual ways."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...trackio.plot import WIDTH_INCHES, save_figure, set_time_axis
from .faces import NOBODY
from .framing import Framing, Shape, Stretch, axes, quantised
from .metrics import Study
from .pairing import Company, clear_ranges
from .plan import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]

# Okabe and Ito's colours, which colour-blind people can tell apart
_STYLES: dict[str, dict[str, Any]] = {
    "Savitzky-Golay": {"color": "#E69F00", "linewidth": 0.9},
    "dead zone": {"color": "#009E73", "linewidth": 0.9},
    "dft": {"color": "#0072B2", "linewidth": 1.8},
}
_FACE, _TUBE = "#444444", "#0072B2"
_SHARE_SHOWN = 99.0  # percentile of the accelerations that the panel is high enough for


def plot_plan(studied: Study, path: Path, *, overwrite: bool) -> None:
    """Draw where the crops' centres are on x over time, and how they accelerate.

    Args:
        studied: The plan.
        path: A ``.png`` or ``.svg`` file.
        overwrite: Whether an existing file may be replaced.

    Raises:
        SettingError: ``path`` has another suffix.
        BackendUnavailableError: matplotlib is not installed.
        OutputError: The picture cannot be written.
    """
    save_figure(lambda: _draw(studied), path, overwrite=overwrite)


def _draw(studied: Study) -> Figure:
    from matplotlib.figure import Figure

    plans = {**studied.usual(), "dft": studied.camera}
    numbers = [number for number, view in enumerate(studied.camera.views) if view.face is not None]
    figure = Figure(figsize=(WIDTH_INCHES, 4.2 * len(numbers) + 0.8), layout="constrained")
    panels = figure.subplots(2 * len(numbers), 1, sharex=True, height_ratios=[2.4, 1.2] * len(numbers))
    for number, above, below in zip(numbers, panels[::2], panels[1::2], strict=True):
        _draw_view(above, below, {name: plan.views[number] for name, plan in plans.items()}, studied)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        panel.set_axisbelow(True)
    figure.align_ylabels(panels)
    panels[0].legend(
        loc="lower left", bbox_to_anchor=(-0.005, 1.0), ncols=8, frameon=False, fontsize=9, handlelength=3
    )  # fmt: skip
    panels[0].set_title(f"{studied.tracks}: centre of the crop", loc="left", fontsize=11, parse_math=False, pad=26)
    set_time_axis(panels[-1], max(float(studied.times_seconds[-1]), 1e-3))
    return figure


def _draw_view(above: Axes, below: Axes, views: dict[str, View], studied: Study) -> None:
    own, times = views["dft"], studied.times_seconds
    face = own.face
    if face is None:
        raise AssertionError("only views that follow a face are drawn")
    unit, highest = float(np.nanmedian(face.height)), 0.0
    low, high = _tube(own, studied)
    above.fill_between(times, low / unit, high / unit, color=_TUBE, alpha=0.15, linewidth=0, label="tube")
    above.plot(times, face.centre_x / unit, color=_FACE, linewidth=0.8, linestyle=":", label="face")
    for name, view in views.items():
        centre = (view.crops_xyxy[:, 0] + view.crops_xyxy[:, 2]) / 2 / unit
        for number, (first, end) in enumerate(pairwise([*view.take_starts.tolist(), len(times)])):
            take = slice(first, end)
            label = name if number == 0 else None
            above.plot(times[take], centre[take], label=label, **_STYLES[name])
            at, acceleration = _acceleration(times[take], centre[take])
            below.plot(at, acceleration, **_STYLES[name])
            if len(acceleration):
                highest = max(highest, float(np.percentile(np.abs(acceleration), _SHARE_SHOWN)))
    above.set_ylabel(f"{own.area.side}: x, face heights")
    below.set_ylim(-1.1 * max(highest, 0.1), 1.1 * max(highest, 0.1))
    below.set_ylabel("acceleration\nface heights/s²")


def _acceleration(times: Values, centre: Values) -> tuple[Values, Values]:
    """Times and second divided differences, of frames of different times."""
    single = np.flatnonzero(np.diff(times, prepend=-np.inf) > 0)
    times, centre = times[single], centre[single]
    between = (times[1:] + times[:-1]) / 2
    velocity = np.diff(centre) / np.diff(times)
    return (between[1:] + between[:-1]) / 2, np.diff(velocity) / np.diff(between)


def _tube(view: View, studied: Study) -> tuple[Values, Values]:
    """``(N,)`` least and greatest x of the crop's centre, NaN where the face is not seen."""
    camera, face, times = studied.camera, view.face, studied.times_seconds
    low, high = np.full((2, len(times)), np.nan)
    if face is None:
        return low, high
    framing = Framing(camera.picture, view.area.width / view.area.height, times, studied.settings)
    tracks = [other.face for other in camera.views if other.face is not None]
    company = Company(face, [track.within(track.person != face.person) for track in tracks], framing)
    for first, end in pairwise([*view.take_starts.tolist(), len(times)]):
        seen = face.person[first:end] != NOBODY
        if seen.any():
            sizes = view.crops_xyxy[first:end, 2:] - view.crops_xyxy[first:end, :2]
            unit = quantised(float(np.nanmedian(face.height[first:end])))
            stretch = Stretch(0, first, end, face.height[first:end], unit)
            shape = Shape(sizes[:, 0], sizes[:, 1], studied.settings.face_level)
            across, clear = shape.along()[0], clear_ranges(company, stretch, shape)[0]
            tube = framing.tube(axes(face, stretch.frames)[0], stretch, across, camera.picture.width, clear)
            low[first:end], high[first:end] = np.where(seen, [tube.low, tube.high], np.nan)
    return low, high
