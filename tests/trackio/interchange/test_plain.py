"""CSV with a header."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import TrackFileNotFoundError, TrackFormatError
from dft.trackio.columns import boxes_xyxy
from dft.trackio.interchange.correcting import correct
from dft.trackio.interchange.plain import read_plain, write_plain


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_round_trip(any_tracks, data, tmp_path_factory):
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    write_plain(path, tracks)
    imported = read_plain(path, tracks.metadata.video)
    assert (imported.boxes_xyxy.astype(np.float32) == boxes_xyxy(tracks.table)).all(), "to the last bit"
    assert correct(tracks, imported).table.equals(tracks.table)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_columns_of_the_boxes_are_enough(any_tracks, data, tmp_path_factory):
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    names = ["frame_index", "x1", "y1", "x2", "y2", "track_id"]
    pa.csv.write_csv(tracks.table.select(names), path)
    assert correct(tracks, read_plain(path, tracks.metadata.video)).table.equals(tracks.table)


def test_what_is_in_it(make_tracks, tmp_path):
    rows = [make_tracks.row(f, 3, (10, 20, 30.5, 40), "A" if f else None, "left" if f else None) for f in range(2)]
    rows[1]["landmarks"] = None
    write_plain(tmp_path / "in.csv", make_tracks(rows, 5))
    lines = (tmp_path / "in.csv").read_text().replace('"', "").splitlines()
    assert lines[0] == (
        "frame_index,pts,seconds,track_id,person,side,x1,y1,x2,y2,score,origin,shot,right_eye_x,right_eye_y,left_eye_x,"
        "left_eye_y,nose_tip_x,nose_tip_y,right_mouth_corner_x,right_mouth_corner_y,left_mouth_corner_x,left_mouth_corner_y"
    )
    assert lines[1] == "0,0,0,3,,,10,20,30.5,40,0.5,detected,0,10,11,12,13,14,15,16,17,18,19"
    assert lines[2] == "1,1,0.04,3,A,left,10,20,30.5,40,0.5,detected,0,,,,,,,,,,"


def test_added_rows_need_no_track(make_tracks, tmp_path):
    rows = [make_tracks.row(f, 0, (100, 50, 150, 120), "A", "left") for f in range(4)]
    tracks = make_tracks(rows, 6)
    write_plain(tmp_path / "in.csv", tracks)
    names = (tmp_path / "in.csv").read_text().splitlines()[0].replace('"', "").split(",")
    values = {"x1": "300", "y1": "50", "x2": "350", "y2": "120", "person": "B"}
    with (tmp_path / "in.csv").open("a") as file:
        for frame in (4, 5):
            file.write(",".join(values.get(name, str(frame) if name == "frame_index" else "") for name in names) + "\n")
    added = correct(tracks, read_plain(tmp_path / "in.csv", tracks.metadata.video)).table.to_pylist()[4:]
    found = [(row["frame_index"], row["pts"], row["track_id"], row["person"], row["origin"]) for row in added]
    assert found == [(4, 4, 1, "B", "manual"), (5, 5, 1, "B", "manual")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame_index,x1,y1,x2\n1,2,3,4\n", "no column y2"),
        ("frame_index,x1,y1,x2,y2,track_id\n1,2,3,4,5,six\n", "column track_id"),
        ("frame_index,x1,y1,x2,y2,person\n1,2,3,4,5,Eve\n", "'Eve'"),
        ("frame_index,x1,y1,x2,y2\n1,2,3,four,5\n", "column x2"),
    ],
)
def test_what_is_no_such_csv_is_refused(make_tracks, tmp_path, text, words):
    (tmp_path / "in.csv").write_text(text)
    video = make_tracks([], 5).metadata.video
    with pytest.raises(TrackFormatError, match=re.escape(words)):
        read_plain(tmp_path / "in.csv", video)
    with pytest.raises(TrackFileNotFoundError):
        read_plain(tmp_path / "no.csv", video)
