"""The camera plan of every layout, and what its tiles show while somebody is absent."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.errors import NoFaceError
from dft.configs.rendering import ABSENT_MODES, AbsenceSettings, CameraSettings, OutputSettings, RenderSettings
from dft.engines.protocols import Bar, Tile
from dft.render.camera.faces import NOBODY
from dft.render.camera.placing import HEAD
from dft.render.camera.plan import plan

N = 200
SIZE = (1920, 1080)
LEFT, RIGHT = (480, 430), (1440, 450)
AWAY = (50, 125)  # three seconds


@pytest.fixture(scope="module")
def plan_of(make_table, make_metadata):
    def make(faces, *, cuts=(), size=SIZE, num_frames=N, part=None, **values):
        chosen = RenderSettings(**values)
        table, metadata = make_table(faces, num_frames), make_metadata(num_frames, size, cuts)
        return plan(table, metadata, chosen, np.arange(num_frames), output=part)

    return make


@pytest.fixture(scope="module")
def pair(box):
    """Two people; the right one is absent in ``AWAY``."""

    def right(index):
        return None if AWAY[0] <= index < AWAY[1] else box(*RIGHT, 160)

    return [("A", "left", box(*LEFT, 200)), ("B", "right", right)]


def views_by_side(camera):
    return {view.area.side: view for view in camera.views}


def tiles_of(camera, frame_index):
    return [part for part in camera.tiles(frame_index) if isinstance(part, Tile)]


def middle(view, frame_index):
    crop = view.crops_xyxy[frame_index]
    return (crop[0] + crop[2]) / 2


def assert_sound(camera, size=SIZE):
    """Every crop has its tile's aspect and lies in the picture; no tile is drawn beyond the canvas."""
    for view in camera.views:
        crops, area = view.crops_xyxy, view.area
        assert crops.shape == (len(camera), 4)
        assert crops[:, :2].min() >= 0 and crops[:, 2].max() <= size[0] + 1e-6 and crops[:, 3].max() <= size[1] + 1e-6
        ratio = (crops[:, 2] - crops[:, 0]) / (crops[:, 3] - crops[:, 1])
        np.testing.assert_allclose(ratio, area.width / area.height, rtol=1e-4)
        assert area.right <= camera.canvas.width and area.bottom <= camera.canvas.height
        assert view.take_starts[0] == 0 and (np.diff(view.take_starts) > 0).all()


# ---- layouts --------------------------------------------------------------------------------------------------------


def test_stacked_has_the_left_person_on_top(plan_of, pair):
    camera = plan_of(pair, output=OutputSettings(layout="stacked"))
    assert (camera.canvas.width, camera.canvas.height) == (1080, 1920)
    views = views_by_side(camera)
    assert views["left"].area.y < views["right"].area.y
    assert middle(views["left"], 0) == pytest.approx(LEFT[0], abs=2)
    assert middle(views["right"], 0) == pytest.approx(RIGHT[0], abs=2)


def test_separate_videos_are_framed_as_the_tiles_of_one(plan_of, box):
    faces = [("A", "left", box(480, 500, 500)), ("B", "right", box(*RIGHT, 200))]  # the left head decides both sizes
    both = views_by_side(plan_of(faces))
    for side in ("left", "right"):
        camera = plan_of(faces, part=side, output=OutputSettings(layout="separate"))
        (view,) = camera.views
        assert (camera.canvas.width, camera.canvas.height) == (view.area.width, view.area.height) == (960, 1080)
        np.testing.assert_array_equal(view.crops_xyxy, both[side].crops_xyxy)


def test_separate_videos_note_their_own_absences(plan_of, pair):
    left, right = (plan_of(pair, part=side, output=OutputSettings(layout="separate")) for side in ("left", "right"))
    assert left.absences == () and {absence.side for absence in right.absences} == {"right"}


