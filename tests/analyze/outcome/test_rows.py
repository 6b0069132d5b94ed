import numpy as np
import pytest

from dft.analyze.identity.persons import OTHER
from dft.analyze.outcome.gaps import fill_gaps
from dft.analyze.outcome.rows import Rows, to_table
from dft.trackio.schema import SCHEMA


def rows_of(chain):
    chains = [chain(range(0, 8), 400.0), chain([0, 1, 5, 6], 100.0), chain([2, 3, 4], 250.0, height=40.0)]
    rows = Rows.of_chains(chains, np.array([1, 0, OTHER], np.int8))
    gap = fill_gaps(rows, 0, np.arange(8) / 25, np.zeros(8, np.int32), 1.0)
    return Rows.joined([rows, gap])


def test_rows_are_sorted_by_frame_and_track(chain):
    rows = rows_of(chain)
    order = list(zip(rows.frame_index.tolist(), rows.track.tolist(), strict=True))
    assert order == sorted(order) and len(set(order)) == len(order) == 8 + 4 + 3 + 3
    assert rows.of_person(0).frame_index.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_the_table_is_the_profile(chain):
    rows = rows_of(chain)
    sides = np.where(rows.person == OTHER, -1, rows.person).astype(np.int8)
    pts = 1000 + 40 * np.arange(8)
    shots = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
    table = to_table(rows, sides, pts, shots)
    assert table.schema.equals(SCHEMA)
    first, *_, last = table.to_pylist()
    assert (first["frame_index"], first["pts"], first["track_id"]) == (0, 1000, 0)
    assert (first["person"], first["side"], first["shot"], first["origin"]) == ("B", "right", 0, "detected")
    assert (last["frame_index"], last["pts"], last["shot"]) == (7, 1280, 1)
    guessed = [row for row in table.to_pylist() if row["origin"] == "interpolated"]
    assert [row["frame_index"] for row in guessed] == [2, 3, 4]
    assert all(row["landmarks"] is None and row["score"] == 0 and row["side"] == "left" for row in guessed)
    others = [row for row in table.to_pylist() if row["person"] is None]
    assert [row["side"] for row in others] == [None] * 3
    assert all(len(row["landmarks"]) == 10 for row in others)


def test_no_rows(chain):
    empty = rows_of(chain).take(np.zeros(0, np.intp))
    assert to_table(empty, np.zeros(0, np.int8), np.arange(5), np.zeros(5, np.int32)).num_rows == 0


def seen_in(chain, *tracks) -> Rows:
    """Tracks of (person, frames, x)."""
    chains = [chain(frames, float(x)) for _, frames, x in tracks]
    return Rows.of_chains(chains, np.array([person for person, _, _ in tracks], np.int8))


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        pytest.param([(0, [4, 5], 100)], False, id="a track goes on"),
        pytest.param([(0, [4], 100), (1, [5], 400)], True, id="another place"),
        pytest.param([(0, [4], 100), (0, [5], 400)], True, id="the same person at another place, as after a cut"),
        pytest.param([(0, [4], 100), (0, [5], 110)], False, id="the same person at the same place"),
        pytest.param([(0, [4], 100), (1, [5], 100)], True, id="another main at the same place"),
        pytest.param([(0, [4], 100), (OTHER, [5], 100)], False, id="perhaps the same at the same place"),
        pytest.param([(OTHER, [4], 100), (OTHER, [5], 105)], False, id="strangers at the same place"),
        pytest.param([(OTHER, [4, 5], 300), (0, [4], 100), (1, [5], 100)], False, id="a bystander goes on"),
        pytest.param([(0, [4], 100), (1, [4], 400), (1, [5], 100), (0, [5], 400)], True, id="both change places"),
        pytest.param([(0, [4], 100)], False, id="nobody after"),
        pytest.param([(0, [5], 100)], False, id="nobody before"),
        pytest.param([(0, [2, 3, 6, 7], 100)], False, id="nobody at all"),
    ],
)
def test_nobody_goes_on(chain, tracks, expected):
    assert seen_in(chain, *tracks).nobody_goes_on(4, 5) is expected


def test_neighbouring_frames_may_be_apart(chain):
    """Where frames in between could not be decoded."""
    assert seen_in(chain, (0, [4], 100), (1, [9], 400)).nobody_goes_on(4, 9)
    assert not seen_in(chain, (0, [4, 9], 100)).nobody_goes_on(4, 9)


def test_of_two_rows_of_a_person_the_later_track_keeps_the_name(chain):
    chains = [chain(range(10), 100.0), chain(range(8, 20), 300.0), chain(range(20), 500.0), chain(range(20), 700.0)]
    rows = Rows.of_chains(chains, np.array([0, 0, 1, OTHER], np.int8)).one_per_person()
    for frame in range(20):
        there = rows.take(rows.frame_index == frame)
        named = dict(zip(there.track.tolist(), there.person.tolist(), strict=True))
        assert named == {
            **({0: 0 if frame < 8 else OTHER} if frame < 10 else {}), **({1: 0} if frame >= 8 else {}), 2: 1, 3: OTHER
        }  # fmt: skip
