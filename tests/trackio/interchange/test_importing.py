"""Export, correct by hand, import: the log has the edits, and its replay is the corrected table."""

import copy
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import OutputError, OutputExistsError, SettingError, TrackFileNotFoundError, TrackFormatError
from dft.trackio.edits.session import Edits
from dft.trackio.files import read_tracks, write_tracks
from dft.trackio.interchange.exporting import export_tracks
from dft.trackio.interchange.formats import detect_format
from dft.trackio.interchange.importing import import_corrections
from dft.trackio.interchange.keyframes import KeyframeChoice


@pytest.fixture
def talk_tracks(make_tracks, tmp_path):
    """A left (track 0) and B right (track 1) in 40 frames, a bystander (track 5) in 10 to 19; A is away in 20 to 24."""
    rows = [make_tracks.row(f, 0, (100.3 + f, 50, 150 + f, 120), "A", "left") for f in range(40) if not 20 <= f < 25]
    rows += [make_tracks.row(f, 1, (400, 50.2, 450, 120), "B", "right") for f in range(40)]
    rows += [make_tracks.row(f, 5, (250, 30, 290, 80), None, None) for f in range(10, 20)]
    made = make_tracks(rows, 40, path=tmp_path / "in.tracks.parquet")
    write_tracks(made.path, made.table, made.metadata)
    return made.path


def replayed(path):
    return Edits(path).current().table.to_pylist()


def rows_by_place(rows):
    return {(row["frame_index"], round(row["x1"])): row for row in rows}


class Cvat:
    """An exported file in the hands of a person."""

    def __init__(self, path):
        self.path, self.tree = path, ElementTree.parse(path)

    def track(self, dft_track):
        found = [
            track for track in self.tree.getroot().iter("track")
            if track.find("box/attribute[@name='dft_track']").text == str(dft_track)
        ]  # fmt: skip
        assert len(found) == 1
        return found[0]

    def boxes(self, dft_track, first=0, last=10**6):
        return [box for box in self.track(dft_track).iter("box") if first <= int(box.get("frame")) <= last]

    def save(self):
        self.tree.write(self.path)
        return self.path

    def key_at(self, dft_track, frame):
        """Set a keyframe where CVAT interpolates, with two decimals."""
        boxes = self.boxes(dft_track)
        if str(frame) in {box.get("frame") for box in boxes}:
            return
        before = max((b for b in boxes if int(b.get("frame")) < frame), key=lambda b: int(b.get("frame")))
        after = min((b for b in boxes if int(b.get("frame")) > frame), key=lambda b: int(b.get("frame")))
        share = (frame - int(before.get("frame"))) / (int(after.get("frame")) - int(before.get("frame")))
        made = copy.deepcopy(before)
        made.set("frame", str(frame))
        for name in ("xtl", "ytl", "xbr", "ybr"):
            low, high = float(before.get(name)), float(after.get(name))
            made.set(name, f"{low + (high - low) * share:.2f}")
        place = list(self.track(dft_track)).index(before)
        self.track(dft_track).insert(place + 1, made)

    def split(self, dft_track, frame):
        """Split a track as CVAT does: the first part ends with a keyframe outside. The boxes of the second part."""
        self.key_at(dft_track, frame)
        track, late = self.track(dft_track), self.boxes(dft_track, frame)
        end = copy.deepcopy(late[0])
        end.set("outside", "1")
        second = ElementTree.SubElement(self.tree.getroot(), "track", id="99", label="face", source="manual")
        for box in late:
            track.remove(box)
            second.append(box)
        track.append(end)
        return late


def rename(boxes, **names):
    for box in boxes:
        for name, value in names.items():
            box.find(f"attribute[@name='{name}']").text = value


@pytest.mark.parametrize("to", ["cvat", "mot", "csv"])
@pytest.mark.parametrize("keyframes", [KeyframeChoice(), KeyframeChoice(0.01)])
def test_nothing_corrected_is_no_edit(talk_tracks, to, keyframes):
    output = export_tracks(talk_tracks, to=to, choice=keyframes).outputs[0]
    report = import_corrections(talk_tracks, output)
    assert (report.format, report.operations, report.revision, report.rows) == (to, (), 0, 0)
    assert not talk_tracks.with_name("in.tracks.edits.jsonl").exists()


