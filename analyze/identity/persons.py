"""Deciding which chains are the main persons, over the whole video.

Who is there is found by clustering (``crowd.py``); then every shot is assigned anew, as a whole, from what is known of
each person in all the other chains (``assignment.py``), until nothing changes. What two mains could both be by nearly
the same log-odds stays unknown: never a guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..boxes import centres
from .affinity import Affinity
from .appearance import FULL_COUNT, Pooled, log_odds, same_log_odds
from .assignment import Assignment, assign
from .chains import Chain, gap_cost
from .crowd import cannot_links, choose_mains, cluster

PERSONS = ("A", "B", "C", "D")
OTHER = -1
MAX_PASSES = 12
PRIOR = 0.5  # log-odds that a face is a given main person, before anything is known
SHORT_FRAMES, SHORT = 3, -1.5  # what is seen more briefly is perhaps no face: log-odds on top
MEMBER = 0.1  # log-odds of being the person in whose cluster a chain is
ELSEWHERE = -0.3  # log-odds of being elsewhere than in the other shots: the camera may have moved
FACE_KNOWN = 0.3  # what the place in other shots, and motion that is broken, count for where faces can be compared
UNLIKE = -0.5  # log-odds of the faces under which two clusters are two people
STRANGER = 2.0  # log-odds against being a person with whom others of the same cluster were seen together
ANCHOR = 6.0  # log-odds of a person's most prominent chain: it says who the person is
MAX_STRANGERS = 20  # others who are told apart from the mains, those seen longest
NAMED = 100.0  # the same, where a user has said so
UNKNOWN = 0.5  # log-odds: a smaller margin between two mains leaves a chain without a person
CONTINUES = 3.0  # log-odds of a continuation that motion explains fully
BREAKS = -2.0  # log-odds of one that motion rules out
SAME_PLACE = 2.0  # log-odds of coming back to the same place of the shot after a longer time
OTHER_PLACE = -0.5  # log-odds of coming back far away
NEUTRAL_HEIGHTS = 2.0  # distance of the place, in face heights, that says nothing


@dataclass(frozen=True)
class Identity:
    """Who each of N chains is, and what speaks for it.

    Attributes:
        person: ``(N,)`` int8: index into ``PERSONS``, or ``OTHER``.
        margin: ``(N,)`` float32 log-odds by which this beats the best assignment of the whole shot in which the chain
            is another main person; infinite where there is none.
        rival: ``(N,)`` int8: that other person, or ``OTHER``.
        distances: ``(N, P)`` float32 distance of the chain's face from each person's, in units of the embedder's
            same-person distance; NaN where unknown.
    """

    person: NDArray[np.int8]
    margin: NDArray[np.float32]
    rival: NDArray[np.int8]
    distances: NDArray[np.float32]

    def take(self, which: NDArray[np.intp]) -> "Identity":
        """Of the chains that ``which`` selects, in its order."""
        return Identity(self.person[which], self.margin[which], self.rival[which], self.distances[which])

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """``(N,)`` chains of one of two mains, not decided which."""
        return np.asarray((self.person == OTHER) & (self.rival != OTHER), np.bool_)

    @property
    def num_persons(self) -> int:
        """Main persons."""
        return int(self.distances.shape[1])


def identify(
    chains: Sequence[Chain],
    frame_width: float,
    min_frames: int,
    *,
    people: int = 2,
    named: Sequence[int] = (),
    max_join_seconds: float = 2.0,
) -> Identity:
    """Assign every chain to one of the main persons or to nobody.

    The result does not depend on the order of ``chains``. Of two persons A is the one further left where both are
    seen; of more, A and B are the two most prominent.

    Args:
        chains: Of the whole video.
        frame_width: Displayed width in pixels.
        min_frames: A person seen in fewer frames in all is no main person, unless named.
        people: How many main persons there are at most.
        named: Positions of chains that a user has named as main persons.
        max_join_seconds: Up to this time unseen, motion tells whether a person goes on.
    """
    if not chains:
        return Identity(
            np.zeros(0, np.int8), np.zeros(0, np.float32), np.zeros(0, np.int8), np.zeros((0, 0), np.float32)
        )
    order = sorted(range(len(chains)), key=lambda i: _prominence(chains[i]))
    back = np.argsort(np.array(order, np.intp))
    solver = _Solver([chains[i] for i in order], frame_width, max_join_seconds)
    person = solver.begin(people, [int(back[i]) for i in named])
    while True:
        person, judged = solver.settle(person)
        wanted = set(person[back[list(named)]].tolist())
        small = [
            p for p in range(judged.shape[1] - 1) if p not in wanted and solver.frames[person == p].sum() < min_frames
        ]
        if not small:
            break
        person = solver.without(person, small[-1])
    return solver.result(person, judged, back)


def _prominence(chain: Chain) -> tuple[float, ...]:
    """Sorts the largest and longest seen first."""
    x, y, height = chain.place
    return (-len(chain) * height, -len(chain), x, y, float(chain.first_frame), float(chain.shot))


class _Solver:
    """Assigns N chains, in order of their prominence."""

    def __init__(self, chains: Sequence[Chain], frame_width: float, max_join_seconds: float):
        self._chains, self._max_join = chains, max_join_seconds
        self.frames = np.array([len(c) for c in chains], np.float64)
        self._affinity = Affinity(chains, frame_width)
        self._apart = cannot_links(chains)
        self._labels = cluster(chains, self._affinity, self._apart)
        self._shots = _by_shot(self._affinity.shot)
        self._bonus: NDArray[np.float64] = np.zeros((len(chains), 0))
        self._transition = cache(self._work_out_transition)

    def begin(self, people: int, named: Sequence[int]) -> NDArray[np.int8]:
        """``(N,)`` persons by clusters alone."""
        for i in named:
            if self._labels[i] < 0:  # beyond those that are clustered
                self._labels[i] = self._labels.max() + 1
        named_clusters = [int(self._labels[i]) for i in named]
        mains = choose_mains(self._chains, self._labels, self._affinity, self._apart, people, named_clusters)
        person = np.full(len(self._chains), OTHER, np.int8)
        self._bonus = np.zeros((len(self._chains), len(mains)))
        for p, main in enumerate(mains):
            own = self._labels == main
            person[own] = p
            self._bonus[own, p] += MEMBER
        for p, i in enumerate(self._anchors(mains)):
            self._bonus[i, p] += ANCHOR
        for i, main in zip(named, named_clusters, strict=True):
            if main in mains:
                self._bonus[i, mains.index(main)] += NAMED
        return person

    def _anchors(self, mains: Sequence[int]) -> list[int]:
        """One chain of each main that says who this is: seen together with that of the first, if ever."""
        members = [np.flatnonzero(self._labels == main) for main in mains]  # the most prominent comes first
        if not members:
            return []

        def together(i: int) -> float:
            met = [self.frames[np.intersect1d(own, self._apart[i])].max(initial=0.0) for own in members[1:]]
            return float(min([self.frames[i], *met]))

        first = max(members[0].tolist(), key=together)
        others = [np.intersect1d(own, self._apart[first]) for own in members[1:]]
        return [first, *(int((met if len(met) else own)[0]) for met, own in zip(others, members[1:], strict=True))]

    def without(self, person: NDArray[np.int8], dropped: int) -> NDArray[np.int8]:
        """The same with one person less."""
        kept = np.where(person == dropped, OTHER, person)
        self._bonus = np.delete(self._bonus, dropped, axis=1)
        return np.asarray(np.where(kept > dropped, kept - 1, kept), np.int8)

    def settle(self, person: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Assign shot by shot until nothing changes.

        Returns:
            ``(N,)`` persons, and ``(N, P + 1)`` best totals of each choice (see ``Assignment.totals``).
        """
        totals = np.zeros((len(person), self._bonus.shape[1] + 1))
        seen: set[bytes] = set()
        for _ in range(MAX_PASSES):
            odds, _ = self._log_odds(person)
            before, person = person, person.copy()
            for members in self._shots:
                found = self._assign_shot(members, odds)
                person[members], totals[members] = found.person, found.totals
            if (person == before).all() or person.tobytes() in seen:
                break
            seen.add(person.tobytes())
        return person, totals

    def result(self, person: NDArray[np.int8], totals: NDArray[np.float64], back: NDArray[np.intp]) -> Identity:
        """Names, margins and distances, in the order of ``back``."""
        num_persons = self._bonus.shape[1]
        _, distances = self._log_odds(person)
        main = person != OTHER
        own = np.where(main, person, num_persons)
        rivals = totals[:, :num_persons].copy()
        rivals[np.flatnonzero(main), person[main]] = -np.inf
        rival = np.argmax(rivals, axis=1) if num_persons else np.zeros(len(person), np.intp)
        best_rival = rivals[np.arange(len(person)), rival] if num_persons else np.full(len(person), -np.inf)
        with np.errstate(invalid="ignore"):
            margin = totals[np.arange(len(person)), own] - best_rival
        margin = np.where(np.isfinite(best_rival) & main, margin, np.inf)
        unsure = margin < UNKNOWN
        names = _names(self._chains, person, num_persons, self._shots)
        lookup = np.append(names, OTHER)  # so that OTHER stays itself
        named = np.where(unsure, OTHER, lookup[person])
        rival_names = np.where(np.isfinite(margin), lookup[rival], OTHER)
        by_name = np.full_like(distances, np.nan)
        by_name[:, names] = distances
        return Identity(
            named.astype(np.int8), margin.astype(np.float32), rival_names.astype(np.int8), by_name.astype(np.float32)
        ).take(back)

    def _assign_shot(self, members: NDArray[np.intp], odds: NDArray[np.float64]) -> Assignment:
        first = [self._chains[i].first_frame for i in members]
        last = [self._chains[i].last_frame for i in members]
        return assign(first, last, odds[members], lambda i, j: self._transition(int(members[i]), int(members[j])))

    def _work_out_transition(self, i: int, j: int) -> float:
        """Log-odds that chain ``j`` is the next of the same person after ``i``."""
        before, after = self._chains[i].tracklets[-1], self._chains[j].tracklets[0]
        if after.start - before.end <= self._max_join:
            odds = float(np.clip(CONTINUES * (1 - gap_cost(before, after)), BREAKS, CONTINUES))
            faces = self._affinity.faces.weight[[i, j]].min()
            return odds if odds > 0 or faces < 1 else FACE_KNOWN * odds
        lost, found = before.tail, after.head
        distance = np.linalg.norm(lost.centre - found.centre) / ((lost.height + found.height) / 2)
        return float(np.clip(SAME_PLACE * (1 - distance / NEUTRAL_HEIGHTS), OTHER_PLACE, SAME_PLACE))

    def _log_odds(self, person: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(N, P)`` log-odds of each chain being each person by all the other chains, and distances of the faces."""
        num_persons = self._bonus.shape[1]
        odds, distances = PRIOR + self._bonus, np.full(self._bonus.shape, np.nan)
        odds[self.frames < SHORT_FRAMES] += SHORT
        strangers = self._strangers(person)
        for p in range(num_persons):
            by_face, distances[:, p] = self._by_face(person == p)
            by_place = np.maximum(self._by_place(person == p), ELSEWHERE)
            odds[:, p] += by_face + np.where(np.isnan(distances[:, p]), by_place, FACE_KNOWN * by_place)
            for other in strangers[p]:
                like_other, _ = self._by_face(other)
                odds[:, p] -= np.maximum(like_other, 0.0)
                odds[other, p] -= STRANGER
        return odds, distances

    def _by_face(self, members: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(N,)`` log-odds of being the person of ``members`` by those other than the chain itself, and distances."""
        faces = self._affinity.faces
        weighted = faces.vectors * faces.weight[:, None]
        own = members.astype(np.float64)
        weight = own @ faces.weight - own * faces.weight
        weight = np.where(weight > 1e-9, weight, 0.0)
        mean = (own @ weighted - own[:, None] * weighted) / np.maximum(weight, 1e-9)[:, None]
        squared = ((faces.vectors - mean) ** 2).sum(axis=1)
        known = (weight > 0) & (faces.weight > 0)
        return (
            np.asarray(log_odds(squared, (faces.weight, faces.count), (weight, weight)), np.float64),
            np.where(known, np.sqrt(squared), np.nan),
        )  # fmt: skip

    def _by_place(self, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(N,)`` mean log-odds of being where ``members`` of the other shots are."""
        own, total = np.flatnonzero(members), np.zeros(len(members))
        if len(own) == 0:
            return total
        shot = self._affinity.shot
        for shot_members in self._shots:
            elsewhere = own[shot[own] != shot[shot_members[0]]]
            if len(elsewhere):
                odds = self._affinity.by_place(shot_members, elsewhere)
                total[shot_members] = np.average(odds, axis=1, weights=self.frames[elsewhere])
        return total

    def _strangers(self, person: NDArray[np.int8]) -> list[list[NDArray[np.bool_]]]:
        """For each person the clusters of others who are surely somebody else.

        They were seen together with the person and do not look alike, or they look clearly unlike.
        """
        num_persons = self._bonus.shape[1]
        free = (person == OTHER) & (self._labels >= 0)
        seen = np.bincount(self._labels[free], self.frames[free])
        groups = [free & (self._labels == label) for label in np.argsort(-seen, kind="stable")[:MAX_STRANGERS]]
        alike = same_log_odds(self._pooled(groups), self._pooled([person == p for p in range(num_persons)]))
        found: list[list[NDArray[np.bool_]]] = [[] for _ in range(num_persons)]
        for members, odds in zip(groups, alike, strict=True):
            met = {int(person[j]) for i in np.flatnonzero(members) for j in self._apart[i]}
            for p in range(num_persons):
                if odds[p] < UNLIKE or (p in met and odds[p] <= 0):
                    found[p].append(members)
        return found

    def _pooled(self, groups: Sequence[NDArray[np.bool_]]) -> Pooled:
        """The faces of all chains of each group together."""
        faces, own = self._affinity.faces, np.array(groups, np.float64).reshape(len(groups), len(self._chains))
        weight = own @ faces.weight
        vectors = own @ (faces.vectors * faces.weight[:, None]) / np.maximum(weight, 1e-9)[:, None]
        return Pooled(vectors, np.minimum(weight, FULL_COUNT), np.minimum(own @ faces.count, FULL_COUNT))


def _by_shot(shot: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Positions of the chains of each shot."""
    order = np.argsort(shot, kind="stable")
    return [members for members in np.split(order, np.flatnonzero(np.diff(shot[order])) + 1) if len(members)]


def _names(
    chains: Sequence[Chain], person: NDArray[np.int8], num_persons: int, shots: Sequence[NDArray[np.intp]]
) -> NDArray[np.int64]:
    """``(num_persons,)`` index into ``PERSONS`` of each: the left one of the first two is A.

    Left in more of the frames that show both, or else on the whole.
    """
    names = np.arange(num_persons)
    if num_persons < 2:
        return names
    votes = 0
    for members in shots:
        (frames_a, x_a), (frames_b, x_b) = (_places([chains[i] for i in members if person[i] == n]) for n in (0, 1))
        _, in_a, in_b = np.intersect1d(frames_a, frames_b, return_indices=True)
        votes += int(np.sign(x_b[in_b] - x_a[in_a]).sum())
    if votes == 0:
        x_a, x_b = (_places([c for c, p in zip(chains, person, strict=True) if p == n])[1] for n in (0, 1))
        votes = 1 if not len(x_b) or (len(x_a) and x_a.mean() <= x_b.mean()) else -1
    if votes < 0:
        names[[0, 1]] = 1, 0
    return names


def _places(chains: Sequence[Chain]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Frames and centre x of all ``chains`` together."""
    frames = [np.zeros(0, np.int32), *(c.frame_index for c in chains)]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(c.boxes_xyxy for c in chains)])
    return np.concatenate(frames), centres(boxes)[:, 0]
