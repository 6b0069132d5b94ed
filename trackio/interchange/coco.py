"""COCO-VID: writing, for training and evaluation.

JSON with ``videos``, ``images`` (every frame, ``frame_id`` from 0), ``annotations`` (``bbox`` as x, y, width, height;
``instance_id`` for mmtracking, ``track_id`` for TAO), ``tracks`` and ``categories``, as
https://mmtracking.readthedocs.io (tutorials, customize datasets) and the TAO toolkit describe them. Landmarks are COCO
keypoints. ids are counted from 1, because pycocotools takes an annotation with the id 0 for none.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import atomic_output
from ..columns import NULL, boxes_xyxy, codes, landmarks, numbers
from ..files import TrackFile
from ..schema import ORIGINS, PERSONS, SIDES
from .imported import groups
from .plain import LANDMARKS

_CATEGORY = {"id": 1, "name": "face", "supercategory": "person", "keypoints": list(LANDMARKS), "skeleton": []}
_VISIBLE = 2  # COCO's flag of a keypoint that is labelled and visible


def write_coco(path: Path, track_file: TrackFile, name: str, *, overwrite: bool = False) -> None:
    """Write the file, item by item.

    Args:
        path: The JSON file.
        track_file: The tracks.
        name: Name of the video; frame 7 has the file name ``name/000007.jpg``.
        overwrite: Whether an existing file may be replaced.

    Raises:
        OutputError: The file cannot be written; ``OutputExistsError`` where it exists.
    """
    video = track_file.metadata.video
    size = {"width": video.width, "height": video.height}
    videos = {"id": 1, "name": name, "fps": float(video.fps), "num_frames": video.frame_count, **size}
    images = (
        {"id": frame + 1, "video_id": 1, "frame_id": frame, "file_name": f"{name}/{frame:06d}.jpg", **size}
        for frame in range(video.frame_count)
    )
    parts: dict[str, Iterator[dict[str, Any]]] = {
        "videos": iter([videos]),
        "images": images,
        "tracks": _tracks(track_file),
        "annotations": _annotations(track_file),
        "categories": iter([_CATEGORY]),
    }
    with atomic_output(path, overwrite=overwrite) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "dft tracks"}')
        for key, items in parts.items():
            file.write(f',\n"{key}": [')
            for place, item in enumerate(items):
                file.write((",\n" if place else "\n") + json.dumps(item))
            file.write("\n]")
        file.write("}\n")


def _tracks(track_file: TrackFile) -> Iterator[dict[str, Any]]:
    table = track_file.table
    track, person = numbers(table, "track_id"), codes(table, "person", PERSONS)
    for rows in groups(track):
        own, code = int(track[rows[0]]), int(person[rows].max())  # a track has one person, or none in part
        yield {"id": own + 1, "category_id": 1, "video_id": 1, "person": None if code == NULL else PERSONS[code]}


def _annotations(track_file: TrackFile) -> Iterator[dict[str, Any]]:
    table = track_file.table
    boxes = boxes_xyxy(table).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    columns = (
        numbers(table, "frame_index"), numbers(table, "track_id"), np.round(boxes, 3), numbers(table, "score"),
        codes(table, "person", PERSONS), codes(table, "side", SIDES), codes(table, "origin", ORIGINS), landmarks(table),
    )  # fmt: skip
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, (frame, track, box, score, person, side, origin, points) in enumerate(rows, 1):
        item = {
            "id": number, "image_id": frame + 1, "video_id": 1, "category_id": 1, "instance_id": track + 1,
            "track_id": track + 1, "bbox": box, "area": round(box[2] * box[3], 2), "iscrowd": 0,
            "score": round(score, 4), "person": None if person == NULL else PERSONS[person],
            "side": None if side == NULL else SIDES[side], "origin": ORIGINS[origin],
        }  # fmt: skip
        if points[0] == points[0]:  # NaN where there are none
            item["num_keypoints"] = len(LANDMARKS)
            pairs = zip(points[::2], points[1::2], strict=True)
            item["keypoints"] = [value for x, y in pairs for value in (round(x, 2), round(y, 2), _VISIBLE)]
        yield item
