"""The dynamic programme finds what trying every assignment finds, and so do all its max-marginals."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity import assignment
from dft.analyze.identity.assignment import assign
from dft.analyze.identity.chains import follows


def no_cost(before, after):
    return 0.0


def total_of(person, first, last, log_odds, transition):
    """Sum of log-odds and transitions of one assignment; -inf where it cannot be."""
    total = 0.0
    for p in range(log_odds.shape[1]):
        own = sorted((i for i in range(len(first)) if person[i] == p), key=lambda i: (first[i], last[i], i))
        total += sum(float(log_odds[i, p]) for i in own)
        for before, after in pairwise(own):
            if not follows((first[before], last[before]), (first[after], last[after])):
                return -np.inf
            total += transition(before, after)
    return total


def best_of_all(first, last, log_odds, transition):
    """Best total, and the best total of each choice of each chain, over every assignment that there is."""
    num, people = log_odds.shape
    totals = np.full((num, people + 1), -np.inf)
    for person in product(range(people + 1), repeat=num):
        total = total_of(person, first, last, log_odds, transition)
        for i, choice in enumerate(person):
            totals[i, choice] = max(totals[i, choice], total)
    return totals


@st.composite
def instances(draw, most=6.0):
    """Up to six chains of one to six frames within eight, for one to three persons; ``most`` is the largest figure."""
    log_odds_ = st.one_of(st.floats(-most, most), st.sampled_from([0.0, -np.inf]))
    num, people = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    first = [draw(st.integers(0, 7)) for _ in range(num)]
    last = [f + draw(st.integers(0, 5)) for f in first]
    log_odds = np.array([[draw(log_odds_) for _ in range(people)] for _ in range(num)])
    steps = np.array([[draw(st.floats(-most / 2, most / 2)) for _ in range(num)] for _ in range(num)])
    return first, last, log_odds, lambda i, j: float(steps[i, j])


@settings(deadline=None, max_examples=120)
@given(instances())
def test_it_equals_brute_force(instance):
    """The best total, and every max-marginal, as long as no hypothesis is given up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "SLACK", np.inf)
        check_by_brute_force(instance)


@settings(deadline=None, max_examples=60)
@given(instances(1.7))
def test_what_is_close_is_never_given_up(instance):
    """Here no two hypotheses are further apart than ``SLACK``."""
    check_by_brute_force(instance)


def check_by_brute_force(instance):
    first, last, log_odds, _ = instance
    found, wanted = assign(*instance), best_of_all(*instance)
    assert found.person.dtype == np.int8 and found.totals.dtype == np.float64
    np.testing.assert_allclose(found.totals, wanted, atol=1e-9)
    assert total_of(found.person, *instance) == pytest.approx(wanted.max(), abs=1e-9)
    assert np.isfinite(log_odds[found.person >= 0, found.person[found.person >= 0]]).all(), "-inf forbids"
    for i, p in enumerate(found.person):
        for j, q in enumerate(found.person[:i]):
            spans = sorted([(first[i], last[i]), (first[j], last[j])])
            assert p != q or p < 0 or follows(*spans), "two at once are never one"


@settings(deadline=None, max_examples=60)
@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_the_chains_does_not_matter(instance, random):
    first, last, log_odds, transition = instance
    order = list(range(len(first)))
    random.shuffle(order)
    found = assign(
        [first[i] for i in order], [last[i] for i in order], log_odds[order],
        lambda i, j: transition(order[i], order[j]),
    )  # fmt: skip
    # of chains with the same span none comes first, but they never follow each other either
    np.testing.assert_allclose(found.totals, assign(*instance).totals[order], atol=1e-9)


def test_no_chain():
    found = assign([], [], np.zeros((0, 2)), no_cost)
    assert found.person.shape == (0,) and found.totals.shape == (0, 3)


def test_no_person():
    found = assign([0, 5], [3, 9], np.zeros((2, 0)), no_cost)
    assert found.person.tolist() == [-1, -1] and found.totals.tolist() == [[0.0], [0.0]]