def test_pip_shows_who_is_followed_large(plan_of, pair):
    camera = plan_of(pair, output=OutputSettings(layout="pip", follow="right", divider=4))
    large, small = camera.views
    assert (large.area.side, large.area.width) == ("right", 1920) and small.area.side == "left"
    parts = camera.tiles(0)
    assert [type(part) for part in parts] == [Tile, Tile, Bar, Bar, Bar, Bar]
    assert middle(large, 0) == pytest.approx(RIGHT[0], abs=2) and middle(small, 0) == pytest.approx(LEFT[0], abs=2)


@pytest.mark.parametrize("follow", ["left", "A"])
def test_single_follows_a_side_or_a_person(plan_of, box, follow):
    swapped = lambda here, there: lambda i: box(*(here if i < 100 else there), 200)  # noqa: E731
    faces = [("A", "left", swapped(LEFT, RIGHT)), ("B", "right", swapped(RIGHT, LEFT))]
    table = [(person, side, lambda i, f=f: f(i) if i < 100 else None) for person, side, f in faces]
    table += [(p, s, lambda i, f=f: f(i) if i >= 100 else None) for (p, _, f), s in zip(faces, ("right", "left"))]  # noqa: B905
    (view,) = plan_of(table, cuts=[100], output=OutputSettings(layout="single", follow=follow)).views
    assert view.area.side == follow
    assert middle(view, 50) == pytest.approx(max(LEFT[0], view.area.aspect * 200 / 0.36 / 2), abs=40)
    later = LEFT if follow == "left" else RIGHT
    assert abs(middle(view, 150) - later[0]) < 100


def test_who_is_not_there_cannot_be_followed(plan_of, pair):
    with pytest.raises(NoFaceError, match="C"):
        plan_of(pair, output=OutputSettings(layout="single", follow="C"))


@pytest.fixture
def write_layout(tmp_path):
    def make(*tiles):
        path = tmp_path / "own.toml"
        text = "width = 1280\nheight = 720\n"
        for show, x, y, width, height in tiles:
            text += f'[[tile]]\nshow = "{show}"\nx = {x}\ny = {y}\nwidth = {width}\nheight = {height}\n'
        path.write_text(text, encoding="utf-8")
        return OutputSettings(layout=str(path))

    return make


def test_a_layout_of_one_s_own(plan_of, pair, write_layout):
    own = write_layout(("wide", 0, 0, 1, 0.5), ("left", 0, 0.5, 0.5, 0.5), ("B", 0.5, 0.5, 0.5, 0.5))
    camera = plan_of(pair, output=own)
    assert_sound(camera)
    wide, left, person = camera.views
    assert wide.face is None and np.ptp(wide.crops_xyxy, axis=0).max() == 0
    np.testing.assert_allclose(wide.crops_xyxy[0], [0, 270, 1920, 810])
    assert middle(left, 0) == pytest.approx(LEFT[0], abs=30) and middle(person, 0) == pytest.approx(RIGHT[0], abs=30)
    assert {absence.side for absence in camera.absences} == {"B"}


def test_a_tile_lies_over_the_line_between_those_below(plan_of, pair, write_layout):
    own = write_layout(("left", 0, 0, 0.5, 1), ("right", 0.5, 0, 0.5, 1), ("wide", 0.25, 0.25, 0.5, 0.5))
    parts = plan_of(pair, output=replace(own, divider=4)).tiles(0)
    assert [type(part) for part in parts] == [Tile, Tile, Bar, Tile, *4 * [Bar]]


def test_one_person_in_tiles_of_two_shapes(plan_of, pair, write_layout):
    camera = plan_of(pair, output=write_layout(("A", 0, 0, 0.5, 1), ("A", 0.5, 0, 0.5, 0.4), ("A", 0.5, 0.5, 0.5, 0.4)))
    assert_sound(camera)
    np.testing.assert_array_equal(camera.views[1].crops_xyxy, camera.views[2].crops_xyxy)


def test_a_tile_of_nobody_is_absent_throughout(plan_of, pair, write_layout):
    own = write_layout(("A", 0, 0, 0.5, 1), ("C", 0.5, 0, 0.5, 1))
    camera = plan_of(pair, output=own, absence=AbsenceSettings(absent="black"))
    assert [tile.x for tile in tiles_of(camera, 0)] == [0]
    assert any("C" in note and "whole video" in note for note in camera.notes)


