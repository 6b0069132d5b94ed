"""CVAT for video XML 1.1: what is written is what CVAT shows, and comes back."""

import json
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import OutputExistsError, TrackFileNotFoundError, TrackFormatError
from dft.trackio.columns import boxes_xyxy, numbers
from dft.trackio.interchange.correcting import correct
from dft.trackio.interchange.cvat import label_json, write_cvat
from dft.trackio.interchange.cvat_reader import read_cvat
from dft.trackio.interchange.keyframes import KeyframeChoice


def shown_by_cvat(path, frame_count):
    """What CVAT shows of a file, frame by frame as its ``TrackManager`` does it: (dft_track, frame) -> box, names."""
    shown = {}
    for track in ElementTree.parse(path).getroot().iter("track"):
        keys = sorted((b for b in track.iter("box") if b.get("keyframe") == "1"), key=lambda b: int(b.get("frame")))
        for place, key in enumerate(keys):
            if key.get("outside") == "1":
                continue
            names = {a.get("name"): a.text for a in key.iter("attribute")}
            here = np.array([float(key.get(name)) for name in ("xtl", "ytl", "xbr", "ybr")])
            first, following, there = int(key.get("frame")), frame_count, here
            if place + 1 < len(keys):
                following = int(keys[place + 1].get("frame"))
                there = np.array([float(keys[place + 1].get(name)) for name in ("xtl", "ytl", "xbr", "ybr")])
            for frame in range(first, following):
                box = here + (there - here) * (frame - first) / (following - first)
                assert (int(names["dft_track"]), frame) not in shown
                shown[int(names["dft_track"]), frame] = box, names["person"], names["side"]
    return shown


CHOICES = st.one_of(
    st.just(KeyframeChoice()),
    st.builds(
        KeyframeChoice, st.sampled_from([0.0, 1e-05, 0.0123456789, 0.2]), st.one_of(st.none(), st.integers(1, 8))
    ),
)


def tolerances(tracks, choice):
    """The pixels by which the boxes of each track may be missed."""
    heights = {}
    for row in tracks.table.to_pylist():
        heights.setdefault(row["track_id"], []).append(row["y2"] - row["y1"])
    return {track: (choice.tolerance or 0) * np.median(found) for track, found in heights.items()}


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_cvat_shows_the_boxes_of_the_tracks_and_no_others(any_tracks, data, tmp_path_factory):
    tracks, choice = data.draw(any_tracks), data.draw(CHOICES)
    path = tmp_path_factory.mktemp("cvat") / "in.xml"
    written = write_cvat(path, tracks, choice)
    shown = shown_by_cvat(path, tracks.metadata.video.frame_count)
    rows, pixels = tracks.table.to_pylist(), tolerances(tracks, choice)
    assert shown.keys() == {(row["track_id"], row["frame_index"]) for row in rows}
    assert written <= len(rows) and (choice != KeyframeChoice() or written == len(rows))
    for row in rows:
        box, person, side = shown[row["track_id"], row["frame_index"]]
        assert np.abs(box - [row[name] for name in ("x1", "y1", "x2", "y2")]).max() <= pixels[row["track_id"]] + 0.0051
        assert (person, side) == (row["person"] or "bystander", row["side"] or "none")


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_round_trip(any_tracks, data, tmp_path_factory):
    tracks, choice = data.draw(any_tracks), data.draw(CHOICES)
    path = tmp_path_factory.mktemp("cvat") / "in.xml"
    write_cvat(path, tracks, choice)
    imported = read_cvat(path, tracks.metadata.video)
    order = np.lexsort((imported.claimed_id, imported.frame_index))
    assert imported.frame_index[order].tolist() == numbers(tracks.table, "frame_index").tolist()
    assert imported.claimed_id[order].tolist() == numbers(tracks.table, "track_id").tolist()
    error = np.abs(imported.boxes_xyxy[order] - boxes_xyxy(tracks.table))
    pixels = tolerances(tracks, choice)
    allowed = np.array([pixels[track] for track in imported.claimed_id[order].tolist()])
    assert (error.max(axis=1, initial=0) <= allowed + 0.0051).all(), "0.01 px where every box is a keyframe"
    assert correct(tracks, imported).table.equals(tracks.table), "with scores and landmarks"


def straight(make_tracks, path="in.tracks.parquet"):
    """Track 7, A: frames 0 to 9, and 12 to 19, the last of the video; moves right by a pixel a frame."""
    frames = [*range(10), *range(12, 20)]
    rows = [make_tracks.row(f, 7, (100 + f, 50, 150 + f, 120), "A", "left") for f in frames]
    return make_tracks(rows, 20, path=path)


def test_outside_follows_each_stretch_but_not_the_end_of_the_video(make_tracks, tmp_path):
    write_cvat(tmp_path / "in.xml", straight(make_tracks), KeyframeChoice(0.002))
    boxes = list(ElementTree.parse(tmp_path / "in.xml").getroot().iter("box"))
    assert [(b.get("frame"), b.get("outside")) for b in boxes] == [
        ("0", "0"), ("9", "0"), ("10", "1"), ("12", "0"), ("19", "0"),
    ]  # fmt: skip
    assert {b.get("keyframe") for b in boxes} == {"1"}


def test_a_track_is_another_where_its_side_changes(make_tracks, tmp_path):
    """So that a person changes one attribute of a track, and not one of each keyframe."""
    rows = [make_tracks.row(f, 3, (9, 9, 50, 50), "A", "left" if f < 4 else "right") for f in range(8)]
    write_cvat(tmp_path / "in.xml", make_tracks(rows, 9), KeyframeChoice(0.02))
    tracks = [
        [(b.get("frame"), b.get("outside"), *(a.text for a in b)) for b in track]
        for track in ElementTree.parse(tmp_path / "in.xml").getroot().iter("track")
    ]
    left, right = ("A", "left", "3", "0.02"), ("A", "right", "3", "0.02")
    assert tracks == [
        [("0", "0", *left), ("3", "0", *left), ("4", "1", *left)],
        [("4", "0", *right), ("7", "0", *right), ("8", "1", *right)],
    ]


