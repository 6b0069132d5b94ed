"""How much an embedding of a face can be trusted: large, near-frontal, clear and uncovered faces tell most."""

import numpy as np
from numpy.typing import NDArray

from ...engines.protocols import Detections
from ..boxes import areas, heights, intersections

FULL_HEIGHT = 80.0  # pixels; a face of this height fills the embedder's picture with real detail
TURNED = 0.4  # nose off the middle of the eyes, in eye distances, at which quality falls to 1/e
FLAT = 0.28  # eye distance in box heights below which the face is seen from the side
CLEAR_SCORES = (0.5, 0.85)  # detector scores of quality 0 and 1
INSIDE_SHARES = (0.7, 0.95)  # share of the box inside the picture, of quality 0 and 1
COVERED_SHARE = 0.3  # of the box by another face's box, at which quality is 0


def face_quality(faces: Detections, width: float, height: float) -> NDArray[np.float32]:
    """``(N,)`` float32 in 0..1: what an embedding of each face is worth.

    Args:
        faces: Of one frame.
        width: Of the displayed frame, pixels.
        height: Of the displayed frame, pixels.
    """
    if len(faces) == 0:
        return np.zeros(0, np.float32)
    tall = np.maximum(heights(faces.boxes_xyxy), 1.0)
    size = np.clip((tall / FULL_HEIGHT) ** 2, 0.1, 1.0)
    clear = _ramp(faces.scores, *CLEAR_SCORES)
    inside = _ramp(_share_inside(faces.boxes_xyxy, width, height), *INSIDE_SHARES)
    free = 1 - _ramp(covered_share(faces.boxes_xyxy), 0.0, COVERED_SHARE)
    return (size * clear * inside * free * _frontal(faces.landmarks, tall)).astype(np.float32)


def covered_share(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(N,)`` largest share of each box that another box covers."""
    shared = intersections(boxes_xyxy, boxes_xyxy)
    np.fill_diagonal(shared, 0.0)
    return np.asarray(shared.max(axis=1) / np.maximum(areas(boxes_xyxy), 1.0), np.float64)


def _frontal(landmarks: NDArray[np.float32], tall: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N,)`` 1 where the nose lies between the eyes, less the further the head is turned."""
    points = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    eyes = points[:, 1] - points[:, 0]
    distance = np.maximum(np.linalg.norm(eyes, axis=1), 1e-6)
    nose = points[:, 2] - points[:, :2].mean(axis=1)
    off = np.abs((nose * eyes).sum(axis=1)) / distance**2
    return np.asarray(np.exp(-((off / TURNED) ** 2)) * np.clip(distance / tall / FLAT, 0.0, 1.0), np.float64)


def _share_inside(boxes_xyxy: NDArray[np.float32], width: float, height: float) -> NDArray[np.float64]:
    frame = np.array([[0.0, 0.0, width, height]])
    return np.asarray(intersections(boxes_xyxy, frame)[:, 0] / np.maximum(areas(boxes_xyxy), 1.0), np.float64)


def _ramp(value: NDArray[np.floating], low: float, high: float) -> NDArray[np.float64]:
    return np.asarray(np.clip((np.asarray(value, np.float64) - low) / (high - low), 0.0, 1.0), np.float64)
