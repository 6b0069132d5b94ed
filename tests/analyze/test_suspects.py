"""Doubtful moments made by hand are found, with their ranges."""

import numpy as np
import pytest

from dft.analyze.identity import OTHER, Identity
from dft.analyze.rows import Rows
from dft.analyze.suspects import SuspectFinder
from dft.trackio.metadata import SUSPECT_KINDS

NUM = 100
PTS = 500 + 40 * np.arange(NUM)
TIMES = np.arange(NUM) / 25.0


def found(chains, persons, *, margins=None, shots=None):
    rows = Rows.of_chains(chains, np.array(persons, np.int8))
    margin = np.full(len(chains), np.inf) if margins is None else np.array(margins)
    shots = np.zeros(NUM, np.int32) if shots is None else shots
    suspects = SuspectFinder(rows, PTS, TIMES, shots).find(
        chains, Identity(np.array(persons, np.int8), margin.astype(np.float32))
    )
    for suspect in suspects:
        assert suspect.kind in SUSPECT_KINDS and 0 <= suspect.probability <= 1 and suspect.note
        assert (suspect.first_pts, suspect.last_pts) == (PTS[suspect.first_frame], PTS[suspect.last_frame])
    return [(s.kind, s.first_frame, s.last_frame) for s in suspects]


def test_two_who_sit_apart_are_no_suspects(chain):
    assert found([chain(range(NUM), 150.0), chain(range(NUM), 450.0)], [0, 1]) == []


def test_a_contact(chain):
    """They come near, touch from 1.6 to 2.4 s, and part on their own sides; enlarged faces touch under 104 pixels."""
    near = [104.0 - 1 if 40 <= i <= 60 else 160.0 for i in range(NUM)]
    chains = [chain(range(NUM), 200.0), chain(range(NUM), [200 + d for d in near])]
    assert found(chains, [0, 1]) == [("contact", 40, 60)]


def test_a_crossing(chain):
    a = chain(range(NUM), lambda t: 100 + 100 * t)
    b = chain(range(NUM), lambda t: 500 - 100 * t)
    ((kind, first, last),) = found([a, b], [0, 1])
    assert kind == "crossing"
    assert (first, last) == (38, 62)  # 104 pixels apart at 1.48 s and 2.52 s


def test_contacts_close_together_are_one(chain):
    near = [90.0 if i in (*range(30, 35), *range(40, 45), *range(70, 75)) else 160.0 for i in range(NUM)]
    chains = [chain(range(NUM), 200.0), chain(range(NUM), [200 + d for d in near])]
    assert found(chains, [0, 1]) == [("contact", 30, 44), ("contact", 70, 74)]


@pytest.mark.parametrize(("unseen", "suspect"), [(11, []), (12, [("gap", 40, 51)]), (30, [("gap", 40, 69)])])
def test_a_gap(chain, unseen, suspect):
    frames = [*range(40), *range(40 + unseen, NUM)]
    assert found([chain(frames, 150.0), chain(range(NUM), 450.0)], [0, 1]) == suspect


def test_a_gap_at_a_cut_is_none(chain):
    frames = [*range(40), *range(60, NUM)]
    shots = np.where(np.arange(NUM) < 50, 0, 1).astype(np.int32)
    assert found([chain(frames, 150.0)], [0], shots=shots) == []


def test_a_jump(chain):
    places = [150.0 if i < 50 else 300.0 for i in range(NUM)]
    assert found([chain(range(NUM), places)], [0]) == [("jump", 49, 50)]


def test_quick_motion_is_no_jump(chain):
    assert found([chain(range(NUM), lambda t: 100 + 400 * t)], [0]) == []


def test_another_face_at_a_main_is_a_duplicate(chain):
    others = chain(range(20, 30), 170.0, height=90.0)
    assert found([chain(range(NUM), 150.0), others], [0, OTHER]) == [("duplicate", 20, 29)]
    far = chain(range(20, 30), 400.0, height=90.0)
    assert found([chain(range(NUM), 150.0), far], [0, OTHER]) == []


def test_low_margins_and_cuts(chain):
    shots = np.where(np.arange(NUM) < 50, 0, 1).astype(np.int32)
    chains = [chain(range(10, 50), 150.0), chain(range(50, 80), 320.0, shot=1), chain(range(85, NUM), 300.0, shot=1)]
    assert found(chains, [0, 0, 1], margins=[5.0, 0.2, 0.1], shots=shots) == [("cut", 50, 79), ("low_margin", 85, 99)]
    assert found(chains, [0, 0, 1], margins=[5.0, 3.0, 3.0], shots=shots) == []