def test_boxes_that_are_no_keyframes_are_made_anew(make_tracks, tmp_path):
    """As CVAT exports them: every frame, most of them keyframe="0"."""
    tracks = straight(make_tracks)
    write_cvat(tmp_path / "in.xml", tracks, KeyframeChoice(0.002))
    text = (tmp_path / "in.xml").read_text()
    extra = '<box frame="5" keyframe="0" outside="0" occluded="0" xtl="0" ytl="0" xbr="9" ybr="9" z_order="0"></box>'
    (tmp_path / "in.xml").write_text(text.replace('    <box frame="9"', f'    {extra}\n    <box frame="9"', 1))
    assert extra in (tmp_path / "in.xml").read_text()
    assert correct(tracks, read_cvat(tmp_path / "in.xml", tracks.metadata.video)).table.equals(tracks.table)


def test_an_archive_as_cvat_exports_it(make_tracks, tmp_path):
    tracks = straight(make_tracks)
    write_cvat(tmp_path / "in.xml", tracks, KeyframeChoice())
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as archive:
        archive.write(tmp_path / "in.xml", "annotations.xml")
        archive.writestr("images/frame_000000.PNG", b"")
    assert correct(tracks, read_cvat(tmp_path / "task.zip", tracks.metadata.video)).table.equals(tracks.table)


def test_a_job_speaks_of_its_frames_only(make_tracks, tmp_path):
    tracks = straight(make_tracks)
    job = "<annotations><meta><job><start_frame>5</start_frame><stop_frame>8</stop_frame></job></meta></annotations>"
    (tmp_path / "job.xml").write_text(job)
    kept = correct(tracks, read_cvat(tmp_path / "job.xml", tracks.metadata.video))
    assert numbers(kept.table, "frame_index").tolist() == [0, 1, 2, 3, 4, 9, *range(12, 20)]


BOX = '<box frame="{frame}" outside="0" keyframe="1" xtl="1" ytl="1" xbr="{right}" ybr="9"{more}/>'

TURNED = ' rotation="12.5"'


def cvat_of(inside, meta=""):
    return f"<annotations><meta><task>{meta}</task></meta>{inside}</annotations>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotations><track>", "not whole XML"),
        ("<html/>", "<html>"),
        ('<!DOCTYPE a [<!ENTITY e "e">]><annotations>&e;</annotations>', "a document type"),
        (cvat_of('<image id="0" name="a.png"/>'), "<image>"),
        (cvat_of('<track id="0" label="face"><polygon frame="0" points="1,1;2,2"/></track>'), "<polygon>"),
        (cvat_of(f"<track>{BOX.format(frame=0, right=9, more=TURNED)}</track>"), "turned by 12.5"),
        (cvat_of('<track><box frame="0" xtl="1" ytl="1" xbr="2"/></track>'), "no 'ybr'"),
        (cvat_of('<track><box frame="0" xtl="1" ytl="a" xbr="2" ybr="3"/></track>'), "could not convert"),
        (cvat_of(f"<track>{BOX.format(frame=3, right=9, more='') * 2}</track>"), "two keyframes in frame 3"),
        (cvat_of(f"<track>{BOX.format(frame=20, right=9, more='')}</track>"), "a box in frame 20"),
        (cvat_of(f"<track>{BOX.format(frame=-1, right=9, more='')}</track>"), "a box in frame -1"),
        (cvat_of("", "<frame_filter>step=2</frame_filter>"), "leaves out frames"),
        (cvat_of("", "<size>21</size>"), "another video"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(make_tracks, tmp_path, text, words):
    (tmp_path / "in.xml").write_text(text)
    with pytest.raises(TrackFormatError, match=re.escape(words)):
        read_cvat(tmp_path / "in.xml", straight(make_tracks).metadata.video)


def test_a_box_without_extent_is_refused(make_tracks, tmp_path):
    (tmp_path / "in.xml").write_text(cvat_of(f"<track>{BOX.format(frame=2, right=0, more='')}</track>"))
    tracks = straight(make_tracks)
    with pytest.raises(TrackFormatError, match=r"frame 2.*x2 > x1"):
        correct(tracks, read_cvat(tmp_path / "in.xml", tracks.metadata.video))


@pytest.mark.parametrize("name", ["person", "side"])
def test_an_unknown_name_is_refused(make_tracks, tmp_path, name):
    inside = (
        f'<track>{BOX.format(frame=0, right=9, more="")[:-2]}><attribute name="{name}">Eve</attribute></box></track>'
    )
    (tmp_path / "in.xml").write_text(cvat_of(inside))
    with pytest.raises(TrackFormatError, match=f"attribute {name}.*'Eve'"):
        read_cvat(tmp_path / "in.xml", straight(make_tracks).metadata.video)


def test_missing_and_existing_files(make_tracks, tmp_path):
    tracks = straight(make_tracks)
    with pytest.raises(TrackFileNotFoundError, match="no file"):
        read_cvat(tmp_path / "no.xml", tracks.metadata.video)
    write_cvat(tmp_path / "in.xml", tracks, KeyframeChoice())
    with pytest.raises(OutputExistsError):
        write_cvat(tmp_path / "in.xml", tracks, KeyframeChoice())


def test_the_label_of_the_page_is_the_one_that_is_needed():
    page = (Path(__file__).parents[3] / "docs" / "interchange.md").read_text()
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None and json.loads(shown[1]) == json.loads(label_json())
