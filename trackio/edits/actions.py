"""What each operation does to the rows.

An operation is done wholly or not at all: whoever does one works on a copy, see ``replay`` and ``session``. All is
deterministic: the same rows and the same operation give the same rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EditError
from ..columns import NULL
from ..schema import INTERPOLATED, MANUAL, ORIGINS, PERSONS, SIDES
from .gaps import fill
from .keyframes import check_boxes, move_keyframe
from .operations import (
    OPEN,
    Anchor,
    Assign,
    Batch,
    Box,
    Boxes,
    Delete,
    Interpolate,
    Mark,
    Merge,
    Operation,
    SetSide,
    Split,
    Swap,
)
from .rows import NO_ROW, Index, Pin, Rows

_SHOWN_FRAMES = 5


def do(rows: Rows, operation: Operation) -> None:
    """Do ``operation`` to ``rows``; what an error leaves behind is not to be used.

    Raises:
        EditError: The rows do not allow it.
    """
    _ACTIONS[type(operation)](rows, operation)
    rows.number()


def _swap(rows: Rows, wish: Swap) -> None:
    _check_frames(rows, wish.last_frame)
    one, other = (_person(rows, name) for name in wish.persons)
    ones, others = (rows.find(wish.first_frame, wish.last_frame, person=code) for code in (one, other))
    if len(ones) + len(others) == 0:
        raise EditError(f"{wish.words()}: neither has a box there", hint="see where they are with: dft tracks show")
    if not rows.by_place:
        _swap_sides(rows, ones, others, flip=rows.sided >= {one, other})
    rows.set_person(ones, other)
    rows.set_person(others, one)


def _swap_sides(rows: Rows, ones: Index, others: Index, *, flip: bool) -> None:
    """Exchange sides where both are; who is there alone gets the other side, if the two have the sides and it is free.

    A second time this gives back what was: whether a side is free does not depend on the two, and whether they have the
    sides is asked of the file.
    """
    partner = rows.at(rows.frame[ones], others)
    both = partner != NO_ROW
    rows.side[ones[both]], rows.side[partner[both]] = rows.side[partner[both]], rows.side[ones[both]]
    if flip:
        alone = np.concatenate([ones[~both], rows.without(others, partner[both])])
        alone = alone[rows.side[alone] >= 0]
        opposite = (1 - rows.side[alone]).astype(np.int8)
        free = _free(rows, alone, opposite)
        rows.side[alone[free]] = opposite[free]


def _split(rows: Rows, wish: Split) -> None:
    _check_frames(rows, wish.frame)
    track = _track(rows, wish.track_id, wish)
    later = track[rows.frame[track] >= wish.frame]
    if len(later) in (0, len(track)):
        raise EditError(
            f"{wish.words()}: it would stay whole",
            got=f"frames {rows.frame[track[0]]} to {rows.frame[track[-1]]}", expected="a frame within, not its first",
        )  # fmt: skip
    owner = rows.person_of(track)
    rows.own_stem(wish.track_id)
    rows.restem(later, rows.new_stem(owner=owner))


def _merge(rows: Rows, wish: Merge) -> None:
    first, second = _track(rows, wish.track_id, wish), _track(rows, wish.other_id, wish)
    person, others_person = rows.person_of(first), rows.person_of(second)
    stem = rows.own_stem(wish.track_id)
    rows.own_stem(wish.other_id)
    doubles = rows.at(rows.frame[first], second)
    mine, theirs = first[doubles != NO_ROW], doubles[doubles != NO_ROW]
    if len(mine):
        if wish.both == "refuse":
            raise _conflict(
                f"{wish.words()}: both have boxes", rows, mine, "--both first, second or higher-score decides"
            )
        keep_first = {"first": True, "second": False}.get(wish.both, rows.score[mine] >= rows.score[theirs])
        rows.remove(np.where(keep_first, theirs, mine))
    first, second = first[rows.alive[first]], second[rows.alive[second]]
    rows.restem(second, stem)
    if person == NULL:
        _give(rows, first, others_person, wish)
    else:
        _give(rows, second if others_person == NULL else second[rows.person[second] >= 0], person, wish)


def _assign(rows: Rows, wish: Assign) -> None:
    _check_frames(rows, wish.last_frame)
    track = rows.track(wish.track_id, wish.first_frame, wish.last_frame)
    if len(track) == 0:
        raise _no_rows(rows, wish.track_id, wish)
    _give(rows, track, NULL if wish.person is None else _person(rows, wish.person), wish, take=wish.take)


def _delete(rows: Rows, wish: Delete) -> None:
    _check_frames(rows, wish.last_frame)
    track = rows.track(wish.track_id, wish.first_frame, wish.last_frame)
    if len(track) == 0:
        raise _no_rows(rows, wish.track_id, wish)
    rows.remove(track)


def _interpolate(rows: Rows, wish: Interpolate) -> None:
    _check_frames(rows, wish.last_frame)
    fillings, refused = fill(rows, wish)
    if not fillings:
        raise EditError(f"{wish.words()}: nothing to fill", got="; ".join(refused) or "no gap in the range")
    stem = rows.own_stem(wish.track_id)
    for filling in fillings:
        before, after = int(rows.person[filling.before]), int(rows.person[filling.after])
        person = before if before == after else NULL
        sides = _sides_near(rows, filling.frames, person)
        added = rows.add(
            filling.frames, filling.boxes, stem=stem, person=person, side=NULL, score=0.0,
            origin=ORIGINS.index(INTERPOLATED),
        )  # fmt: skip
        _set_free_sides(rows, added, sides)


def _box(rows: Rows, wish: Box) -> None:
    _check_frames(rows, wish.frame)
    frames, boxes = np.array([wish.frame], np.int32), np.array([wish.box], np.float32)
    check_boxes(rows, boxes, frames)
    if wish.track_id is None:
        _add(rows, rows.new_stem(), frames, boxes, _code(rows, wish.person), wish)
        return
    track = _track(rows, wish.track_id, wish)
    there = track[rows.frame[track] == wish.frame]
    if len(there):
        move_keyframe(rows, track, int(there[0]), wish.box, wish.blend_seconds)
        return
    nearest = track[np.argmin(np.abs(rows.times.pts[rows.frame[track]] - rows.times.pts[wish.frame]))]
    _add(rows, rows.own_stem(wish.track_id), frames, boxes, int(rows.person[nearest]), wish)


def _boxes(rows: Rows, wish: Boxes) -> None:
    _check_frames(rows, wish.frames[-1])
    frames, boxes = np.array(wish.frames, np.int32), np.array(wish.boxes, np.float32)
    check_boxes(rows, boxes, frames)
    if wish.track_id is None:
        _add(rows, rows.new_stem(), frames, boxes, _code(rows, wish.person), wish)
        return
    track = _track(rows, wish.track_id, wish)
    there = rows.at(frames, track)
    known = there != NO_ROW
    rows.set_manual(there[known], boxes[known])
    if not known.all():
        stem = rows.own_stem(wish.track_id)
        _add(rows, stem, frames[~known], boxes[~known], _code(rows, wish.person), wish)


def _set_side(rows: Rows, wish: SetSide) -> None:
    _check_frames(rows, wish.last_frame)
    theirs = rows.find(wish.first_frame, wish.last_frame, person=_person(rows, wish.person))
    if len(theirs) == 0:
        raise EditError(f"{wish.words()}: {wish.person} has no box there")
    side = NULL if wish.side is None else SIDES.index(wish.side)
    if side != NULL:
        holders = rows.find(wish.first_frame, wish.last_frame, side=side)
        former = rows.at(rows.frame[holders], theirs)
        holders, former = holders[former != NO_ROW], former[former != NO_ROW]
        rows.side[holders] = rows.side[former]
    rows.side[theirs] = side


def _mark(rows: Rows, wish: Mark) -> None:
    key = (wish.kind, wish.first_frame, wish.last_frame)
    found = [place for place, other in enumerate(rows.suspect_keys) if other == key]
    if not found:
        raise EditError(f"{wish.words()}: there is no such suspect", hint="list them with: dft tracks show")
    for place in found:
        rows.suspects[place] = None if wish.state == OPEN else wish.state


def _anchor(rows: Rows, wish: Anchor) -> None:
    _check_frames(rows, wish.frame)
    person = _person(rows, wish.person)
    found = rows.find(wish.frame, wish.frame, person=person)
    if len(found) == 0:
        raise EditError(f"{wish.words()}: {wish.person} has no box there", hint="assign a track to them first")
    rows.pins.append(Pin(int(found[0]), wish.frame, person))


def _batch(rows: Rows, wish: Batch) -> None:
    for operation in wish.operations:
        do(rows, operation)


_ACTIONS: dict[type[Operation], Callable[[Rows, Any], None]] = {
    Swap: _swap, Split: _split, Merge: _merge, Assign: _assign, Delete: _delete, Interpolate: _interpolate, Box: _box,
    Boxes: _boxes, SetSide: _set_side, Mark: _mark, Anchor: _anchor, Batch: _batch,
}  # fmt: skip


def contradicted(rows: Rows, before: Rows) -> list[Pin]:
    """The pins of ``rows`` that held in ``before``, a copy from before an operation, and no longer do."""
    return [pin for pin in rows.pins if pin in before.pins and _holds(before, pin) and not _holds(rows, pin)]


def _holds(rows: Rows, pin: Pin) -> bool:
    return bool(rows.alive[pin.row] and rows.person[pin.row] == pin.person)


def _add(
    rows: Rows, stem: int, frames: NDArray[np.int32], boxes: NDArray[np.float32], person: int, wish: Operation
) -> None:
    if person != NULL:
        theirs = rows.find(int(frames[0]), int(frames[-1]), person=person)
        doubles = rows.at(frames, theirs)
        if (doubles != NO_ROW).any():
            what = f"{wish.words()}: {PERSONS[person]} has a box"
            raise _conflict(what, rows, doubles[doubles != NO_ROW], "move that, or assign it to somebody else first")
    sides = _sides_near(rows, frames, person)
    added = rows.add(
        frames, boxes, stem=stem, person=person, side=NULL, score=1.0, origin=ORIGINS.index(MANUAL)
    )  # fmt: skip
    _set_free_sides(rows, added, sides)


def _give(rows: Rows, given: Index, person: int, wish: Operation, *, take: bool = False) -> None:
    """Give rows of one track a person, with the side that is that person's at the moment; ``NULL`` takes both away."""
    given = given[rows.person[given] != person]
    if len(given) == 0:
        return
    if person == NULL:
        rows.set_person(given, NULL)
        rows.side[given] = NULL
        return
    sides = _sides_near(rows, rows.frame[given], person)
    first, last = int(rows.frame[given].min()), int(rows.frame[given].max())
    doubles = rows.at(rows.frame[given], rows.find(first, last, person=person))
    doubles = doubles[doubles != NO_ROW]
    if len(doubles) and not take:
        what = f"{wish.words()}: {PERSONS[person]} has another box"
        raise _conflict(what, rows, doubles, "allow taking the name from it with --take, or choose other frames")
    rows.set_person(doubles, NULL)
    rows.side[doubles] = NULL
    rows.set_person(given, person)
    rows.side[given] = NULL
    _set_free_sides(rows, given, sides)


