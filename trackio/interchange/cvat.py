"""CVAT for video XML 1.1: writing.

The format: https://docs.cvat.ai/docs/dataset_management/formats/xml_format. What CVAT makes of such a file when it is
imported (``load_anno`` in cvat/apps/dataset_manager/formats/cvat.py, ``TrackManager`` in .../annotation.py), and what
follows for us:

- Boxes with keyframe="0" are dropped and made anew by linear interpolation: only keyframes are written.
- A track goes on to the end of the task unless a keyframe says outside="1": one follows each stretch.
- Tracks are numbered anew: the track_id is carried as an attribute, and under another name, because ``track_id`` is one
  of the names that CVAT takes for its own.
- An attribute that may change within a track is kept with every keyframe, so that changing it changes one of them.
  Person and side are attributes of the whole track therefore; a track of ours whose side changes becomes several.
- Attributes that the task's label does not have are dropped: :func:`label_json` is what the label needs.
- Coordinates are written with two decimals.
"""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_output
from ..columns import NULL
from ..files import TrackFile
from ..metadata import VideoRecord
from ..schema import PERSONS, SIDES
from .imported import BYSTANDER, NO_SIDE, groups
from .keyframes import ALL, KeyframeChoice, TrackRows
from .matching import BaseRows

LABEL = "face"
PERSON, SIDE, TRACK, KEYFRAMES = "person", "side", "dft_track", "dft_keyframes"
NEW_TRACK = "new"
"""What ``dft_track`` of a track says that was drawn in CVAT."""
# Name, kind of input, values to choose from (CVAT wants at least one), default. None may change within a track of CVAT.
_ATTRIBUTES = (
    (PERSON, "select", (*PERSONS, BYSTANDER), BYSTANDER),
    (SIDE, "select", (*SIDES, NO_SIDE), NO_SIDE),
    (TRACK, "text", (NEW_TRACK,), NEW_TRACK),
    (KEYFRAMES, "text", (ALL,), ALL),
)


def label_json() -> str:
    """The label that a CVAT task needs, for the tab "Raw" of its label constructor."""
    attributes = [
        {"name": name, "mutable": False, "input_type": kind, "values": list(values), "default_value": default}
        for name, kind, values, default in _ATTRIBUTES
    ]
    return json.dumps([{"name": LABEL, "type": "rectangle", "attributes": attributes}], indent=2)


def write_cvat(path: Path, track_file: TrackFile, choice: KeyframeChoice, *, overwrite: bool = False) -> int:
    """Write the file.

    Args:
        path: The XML file.
        track_file: The tracks.
        choice: Which boxes become keyframes.
        overwrite: Whether an existing file may be replaced.

    Returns:
        Number of keyframes, without those that say outside.

    Raises:
        OutputError: The file cannot be written; ``OutputExistsError`` where it exists.
    """
    rows = TrackRows.of(BaseRows.of(track_file.table))
    video = track_file.metadata.video
    marked, ends, written = rows.keyframes(choice), rows.ends, rows.written
    with atomic_output(path, overwrite=overwrite) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.write(_meta(path.stem, video))
        for number, inside in enumerate(groups(rows.parts)):
            file.write(f'  <track id="{number}" label="{LABEL}" source="file">\n')
            for row in inside[marked[inside]].tolist():
                frame, box, names = int(rows.frame[row]), written[row], _attributes(rows, row, choice)
                file.write(_box(frame, box, names))
                if ends[row] and frame + 1 < video.frame_count:
                    file.write(_box(frame + 1, box, names, outside=True))
            file.write("  </track>\n")
        file.write("</annotations>\n")
    return int(np.count_nonzero(marked))


def _attributes(rows: TrackRows, row: int, choice: KeyframeChoice) -> str:
    person, side = rows.names[row].tolist()
    values = {
        PERSON: BYSTANDER if person == NULL else PERSONS[person],
        SIDE: NO_SIDE if side == NULL else SIDES[side],
        TRACK: rows.track[row],
        KEYFRAMES: choice,
    }
    return "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in values.items())


def _box(frame: int, box: NDArray[np.float64], names: str, *, outside: bool = False) -> str:
    x1, y1, x2, y2 = box.tolist()
    return (
        f'    <box frame="{frame}" keyframe="1" outside="{outside:d}" occluded="0" '
        f'xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" ybr="{y2:.2f}" z_order="0">{names}</box>\n'
    )


def _meta(name: str, video: VideoRecord) -> str:
    """What readers other than CVAT want to know: the label, the frames, and their size."""
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>{kind}</input_type>"
        f"<default_value>{default}</default_value><values>{chr(10).join(values)}</values></attribute>"
        for name, kind, values, default in _ATTRIBUTES
    )
    return (
        f"  <meta><task><name>{escape(name)}</name><size>{video.frame_count}</size><mode>interpolation</mode>"
        f"<overlap>0</overlap><start_frame>0</start_frame><stop_frame>{video.frame_count - 1}</stop_frame>"
        f"<frame_filter></frame_filter><labels><label><name>{LABEL}</name><type>rectangle</type>"
        f"<attributes>{attributes}</attributes></label></labels>"
        f"<original_size><width>{video.width}</width><height>{video.height}</height></original_size></task></meta>\n"
    )