@pytest.mark.parametrize("layout", ["side-by-side", "stacked", "pip", "single"])
def test_a_lone_person_has_the_whole_canvas_without_lines(plan_of, box, layout):
    camera = plan_of([("B", "right", box(*RIGHT, 200))], output=OutputSettings(layout=layout, divider=4))
    (tile,) = camera.tiles(0)
    assert (tile.width, tile.height) == (camera.canvas.width, camera.canvas.height)
    assert middle(camera.views[0], 0) == pytest.approx(RIGHT[0], abs=100)
    assert "one person" in camera.notes[0]


def test_a_lone_person_leaves_the_other_video_of_separate_still(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 200))], part="right", output=OutputSettings(layout="separate"))
    (view,) = camera.views
    assert view.face is None and np.ptp(view.crops_xyxy, axis=0).max() == 0 and view.shown.all()


# ---- absence --------------------------------------------------------------------------------------------------------


def absent(mode, **values):
    return AbsenceSettings(absent=mode, **values)


def in_absence(view):
    return view.crops_xyxy[AWAY[0] : AWAY[1]]


def test_hold_keeps_the_last_view(plan_of, pair):
    camera = plan_of(pair)
    right = views_by_side(camera)["right"]
    assert np.ptp(right.crops_xyxy, axis=0).max() == 0 and right.shown.all() and (right.blur == 0).all()
    (absence,) = camera.absences
    assert (absence.side, absence.first_frame, absence.last_frame, absence.mode) == ("right", 50, 124, "hold")
    assert absence.seconds == pytest.approx(3.0)
    assert camera.notes == ("right: absent for 3.0 s in 1 span, hold",)


def test_wide_shows_as_much_as_it_can_around_the_last_place(plan_of, pair):
    right = views_by_side(plan_of(pair, absence=absent("wide")))["right"]
    np.testing.assert_allclose(in_absence(right), [[960, 0, 1920, 1080]] * (AWAY[1] - AWAY[0]))
    np.testing.assert_array_equal(right.crops_xyxy[: AWAY[0]], np.tile(right.crops_xyxy[0], (AWAY[0], 1)))
    assert {AWAY[0], AWAY[1]} <= set(right.take_starts.tolist())


def test_wide_is_where_the_person_was_last_not_first(plan_of, box):
    moved = lambda i: box(1750 if i < 20 else 1150, 450, 160) if not AWAY[0] <= i < AWAY[1] else None  # noqa: E731
    camera = plan_of([("A", "left", box(250, 430, 200)), ("B", "right", moved)], absence=absent("wide"))
    assert middle(views_by_side(camera)["right"], 100) == pytest.approx(1150, abs=2)


def test_wide_does_not_cut_the_other_s_head(plan_of, box):
    near = lambda i: None if AWAY[0] <= i < AWAY[1] else box(1200, 450, 160)  # noqa: E731
    camera = plan_of([("A", "left", box(720, 430, 200)), ("B", "right", near)], absence=absent("wide"))
    wide = in_absence(views_by_side(camera)["right"])[0]
    head = HEAD * 160
    assert wide[0] >= 720 + 0.48 * head or wide[0] <= 720 - 0.48 * head


def test_blur_is_the_last_view_out_of_focus(plan_of, pair):
    right = views_by_side(plan_of(pair, absence=absent("blur")))["right"]
    assert (right.blur[AWAY[0] : AWAY[1]] == 0.03).all()
    assert right.blur.sum() == pytest.approx(0.03 * (AWAY[1] - AWAY[0]))
    assert np.ptp(in_absence(right), axis=0).max() == 0


def test_black_leaves_the_background(plan_of, pair):
    camera = plan_of(pair, absence=absent("black"))
    assert [len(tiles_of(camera, frame)) for frame in (49, 50, 124, 125)] == [2, 1, 1, 2]


