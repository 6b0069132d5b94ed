"""Who is A, who is B and who is neither: by place, by face, and by both at odds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.identity.crowd import cannot_links
from dft.analyze.identity.persons import OTHER, PERSONS, UNKNOWN, identify

WIDTH = 640
DIMENSION = 64
SPREAD = 0.35  # of single samples around their person, in same-person distances


def people(apart: float = 1.1, num: int = 4):
    """Vectors of ``num`` people, each at that distance from each other."""
    return list(apart / np.sqrt(2) * np.eye(num, DIMENSION))


ALICE, BOB, CAROL, DAVE = people()
SEEDS = pytest.mark.parametrize("seed", range(4))


class Cast:
    """Makes chains of people, who look a little different in each sample."""

    def __init__(self, chain, seed: int = 0):
        self._chain, self._random = chain, np.random.default_rng(seed)

    def __call__(self, frames, x, who=None, samples: int = 3, quality: float = 1.0, **where):
        at = [] if who is None else np.linspace(0, len(frames) - 1, samples).astype(int).tolist()
        return self._chain(frames, x, faces=[(position, self.sample(who), quality) for position in at], **where)

    def sample(self, who):
        noise = self._random.normal(size=DIMENSION)
        return who + SPREAD * noise / np.linalg.norm(noise)


@pytest.fixture(params=range(4), ids="seed {}".format)
def cast(chain, request) -> Cast:
    return Cast(chain, request.param)


@st.composite
def crowds(draw, chain):
    """Up to eight chains over three shots, at distinct places, some of them together, some with faces."""
    cast, chains = Cast(chain, draw(st.integers(0, 999))), []
    for number in range(draw(st.integers(1, 8))):
        shot = draw(st.integers(0, 2))
        first = 100 * shot + draw(st.integers(0, 40))
        x = draw(st.sampled_from([100.0, 200.0, 320.0, 450.0, 550.0])) + number
        who = draw(st.sampled_from([None, ALICE, BOB, CAROL]))
        frames = range(first, first + draw(st.integers(3, 50)))
        samples, quality = draw(st.integers(1, 3)), draw(st.sampled_from([0.1, 0.5, 1.0]))
        chains.append(cast(frames, x, who, samples, quality, shot=shot, height=60.0 + 2 * number))
    return chains


@pytest.fixture(scope="module")
def some(chain):
    return crowds(chain)


NUM_PEOPLE = st.integers(1, 4)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_order_of_the_chains_does_not_matter(some, data):
    chains, num = data.draw(some), data.draw(NUM_PEOPLE)
    order = data.draw(st.permutations(range(len(chains))))
    named = data.draw(st.lists(st.sampled_from(range(len(chains))), max_size=num, unique=True))
    straight = identify(chains, WIDTH, 3, people=num, named=named)
    shuffled = identify([chains[i] for i in order], WIDTH, 3, people=num, named=[order.index(i) for i in named])
    for name in ("person", "rival"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(straight, name)[list(order)])
    for name in ("margin", "distances"):
        np.testing.assert_allclose(getattr(shuffled, name), getattr(straight, name)[list(order)], rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_what_holds_for_whatever_is_seen(some, data):
    chains, num = data.draw(some), data.draw(NUM_PEOPLE)
    least = data.draw(st.sampled_from([1, 3, 20]))
    found = identify(chains, WIDTH, least, people=num)
    assert found.person.dtype == found.rival.dtype == np.int8
    assert found.distances.shape == (len(chains), found.num_persons) and found.num_persons <= num
    for i, links in enumerate(cannot_links(chains)):
        assert found.person[i] == OTHER or not (found.person[links] == found.person[i]).any(), "seen together"
    frames = np.array([len(c) for c in chains])
    for person in range(found.num_persons):
        perhaps = (found.person == person) | found.unknown
        assert frames[perhaps].sum() >= least
    assert set(found.person.tolist()) <= {OTHER, *range(found.num_persons)}
    assert (found.person != found.rival)[found.person != OTHER].all()
    assert (found.margin[found.person != OTHER] >= UNKNOWN).all() and (found.margin[found.unknown] < UNKNOWN).all()
    if found.num_persons < 2:
        assert not found.unknown.any() and np.isinf(found.margin).all()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_who_is_named_is_a_main_person(some, data):
    """However briefly, small, or far from everybody else."""
    chains, num = data.draw(some), data.draw(NUM_PEOPLE)
    named = data.draw(st.lists(st.sampled_from(range(len(chains))), min_size=1, max_size=num, unique=True))
    found = identify(chains, WIDTH, 20, people=num, named=named)
    assert (found.person[named] != OTHER).all()
    for i in named:
        for j in named:
            assert i == j or not chains[i].overlaps(chains[j]) or found.person[i] != found.person[j]


def test_nobody():
    found = identify([], WIDTH, 3)
    assert len(found.person) == len(found.margin) == len(found.rival) == found.num_persons == 0


@pytest.mark.parametrize("left_first", [True, False])
def test_a_is_the_left_one(chain, left_first):
    chains = [chain(range(50), 450.0), chain(range(50), 150.0)]
    if left_first:
        chains.reverse()
    assert identify(chains, WIDTH, 3).person.tolist() == ([0, 1] if left_first else [1, 0])


def test_a_is_left_in_most_of_what_shows_both(chain):
    """Alice is right in the first and third shot, and left for longer in the second; alone she is always right."""
    cast = Cast(chain)
    chains = [
        cast(range(40), 480.0, ALICE), cast(range(40), 150.0, BOB),
        cast(range(40, 160), 150.0, ALICE, shot=1), cast(range(40, 160), 480.0, BOB, shot=1),
        cast(range(160, 200), 480.0, ALICE, shot=2), cast(range(160, 200), 150.0, BOB, shot=2),
        cast(range(200, 600), 550.0, ALICE, shot=3),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_a_is_the_left_one_of_two_who_are_never_seen_together(chain):
    chains = [chain(range(50), 500.0), chain(range(50, 100), 120.0, shot=1)]
    assert identify(chains, WIDTH, 3).person.tolist() == [1, 0]


def test_of_more_than_two_a_and_b_are_the_most_prominent(chain):
    chains = [chain(range(100), 60.0, height=50.0), chain(range(100), 500.0), chain(range(100), 250.0, height=90.0)]
    assert identify(chains, WIDTH, 3, people=3).person.tolist() == [2, 1, 0]


@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_as_many_as_are_wanted(cast, num):
    """Four people in every one of three shots, each time in another order."""
    everybody = [ALICE, BOB, CAROL, DAVE]
    chains = [
        cast(range(50 * shot, 50 * shot + 50), 80.0 + 160 * ((who + shot) % 4), everybody[who], shot=shot,
             height=110.0 - 15 * who)
        for shot in range(3) for who in range(4)
    ]  # fmt: skip
    found = identify(chains, WIDTH, 3, people=num)
    assert found.num_persons == num
    by_person = found.person.reshape(3, 4)
    assert (by_person == by_person[0]).all()
    assert sorted(by_person[0].tolist()) == [OTHER] * (4 - num) + list(range(num))
    assert (by_person[0, :num] != OTHER).all() and len(PERSONS) == 4


def test_one_person_is_a(chain):
    chains = [chain(range(50), 500.0), chain(range(60, 100), 510.0, shot=1)]
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 0]


def test_the_only_chain_is_beyond_doubt(chain):
    found = identify([chain(range(50), 500.0)], WIDTH, 3)
    assert found.person.tolist() == [0]
    assert np.isinf(found.margin).all() and found.rival.tolist() == [OTHER]


def test_who_is_seen_too_briefly_is_no_main_person(chain):
    chains = [chain(range(50), 150.0), chain(range(5), 450.0)]
    assert identify(chains, WIDTH, 8).person.tolist() == [0, OTHER]
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1]


def test_a_named_person_may_be_seen_briefly_and_takes_the_place_of_another(chain):
    chains = [chain(range(100), 100.0), chain(range(100), 540.0), chain(range(40, 45), 320.0)]
    found = identify(chains, WIDTH, 8, named=[2])
    assert found.num_persons == 2 and found.person[2] != OTHER
    assert np.count_nonzero(found.person[:2] != OTHER) == 1


def test_a_named_person_in_a_crowd(chain):
    """Fourteen at once; whoever sits beside the smallest of them, who is named, can be the other main."""
    chains = [chain(range(100), 100.0), *(chain(range(100), 230 + 32.0 * i, height=40.0) for i in range(12))]
    chains.append(chain(range(100), 175.0, height=35.0))
    person = identify(chains, WIDTH, 8, named=[13]).person
    assert person[[0, 13]].tolist() == [0, 1] and (person[1:13] == OTHER).all()


def test_a_named_person_beyond_those_that_are_clustered(chain, monkeypatch):
    monkeypatch.setattr("dft.analyze.identity.crowd.MAX_CLUSTERED", 2)
    chains = [chain(range(100), 100.0), chain(range(100), 540.0), chain(range(90), 320.0, height=30.0)]
    assert identify(chains, WIDTH, 3, named=[2, 1]).person.tolist() == [OTHER, 1, 0]


def test_a_bystander_stays_nobody(chain):
    """Three at once: the two large ones are the mains."""
    chains = [chain(range(100), x, height=height) for x, height in ((120.0, 100.0), (330.0, 40.0), (520.0, 100.0))]
    assert identify(chains, WIDTH, 3).person.tolist() == [0, OTHER, 1]


@pytest.mark.parametrize("x", [200.0, 330.0, 410.0])
def test_a_bystander_stays_nobody_after_a_cut(chain, x):
    """All three are seen for as long, so nothing but their places tells who is who."""
    places = [(120.0, 100.0), (x, 40.0), (520.0, 100.0)]
    chains = [
        chain(range(50 * shot, 50 * shot + 50), at, height=height, shot=shot)
        for shot in (0, 1) for at, height in places
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, OTHER, 1] * 2


def test_persons_keep_their_place_across_a_cut_and_back(chain):
    chains = [
        chain(range(50), 150.0),
        chain(range(50), 480.0),
        chain(range(50, 90), 470.0, shot=1, height=160.0),
        chain(range(90, 140), 160.0, shot=2),
        chain(range(90, 140), 500.0, shot=2),
    ]
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1, 1, 0, 1]


def test_what_could_be_either_is_unknown_and_never_guessed(chain):
    """A chain in the middle of the picture could be either; one at the place of A could not."""
    chains = [
        chain(range(80), 150.0),
        chain(range(80), 490.0),
        chain(range(80, 130), 320.0, shot=1),
        chain(range(130, 180), 150.0, shot=2),
    ]
    found = identify(chains, WIDTH, 3)
    assert found.person.tolist() == [0, 1, OTHER, 0]
    assert found.unknown.tolist() == [False, False, True, False]
    assert found.rival[2] in (0, 1) and abs(found.margin[2]) < UNKNOWN < 0.8 < found.margin[3]


def test_a_face_between_two_is_unknown(chain):
    """At the place of neither; the face is as far from one as from the other."""
    chains = [
        chain(range(80), 150.0, faces=[(5, ALICE), (60, ALICE)]),
        chain(range(80), 490.0, faces=[(5, BOB), (60, BOB)]),
        chain(range(80, 130), 320.0, shot=1, faces=[(5, (ALICE + BOB) / 2), (40, (ALICE + BOB) / 2)]),
    ]
    found = identify(chains, WIDTH, 3)
    assert found.person.tolist() == [0, 1, OTHER] and found.unknown[2]
    np.testing.assert_allclose(found.distances[2], 0.55, atol=1e-3)


def test_distances_and_margins_tell_who_is_near(cast):
    chains = [
        cast(range(80), 150.0, ALICE), cast(range(80), 480.0, BOB),
        cast(range(80, 160), 150.0, ALICE, shot=1), cast(range(80, 160), 480.0, BOB, shot=1),
        cast(range(160, 200), 480.0, shot=2),
    ]  # fmt: skip
    found = identify(chains, WIDTH, 3)
    own = found.distances[:4][np.arange(4), found.person[:4]]
    others = found.distances[:4][np.arange(4), 1 - found.person[:4]]
    assert (own < 0.5).all() and (others > 0.9).all()
    assert np.isnan(found.distances[4]).all() and found.person[4] == 1
    assert (found.margin[:4] > 5).all()


def test_they_changed_seats_across_a_cut(cast):
    chains = [
        cast(range(80), 150.0, ALICE), cast(range(80), 480.0, BOB),
        cast(range(80, 130), 151.0, BOB, shot=1), cast(range(80, 130), 481.0, ALICE, shot=1),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1, 1, 0]


def test_the_camera_on_the_other_side(cast):
    """Every second shot shows them the other way round, without so much as one close-up between."""
    chains, wanted = [], []
    for shot in range(8):
        left, right = (ALICE, BOB) if shot % 2 == 0 else (BOB, ALICE)
        frames = range(50 * shot, 50 * shot + (50 if shot % 2 == 0 else 30))
        chains += [cast(frames, 150.0, left, shot=shot), cast(frames, 480.0, right, shot=shot)]
        wanted += [0, 1] if shot % 2 == 0 else [1, 0]
    assert identify(chains, WIDTH, 3).person.tolist() == wanted


def test_leaving_and_coming_back_on_the_other_side(cast):
    """Alice leaves on the left, and comes back right of Bob, who has moved to her seat: all in one shot."""
    chains = [
        cast(range(100), 120.0, ALICE), cast(range(120), 320.0, BOB),
        cast(range(160, 260), 130.0, BOB), cast(range(200, 260), 540.0, ALICE),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1, 1, 0]


def test_one_person_per_shot(cast):
    """Close-ups at the same place in turn: never seen together, nothing but the faces tells them apart."""
    chains = [
        cast(range(50 * shot, 50 * shot + 50), 320.0, (ALICE, BOB)[shot % 2], shot=shot, height=160.0)
        for shot in range(10)
    ]
    person = identify(chains, WIDTH, 3).person
    assert sorted(set(person.tolist())) == [0, 1]
    assert (person.reshape(5, 2) == person[:2]).all() and person[0] != person[1]


def test_a_side_without_faces_goes_by_place_among_sides_that_have_some(cast):
    """In the middle shot nobody could be embedded: their places are as before."""
    chains = [
        cast(range(80), 150.0, ALICE), cast(range(80), 480.0, BOB),
        cast(range(80, 130), 150.0, shot=1), cast(range(80, 130), 480.0, shot=1),
        cast(range(130, 180), 150.0, ALICE, shot=2), cast(range(130, 180), 480.0, BOB, shot=2),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 1, 0, 1, 0, 1]


def test_look_alikes(chain, cast):
    """Two people 0.67 apart, where one person's samples lie as far from each other; sides change at every cut."""
    one, other = people(0.67, 2)
    chains, wanted = [], []
    for shot in range(6):
        left, right = (one, other) if shot % 2 == 0 else (other, one)
        frames = range(50 * shot, 50 * shot + (50 if shot % 2 == 0 else 40))
        chains += [cast(frames, 150.0, left, shot=shot, samples=6), cast(frames, 480.0, right, shot=shot, samples=6)]
        wanted += [0, 1] if shot % 2 == 0 else [1, 0]
    assert identify(chains, WIDTH, 3).person.tolist() == wanted


