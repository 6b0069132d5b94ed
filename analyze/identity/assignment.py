"""The best assignment of the chains of one shot to persons, and by how much it is the best.

Each person is a path through chains that follow each other in time. The joint best of all paths is found by dynamic
programming over the chains in order of their start (Viterbi), where the state is the last chain of each person; and
going through the same arcs backwards gives the best total of every single decision (max-marginals), so a margin
counts all that would have to change with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .chains import follows

MAX_STATES = 256  # hypotheses that are kept after each chain
SLACK = 30.0  # log-odds behind the best after which one is given up

Transition = Callable[[int, int], float]
"""Log-odds that chain ``j`` follows chain ``i`` as the same person, next."""


@dataclass(frozen=True)
class Assignment:
    """What became of N chains.

    Attributes:
        person: ``(N,)`` int8: person, or -1 for none.
        totals: ``(N, P + 1)`` float64: best total log-odds of any assignment in which the chain is that person, or none
            (last column); -inf where that cannot be, or was not among the kept hypotheses.
    """

    person: NDArray[np.int8]
    totals: NDArray[np.float64]


def assign(
    first: Sequence[int], last: Sequence[int], log_odds: NDArray[np.float64], transition: Transition
) -> Assignment:
    """Find the assignment with the largest sum of log-odds and transitions.

    Args:
        first: First frame of each chain.
        last: Last frame of each chain.
        log_odds: ``(N, P)`` of each chain being each person; -inf forbids.
        transition: Asked for neighbouring chains of one person.
    """
    num, people = log_odds.shape
    order = sorted(range(num), key=lambda i: (first[i], last[i], i))
    layers = [_Layer(states=[(-1,) * people], forward=np.zeros(1))]
    for i in order:
        layers.append(_step(layers[-1], i, (first, last), log_odds[i], transition))
    totals = np.full((num, people + 1), -np.inf)
    backward = np.zeros(len(layers[-1].states))
    for layer, before, i in zip(reversed(layers[1:]), reversed(layers[:-1]), reversed(order), strict=True):
        through = before.forward[layer.source] + layer.gain + backward[layer.target]
        np.maximum.at(totals[i], layer.label, through)
        ahead = np.full(len(before.states), -np.inf)
        np.maximum.at(ahead, layer.source, layer.gain + backward[layer.target])
        backward = ahead
    return Assignment(_best_path(layers, order, num), totals)


@dataclass
class _Layer:
    """Hypotheses after one more chain, and the arcs that lead to them.

    Attributes:
        states: Last chain of each person, or -1.
        forward: Best total of each state.
        source: State before, of each arc.
        target: State after, of each arc.
        label: Person that the chain becomes on each arc, or the number of persons for none.
        gain: Log-odds of each arc.
    """

    states: list[tuple[int, ...]]
    forward: NDArray[np.float64]
    source: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    target: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    label: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    gain: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def _step(
    before: _Layer,
    i: int,
    spans: tuple[Sequence[int], Sequence[int]],
    log_odds: NDArray[np.float64],
    transition: Transition,
) -> _Layer:
    people, (first, last) = len(log_odds), spans
    number: dict[tuple[int, ...], int] = {}
    source, target, label, gain = [], [], [], []
    for s, state in enumerate(before.states):
        for person in range(people + 1):
            if person == people:
                new, plus = state, 0.0
            else:
                at = state[person]
                if log_odds[person] == -np.inf:
                    continue
                if at >= 0 and not follows((first[at], last[at]), (first[i], last[i])):
                    continue
                new = (*state[:person], i, *state[person + 1 :])
                plus = float(log_odds[person]) + (transition(at, i) if at >= 0 else 0.0)
            source.append(s)
            target.append(number.setdefault(new, len(number)))
            label.append(person)
            gain.append(plus)
    sources, targets, gains = np.array(source, np.intp), np.array(target, np.intp), np.array(gain)
    forward = np.full(len(number), -np.inf)
    np.maximum.at(forward, targets, before.forward[sources] + gains)
    layer = _Layer(list(number), forward, sources, targets, np.array(label, np.intp), gains)
    return _pruned(layer)


def _pruned(layer: _Layer) -> _Layer:
    kept = np.sort(np.argsort(-layer.forward, kind="stable")[:MAX_STATES])
    kept = kept[layer.forward[kept] >= layer.forward.max() - SLACK]
    if len(kept) == len(layer.states):
        return layer
    place = np.full(len(layer.states), -1, np.intp)
    place[kept] = np.arange(len(kept))
    arcs = place[layer.target] >= 0
    return _Layer(
        [layer.states[k] for k in kept], layer.forward[kept], layer.source[arcs], place[layer.target[arcs]],
        layer.label[arcs], layer.gain[arcs],
    )  # fmt: skip


def _best_path(layers: Sequence[_Layer], order: Sequence[int], num: int) -> NDArray[np.int8]:
    person = np.full(num, -1, np.int8)
    at = int(np.argmax(layers[-1].forward))
    for layer, before, i in zip(reversed(layers[1:]), reversed(layers[:-1]), reversed(order), strict=True):
        arcs = np.flatnonzero(layer.target == at)
        best = arcs[np.argmax(before.forward[layer.source[arcs]] + layer.gain[arcs])]
        people = len(before.states[0])
        person[i] = -1 if layer.label[best] == people else int(layer.label[best])
        at = int(layer.source[best])
    return person
