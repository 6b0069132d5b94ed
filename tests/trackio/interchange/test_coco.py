"""COCO-VID."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dft.trackio.interchange.coco import write_coco


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_every_row_is_an_annotation_of_its_image(any_tracks, data, tmp_path_factory):
    tracks = data.draw(any_tracks)
    path = tmp_path_factory.mktemp("coco") / "in.json"
    write_coco(path, tracks, "talk")
    made = json.loads(path.read_text())
    count = tracks.metadata.video.frame_count
    assert [image["frame_id"] for image in made["images"]] == list(range(count))
    frame_of = {image["id"]: image["frame_id"] for image in made["images"]}
    track_of = {track["id"]: track for track in made["tracks"]}
    assert len(track_of) == len(made["tracks"])
    rows = tracks.table.to_pylist()
    assert len({item["id"] for item in made["annotations"]} - {0}) == len(made["annotations"]) == len(rows)
    for row, item in zip(rows, made["annotations"], strict=True):
        x, y, width, height = item["bbox"]
        box = [row[name] for name in ("x1", "y1", "x2", "y2")]
        assert max(abs(a - b) for a, b in zip((x, y, x + width, y + height), box, strict=True)) < 0.0011
        assert frame_of[item["image_id"]] == row["frame_index"]
        assert item["instance_id"] == item["track_id"] == row["track_id"] + 1
        assert item["person"] == row["person"] == track_of[item["track_id"]]["person"]
        assert item["side"] == row["side"]


def test_one_annotation_in_full(make_tracks, tmp_path):
    rows = [make_tracks.row(f, 6, (10, 20, 30.5, 40), "A", "left") for f in (1, 2)]
    rows[1]["landmarks"] = None
    write_coco(tmp_path / "in.json", make_tracks(rows, 3), "talk")
    made = json.loads((tmp_path / "in.json").read_text())
    size = {"width": 640, "height": 360}
    assert made["videos"] == [{"id": 1, "name": "talk", "fps": 25.0, "num_frames": 3, **size}]
    assert made["images"][1] == {"id": 2, "video_id": 1, "frame_id": 1, "file_name": "talk/000001.jpg", **size}
    assert made["tracks"] == [{"id": 7, "category_id": 1, "video_id": 1, "person": "A"}]
    assert made["annotations"][0] == {
        "id": 1, "image_id": 2, "video_id": 1, "category_id": 1, "instance_id": 7, "track_id": 7,
        "bbox": [10, 20, 20.5, 20], "area": 410.0, "iscrowd": 0, "score": 0.5, "person": "A", "side": "left",
        "origin": "detected", "num_keypoints": 5, "keypoints": [10, 11, 2, 12, 13, 2, 14, 15, 2, 16, 17, 2, 18, 19, 2],
    }  # fmt: skip
    assert "keypoints" not in made["annotations"][1]
    assert len(made["categories"][0]["keypoints"]) == 5