@pytest.mark.parametrize("keyframes", [KeyframeChoice(), KeyframeChoice(0.01)])
def test_two_tracks_swapped_and_a_box_moved(talk_tracks, keyframes):
    file = Cvat(export_tracks(talk_tracks, choice=keyframes).outputs[0])
    for track, first, person in ((0, 25, "B"), (1, 20, "A")):
        rename(file.split(track, first), person=person)
    (moved,) = file.boxes(5, 10, 10)
    moved.set("xtl", "240.5")
    report = import_corrections(talk_tracks, file.save())
    assert report.operations and report.revision == 1 and (report.first_frame, report.last_frame) == (10, 39)
    rows = replayed(talk_tracks)
    assert len(rows) == 35 + 40 + 10
    for row in rows:
        late = row["frame_index"] >= 20
        if row["x1"] < 230:
            assert (row["person"], row["side"]) == (("B", "right") if late else ("A", "left"))
        elif row["x1"] > 350:
            assert (row["person"], row["side"]) == (("A", "left") if late else ("B", "right"))
        else:
            assert row["person"] is None
    if keyframes == KeyframeChoice():
        assert [row["x1"] for row in rows if row["person"] is None] == [240.5] + [250] * 9
    assert read_tracks(talk_tracks).table.num_rows == len(rows), "the raw tracks are as they were"


def test_moved_keyframe_moves_the_boxes_between_its_neighbours(talk_tracks):
    file = Cvat(export_tracks(talk_tracks, choice=KeyframeChoice(0.01, 10)).outputs[0])
    frames = [int(box.get("frame")) for box in file.boxes(1)]
    assert frames == [0, 10, 20, 30, 39]
    file.boxes(1)[1].set("ytl", "40.2")
    import_corrections(talk_tracks, file.save())
    tops = {row["frame_index"]: row for row in replayed(talk_tracks) if row["person"] == "B"}
    for frame, row in tops.items():
        expected = 50.2 - max(0, 10 - abs(frame - 10))
        assert abs(row["y1"] - expected) < 0.01
        assert row["origin"] == ("detected" if abs(frame - 10) >= 10 else "manual")


