"""Who is in the video, and which tile shows whom."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ...configs.errors import NoFaceError
from ...configs.rendering import CameraSettings, RenderSettings, read_overrides
from ...configs.settings import all_settings
from ...trackio.schema import PERSONS, SIDES
from ..layout import Layout, TileArea
from ..layout_file import WIDE
from ..presets import layout_of, single
from .faces import FaceTrack, only_face, read_faces, read_persons

LONE_FILLS = ("pip", "single")  # layouts that show the only person alone, whatever --lone says
LONE_TILE = ("side-by-side", "stacked")  # and those where that can be chosen


@dataclass(frozen=True)
class Role:
    """One tile's part in the video.

    Attributes:
        key: Its name, unique in the layout: whom it shows, with a number if another tile does so too.
        area: The tile.
        face: Whom it follows; None for a still view.
        camera: The camera's settings for this person; their zoom is already in ``head_share``.
        absent: One of ``ABSENT_MODES``.
        others: The faces of the other main persons, whether or not a tile follows them.
    """

    key: str
    area: TileArea
    face: FaceTrack | None
    camera: CameraSettings
    absent: str
    others: tuple[FaceTrack, ...]

    @property
    def follows(self) -> bool:
        """Whether it follows somebody, seen or not, and does not just show the picture."""
        return self.area.side != WIDE


@dataclass(frozen=True)
class Cast:
    """Who plays where.

    Attributes:
        layout: The tiles.
        roles: One per tile, in their order.
        notes: What a reader should know, in words.
    """

    layout: Layout
    roles: tuple[Role, ...]
    notes: tuple[str, ...]


def cast(table: pa.Table, num_frames: int, settings: RenderSettings) -> Cast:
    """Give each tile of the layout its face and its settings.

    Raises:
        NoFaceError: No row has a side, or the layout shows nobody who is in the tracks.
        SettingError: The layout cannot be.
    """
    sides = read_faces(table, num_frames)
    if not sides:
        raise NoFaceError(
            "no face in the tracks has a side, so there is nobody to show", hint="check the tracks: dft tracks show"
        )
    layout, faces, notes = _staged(layout_of(settings.output), sides, read_persons(table, num_frames), settings)
    if not any(area.side in faces for area in layout.areas):
        raise NoFaceError(
            f"the layout shows {' and '.join(sorted({area.side for area in layout.areas} - {WIDE}))}, who is not in "
            "the tracks", expected=f"one of {', '.join(sorted(faces))}", hint="change --follow or the layout file",
        )  # fmt: skip
    missing = dict.fromkeys(area.side for area in layout.areas if area.side not in {*faces, WIDE})
    notes = (*notes, *(f"{side}: nobody is seen in the whole video" for side in missing))
    return Cast(layout, tuple(_roles(layout, faces, sides, settings)), notes)


def _staged(
    layout: Layout, sides: dict[str, FaceTrack], persons: dict[str, FaceTrack], settings: RenderSettings
) -> tuple[Layout, dict[str, FaceTrack], tuple[str, ...]]:
    """The layout for as many as there are, the face of each whom it may show, and notes."""
    lone, name = only_face(sides), settings.output.layout
    if lone is None:
        return layout, {**sides, **persons}, ()
    side, face = lone
    if name in LONE_FILLS or (name in LONE_TILE and settings.output.lone == "single"):
        filled = single(layout.canvas.width, layout.canvas.height)
        return (
            replace(filled, canvas=layout.canvas),
            {"single": face},
            ("only one person was found: one tile shows them",),
        )
    if name in LONE_TILE or layout.separate:
        return layout, {side: face}, ("only one person was found",)
    return layout, {**sides, **persons}, ("only one person was found",)


def _roles(
    layout: Layout, faces: Mapping[str, FaceTrack], sides: Mapping[str, FaceTrack], settings: RenderSettings
) -> list[Role]:
    roles: list[Role] = []
    for area in layout.areas:
        face = faces.get(area.side)
        camera, absent = _settings_for(_names(area.side, face, sides), settings)
        same = sum(role.area.side == area.side for role in roles)
        key = f"{area.side} {same + 1}" if same else area.side
        roles.append(Role(key, area, face, camera, absent, _others(area.side, faces)))
    return roles


def _others(subject: str, faces: Mapping[str, FaceTrack]) -> tuple[FaceTrack, ...]:
    kin = next((names for names in (SIDES, PERSONS) if subject in names), ())
    return tuple(faces[name] for name in kin if name != subject and name in faces)


def _names(subject: str, face: FaceTrack | None, sides: Mapping[str, FaceTrack]) -> list[str]:
    """The side and the person that a tile shows: those that it does most."""
    person = subject if subject in PERSONS else _person(face)
    if subject in SIDES:
        side: str | None = subject
    else:
        code = PERSONS.index(person) if person else None
        shares = {name: int((track.person == code).sum()) for name, track in sides.items()}
        side = max(shares, key=lambda name: shares[name])
    return [name for name in (side, person) if name is not None]


def _person(face: FaceTrack | None) -> str | None:
    if face is None:
        return None
    counts = [int((face.person == code).sum()) for code in range(len(PERSONS))]
    return PERSONS[int(np.argmax(counts))] if any(counts) else None


def _settings_for(names: list[str], settings: RenderSettings) -> tuple[CameraSettings, str]:
    """The camera's settings and the mode when absent, for a side and a person."""
    absence = settings.absence
    by_side = {"left": absence.absent_left, "right": absence.absent_right}
    overrides = read_overrides(settings.camera.override or "")
    values: dict[str, Any] = {"absent": absence.absent}
    for name in names:
        values["absent"] = by_side.get(name) or values["absent"]
        values.update(overrides.get(name, {}))
    absent = values.pop("absent")
    camera = replace(settings.camera, **values)
    greatest = all_settings(RenderSettings)["head_share"].maximum
    share = min(camera.head_share * camera.zoom, greatest or 1.0)
    return replace(camera, head_share=share, zoom=1.0), absent
