"""Aligned faces: where an embedder wants the five landmarks, and the map that brings them there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import EngineError

NUM_POINTS = 5


@dataclass(frozen=True, eq=False)
class ChipLayout:
    """How a family of embedders wants its input, the *chip*, and how its vectors are compared.

    Attributes:
        family: Name for messages.
        size: Side of the square chip in pixels.
        template: ``(5, 2)`` float64 x,y in pixels of the chip, in the order of ``Detections.landmarks``.
        unit_length: Whether vectors are scaled to length 1 before they are compared.
        same_person_distance: Euclidean distance below which the model's authors call two faces one person.
    """

    family: str
    size: int
    template: NDArray[np.float64]
    unit_length: bool
    same_person_distance: float


# The template holds where YuNet sees its points in chips that dlib aligned with its own landmarks. The distance is
# from the comments in dlib's examples/dnn_face_recognition_ex.cpp.
DLIB = ChipLayout(
    family="dlib",
    size=150,
    template=np.array([[47.55, 46.60], [100.48, 46.60], [74.01, 76.56], [50.41, 103.02], [97.61, 103.02]]),
    unit_length=False,
    same_person_distance=0.6,
)
# The template of InsightFace (python-package/insightface/utils/face_align.py) and of OpenCV's FaceRecognizerSF. The
# distance is OpenCV's cosine of 0.363 for SFace, between vectors of length 1: sqrt(2 - 2 * 0.363).
ARCFACE = ChipLayout(
    family="ArcFace",
    size=112,
    template=np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    ),
    unit_length=True,
    same_person_distance=1.128,
)
LAYOUTS = {layout.size: layout for layout in (DLIB, ARCFACE)}


def similarity(points: NDArray[np.floating], template: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring ``points`` nearest to ``template``, by least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991). In the plane
    the solution has a closed form: with points as complex numbers about their mean, the factor ``a`` in
    ``template = a * points`` is ``sum(conj(points) * template) / sum(abs(points) ** 2)``. It never mirrors.

    Args:
        points: ``(N, K, 2)`` x,y, not all in one place.
        template: ``(K, 2)`` x,y.

    Returns:
        ``(N, 2, 3)`` float64 affine matrices from ``points`` to ``template``.

    Raises:
        EngineError: Points lie in one place or are not finite, so that no scale fits.
    """
    if not np.isfinite(points).all() or (np.ptp(points, axis=1) == 0).all(axis=1).any():
        raise EngineError(
            "a face cannot be aligned", got="landmarks in one place or not finite", expected="five different points"
        )
    source = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    target = template[:, 0] + 1j * template[:, 1]
    source_mean, target_mean = source.mean(axis=1, keepdims=True), target.mean()
    centred = source - source_mean
    spread = (np.abs(centred) ** 2).sum(axis=1)
    factor = (centred.conj() * (target - target_mean)).sum(axis=1) / spread
    shift = target_mean - factor * source_mean[:, 0]
    rows = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    return np.moveaxis(np.array(rows), 2, 0)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(2, 3)`` float64 inverse of one affine matrix.

    Raises:
        EngineError: It has none: the landmarks look like no face, seen from any side.
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    if abs(np.linalg.det(linear)) < 1e-12:
        raise EngineError(
            "a face cannot be aligned", got="landmarks that are no face's", expected="two eyes over a mouth"
        )
    back = np.linalg.inv(linear)
    return np.column_stack([back, -back @ shift])
