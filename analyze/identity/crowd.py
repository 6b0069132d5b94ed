"""Who is in the video, and which of them are the main persons.

Chains are clustered by affinity (average linkage, never two that are on screen together); the mains are those who are
seen longest and largest, and together.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from .affinity import Affinity
from .chains import Chain

MAX_CLUSTERED = 2000  # chains that are clustered, the longest seen; the others are assigned to persons later
APART = 1e9  # distance of two that are on screen together: no average with it is ever small
MAX_CANDIDATES = 12  # people among whom the mains are chosen
MIN_TOGETHER = 3  # frames with both, after which two are surely two: less may be a double detection
DIFFERENT = -0.5  # mean log-odds under which two who are never seen together are two people


def cannot_links(chains: Sequence[Chain]) -> list[NDArray[np.intp]]:
    """For each chain the positions of the others that it cannot be, because they are on screen meanwhile."""
    links: list[list[int]] = [[] for _ in chains]
    active: list[int] = []
    for i in sorted(range(len(chains)), key=lambda i: (chains[i].first_frame, chains[i].last_frame)):
        active = [j for j in active if chains[j].last_frame >= chains[i].first_frame]
        for j in active:
            if chains[i].overlaps(chains[j]):
                links[i].append(j)
                links[j].append(i)
        active.append(i)
    return [np.array(sorted(own), np.intp) for own in links]


def cluster(chains: Sequence[Chain], affinity: Affinity, apart: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """``(N,)`` cluster of each chain, 0-based; -1 for those beyond ``MAX_CLUSTERED``."""
    labels = np.full(len(chains), -1, np.intp)
    chosen = np.sort(np.argsort([-len(c) for c in chains], kind="stable")[:MAX_CLUSTERED])
    labels[chosen] = 0
    if len(chosen) < 2:
        return labels
    distance = -affinity.rows(chosen, chosen).astype(np.float64)
    distance = (distance + distance.T) / 2  # exactly symmetric
    place = np.full(len(chains), -1)
    place[chosen] = np.arange(len(chosen))
    for i in chosen:
        others = place[apart[i]]
        distance[place[i], others[others >= 0]] = APART
    np.fill_diagonal(distance, 0.0)
    shift = max(0.0, -float(distance.min()))  # linkage wants no distance below 0
    distance += shift
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    labels[chosen] = fcluster(tree, shift, "distance") - 1
    return labels


def choose_mains(
    chains: Sequence[Chain],
    labels: NDArray[np.intp],
    affinity: Affinity,
    apart: Sequence[NDArray[np.intp]],
    people: int,
    named: Sequence[int] = (),
) -> list[int]:
    """Clusters of the main persons, at most ``people``: those seen longest and largest, and together.

    Args:
        chains: N chains.
        labels: ``(N,)`` cluster of each, or -1.
        affinity: Of the chains.
        apart: For each chain those that are on screen with it.
        people: How many are wanted.
        named: Clusters that a user has named; they come first.
    """
    clusters = _Clusters(chains, labels, affinity, apart, named)
    chosen = list(dict.fromkeys(named))[:people]
    while len(chosen) < people:
        free = [c for c in clusters.prominent() if c not in chosen and all(clusters.differ(c, d) for d in chosen)]
        if not free:
            break
        if chosen or people == 1:
            chosen.append(max(free, key=lambda c: clusters.rank([*chosen, c])))
            continue
        pairs = [pair for pair in combinations(free, 2) if clusters.differ(*pair)]
        best = max(pairs, key=lambda pair: clusters.rank(list(pair)), default=(free[0],))
        chosen += best
    return chosen


class _Clusters:
    """What the choice of the mains looks at."""

    def __init__(
        self,
        chains: Sequence[Chain],
        labels: NDArray[np.intp],
        affinity: Affinity,
        apart: Sequence[NDArray[np.intp]],
        named: Sequence[int],
    ):
        self._chains, self._affinity = chains, affinity
        num = int(labels.max(initial=-1)) + 1
        self._members = [np.flatnonzero(labels == c) for c in range(num)]
        groups = [[chains[i] for i in own.tolist()] for own in self._members]
        self._frames = np.array([sum(len(c) for c in group) for group in groups], np.float64)
        self._size = np.array([sum(len(c) * c.place[2] for c in group) for group in groups], np.float64)
        first = np.array([min((c.first_frame for c in group), default=0) for group in groups])
        self._order = [int(c) for c in np.lexsort((first, -self._size))][:MAX_CANDIDATES]
        self._together = _co_visible_frames(chains, labels, apart, [*self._order, *named])

    def prominent(self) -> list[int]:
        """The clusters seen longest and largest, the first of them first."""
        return self._order

    def rank(self, group: Sequence[int]) -> float:
        """How well ``group`` would do as the mains."""
        shares = [self._share(a, b) for a, b in combinations(group, 2)]
        seen = float(np.mean(np.log(np.maximum(self._size[list(group)], 1.0))))
        return seen + float(np.log1p(np.mean(shares))) if shares else seen

    def differ(self, a: int, b: int) -> bool:
        """Whether two clusters are surely two people: seen together, or unlike in place and face."""
        if self._together.get((min(a, b), max(a, b)), 0) >= MIN_TOGETHER:
            return True
        own, other = self._members[a], self._members[b]
        length = np.array([len(c) for c in self._chains], np.float64)
        odds = np.average(self._affinity.rows(own, other), weights=np.outer(length[own], length[other]))
        return bool(odds < DIFFERENT)

    def _share(self, a: int, b: int) -> float:
        fewer = max(float(min(self._frames[a], self._frames[b])), 1.0)
        return self._together.get((min(a, b), max(a, b)), 0) / fewer


def _co_visible_frames(
    chains: Sequence[Chain], labels: NDArray[np.intp], apart: Sequence[NDArray[np.intp]], clusters: Sequence[int]
) -> dict[tuple[int, int], int]:
    """Frames in which two of ``clusters`` are seen together."""
    wanted, together = set(clusters), dict[tuple[int, int], int]()
    for i, links in enumerate(apart):
        if int(labels[i]) not in wanted:
            continue
        for j in links[links > i]:
            pair = tuple(sorted((int(labels[i]), int(labels[j]))))
            if pair[0] in wanted and pair[1] in wanted and pair[0] != pair[1]:
                shared = np.intersect1d(chains[i].frame_index, chains[j].frame_index, assume_unique=True)
                key = (pair[0], pair[1])
                together[key] = together.get(key, 0) + len(shared)
    return together