def test_collapse_gives_the_canvas_to_the_other(plan_of, pair):
    camera = plan_of(pair, absence=absent("collapse"), output=OutputSettings(divider=8))
    assert_sound(camera)
    assert [len(camera.tiles(frame)) for frame in (49, 50, 124, 125)] == [3, 1, 1, 3]
    (tile,) = camera.tiles(100)
    assert (tile.x, tile.y, tile.width, tile.height) == (0, 0, 1920, 1080)
    whole = camera.views[2]
    assert whole.area.side == "left" and middle(whole, 100) == pytest.approx(LEFT[0], abs=20)
    assert {50, 125} <= set(whole.take_starts.tolist())


def test_collapse_of_the_large_one_of_pip_enlarges_the_small(plan_of, pair):
    camera = plan_of(pair, absence=absent("collapse"), output=OutputSettings(layout="pip", follow="right", divider=4))
    (tile,) = camera.tiles(100)
    assert tile.width == 1920 and tile.crop_xyxy == tuple(camera.views[2].crops_xyxy[100])
    assert camera.views[2].area.side == "left"


def test_before_the_first_sight_the_first_view_stands(plan_of, box):
    late = lambda i: box(*RIGHT, 160) if i >= 75 else None  # noqa: E731
    faces = [("A", "left", box(*LEFT, 200)), ("B", "right", late)]
    for mode in ("hold", "blur"):
        right = views_by_side(plan_of(faces, absence=absent(mode)))["right"]
        np.testing.assert_array_equal(right.crops_xyxy[0], right.crops_xyxy[75])


def test_sides_and_overrides_have_modes_of_their_own(plan_of, pair):
    def mode(override=None, **values):
        camera = plan_of(pair, absence=AbsenceSettings(**values), camera=CameraSettings(override=override))
        return {absence.mode for absence in camera.absences}

    assert mode(absent="wide") == {"wide"}
    assert mode(absent="wide", absent_right="black") == {"black"}
    assert mode(absent="wide", absent_left="black") == {"wide"}
    assert mode("right:absent=blur", absent_right="black") == {"blur"}
    assert mode("right:absent=blur B:absent=hold") == {"hold"}
    assert mode("A:absent=blur", absent="wide") == {"wide"}


def test_short_absences_hold_whatever_the_mode(plan_of, pair):
    camera = plan_of(pair, absence=absent("black", min_absent=3.1))
    assert {absence.mode for absence in camera.absences} == {"hold"}
    assert views_by_side(camera)["right"].shown.all()


@pytest.mark.parametrize("mode", ["hold", "wide", "blur"])
def test_in_a_shot_without_the_person_the_view_gives_way_to_the_other_s_head(plan_of, box, mode):
    """A close-up of the left person, whose head would be in the right one's held view."""
    left = lambda i: box(*LEFT, 200) if i < 100 else box(1400, 500, 400)  # noqa: E731
    right = lambda i: box(*RIGHT, 160) if i < 100 else None  # noqa: E731
    camera = plan_of([("A", "left", left), ("B", "right", right)], cuts=[100], absence=absent(mode))
    held = views_by_side(camera)["right"].crops_xyxy[150]
    assert held[2] <= 1400 - 200 or held[0] >= 1400 + 200
    assert not any("somebody else" in note for note in camera.notes)


def test_a_held_view_that_shows_somebody_else_is_noted(plan_of, pair, box):
    walk = lambda i: box(min(480 + 20 * max(0, i - 50), 1440), 430, 200) if i < 125 else box(*LEFT, 200)  # noqa: E731
    camera = plan_of([("A", "left", walk), pair[1]])
    assert any("right: the held view shows somebody else" in note for note in camera.notes)


# ---- settings of one person -----------------------------------------------------------------------------------------


def head_share(view, face_height):
    crop = view.crops_xyxy[0]
    return face_height / (crop[3] - crop[1])