def _sides_near(rows: Rows, frames: NDArray[np.int32], person: int) -> NDArray[np.int8]:
    """``(F,)`` the side that a person has where their box is nearest in time to each frame.

    A person without any box gets the side that fewer boxes have, if they are one of the two who have sides at all.
    """
    theirs = rows.find(person=person) if person != NULL else np.zeros(0, np.int64)
    if len(theirs) == 0:
        counts = np.bincount(rows.side[rows.find()] + 1, minlength=3)[1:]
        one_of_two = person != NULL and (person in rows.sided or len(rows.sided) < len(SIDES))
        return np.full(len(frames), counts.argmin() if one_of_two else NULL, np.int8)
    theirs = theirs[np.argsort(rows.frame[theirs])]
    pts, at = rows.times.pts[rows.frame[theirs]], rows.times.pts[frames]
    after = np.searchsorted(rows.frame[theirs], frames).clip(0, len(theirs) - 1)
    before = (after - 1).clip(0)
    nearest = np.where(np.abs(pts[before] - at) <= np.abs(pts[after] - at), before, after)
    nearest = np.where(rows.frame[theirs][after] == frames, after, nearest)
    return rows.side[theirs[nearest]]


def _set_free_sides(rows: Rows, chosen: Index, sides: NDArray[np.int8]) -> None:
    """Give rows sides where nobody else in their frame has them."""
    free = _free(rows, chosen, sides)
    rows.side[chosen[free]] = sides[free]