def test_a_passer_by_in_front_of_a_main(cast):
    """Somebody goes through the picture and hides first one, then the other."""
    chains = [
        cast(range(60), 150.0, ALICE), cast(range(75, 200), 150.0, ALICE),
        cast(range(110), 480.0, BOB), cast(range(125, 200), 480.0, BOB),
        cast(range(58, 78), lambda t: 60 + 300 * (t - 2.32), CAROL, height=120.0),
        cast(range(108, 128), lambda t: 400 + 300 * (t - 4.32), CAROL, height=120.0),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, 0, 1, 1, OTHER, OTHER]


def test_somebody_else_takes_the_place_of_a_main(cast):
    """In the gap of Alice, at her very place, sits Carol for a while."""
    chains = [
        cast(range(60), 150.0, ALICE), cast(range(65, 85), 152.0, CAROL), cast(range(90, 200), 150.0, ALICE),
        cast(range(200), 480.0, BOB),
    ]  # fmt: skip
    assert identify(chains, WIDTH, 3).person.tolist() == [0, OTHER, 0, 1]


def test_a_third_person_with_half_the_time_of_a_main(cast):
    """Close-ups of an interpreter at the place of each main's close-ups."""
    chains, wanted = [], []
    for turn in range(4):
        start, shot = 250 * turn, 4 * turn
        chains += [
            cast(range(start, start + 100), 150.0, ALICE, shot=shot),
            cast(range(start, start + 100), 480.0, BOB, shot=shot),
            cast(range(start + 100, start + 150), 320.0, ALICE, shot=shot + 1, height=150.0),
            cast(range(start + 150, start + 200), 320.0, CAROL, shot=shot + 2, height=150.0),
            cast(range(start + 200, start + 250), 320.0, BOB, shot=shot + 3, height=150.0),
        ]
        wanted += [0, 1, 0, OTHER, 1]
    assert identify(chains, WIDTH, 3).person.tolist() == wanted


