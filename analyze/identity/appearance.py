"""What embeddings say: how likely two groups of faces are the same person.

Distances are in units of the embedder's own same-person distance, so that the figures hold for any embedder.
Comparisons are relative wherever somebody else is known (nearer to A than to B), because the pooled embeddings of two
people can be nearer to each other than the embedder's authors thought. Model: the pooled embedding of a group lies
around its person's mean with a spread that falls with the number and quality of its faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPREAD = 0.2  # of well-sampled groups of one person around its mean: pose, light, expression
EVEN = 0.63  # distance of two well-sampled groups at which "same" and "different" are equally likely
FULL_COUNT = 4.0  # faces after which more of the same moment add nothing
FEW = 0.12  # squared distance that a single face adds on top: one picture lies off the mean of many
POOR = 0.3  # squared distance that poor pictures add, beyond as many good ones: small or turned faces look like nobody
TINY = 1e-6
POOR_SPREAD = 3.0  # how much faster than with their number the log-odds of poor pictures lose weight
LIMIT = 8.0  # log-odds beyond which embeddings are not believed


@dataclass(frozen=True)
class Pooled:
    """N groups of faces (tracklets, chains or persons).

    Attributes:
        vectors: ``(N, dimension)`` float64 means, weighted by quality; zeros where nothing was embedded.
        weight: ``(N,)`` float64 how many good faces they are worth: mean quality times number, at most ``FULL_COUNT``;
            0 where nothing was embedded.
        count: ``(N,)`` float64 number of faces, at most ``FULL_COUNT``.
    """

    vectors: NDArray[np.float64]
    weight: NDArray[np.float64]
    count: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.weight)


def pool(groups: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Pooled:
    """Pool the embeddings ``(E, dimension)`` and their qualities ``(E,)`` of each group."""
    dimension = max((vectors.shape[1] for vectors, _ in groups), default=0)
    means, weight, count = np.zeros((len(groups), dimension)), np.zeros(len(groups)), np.zeros(len(groups))
    for i, (vectors, quality) in enumerate(groups):
        total = float(quality.sum(dtype=np.float64))
        if total > 0:
            means[i] = quality.astype(np.float64) @ vectors / total
            count[i] = min(len(quality), FULL_COUNT)
            weight[i] = count[i] * total / len(quality)
    return Pooled(means, weight, count)


def same_log_odds(a: Pooled, b: Pooled) -> NDArray[np.float32]:
    """``(N, M)`` float32 log-odds that groups i of ``a`` and j of ``b`` are one person; 0 where one has no face."""
    if a.vectors.shape[1] == 0 or b.vectors.shape[1] == 0:
        return np.zeros((len(a), len(b)), np.float32)
    return log_odds(squared_distances(a, b), (a.weight[:, None], a.count[:, None]), (b.weight[None], b.count[None]))


def log_odds(
    squared: NDArray[np.float64],
    a: tuple[NDArray[np.float64], NDArray[np.float64]],
    b: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Log-odds that two groups at a ``squared`` distance are one person; 0 where a weight is 0.

    Args:
        squared: Squared distances of the means.
        a: Weights and counts of the groups on one side (see :class:`Pooled`); shapes broadcast.
        b: Of the other.
    """
    known = (a[0] > 0) & (b[0] > 0)
    single = _inverse(a[1]) + _inverse(b[1])
    poor = _inverse(a[0]) + _inverse(b[0]) - single
    odds = (EVEN**2 + FEW * single + POOR * poor - squared) / (2 * SPREAD**2 * (1 + single + POOR_SPREAD * poor))
    return np.asarray(np.where(known, np.clip(odds, -LIMIT, LIMIT), 0.0), np.float32)


def _inverse(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / np.maximum(value, TINY), np.float64)


def squared_distances(a: Pooled, b: Pooled) -> NDArray[np.float64]:
    """``(N, M)`` squared distances of the means."""
    product = a.vectors @ b.vectors.T
    square = (a.vectors**2).sum(axis=1)[:, None] + (b.vectors**2).sum(axis=1)[None] - 2 * product
    return np.asarray(np.maximum(square, 0.0), np.float64)
