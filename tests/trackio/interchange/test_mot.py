"""MOTChallenge: counted from 1, ten numbers a line, persons in a file beside."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import OutputExistsError, TrackFileNotFoundError, TrackFormatError
from dft.trackio.columns import boxes_xyxy, numbers
from dft.trackio.interchange.correcting import correct
from dft.trackio.interchange.mot import persons_path, read_mot, write_mot


@settings(deadline=None, max_examples=40)
@given(data=st.data(), beside=st.booleans())
def test_round_trip(any_tracks, data, beside, tmp_path_factory):
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("mot") / "in.mot.txt"
    write_mot(path, tracks)
    if not beside:
        persons_path(path).unlink()
    imported = read_mot(path, tracks.metadata.video)
    assert imported.frame_index.tolist() == numbers(tracks.table, "frame_index").tolist()
    assert imported.claimed_id.tolist() == numbers(tracks.table, "track_id").tolist()
    assert np.abs(imported.boxes_xyxy - boxes_xyxy(tracks.table)).max(initial=0) <= 0.0011
    assert correct(tracks, imported).table.equals(tracks.table), "with scores and landmarks"


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_ids_that_a_tool_renumbered_are_found_by_overlap(any_tracks, data, seed, tmp_path_factory):
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("mot") / "in.mot.txt"
    write_mot(path, tracks)
    persons_path(path).unlink()
    lines = [line.split(",") for line in path.read_text().splitlines()]
    ids = sorted({line[1] for line in lines})
    new = dict(zip(ids, np.random.default_rng(seed).permutation(len(ids)) + 1000, strict=True))
    path.write_text("".join(",".join([line[0], str(new[line[1]]), *line[2:]]) + "\n" for line in lines))
    assert correct(tracks, read_mot(path, tracks.metadata.video)).table.equals(tracks.table)


def pair(make_tracks):
    """A at the left (track 0), B at the right (track 1), in frames 0 to 9 of 10."""
    rows = [make_tracks.row(f, 0, (100, 50, 150, 120), "A", "left") for f in range(10)]
    rows += [make_tracks.row(f, 1, (400.25, 50, 450.5, 120), "B", "right") for f in range(10)]
    rows[0] |= {"origin": "interpolated", "score": 0.0, "landmarks": None}
    return make_tracks(rows, 10)


def test_lines_are_as_the_challenge_wants_them(make_tracks, tmp_path):
    write_mot(tmp_path / "in.mot.txt", pair(make_tracks))
    lines = (tmp_path / "in.mot.txt").read_text().splitlines()
    assert lines[:3] == [
        "1,1,101,51,50,70,1,-1,-1,-1",  # a score of 0 would say that the box does not count
        "1,2,401.25,51,50.25,70,0.5,-1,-1,-1",
        "2,1,101,51,50,70,0.5,-1,-1,-1",
    ]
    assert (tmp_path / "in.mot.persons.csv").read_text().replace('"', "").splitlines() == [
        "id,first_frame,last_frame,person,side", "1,1,10,A,left", "2,1,10,B,right",
    ]  # fmt: skip


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("since", [3, 8])
def test_ids_that_a_person_swapped_are_a_swap(make_tracks, tmp_path, beside, since):
    tracks, path = pair(make_tracks), tmp_path / "in.mot.txt"
    write_mot(path, tracks)
    if not beside:
        persons_path(path).unlink()
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for line in lines:
        if int(line[0]) > since:  # frames there are counted from 1
            line[1] = {"1": "2", "2": "1"}[line[1]]
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    for row in correct(tracks, read_mot(path, tracks.metadata.video)).table.to_pylist():
        swapped, left = row["frame_index"] >= since, row["x1"] < 300
        assert row["track_id"] == (0 if left else 1)
        assert row["person"] == ("A" if left != swapped else "B")
        assert row["side"] == ("left" if row["person"] == "A" else "right"), "the side goes with the person"
        assert row["score"] == (0.0 if left and row["frame_index"] == 0 else 0.5)


def test_spaces_and_fewer_columns_are_read(make_tracks, tmp_path):
    (tmp_path / "in.txt").write_text("1, 1, 101, 51, 50, 70, -1, -1, -1, -1\n2, 1, 101.5, 51, 50, 70, -1, -1, -1, -1\n")
    imported = read_mot(tmp_path / "in.txt", pair(make_tracks).metadata.video)
    assert imported.boxes_xyxy.tolist() == [[100, 50, 150, 120], [100.5, 50, 150.5, 120]]
    (tmp_path / "in.txt").write_text("1,1,101,51,50,70\n")
    assert len(read_mot(tmp_path / "in.txt", pair(make_tracks).metadata.video).track) == 1


def test_a_person_holds_around_the_ranges(make_tracks, tmp_path):
    (tmp_path / "in.txt").write_text("".join(f"{frame},1,101,51,50,70,1,-1,-1,-1\n" for frame in range(1, 11)))
    (tmp_path / "in.persons.csv").write_text(
        "id,first_frame,last_frame,person,side\n1,2,4,A,left\n1,7,8,bystander,none\n"
    )
    imported = read_mot(tmp_path / "in.txt", pair(make_tracks).metadata.video)
    assert imported.person.tolist() == [0, 0, 0, 0, 0, -1, -1, -1, -1, -1]
    assert imported.side.tolist() == [0, 0, 0, 0, 0, -1, -1, -1, -1, -1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,1,2,3\n", "4 columns"),
        ("1,-1,101,51,50,70,1,-1,-1,-1\n", "row 1; got id -1"),
        ("1,1,left,51,50,70,1,-1,-1,-1\n", "bb_left"),
        ("1,1,,51,50,70,1,-1,-1,-1\n", "empty cells"),
        ("1,1,2,3,4,5\n1,2\n", "is not a CSV file"),
    ],
)
def test_what_is_no_mot_is_refused(make_tracks, tmp_path, text, words):
    (tmp_path / "in.txt").write_text(text)
    with pytest.raises(TrackFormatError, match=re.escape(words)):
        read_mot(tmp_path / "in.txt", pair(make_tracks).metadata.video)


@pytest.mark.parametrize(("text", "words"), [("id,person\n1,A\n", "first_frame"), (
    "id,first_frame,last_frame,person,side\n1,1,2,Eve,left\n", "'Eve'")])  # fmt: skip
def test_a_wrong_file_of_persons_is_refused(make_tracks, tmp_path, text, words):
    (tmp_path / "in.txt").write_text("1,1,101,51,50,70,1,-1,-1,-1\n")
    (tmp_path / "in.persons.csv").write_text(text)
    with pytest.raises(TrackFormatError, match=words):
        read_mot(tmp_path / "in.txt", pair(make_tracks).metadata.video)


def test_missing_and_existing_files(make_tracks, tmp_path):
    tracks = pair(make_tracks)
    with pytest.raises(TrackFileNotFoundError, match="no file"):
        read_mot(tmp_path / "no.txt", tracks.metadata.video)
    persons_path(tmp_path / "in.mot.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        write_mot(tmp_path / "in.mot.txt", tracks)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mot.persons.csv"]