def _free(rows: Rows, chosen: Index, sides: NDArray[np.int8]) -> NDArray[np.bool_]:
    """``(R,)`` whether nobody else in the frame of each row has the side that is meant for it."""
    taken = np.zeros((rows.times.last_frame + 1, len(SIDES)), np.bool_)
    others = rows.without(rows.in_frames(chosen), chosen)
    others = others[rows.side[others] >= 0]
    taken[rows.frame[others], rows.side[others]] = True
    return (sides >= 0) & ~taken[rows.frame[chosen], sides]


def _track(rows: Rows, track_id: int, wish: Operation) -> Index:
    track = rows.track(track_id)
    if len(track) == 0:
        raise EditError(f"{wish.words()}: there is no track {track_id}", hint="list them with: dft tracks list")
    return track


def _no_rows(rows: Rows, track_id: int, wish: Operation) -> EditError:
    track = _track(rows, track_id, wish)
    return EditError(
        f"{wish.words()}: the track has no box there",
        got=f"a track in frames {rows.frame[track[0]]} to {rows.frame[track[-1]]}",
    )


def _person(rows: Rows, name: str) -> int:
    code = PERSONS.index(name)
    if code not in rows.usable:
        known = ", ".join(PERSONS[other] for other in sorted(rows.usable))
        raise EditError("there is no such person in these tracks", got=name, expected=f"one of {known}")
    return code


def _code(rows: Rows, name: str | None) -> int:
    return NULL if name is None else _person(rows, name)


def _check_frames(rows: Rows, last: int) -> None:
    rows.times.check(last)


def _conflict(what: str, rows: Rows, doubles: Index, hint: str) -> EditError:
    frames = np.unique(rows.frame[doubles]).tolist()
    shown = ", ".join(map(str, frames[:_SHOWN_FRAMES])) + (", ..." if len(frames) > _SHOWN_FRAMES else "")
    got = f"{len(frames)} frame{'s' if len(frames) > 1 else ''}: {shown}"
    return EditError(what, frames=frames, got=got, expected="at most one in each frame", hint=hint)