@pytest.mark.parametrize(("who", "person"), [("Alice", 0), ("Bob", 1)])
def test_poor_pictures_far_from_everybody_go_to_the_nearer(cast, who, person):
    """Small turned faces look like nobody, but still a little more like whom they show."""
    shown = {"Alice": ALICE, "Bob": BOB}[who]
    strange = 0.9 * np.eye(DIMENSION)[20]
    chains = [
        cast(range(80), 150.0, ALICE), cast(range(80), 480.0, BOB),
        cast(range(80, 130), 320.0, shown + strange, shot=1, quality=0.15),
        cast(range(130, 200), 150.0, ALICE, shot=2), cast(range(130, 200), 480.0, BOB, shot=2),
    ]  # fmt: skip
    found = identify(chains, WIDTH, 3)
    assert found.distances[2, person] > 0.8, "by itself too far for anybody"
    assert found.person.tolist() == [0, 1, person, 0, 1]


@SEEDS
def test_fragments_of_two_persons(chain, seed):
    """Forty short pieces of each, with pauses, some without a face, over five shots that reverse the sides."""
    cast, random = Cast(chain, seed), np.random.default_rng(seed)
    chains, wanted = [], []
    for shot in range(5):
        for who, vector in enumerate((ALICE, BOB)):
            x = 150.0 if (who + shot) % 2 == 0 else 480.0
            for piece in range(8):
                start = 300 * shot + 36 * piece
                seen = vector if piece == 0 or random.random() < 0.6 else None
                chains.append(
                    cast(range(start, start + int(random.integers(5, 34))), x + random.normal(0, 4), seen, shot=shot)
                )
                wanted.append(who)
    assert identify(chains, WIDTH, 3).person.tolist() == wanted
