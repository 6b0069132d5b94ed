"""Deciding which chains are the two main persons, over the whole video.

Chains that are on screen together cannot be one person (cannot-link). Within that, each chain goes to the person
whose chains it resembles most; affinities come from outside (``affinity.py``), so cues can be added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .affinity import Affinity, LogOdds
from .chains import Chain

PERSONS = ("A", "B")
OTHER = -1
FREE = -2  # not decided yet
MAX_PASSES = 20
DIFFERENT = -0.5  # log-odds under which a chain founds the second person where nobody is seen together


@dataclass(frozen=True)
class Identity:
    """Who each chain is.

    Attributes:
        person: ``(N,)`` int8: index into ``PERSONS``, or ``OTHER``.
        margin: ``(N,)`` float32 log-odds between the person and the other main; infinite where there was no choice.
    """

    person: NDArray[np.int8]
    margin: NDArray[np.float32]


def identify(chains: Sequence[Chain], affinity: Affinity, min_frames: int) -> Identity:
    """Assign every chain to A, B or other.

    The result does not depend on the order of ``chains``; A is the person further left where both are seen.

    Args:
        chains: Of the whole video.
        affinity: Log-odds that chains are the same person.
        min_frames: A person seen in fewer frames in all is no main person.
    """
    if not chains:
        return Identity(np.zeros(0, np.int8), np.zeros(0, np.float32))
    order = sorted(range(len(chains)), key=lambda i: _prominence(chains[i]))
    ordered = [chains[i] for i in order]
    weight = np.array([len(c) for c in ordered], np.float32)
    apart, shots = cannot_links(ordered), _by_shot(ordered)
    person, margin = _settle(_seed(ordered, apart), _Evidence(affinity(ordered), weight, apart, shots))
    for number in range(len(PERSONS)):
        if weight[person == number].sum() < min_frames:
            person[person == number] = OTHER
    person = _leftmost_first(ordered, person, shots)
    back = np.argsort(order)
    return Identity(person[back], margin[back])


def _prominence(chain: Chain) -> tuple[float, ...]:
    """Sorts the largest and longest seen first: a bystander must not take a main's place by coming first."""
    x, y, height = chain.place
    return (-len(chain) * height, -len(chain), x, y, float(chain.frame_index[0]))


def cannot_links(chains: Sequence[Chain]) -> list[NDArray[np.intp]]:
    """For each chain the positions of the others that are on screen in one of its frames."""
    links: list[list[int]] = [[] for _ in chains]
    for members in _by_shot(chains):
        for i, j in combinations(members.tolist(), 2):
            if chains[i].overlaps(chains[j]):
                links[i].append(j)
                links[j].append(i)
    return [np.array(own, np.intp) for own in links]


def _by_shot(chains: Sequence[Chain]) -> list[NDArray[np.intp]]:
    """Positions of the chains of each shot."""
    shots = np.array([c.shot for c in chains])
    order = np.argsort(shots, kind="stable")
    return [members for members in np.split(order, np.flatnonzero(np.diff(shots[order])) + 1) if len(members)]


def _seed(chains: Sequence[Chain], apart: Sequence[NDArray[np.intp]]) -> NDArray[np.int8]:
    """Begin with the pair that is seen together longest and largest, or with the longest chain."""
    person = np.full(len(chains), FREE, np.int8)
    best, pair = 0.0, (0, 0)
    for i, j in ((i, int(j)) for i, links in enumerate(apart) for j in links if i < j):
        together = len(np.intersect1d(chains[i].frame_index, chains[j].frame_index, assume_unique=True))
        size = min(chains[i].place[2], chains[j].place[2])
        if together * size > best:
            best, pair = together * size, (i, j)
    person[pair[0]] = 0
    if pair[0] != pair[1]:
        person[pair[1]] = 1
    return person