def test_zoom_and_overrides_change_the_size_of_heads(plan_of, pair):
    # sizes are told in steps
    def shares(**values):
        views = views_by_side(plan_of(pair, camera=CameraSettings(**values)))
        return head_share(views["left"], 200), head_share(views["right"], 160)

    assert shares(zoom=1.2) == pytest.approx((0.36 * 1.2,) * 2, rel=0.03)
    assert shares(override="A:zoom=1.2") == pytest.approx((0.36 * 1.2, 0.36), rel=0.03)
    assert shares(override="right:head_share=0.3", zoom=1.1) == pytest.approx((0.36 * 1.1, 0.33), rel=0.03)
    assert shares(override="right:head_share=0.3 B:head_share=0.5")[1] == pytest.approx(0.5, rel=0.03)
    assert shares(zoom=5.0)[0] == pytest.approx(0.95, rel=0.03)


# ---- everything together --------------------------------------------------------------------------------------------


@st.composite
def scenes(draw):
    """Two faces that come, go and move about, with cuts, in pictures of all shapes."""
    size = draw(st.sampled_from([(1920, 1080), (1080, 1920), (640, 360), (500, 500)]))
    num_frames = draw(st.integers(30, 120))
    columns = []
    for who in range(2):
        place = [draw(st.floats(0, 1)) for _ in range(2)]
        speed = [draw(st.floats(-0.01, 0.01)) for _ in range(2)]
        spans = draw(st.lists(st.tuples(st.integers(0, num_frames), st.integers(1, 90)), max_size=2))
        columns.append((place, speed, draw(st.floats(0.03, 0.6)), spans, "AB"[who], ("left", "right")[who]))
    cuts = draw(st.sets(st.integers(1, num_frames - 1), max_size=2).map(sorted))
    return size, num_frames, columns, cuts


outputs = st.builds(
    OutputSettings,
    layout=st.sampled_from(["side-by-side", "stacked", "pip", "single"]),
    follow=st.sampled_from(["left", "B"]),
    lone=st.sampled_from(["single", "hold"]),
    divider=st.sampled_from([0, 6]),
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(scenes(), outputs, st.tuples(st.sampled_from(ABSENT_MODES), st.sampled_from(ABSENT_MODES)))
def test_every_view_of_every_layout_is_sound_and_every_absence_is_counted_once(
    make_table, make_metadata, box, scene, output, modes
):
    size, num_frames, columns, cuts = scene

    def face(place, speed, share, spans):
        def at(index):
            if any(first <= index < first + length for first, length in spans):
                return None
            x, y = (np.clip(p + s * index, 0.02, 0.98) for p, s in zip(place, speed, strict=True))
            return box(x * size[0], y * size[1], share * size[1])

        return at

    table = make_table([(person, side, face(*rest)) for *rest, person, side in columns], num_frames)
    mode, right_mode = modes
    chosen = RenderSettings(
        output=output, absence=AbsenceSettings(absent=mode, absent_right=right_mode, min_absent=0.5)
    )
    try:
        camera = plan(table, make_metadata(num_frames, size, cuts), chosen, np.arange(num_frames))
    except NoFaceError:
        assert table.num_rows == 0
        return
    assert_sound(camera, size)
    first = {}
    for view in camera.views:
        first.setdefault(view.area.side, view)
    for side, view in first.items():
        counted = np.zeros(num_frames, int)
        for absence in camera.absences:
            if absence.side == side:
                counted[absence.first_frame : absence.last_frame + 1] += 1
        unseen = np.ones(num_frames, bool) if view.face is None else view.face.person == NOBODY
        np.testing.assert_array_equal(counted, unseen)
    for index in range(num_frames):
        whole = [part for part in tiles_of(camera, index) if part.width == camera.canvas.width]
        assert len(tiles_of(camera, index)) <= len(first)
        assert len(whole) <= 1 or output.layout == "stacked"


def test_pixel_aspect_reaches_every_view(make_table, make_metadata, pair):
    chosen = RenderSettings(absence=absent("collapse"))
    camera = plan(make_table(pair, N), make_metadata(N), chosen, np.arange(N), pixel_aspect=Fraction(4, 3))
    for view in camera.views:
        crop = view.crops_xyxy[100]
        assert (crop[2] - crop[0]) * 4 / 3 / (crop[3] - crop[1]) == pytest.approx(view.area.aspect, rel=1e-4)
