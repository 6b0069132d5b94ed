import numpy as np

from dft.analyze.gaps import fill_gaps
from dft.analyze.identity import OTHER
from dft.analyze.rows import Rows, to_table
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
