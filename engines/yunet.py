"""YuNet 2023mar: its graph, input and decode rule, for every runtime.

Source: Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector (2023), and the model's own graph. Input: BGR
0-255 float, no normalisation, sides multiples of 32. Heads per stride s in 8, 16, 32 over the cells (col, row):
score = sqrt(cls * obj), both clamped to 0..1; centre ((col + b0) s, (row + b1) s); size (exp(b2) s, exp(b3) s);
landmark k ((col + kx) s, (row + ky) s).

A face is seen by 8 to 10 cells, whose boxes differ by 3 % of its height while the best two scores differ by 0.003
(medians over six videos), so noise decides which of them wins non-maximum suppression. The winner therefore only stands
for its face, whose box and landmarks are a weighted mean of the candidates. Source of the idea: Bazarevsky et al.:
BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs (2019), 3.4 Post-processing. The weights are our own:
they fall to 0 towards the limits of what is counted, so that a candidate comes and goes without a jump.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..configs.errors import ModelError
from .protocols import Detections

STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
NMS_IOU = 0.3
# Candidates that overlap a winner by more belong to its face. None belongs to two: 1 - IoU obeys the triangle
# inequality (Lipkus 1999), so winners that shared one would overlap each other by more than NMS_IOU.
BLEND_IOU = (1 + NMS_IOU) / 2
BLEND_ROUNDS = 2  # the second measures overlaps from the first one's mean, which depends little on who won
ALIGNMENT = 32  # sides of the input are multiples of the largest stride


def dynamic_graph(path: Path) -> bytes:
    """The ONNX graph made to take any batch and any size.

    The published file is fixed at 1x3x640x640: the input's dimensions are freed, and the reshape constants
    ``[1, -1, k]`` become ``[0, -1, k]``, which keeps the batch.

    Raises:
        ModelError: The file is no ONNX, or has other outputs than YuNet's.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own errors have no common base
        raise ModelError(f"{path} cannot be read as ONNX", got=str(error)) from error
    outputs = [o.name for o in model.graph.output]
    if set(outputs) != set(OUTPUTS):
        raise ModelError(f"{path} is no YuNet", got=f"outputs {', '.join(outputs)}", expected=", ".join(OUTPUTS))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for place, name in ((0, "batch"), (2, "height"), (3, "width")):
        dims[place].dim_param = name
    for constant in model.graph.initializer:
        shape = numpy_helper.to_array(constant)
        if shape.dtype == np.int64 and shape.shape == (3,) and shape[:2].tolist() == [1, -1]:
            constant.CopyFrom(numpy_helper.from_array(np.array([0, -1, shape[2]], np.int64), constant.name))
    del model.graph.value_info[:]
    for output in model.graph.output:
        for place in (0, 1):
            output.type.tensor_type.shape.dim[place].Clear()
    graph: bytes = model.SerializeToString()
    return graph


