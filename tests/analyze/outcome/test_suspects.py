"""Doubtful moments made by hand are found, with their ranges, their probabilities and what speaks for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity.persons import OTHER, Identity
from dft.analyze.outcome.gaps import fill_gaps
from dft.analyze.outcome.rows import Rows
from dft.analyze.outcome.suspects import LEAST, MOST, SuspectFinder, Timeline
from dft.trackio.metadata import SUSPECT_KINDS

NUM = 100
PTS = 500 + 40 * np.arange(NUM)
TIMES = np.arange(NUM) / 25.0
ONE_SHOT = np.zeros(NUM, np.int32)
TWO_SHOTS = np.where(np.arange(NUM) < 50, 0, 1).astype(np.int32)


def identity_of(persons, *, margins=None, rivals=None, distances=None) -> Identity:
    person = np.array(persons, np.int8)
    num = max(int(person.max(initial=-1)) + 1, *(r + 1 for r in rivals or [0]))
    return Identity(
        person,
        np.array([np.inf] * len(person) if margins is None else margins, np.float32),
        np.array([OTHER] * len(person) if rivals is None else rivals, np.int8),
        np.full((len(person), num), np.nan, np.float32) if distances is None else np.array(distances, np.float32),
    )


def suspects(chains, persons, *, shots=ONE_SHOT, **known):
    identity = identity_of(persons, **known)
    rows = Rows.of_chains(chains, identity.person)
    rows = Rows.joined([rows, *(fill_gaps(rows, p, TIMES, shots, 1.0) for p in range(identity.num_persons))])
    found = SuspectFinder(rows, Timeline(PTS, TIMES, shots), chains, identity).find()
    assert list(found) == sorted(found, key=lambda s: (s.first_frame, s.last_frame))
    for suspect in found:
        assert suspect.kind in SUSPECT_KINDS and LEAST <= suspect.probability <= MOST and suspect.note
        assert (suspect.first_pts, suspect.last_pts) == (PTS[suspect.first_frame], PTS[suspect.last_frame])
        assert all(type(value) is float and np.isfinite(value) for value in suspect.evidence.values())
        assert 0 <= suspect.evidence["stability"] <= 1
    return found


def found(*args, **kwargs):
    return [(s.kind, s.first_frame, s.last_frame) for s in suspects(*args, **kwargs)]


def test_two_who_sit_apart_are_no_suspects(chain):
    assert found([chain(range(NUM), 150.0), chain(range(NUM), 450.0)], [0, 1]) == []


def test_a_contact(chain):
    """They come near, touch from 1.6 to 2.4 s, and part on their own sides; enlarged faces touch under 104 pixels."""
    near = [104.0 - 1 if 40 <= i <= 60 else 160.0 for i in range(NUM)]
    chains = [chain(range(NUM), 200.0), chain(range(NUM), [200 + d for d in near])]
    (contact,) = suspects(chains, [0, 1])
    assert (contact.kind, contact.first_frame, contact.last_frame) == ("contact", 40, 60)
    assert contact.note == "the faces of A and B touch"


def test_a_crossing(chain):
    a = chain(range(NUM), lambda t: 100 + 100 * t)
    b = chain(range(NUM), lambda t: 500 - 100 * t)
    (crossing,) = suspects([a, b], [0, 1])
    assert (crossing.kind, crossing.note) == ("crossing", "A and B cross")
    assert (crossing.first_frame, crossing.last_frame) == (38, 62)  # 104 pixels apart at 1.48 s and 2.52 s


def test_contacts_close_together_are_one(chain):
    near = [90.0 if i in (*range(30, 35), *range(40, 45), *range(70, 75)) else 160.0 for i in range(NUM)]
    chains = [chain(range(NUM), 200.0), chain(range(NUM), [200 + d for d in near])]
    assert found(chains, [0, 1]) == [("contact", 30, 44), ("contact", 70, 74)]


def test_contacts_of_any_two_of_four(chain):
    """Four in a row who sway: the first two touch, and the third and fourth."""
    places = [100.0, 260.0, 400.0, 580.0]
    sway = [[60.0 if who in (0, 2) and 30 + who <= i <= 40 + who else 0.0 for i in range(NUM)] for who in range(4)]
    sway[2] = [1.5 * s for s in sway[2]]
    chains = [chain(range(NUM), [x + s for s in own]) for x, own in zip(places, sway, strict=True)]
    notes = [s.note for s in suspects(chains, [0, 1, 2, 3])]
    assert notes == ["the faces of A and B touch", "the faces of C and D touch"]


@pytest.mark.parametrize(("unseen", "suspect"), [(11, []), (12, [("gap", 40, 51)]), (30, [("gap", 40, 69)])])
def test_a_gap(chain, unseen, suspect):
    """Filled or not."""
    frames = [*range(40), *range(40 + unseen, NUM)]
    assert found([chain(frames, 150.0), chain(range(NUM), 450.0)], [0, 1]) == suspect


def test_a_gap_at_a_cut_is_none(chain):
    frames = [*range(40), *range(60, NUM)]
    assert found([chain(frames, 150.0)], [0], shots=TWO_SHOTS) == []


def test_a_jump(chain):
    places = [150.0 if i < 50 else 300.0 for i in range(NUM)]
    (jump,) = suspects([chain(range(NUM), places)], [0])
    assert (jump.kind, jump.first_frame, jump.last_frame) == ("jump", 49, 50)
    assert jump.evidence["heights"] == 1.5


def test_quick_motion_is_no_jump(chain):
    assert found([chain(range(NUM), lambda t: 100 + 400 * t)], [0]) == []


def test_another_face_at_a_main_is_a_duplicate(chain):
    others = chain(range(20, 30), 170.0, height=90.0)
    assert found([chain(range(NUM), 150.0), others], [0, OTHER]) == [("duplicate", 20, 29)]
    far = chain(range(20, 30), 400.0, height=90.0)
    assert found([chain(range(NUM), 150.0), far], [0, OTHER]) == []


def test_low_margins_and_cuts(chain):
    chains = [chain(range(10, 50), 150.0), chain(range(50, 80), 320.0, shot=1), chain(range(85, NUM), 300.0, shot=1)]
    near = {"margins": [5.0, 0.8, 0.6], "rivals": [1, 1, 0], "shots": TWO_SHOTS}
    assert [s[0] for s in found(chains, [0, 0, 1], **near)] == ["cut", "low_margin"]
    cut, low = suspects(chains, [0, 0, 1], **near)
    assert (cut.first_frame, cut.last_frame, low.first_frame, low.last_frame) == (50, 79, 85, 99)
    assert cut.note == "A rather than B by a margin of 0.80" and cut.evidence["margin"] == 0.8
    clear = {"margins": [5.0, 3.0, 3.0], "rivals": [1, 1, 0], "shots": TWO_SHOTS}
    assert found(chains, [0, 0, 1], **clear, distances=[[0.2, 1.0]] * 3) == []
    # by place alone a cut is doubtful at that margin still
    assert found(chains, [0, 0, 1], **clear) == [("cut", 50, 79)]


def test_an_unknown_track_is_listed(chain):
    """It is one of the mains, it is not known which: with the distances of its face from both."""
    chains = [chain(range(NUM), 150.0), chain(range(40), 450.0), chain(range(60, 90), 320.0)]
    distances = [[0.2, 1.1], [1.0, 0.3], [0.62, 0.65]]
    (doubt,) = [
        s
        for s in suspects(chains, [0, 1, OTHER], margins=[5, 5, 0.2], rivals=[1, 0, 0], distances=distances)
        if s.kind == "low_margin"
    ]
    assert (doubt.first_frame, doubt.last_frame) == (60, 89)
    assert doubt.note == "a main person, perhaps A, but not clear who: margin 0.20"
    assert doubt.evidence == {"margin": 0.2, "stability": 1.0, "distance_A": 0.62, "distance_B": 0.65}
    assert 0.4 < doubt.probability <= 0.5


def rejoined(chain, margin, stability=1.0, **known):
    """The suspects where A is unseen for a second and comes back as another track."""
    chains = [
        chain(range(40), 150.0), chain(range(65, NUM), 160.0, stability=stability), chain(range(NUM), 450.0)
    ]  # fmt: skip
    (gap,) = suspects(chains, [0, 0, 1], margins=[9.0, margin, 9.0], rivals=[1, 1, 0], **known)
    assert (gap.kind, gap.first_frame, gap.last_frame) == ("gap", 40, 64)
    return gap


def test_the_evidence_of_a_gap(chain):
    distances = [[0.21, 1.2], [0.34, 0.9], [1.1, 0.2]]
    gap = rejoined(chain, 3.0, distances=distances)
    assert gap.evidence == {
        "seconds": 1.04, "margin": 3.0, "distance_kept": 0.34, "distance_swapped": 0.9, "stability": 1.0,
    }  # fmt: skip
    assert "1.0 s" in gap.note


def test_without_faces_there_are_no_distances(chain):
    assert set(rejoined(chain, 3.0).evidence) == {"seconds", "margin", "stability"}


def test_distances_of_a_contact_are_those_from_the_two(chain):
    """The worst of the right, the best of the wrong; C has nothing to do with it."""
    near = [90.0 if 40 <= i <= 60 else 160.0 for i in range(NUM)]
    chains = [chain(range(NUM), 200.0), chain(range(NUM), [200 + d for d in near]), chain(range(NUM), 600.0)]
    distances = [[0.2, 0.95, 0.1], [1.05, 0.4, 0.1], [1, 1, 0.1]]
    (contact,) = suspects(chains, [0, 1, 2], distances=distances)
    assert (contact.evidence["distance_kept"], contact.evidence["distance_swapped"]) == (0.4, 0.95)
    assert "margin" not in contact.evidence, "one unbroken track each: nothing was decided here"


def test_the_least_stability_near_the_moment_counts(chain):
    stability = [0.9] * 10 + [0.3] * 25
    assert rejoined(chain, 3.0, stability=stability).evidence["stability"] == pytest.approx(0.3)
    stability = [0.8] * 30 + [0.3] * 5
    assert rejoined(chain, 3.0, stability=stability).evidence["stability"] == pytest.approx(0.8)


@settings(deadline=None, max_examples=60)
@given(a=st.floats(-20, 20, width=32), b=st.floats(-20, 20, width=32))
def test_the_larger_the_margin_the_smaller_the_probability(chain, a, b):
    low, high = sorted((a, b))
    likely, less = rejoined_or_low(chain, low), rejoined_or_low(chain, high)
    assert LEAST <= less <= likely <= MOST
    assert likely <= 0.5


def rejoined_or_low(chain, margin):
    chains = [chain(range(40), 150.0), chain(range(65, NUM), 160.0), chain(range(NUM), 450.0)]
    made = suspects(chains, [0, 0, 1], margins=[99.0, margin, 99.0], rivals=[1, 1, 0])
    (gap,) = [s for s in made if s.kind == "gap"]
    return gap.probability


def test_the_margin_of_either_side_counts(chain):
    chains = [chain(range(40), 150.0), chain(range(65, NUM), 160.0), chain(range(NUM), 450.0)]
    for margins in ([2.0, 9.0, 9.0], [9.0, 2.0, 9.0]):
        (gap,) = suspects(chains, [0, 0, 1], margins=margins, rivals=[1, 1, 0])
        assert gap.evidence["margin"] == 2.0


def test_what_one_track_goes_through_is_less_doubtful_than_what_was_nearly_decided_otherwise(chain):
    frames = [*range(40), *range(60, NUM)]
    (held,) = suspects([chain(frames, 150.0)], [0], margins=[1.2], rivals=[1])
    assert held.probability < rejoined(chain, 1.2).probability
