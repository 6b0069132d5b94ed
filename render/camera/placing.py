"""Where a tile's crop lies while nobody is there: near where it should be, with nobody else's head cut in two."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .absence import BLUR, HOLD, WIDE, Modes, Timeline
from .faces import FaceTrack
from .framing import PIXEL_STEP, Framing, Picture

Values = NDArray[np.float64]

HEAD = 1.8  # a head with much hair in face boxes, each way
MOST_PLACES, MOST_FRAMES = 120, 200  # more make no difference that could be seen
UNCUT = 0.02  # of a head: less is not worth moving for
RECOGNISABLE = 0.2  # of a face
TWICE = 0.5  # how bad it is to show a whole head that is in another tile, where half a head is 0.5 + half of this


def heads(faces: Sequence[FaceTrack], frames: slice) -> Values:
    """``(K, 4)`` boxes x1, y1, x2, y2 of the heads that are seen in ``frames``, evenly thinned out."""
    boxes = []
    for face in faces:
        centre = np.stack([face.centre_x[frames], face.centre_y[frames]], axis=1)
        half = np.stack([face.width[frames], face.height[frames]], axis=1) * HEAD / 2
        seen = np.flatnonzero(np.isfinite(half[:, 0]))
        kept = seen[:: max(1, -(-len(seen) // MOST_FRAMES))]
        boxes.append(np.concatenate([centre - half, centre + half], axis=1)[kept])
    return np.concatenate(boxes) if boxes else np.zeros((0, 4))


def inside_share(crops_xyxy: Values, boxes: Values) -> Values:
    """How much of each box is inside each crop, in 0..1; shapes ``(..., 4)`` that broadcast."""
    low = np.maximum(crops_xyxy[..., :2], boxes[..., :2])
    high = np.minimum(crops_xyxy[..., 2:], boxes[..., 2:])
    size = boxes[..., 2:] - boxes[..., :2]
    share: Values = np.prod(np.maximum(high - low, 0) / size, axis=-1)
    return share


def placed(crop: Values, picture: Picture, boxes: Values, *, shun: bool = False) -> Values:
    """``crop`` where it cuts the heads least, and of such places the nearest.

    It moves along the axis on which the picture leaves more room, by even pixels.

    Args:
        crop: ``(4,)`` x1, y1, x2, y2 inside the picture.
        picture: What it must stay inside.
        boxes: ``(K, 4)`` heads.
        shun: Whole heads are unwanted as well.
    """
    if len(boxes) == 0:
        return crop
    size = crop[2:] - crop[:2]
    room = np.array([picture.width, picture.height]) - size
    axis = int(room[1] > room[0])
    step = PIXEL_STEP * max(1, round(room[axis] / PIXEL_STEP / MOST_PLACES))
    last = np.floor(room[axis] / PIXEL_STEP) * PIXEL_STEP
    starts = np.unique(np.append(np.arange(0, last, step), last))
    starts = starts[np.argsort(np.abs(starts - crop[axis]), kind="stable")]
    moves = np.zeros((len(starts) + 1, 4))
    moves[1:, axis] = moves[1:, axis + 2] = starts - crop[axis]  # the first is to stay
    places = crop + moves
    inside = inside_share(places[:, None], boxes)
    cut = (np.minimum(inside, 1 - inside) + (TWICE * inside if shun else 0)).mean(axis=1)
    best: Values = places[int(np.argmax(cut <= max(cut.min(), UNCUT)))]
    return best


def absent_crops(
    crops: Values, modes: Modes, face: FaceTrack | None, framing: Framing, others: Sequence[FaceTrack],
    timeline: Timeline,
) -> Values:  # fmt: skip
    """A tile's crops with those of its absences put where they lie best.

    A wide view, in each shot, is near where the person was last, or will be first. In a shot that does not show the
    person at all every view gives way to the others; in the person's own shot the last view stays where it was.

    Args:
        crops: ``(N, 4)`` float64 as if nothing but the last view were ever held.
        modes: ``(N,)`` mode of each frame.
        face: Whom the tile follows; None if nobody is seen in the whole video.
        framing: The tile's.
        others: The faces of the others.
        timeline: The frames.
    """
    made = crops.copy()
    for piece in timeline.pieces(modes == WIDE):
        x, y = _last_place(face, piece.start, timeline, framing.picture)
        wide = framing.still(x, y, framing.greatest_height)
        whole_shot = piece == timeline.shot(piece.start)
        made[piece] = placed(wide, framing.picture, heads(others, piece), shun=whole_shot)
    if face is None:
        return made
    for piece in timeline.pieces((modes == HOLD) | (modes == BLUR)):
        if piece == timeline.shot(piece.start):
            made[piece] = placed(crops[piece.start], framing.picture, heads(others, piece), shun=True)
    return made


def _last_place(face: FaceTrack | None, frame_index: int, timeline: Timeline, picture: Picture) -> tuple[float, float]:
    """Where the face was last in this shot, or will be first, or the middle of the picture."""
    if face is not None:
        shot = timeline.shot(frame_index)
        seen = np.flatnonzero(np.isfinite(face.centre_x[shot])) + shot.start
        if len(seen):
            nearest = seen[max(int(np.searchsorted(seen, frame_index)) - 1, 0)]
            return float(face.centre_x[nearest]), float(face.centre_y[nearest])
    return picture.width / 2, picture.height / 2


def showing(crops_xyxy: Values, face: FaceTrack) -> NDArray[np.bool_]:
    """``(N,)`` whether each frame's crop ``(N, 4)`` has so much of the face that one sees whose it is."""
    centre = np.stack([face.centre_x, face.centre_y], axis=1)
    half = np.stack([face.width, face.height], axis=1) / 2
    share = inside_share(crops_xyxy, np.concatenate([centre - half, centre + half], axis=1))
    return np.asarray(share > RECOGNISABLE)  # not where the face is not seen: NaN is not greater