def test_one_of_two_at_once():
    """Both are more likely the first person, but only one can be."""
    found = assign([0, 3], [5, 9], np.array([[3.0, -1.0], [2.0, 1.0]]), no_cost)
    assert found.person.tolist() == [0, 1]
    np.testing.assert_allclose(found.totals, [[4, 1, 2], [2, 4, 3]])


@pytest.mark.parametrize(("end", "person"), [(3, [0, 0]), (5, [0, 0]), (6, [0, -1])])
def test_two_share_a_person_only_with_two_common_frames_at_most(end, person):
    assert assign([0, 4], [end, 9], np.array([[3.0], [2.0]]), no_cost).person.tolist() == person


def test_minus_infinity_forbids():
    found = assign([0, 5], [3, 9], np.array([[-np.inf, 0.5], [9.0, -np.inf]]), no_cost)
    assert found.person.tolist() == [1, 0]
    assert np.isneginf(found.totals[[0, 1], [0, 1]]).all()
    assert assign([0], [3], np.full((1, 2), -np.inf), no_cost).person.tolist() == [-1]


def test_transitions_count_between_neighbours_of_one_person():
    """A bad step is avoided by leaving out the chain between, although both steps around it are then one."""
    steps = {(0, 1): -9.0, (1, 2): -9.0, (0, 2): 1.0}
    asked = []

    def transition(i, j):
        asked.append((i, j))
        return steps[i, j]

    found = assign([0, 5, 9], [3, 7, 12], np.array([[2.0], [2.0], [2.0]]), transition)
    assert found.person.tolist() == [0, -1, 0]
    np.testing.assert_allclose(found.totals, [[5, 2], [2, 5], [5, 2]])
    assert set(asked) == set(steps), "a later chain never comes before an earlier one"


def test_a_margin_counts_all_that_would_have_to_change():
    """Four chains in two pairs; any of them is the other person only if all are."""
    first, last = [0, 0, 10, 10], [9, 9, 19, 19]
    log_odds = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    found = assign(first, last, log_odds, lambda i, j: 5.0 if (i, j) in {(0, 2), (1, 3)} else -5.0)
    assert found.person.tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(found.totals[:, 0] - found.totals[:, 1], [4, -4, 4, -4])


def test_too_many_hypotheses_are_pruned_not_wrong(monkeypatch):
    """Twelve people at once, three persons: the best is found among few hypotheses, and what is lost is -inf."""
    random = np.random.default_rng(3)
    first, last = [0] * 12, [9] * 12
    log_odds = random.normal(0, 1, (12, 3))
    whole = assign(first, last, log_odds, no_cost)
    monkeypatch.setattr(assignment, "MAX_STATES", 24)
    found = assign(first, last, log_odds, no_cost)
    assert np.count_nonzero(found.person >= 0) == 3 and set(found.person[found.person >= 0].tolist()) == {0, 1, 2}
    assert found.totals.max() == pytest.approx(total_of(found.person, first, last, log_odds, no_cost))
    assert (found.totals <= whole.totals + 1e-9).all()


def test_what_is_far_behind_is_given_up():
    """With a margin beyond measure."""
    found = assign([0, 20], [9, 29], np.array([[100.0, 0.0], [0.5, 0.2]]), no_cost)
    assert found.person.tolist() == [0, 0]
    assert np.isneginf(found.totals[0, 1:]).all() and found.totals[1].tolist() == [100.5, 100.2, 100.0]


def test_a_long_shot_takes_little_time():
    """400 chains one after the other in pairs: time grows with their number alone."""
    first = [10 * (i // 2) for i in range(400)]
    log_odds = np.tile([[1.0, 0.0], [0.0, 1.0]], (200, 1))
    found = assign(first, [f + 9 for f in first], log_odds, no_cost)
    assert found.person.tolist() == [0, 1] * 200
    assert found.totals.max() == pytest.approx(400.0)
