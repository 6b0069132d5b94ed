"""Two usual ways to follow a face, to compare the camera with. Their crops are as large, and cut where the camera does.

- Savitzky-Golay (Savitzky and Golay: "Smoothing and differentiation of data by simplified least squares procedures",
  1964): the face's centre, evenly interpolated where it is not seen, smoothed by cubics over a second.
- Dead zone: the camera stays until the face leaves the still zone, then goes to it by exponential smoothing, and stays
  again as soon as it is near.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import CameraSettings
from .faces import FaceTrack

if TYPE_CHECKING:
    from .plan import CameraPlan, View

Values = NDArray[np.float64]
Way = Callable[[Values, Values, float, CameraSettings], Values]

WINDOW_SECONDS, ORDER = 1.0, 3  # of the Savitzky-Golay filter
QUICKNESS = 0.5  # time constant of the exponential smoothing, in those of the camera
NEAR = 0.2  # of the zone: there the camera stays again


def usual_plans(camera: CameraPlan, times_seconds: Values, settings: CameraSettings) -> dict[str, CameraPlan]:
    """The plan with the crops of every tile that follows a face put where each way puts them, by the way's name.

    Args:
        camera: The plan.
        times_seconds: ``(N,)`` float64 times of its frames, not descending.
        settings: The camera's.
    """
    return {
        name: replace(
            camera, views=tuple(_followed(view, camera, times_seconds, settings, way) for view in camera.views)
        )
        for name, way in WAYS.items()
    }


def _followed(view: View, camera: CameraPlan, times: Values, settings: CameraSettings, way: Way) -> View:
    if view.face is None:
        return view
    crops = view.crops_xyxy.copy()
    for first, end in pairwise([*view.take_starts.tolist(), len(times)]):
        take = slice(first, end)
        if np.isfinite(view.face.height[take]).any():
            crops[take] = _crops(view.face, crops[take], take, camera, times, settings, way)
    return replace(view, crops_xyxy=crops)


def _crops(  # noqa: PLR0913, PLR0917 - all of one take
    face: FaceTrack, crops: Values, take: slice, camera: CameraPlan, times: Values, settings: CameraSettings, way: Way
) -> Values:
    unit, sizes = float(np.nanmedian(face.height[take])), crops[:, 2:] - crops[:, :2]
    bounds = np.array([camera.picture.width, camera.picture.height]) - sizes
    low = np.empty_like(sizes)
    for axis, (centre, share) in enumerate([(face.centre_x, 0.5), (face.centre_y, settings.face_level)]):
        seen = np.isfinite(centre[take])
        target = np.interp(times[take], times[take][seen], centre[take][seen])
        low[:, axis] = np.clip(way(times[take], target, unit, settings) - share * sizes[:, axis], 0, bounds[:, axis])
    return np.concatenate([low, low + sizes], axis=1)


def savitzky_golay(times_seconds: Values, target: Values, unit: float, settings: CameraSettings) -> Values:  # noqa: ARG001
    """``target (N,)`` smoothed on an even grid; as it is where it is too short for the filter."""
    from scipy.signal import savgol_filter

    gaps = np.diff(times_seconds)
    step = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.0
    if step == 0:
        return target
    grid = np.arange(times_seconds[0], times_seconds[-1] + step, step)
    window = min(round(WINDOW_SECONDS / step), len(grid) - 1) // 2 * 2 + 1
    if window <= ORDER:
        return target
    smooth: Values = np.interp(
        times_seconds, grid, savgol_filter(np.interp(grid, times_seconds, target), window, ORDER)
    )  # fmt: skip
    return smooth


def dead_zone(times_seconds: Values, target: Values, unit: float, settings: CameraSettings) -> Values:
    """A camera that stays while ``target (N,)`` is within the still zone, ``unit`` being a face height."""
    zone, constant = settings.still_zone * unit, QUICKNESS * settings.smooth_seconds
    place, moves = float(target[0]), False
    path = np.empty(len(target))
    shares = 1 - np.exp(-np.diff(times_seconds, prepend=times_seconds[0]) / constant)
    for frame, (wanted, share) in enumerate(zip(target.tolist(), shares.tolist(), strict=True)):
        moves = abs(wanted - place) > (NEAR * zone if moves else zone)
        if moves:
            place += share * (wanted - place)
        path[frame] = place
    return path


WAYS: dict[str, Way] = {"Savitzky-Golay": savitzky_golay, "dead zone": dead_zone}