def _settle(person: NDArray[np.int8], evidence: "_Evidence") -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Assign the most prominent chains first, then go over all, and over whole shots, until nothing changes."""
    margin = np.zeros(len(person), np.float32)
    for _ in range(MAX_PASSES):
        before = person.copy()
        for i in range(len(person)):
            person[i], margin[i] = _best_person(i, person, evidence)
        for members in evidence.shots:
            _swap_if_better(members, person, evidence)
        if (person == before).all():
            break
    return person, margin


def _swap_if_better(members: NDArray[np.intp], person: NDArray[np.int8], evidence: "_Evidence") -> None:
    """Exchange A and B in one shot where that fits the others better: single moves cannot, as they are together."""
    mains = members[person[members] != OTHER]
    if len(set(person[mains].tolist())) < len(PERSONS):
        return
    outside = person.copy()
    outside[members] = OTHER
    kept = swapped = 0.0
    for i in mains:
        likeness = [evidence.likeness(int(i), outside == number) for number in range(len(PERSONS))]
        kept += evidence.weight[i] * likeness[person[i]]
        swapped += evidence.weight[i] * likeness[1 - person[i]]
    if swapped > kept:
        person[mains] = 1 - person[mains]


def _best_person(i: int, person: NDArray[np.int8], evidence: "_Evidence") -> tuple[int, float]:
    """The person whose other chains resemble chain ``i`` most, among those it may be, and the margin."""
    likeness = np.full(len(PERSONS), np.nan, np.float32)
    for number in range(len(PERSONS)):
        members = person == number
        members[i] = False
        if not members[evidence.apart[i]].any():
            likeness[number] = evidence.likeness(i, members)
    if np.isnan(likeness).all():
        return OTHER, np.inf
    if likeness[0] == likeness[1] == DIFFERENT:  # the first and only one so far
        return 0, np.inf
    best = int(np.nanargmax(likeness))
    rival = likeness[1 - best]
    return best, np.inf if np.isnan(rival) else float(likeness[best] - rival)


def _leftmost_first(
    chains: Sequence[Chain], person: NDArray[np.int8], shots: Sequence[NDArray[np.intp]]
) -> NDArray[np.int8]:
    """Name the two so that A is left of B in more of the frames that show both, or else on the whole."""
    votes = 0
    for members in shots:
        (frames_a, x_a), (frames_b, x_b) = (_places([chains[i] for i in members if person[i] == n]) for n in (0, 1))
        _, in_a, in_b = np.intersect1d(frames_a, frames_b, return_indices=True)
        votes += int(np.sign(x_b[in_b] - x_a[in_a]).sum())
    if votes == 0:
        x_a, x_b = (_places([c for c, p in zip(chains, person, strict=True) if p == n])[1] for n in (0, 1))
        votes = 1 if not len(x_b) or (len(x_a) and x_a.mean() <= x_b.mean()) else -1
    if votes > 0:
        return person
    swapped = person.copy()
    swapped[person == 0], swapped[person == 1] = 1, 0
    return swapped


def _places(chains: Sequence[Chain]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Frames and centre x of all ``chains`` together."""
    frames = [np.zeros(0, np.int32), *(c.frame_index for c in chains)]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(c.boxes_xyxy for c in chains)])
    return np.concatenate(frames), (boxes[:, 0] + boxes[:, 2]) / 2.0


@dataclass(frozen=True)
class _Evidence:
    """What the assignment weighs, for N chains.

    Attributes:
        log_odds: From a chain to ``(N,)`` float32 log-odds that each is the same person.
        weight: ``(N,)`` float32 frames of each chain.
        apart: For each chain those that it cannot be.
        shots: Positions of the chains of each shot.
    """

    log_odds: LogOdds
    weight: NDArray[np.float32]
    apart: Sequence[NDArray[np.intp]]
    shots: Sequence[NDArray[np.intp]]

    def likeness(self, i: int, members: NDArray[np.bool_]) -> float:
        """Mean log-odds that chain ``i`` is the person of ``members``; a new person is as likely as one unlike."""
        if not members.any():
            return DIFFERENT
        return float(np.average(self.log_odds(i)[members], weights=self.weight[members]))