def input_size(width: int, height: int, longer_side: int) -> tuple[int, int, int, int]:
    """How a displayed frame is fitted into the network's input; never enlarged.

    Args:
        width: Displayed width in pixels.
        height: Displayed height in pixels.
        longer_side: Longer side of the input, rounded down to a multiple of 32.

    Returns:
        Scaled width and height (even), then input width and height (multiples of 32, padded right and bottom). The
        shorter side of the input is rounded down where that costs under 3 % of scale, since padding costs time.
    """
    limit = max(ALIGNMENT, longer_side // ALIGNMENT * ALIGNMENT)
    scale = min(1.0, limit / max(width, height))
    shorter = min(width, height) * scale
    down = shorter // ALIGNMENT * ALIGNMENT
    if down and shorter > down and (shorter - down) / shorter < 0.03:
        scale *= down / shorter
    fitted = [max(2, round(side * scale / 2) * 2) for side in (width, height)]
    padded = [-(-side // ALIGNMENT) * ALIGNMENT for side in fitted]
    return fitted[0], fitted[1], padded[0], padded[1]


@cache
def _cells(width: int, height: int, stride: int) -> NDArray[np.float32]:
    """``(cells, 2)`` column and row of every cell of a head, row by row."""
    rows, columns = np.mgrid[: height // stride, : width // stride]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def decode_heads(
    outputs: dict[str, NDArray[np.float32]], width: int, height: int, min_score: float
) -> list[Detections]:
    """Faces of each picture of a batch, in pixels of the network's input, best score first.

    Args:
        outputs: The network's outputs by name, ``(batch, cells, k)`` float32.
        width: Width of the input in pixels.
        height: Height of the input in pixels.
        min_score: Candidates below are left out.
    """
    return [distinct_faces(found, min_score) for found in decode_candidates(outputs, width, height, min_score)]


def decode_candidates(
    outputs: dict[str, NDArray[np.float32]], width: int, height: int, min_score: float
) -> list[Detections]:
    """What single cells take for a face, in each picture of a batch; see :func:`decode_heads` for the arguments."""
    score = [
        np.sqrt(np.clip(outputs[f"cls_{s}"][..., 0], 0, 1) * np.clip(outputs[f"obj_{s}"][..., 0], 0, 1))
        for s in STRIDES
    ]
    return [
        _joined([_of_stride(outputs, s, i, score[k][i], (width, height, min_score)) for k, s in enumerate(STRIDES)])
        for i in range(len(score[0]))
    ]


def _of_stride(
    outputs: dict[str, NDArray[np.float32]],
    stride: int,
    item: int,
    score: NDArray[np.float32],
    limits: tuple[int, int, float],
) -> Detections:
    width, height, min_score = limits
    found = np.flatnonzero(score >= min_score)
    if len(found) == 0:
        return Detections.none()
    cell = _cells(width, height, stride)[found]
    box = outputs[f"bbox_{stride}"][item, found]
    points = outputs[f"kps_{stride}"][item, found].reshape(-1, 5, 2)
    centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Detections(boxes, score[found], ((points + cell[:, None]) * stride).reshape(-1, 10))


def _joined(parts: Sequence[Detections]) -> Detections:
    return Detections(
        np.concatenate([p.boxes_xyxy for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
    )


def distinct_faces(candidates: Detections, min_score: float) -> Detections:
    """One face for each group of overlapping candidates: non-maximum suppression, then blending.

    A face has the score of its best candidate. Its box and landmarks are the mean of the candidates, weighted by
    ``(score - min_score) * max(0, IoU with the face - BLEND_IOU)``; the best one's where all weights are 0.

    Args:
        candidates: Of one picture, in any unit of length.
        min_score: Their lowest possible score.

    Returns:
        The faces, best score first.
    """
    if len(candidates) == 0:
        return candidates
    boxes, scores = candidates.boxes_xyxy, candidates.scores
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    best = np.asarray(cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, NMS_IOU), np.intp).ravel()
    places = np.concatenate([boxes, candidates.landmarks], axis=1)
    faces, strengths, wide = places[best], scores - np.float32(min_score), places.astype(np.float64)
    for _ in range(BLEND_ROUNDS):
        weights = strengths * np.maximum(_overlaps(faces[:, :4], boxes) - BLEND_IOU, 0)
        total = weights.sum(axis=1, keepdims=True)
        means = np.divide(weights @ wide, total, out=faces.astype(np.float64), where=total > 0)
        faces = means.astype(np.float32)
    return Detections(faces[:, :4], scores[best], faces[:, 4:])


def _overlaps(faces: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(N, M)`` intersection over union of ``(N, 4)`` with ``(M, 4)``; 0 where there is no area."""
    (left, top, right, bottom), others = faces.T.astype(np.float64)[..., None], boxes.T.astype(np.float64)
    width = np.minimum(right, others[2]) - np.maximum(left, others[0])
    height = np.minimum(bottom, others[3]) - np.maximum(top, others[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    total = (right - left) * (bottom - top) + (others[2] - others[0]) * (others[3] - others[1]) - shared
    result: NDArray[np.float64] = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return result