def test_deleted_drawn_merged_and_ended_tracks(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    root = file.tree.getroot()
    root.remove(file.track(5))
    for box in file.boxes(1, 36):  # B ends with frame 35
        file.track(1).remove(box)
    end = ElementTree.fromstring(ElementTree.tostring(file.boxes(1, 35, 35)[0]))
    end.set("frame", "36")
    end.set("outside", "1")
    file.track(1).append(end)
    drawn = ElementTree.SubElement(root, "track", id="9", label="face", source="manual")
    for frame, outside in ((20, "0"), (24, "0"), (25, "1")):  # A in the gap
        box = ElementTree.SubElement(
            drawn, "box", frame=str(frame), keyframe="1", outside=outside, occluded="0",
            xtl=str(120 + frame), ytl="50", xbr=str(170 + frame), ybr="120",
        )  # fmt: skip
        for name, value in (("person", "A"), ("side", "left"), ("dft_track", "new"), ("dft_tolerance", "0")):
            ElementTree.SubElement(box, "attribute", name=name).text = value
    import_corrections(talk_tracks, file.save())
    rows = replayed(talk_tracks)
    frames = {name: [r["frame_index"] for r in rows if r["person"] == name] for name in ("A", "B", None)}
    assert frames == {"A": list(range(40)), "B": list(range(36)), None: []}
    added = [row for row in rows if row["person"] == "A" and 20 <= row["frame_index"] < 25]
    assert [row["x1"] for row in added] == [140, 141, 142, 143, 144]
    assert {(row["origin"], row["side"], row["landmarks"]) for row in added} == {("manual", "left", None)}
    assert [row["pts"] for row in added] == [20, 21, 22, 23, 24]


def test_a_copied_track_is_a_new_one(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    twin = copy.deepcopy(file.track(1))
    for box in twin:
        box.set("xtl", "500")
        box.set("xbr", "550")
    rename(twin, person="bystander", side="none")
    file.tree.getroot().append(twin)
    import_corrections(talk_tracks, file.save())
    rows = [row for row in replayed(talk_tracks) if row["x1"] > 350]
    assert [row["frame_index"] for row in rows if row["person"] == "B" and row["x1"] == 400] == list(range(40))
    added = [row for row in rows if row["x1"] == 500]
    assert len(added) == 40 and {row["person"] for row in added} == {None}
    assert len({row["track_id"] for row in added}) == 1 and added[0]["track_id"] not in (0, 1, 5)


def test_merged_tracks_are_the_rows_that_they_lie_on(make_tracks, tmp_path):
    rows = [make_tracks.row(f, 0 if f < 20 else 6, (100 + f, 50, 150 + f, 120), "A", "left") for f in range(40)]
    made = make_tracks(rows, 40, path=tmp_path / "in.tracks.parquet")
    write_tracks(made.path, made.table, made.metadata)
    file = Cvat(export_tracks(made.path).outputs[0])
    second = file.track(6)
    for box in second:
        file.track(0).append(box)
    file.tree.getroot().remove(second)
    for box in [box for box in file.track(0) if box.get("outside") == "1" and box.get("frame") == "20"]:
        file.track(0).remove(box)
    rename(list(file.track(0)), dft_track="0")
    assert import_corrections(made.path, file.save()).operations == ()


def test_attributes_that_a_tool_dropped(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    for box in list(file.tree.getroot().iter("box")):
        for attribute in list(box):
            box.remove(attribute)
    assert import_corrections(talk_tracks, file.save()).operations == ()


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_replay_gives_the_corrected_table(any_tracks, data, seed, tmp_path_factory):
    """Random corrections in a CSV: persons exchanged over a range, boxes moved, rows deleted."""
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("edits") / "in.tracks.parquet"
    write_tracks(path, tracks.table, tracks.metadata)
    output = export_tracks(path, to="csv").outputs[0]
    header, *lines = output.read_text().replace('"', "").splitlines()
    names = header.split(",")
    rng = np.random.default_rng(seed)
    since, until = np.sort(rng.integers(0, tracks.metadata.video.frame_count + 1, 2))
    expected, kept = [], [header]
    for line in lines:
        row = dict(zip(names, line.split(","), strict=True))
        if rng.random() < 0.1:
            continue
        if row["person"] and since <= int(row["frame_index"]) < until:
            row["person"] = {"A": "B", "B": "A"}[row["person"]]
            row["side"] = {"left": "right", "right": "left"}[row["side"]]
        if rng.random() < 0.2:
            for name in ("x1", "x2"):
                row[name] = repr(float(row[name]) + 3.25)
        kept.append(",".join(row.values()))
        expected.append([*(float(row[name]) for name in ("x1", "y1", "x2", "y2")), row["frame_index"], row["person"],
                         row["side"]])  # fmt: skip
    output.write_text("\n".join(kept) + "\n")
    import_corrections(path, output)
    got = [
        [*(r[name] for name in ("x1", "y1", "x2", "y2")), str(r["frame_index"]), r["person"] or "", r["side"] or ""]
        for r in replayed(path)
    ]
    order = lambda row: (int(row[4]), row[5], row[0], row[1])  # noqa: E731
    expected.sort(key=order)
    got.sort(key=order)
    assert [row[4:] for row in got] == [row[4:] for row in expected]
    boxes = [np.array([row[:4] for row in table]).reshape(-1, 4) for table in (got, expected)]
    assert np.abs(boxes[0] - boxes[1]).max(initial=0) < 0.01
    assert import_corrections(path, output).operations == (), "once imported, there is nothing left to correct"


def test_dry_run_writes_nothing(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    file.tree.getroot().remove(file.track(5))
    path = file.save()
    report = import_corrections(talk_tracks, path, dry_run=True)
    assert len(report.operations) == 1 and report.rows == 10 and report.revision == 0
    assert not talk_tracks.with_name("in.tracks.edits.jsonl").exists()
    import_corrections(talk_tracks, path, author="Eve")
    (line,) = talk_tracks.with_name("in.tracks.edits.jsonl").read_text().splitlines()[1:]
    assert '"Eve"' in line
    edits = Edits(talk_tracks)
    edits.undo()
    assert edits.current().table.equals(read_tracks(talk_tracks).table), "one entry, one undo"


def test_exported_with_the_edits(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    file.tree.getroot().remove(file.track(5))
    import_corrections(talk_tracks, file.save())
    report = export_tracks(talk_tracks, to="csv")
    assert (report.rows, report.tracks, report.operations) == (75, 2, 1)
    assert import_corrections(talk_tracks, report.outputs[0]).operations == ()


@pytest.mark.parametrize(
    ("person", "words"), [("A", "two boxes of person A in frame 10 (from 0)"), ("B", "of person B")]
)
def test_one_person_twice_is_refused(talk_tracks, person, words):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    rename(file.boxes(5), person=person)
    with pytest.raises(TrackFormatError, match=re.escape(words)):
        import_corrections(talk_tracks, file.save())


def test_two_persons_on_one_side_are_refused(talk_tracks):
    file = Cvat(export_tracks(talk_tracks).outputs[0])
    rename(file.boxes(0, 30, 35), side="right")
    with pytest.raises(TrackFormatError, match=re.escape("two persons on the side right in frame 30 (from 0)")):
        import_corrections(talk_tracks, file.save())


def test_export_names_and_refusals(talk_tracks, tmp_path):
    assert [path.name for path in export_tracks(talk_tracks, to="mot").outputs] == ["in.mot.txt", "in.mot.persons.csv"]
    assert export_tracks(talk_tracks, tmp_path / "a.json").format == "coco"
    with pytest.raises(OutputExistsError):
        export_tracks(talk_tracks, to="mot")
    with pytest.raises(OutputError, match="its own input"):
        export_tracks(talk_tracks, talk_tracks, to="csv", overwrite=True)
    with pytest.raises(SettingError, match=r"a\.avi"):
        export_tracks(talk_tracks, tmp_path / "a.avi")
    with pytest.raises(SettingError, match="one of cvat"):
        export_tracks(talk_tracks, to="voc")


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"\xef\xbb\xbf<?xml?>", "cvat"), (b"PK\x03\x04", "cvat"), (b'"frame_index","x1"\n', "csv"), (b"1, 2\n", "mot")],
)
def test_formats_are_told_from_the_first_bytes(tmp_path, head, name):
    (tmp_path / "in").write_bytes(head)
    assert detect_format(tmp_path / "in") == name


def test_an_unknown_format(tmp_path):
    (tmp_path / "in").write_bytes(b'{"images": []}')
    with pytest.raises(TrackFormatError, match="unknown format"):
        detect_format(tmp_path / "in")
    with pytest.raises(TrackFileNotFoundError):
        detect_format(tmp_path / "no")


@pytest.fixture
def jittery(make_tracks, tmp_path):
    """A and B in 60 frames, whose boxes jitter by a pixel or two."""
    rng = np.random.default_rng(3)
    rows = []
    for frame in range(60):
        for track, person, side in ((0, "A", "left"), (1, "B", "right")):
            left, top = np.array([100.0 + 300 * track, 50.0]) + rng.uniform(-1.5, 1.5, 2)
            rows.append(make_tracks.row(frame, track, (left, top, left + 80, top + 100), person, side))
    made = make_tracks(rows, 60, path=tmp_path / "in.tracks.parquet")
    write_tracks(made.path, made.table, made.metadata)
    return made.path


def test_a_keyframe_set_where_cvat_interpolates_moves_no_box(jittery):
    file = Cvat(export_tracks(jittery, choice=KeyframeChoice(0.05)).outputs[0])
    keys = {int(box.get("frame")) for track in (0, 1) for box in file.boxes(track)}
    since = next(frame for frame in range(20, 60) if frame not in keys)
    for track, person in ((0, "B"), (1, "A")):
        rename(file.split(track, since), person=person)
    report = import_corrections(jittery, file.save())
    assert [type(operation).__name__ for operation in report.operations] == ["Swap"]
    assert (report.first_frame, report.last_frame) == (since, 59)


def test_a_keyframe_moved_by_less_than_the_tolerance_is_a_correction(jittery):
    file = Cvat(export_tracks(jittery, choice=KeyframeChoice(0.01)).outputs[0])
    before, moved, after = file.boxes(0)[3:6]
    moved.set("xtl", f"{float(moved.get('xtl')) - 0.5:.2f}")  # the tolerance is a pixel
    import_corrections(jittery, file.save())
    raw = {row["frame_index"]: row for row in read_tracks(jittery).table.to_pylist() if row["person"] == "A"}
    now = {row["frame_index"]: row for row in replayed(jittery) if row["person"] == "A"}
    frame = int(moved.get("frame"))
    assert abs(now[frame]["x1"] - raw[frame]["x1"] + 0.5) < 0.01
    changed = [frame for frame in raw if now[frame]["x1"] != raw[frame]["x1"]]
    assert int(before.get("frame")) < min(changed) <= frame <= max(changed) < int(after.get("frame"))
