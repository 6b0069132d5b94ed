"""What each part of identity is worth, on a scene with a cut and a close-up."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dft.analyze.ablation import METHODS, ablation, as_text
from dft.configs.errors import TrackFileError


def test_each_way_is_measured(talk, tmp_path):
    columns = ("frame_index", "person", "x1", "y1", "x2", "y2", "visible")
    truth = tmp_path / "truth.parquet"
    pq.write_table(pa.table({name: [getattr(row, name) for row in talk.truth] for name in columns}), truth)
    rows = {row.method: row for row in ablation(talk.video, truth)}
    assert list(rows) == list(METHODS)
    tracker, no_faces, always, conditional = rows.values()
    assert tracker.embeddings_per_minute == no_faces.embeddings_per_minute == 0
    assert 0 < conditional.embeddings_per_minute < always.embeddings_per_minute / 5
    # a tracker's numbers end at a cut, and no name is held across it
    assert tracker.coverage < 0.9 < conditional.coverage and tracker.switches > 0
    assert always.switches == conditional.switches == 0 and always.wrong == conditional.wrong == 0
    assert conditional.coverage > 0.97
    assert all(row.seconds > 0 for row in rows.values())
    text = as_text(list(rows.values()))
    assert len({len(line) for line in text.splitlines()}) == 1, "columns stand under each other"


def test_a_truth_that_is_not_there(talk, tmp_path):
    with pytest.raises(TrackFileError, match="there is no truth"):
        ablation(talk.video, tmp_path / "none.parquet")
