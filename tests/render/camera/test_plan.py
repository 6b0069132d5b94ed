"""The camera plan: framing, cuts, absence, lone persons."""

from fractions import Fraction

import numpy as np
import pytest

from dft.configs.errors import NoFaceError
from dft.configs.rendering import CameraSettings, OutputSettings, RenderSettings
from dft.render.camera.plan import plan

N = 250
SIZE_STEP = 0.0101  # sizes are told in steps of 2 %
LEFT, RIGHT = (480, 430), (1440, 450)


@pytest.fixture
def plan_of(make_table, make_metadata):
    def make(faces, num_frames=N, size=(1920, 1080), cuts=(), pixel_aspect=1, **settings):
        table, metadata = make_table(faces, num_frames), make_metadata(num_frames, size, cuts)
        chosen = RenderSettings(**settings)
        return plan(table, metadata, chosen, np.arange(num_frames), pixel_aspect=Fraction(pixel_aspect))

    return make


def crops_of(camera):
    return [view.crops_xyxy for view in camera.views]


def areas_of(camera):
    return [view.area for view in camera.views]


def heights(crops):
    return crops[:, 3] - crops[:, 1]


def still(crops):
    return np.ptp(crops, axis=0).max() == 0


def assert_sound(camera, size=(1920, 1080), pixel_aspect=1.0):
    """Every crop has its tile's aspect and lies in the picture."""
    assert len(crops_of(camera)) == len(areas_of(camera))
    for area, crops in zip(areas_of(camera), crops_of(camera), strict=True):
        assert crops.shape == (len(camera), 4) and crops.dtype == np.float64
        assert crops[:, :2].min() >= 0
        assert crops[:, 2].max() <= size[0] + 1e-6 and crops[:, 3].max() <= size[1] + 1e-6
        ratio = (crops[:, 2] - crops[:, 0]) * pixel_aspect / heights(crops)
        np.testing.assert_allclose(ratio, area.width / area.height, rtol=1e-4)


def test_head_and_shoulders_of_both(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))])
    assert_sound(camera)
    assert [area.side for area in areas_of(camera)] == ["left", "right"]
    for crops, (x, y), face in zip(crops_of(camera), (LEFT, RIGHT), (200, 160), strict=True):
        assert still(crops)
        np.testing.assert_allclose(heights(crops), face / 0.36, rtol=SIZE_STEP)
        assert (crops[0, 0] + crops[0, 2]) / 2 == pytest.approx(x, abs=2)
        assert crops[0, 1] + 0.42 * heights(crops)[0] == pytest.approx(y, abs=2)
        np.testing.assert_allclose(
            crops[:, :2] / 2, np.round(crops[:, :2] / 2), atol=1e-9
        )  # even pixels need no interpolation
    assert camera.notes == ()


def test_settings_are_used(plan_of, box):
    settings = CameraSettings(head_share=0.5, face_level=0.3)
    crops = crops_of(plan_of([("A", "left", box(700, 500, 200)), ("B", "right", box(*RIGHT, 160))], camera=settings))[0]
    assert heights(crops)[0] == pytest.approx(400, rel=SIZE_STEP)
    assert crops[0, 1] == pytest.approx(500 - 0.3 * 400, abs=2)


def test_noise_in_place_and_size_moves_nothing(plan_of, box, rng):
    wobble = rng.normal(0, 4, (N, 3))
    face = lambda i: box(LEFT[0] + wobble[i, 0], LEFT[1] + wobble[i, 1], 200 + wobble[i, 2])  # noqa: E731
    camera = plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))])
    assert still(crops_of(camera)[0])


def test_size_within_15_percent_is_constant_and_beyond_changes_smoothly(plan_of, box):
    grow = lambda by: lambda i: box(*LEFT, 150 * (1 + by * i / N))  # noqa: E731
    steady, growing = crops_of(plan_of([("A", "left", grow(0.12)), ("B", "right", grow(0.8))]))
    assert np.ptp(heights(steady)) == 0
    assert heights(growing)[-1] / heights(growing)[0] == pytest.approx(1.7, abs=0.15)
    zoom = np.diff(np.log(heights(growing)))
    assert zoom.min() >= -1e-12 and np.abs(np.diff(zoom)).max() < 0.002


@pytest.mark.parametrize("place", [(30, 430), (1900, 430), (960, 40), (960, 1060), (5, 5)])
def test_at_the_frame_s_edge_the_crop_stays_inside(plan_of, box, place):
    camera = plan_of([("A", "left", box(*place, 200)), ("B", "right", box(*RIGHT, 160))])
    assert_sound(camera)
    assert heights(crops_of(camera)[0])[0] == pytest.approx(200 / 0.36, rel=SIZE_STEP)


def test_a_walk_to_the_edge_is_eased(plan_of, box):
    walk = lambda i: box(960 - min(960, max(0, 10 * (i - 50))), 430, 200)  # noqa: E731
    crops = crops_of(plan_of([("A", "left", walk), ("B", "right", box(*RIGHT, 160))]))[0]
    speed = np.diff(crops[:, 0])
    assert crops[-1, 0] == 0
    assert np.abs(np.diff(speed)).max() < 2  # a stop from full speed would be 10


def test_heads_that_the_picture_cannot_hold_small_are_equal_in_both_tiles(plan_of, box):
    camera = plan_of([("A", "left", box(480, 500, 500)), ("B", "right", box(*RIGHT, 200))])
    assert_sound(camera)
    left, right = (heights(crops)[0] for crops in crops_of(camera))
    assert left == 1080
    assert 500 / left == pytest.approx(200 / right, rel=2 * SIZE_STEP)


def test_a_giant_head_does_not_blow_up_the_other(plan_of, box):
    _, right = crops_of(plan_of([("A", "left", box(480, 500, 1000)), ("B", "right", box(*RIGHT, 200))]))
    assert heights(right)[0] == pytest.approx(200 / 0.36 / 1.5, rel=SIZE_STEP)


@pytest.mark.parametrize(("size", "wanted"), [((400, 1080), 450), ((1920, 300), 300), ((101, 81), 81)])
def test_a_picture_too_small_gives_its_largest_crop(plan_of, box, size, wanted):
    camera = plan_of(
        [("A", "left", box(size[0] / 2, size[1] / 2, size[1] * 0.9)), ("B", "right", box(60, 40, 50))], size=size
    )
    assert_sound(camera, size)
    assert heights(crops_of(camera)[0])[0] == pytest.approx(wanted, rel=SIZE_STEP)


def test_pixel_aspect_makes_tile_pixels_square(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 160)), ("B", "right", box(*RIGHT, 160))], pixel_aspect=Fraction(4, 3))
    assert_sound(camera, pixel_aspect=4 / 3)
    assert heights(crops_of(camera)[0])[0] == pytest.approx(160 / 0.36, rel=SIZE_STEP)


def test_the_camera_cuts_where_the_video_cuts(plan_of, box):
    face = lambda i: box(*LEFT, 200) if i < 100 else box(1200, 700, 120)  # noqa: E731
    crops = crops_of(plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))], cuts=[100]))[0]
    assert still(crops[:100]) and still(crops[100:])
    assert heights(crops)[99] == pytest.approx(200 / 0.36, rel=SIZE_STEP)
    assert heights(crops)[100] == pytest.approx(120 / 0.36, rel=SIZE_STEP)


def test_the_camera_cuts_when_another_person_takes_the_side(plan_of, box):
    first = lambda i: box(*LEFT, 200) if i < 120 else None  # noqa: E731
    second = lambda i: box(900, 600, 150) if i >= 120 else None  # noqa: E731
    crops = crops_of(plan_of([("A", "left", first), ("B", "left", second), ("B", "right", box(*RIGHT, 160))]))[0]
    assert still(crops[:120]) and still(crops[120:])
    assert crops[119, 0] != crops[120, 0]


def test_an_absent_person_s_view_is_held(plan_of, box):
    face = lambda i: box(*LEFT, 200) if i < 80 or i >= 200 else None  # noqa: E731
    camera = plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))])
    assert still(crops_of(camera)[0])
    assert len(camera.notes) == 1 and "left" in camera.notes[0] and "4.8 s" in camera.notes[0]


def test_who_returns_elsewhere_after_long_is_cut_to(plan_of, box):
    face = lambda i: box(*LEFT, 200) if i < 80 else box(1300, 500, 200) if i >= 150 else None  # noqa: E731
    crops = crops_of(plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))]))[0]
    assert still(crops[:150]) and still(crops[150:])
    assert crops[150, 0] - crops[149, 0] > 700


def test_shots_without_the_person_hold_the_last_view_or_show_the_next(plan_of, box):
    face = lambda i: box(*LEFT, 200) if 100 <= i < 150 else None  # noqa: E731
    crops = crops_of(plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))], cuts=[100, 150]))[0]
    assert still(crops)
    assert (crops[0, 0] + crops[0, 2]) / 2 == pytest.approx(LEFT[0], abs=2)


def test_rows_without_a_side_are_not_used(plan_of, box):
    both = [("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))]
    alone = plan_of(both)
    beside = plan_of([*both, ("B", None, box(100, 100, 400)), (None, None, box(960, 500, 300))])
    for wanted, got in zip(crops_of(alone), crops_of(beside), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_nobody_is_an_error(plan_of, box):
    with pytest.raises(NoFaceError):
        plan_of([("A", None, box(*LEFT, 200))])


def test_a_lone_person_has_the_whole_canvas(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 200))])
    assert_sound(camera)
    (area,) = areas_of(camera)
    assert (area.side, area.width, area.height) == ("single", 1920, 1080)
    assert heights(crops_of(camera)[0])[0] == pytest.approx(200 / 0.36, rel=SIZE_STEP)
    assert "one person" in camera.notes[0]


def test_one_person_who_changes_sides_is_alone_too(plan_of, box):
    left = lambda i: box(*LEFT, 200) if i < 100 else None  # noqa: E731
    right = lambda i: box(*RIGHT, 200) if i >= 100 else None  # noqa: E731
    camera = plan_of([("A", "left", left), ("A", "right", right)])
    assert [area.side for area in areas_of(camera)] == ["single"]
    assert len(camera.notes) == 1  # seen throughout


@pytest.mark.parametrize(("side", "x"), [("left", 400), ("right", 1500), ("left", 1500)])
def test_hold_shows_a_still_view_without_the_person(plan_of, box, side, x):
    camera = plan_of([("A", side, box(x, 430, 200))], output=OutputSettings(lone="hold"))
    assert_sound(camera)
    views = dict(zip([area.side for area in areas_of(camera)], crops_of(camera), strict=True))
    other = views["right" if side == "left" else "left"]
    assert still(other)
    assert other[0, 0] >= views[side][0, 2] or other[0, 2] <= views[side][0, 0]


def test_hold_without_room_shows_the_middle(plan_of, box):
    walk = lambda i: box(200 + 6 * i, 430, 300)  # noqa: E731
    camera = plan_of([("A", "left", walk)], output=OutputSettings(lone="hold"))
    assert_sound(camera)
    np.testing.assert_allclose(crops_of(camera)[1][0], [480, 0, 1440, 1080])


def test_tiles_are_what_the_compositor_needs(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))])
    tiles = camera.tiles(7)
    assert [(tile.x, tile.y, tile.width, tile.height) for tile in tiles] == [(0, 0, 960, 1080), (960, 0, 960, 1080)]
    assert tiles[1].crop_xyxy == tuple(crops_of(camera)[1][7])


@pytest.mark.parametrize("num_frames", [N - 100, N + 100])
def test_frames_beyond_the_tracks_hold_and_tracks_beyond_the_frames_are_ignored(
    make_table, make_metadata, box, num_frames
):
    table = make_table([("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))], N)
    camera = plan(table, make_metadata(N, cuts=[N - 20]), RenderSettings(), np.arange(num_frames))
    assert len(camera) == num_frames
    assert_sound(camera)
    assert still(crops_of(camera)[0])


def test_of_two_rows_for_one_side_the_better_score_counts(make_table, make_metadata, box):
    table = make_table(
        [("A", "left", box(*LEFT, 200)), ("A", "left", box(900, 600, 200)), ("B", "right", box(*RIGHT, 160))], N
    )
    score = np.where(np.asarray(table["track_id"]) == 1, 0.5, 0.9).astype(np.float32)
    table = table.set_column(table.schema.get_field_index("score"), table.schema.field("score"), [score])
    crops = crops_of(plan(table, make_metadata(N), RenderSettings(), np.arange(N)))[0]
    assert (crops[0, 0] + crops[0, 2]) / 2 == pytest.approx(LEFT[0], abs=2)


def test_variable_rate_plans_in_real_time(make_table, make_metadata, box):
    """The same walk at 25 and 100 frames per second is the same camera."""

    def camera(factor):
        num_frames = N * factor
        walk = lambda i: box(400 + 500 * np.clip(i / factor / 25 - 4, 0, 2), 430, 200)  # noqa: E731
        table = make_table([("A", "left", walk), ("B", "right", box(*RIGHT, 160))], num_frames)
        metadata = make_metadata(num_frames, time_base=Fraction(1, 25 * factor))
        return crops_of(plan(table, metadata, RenderSettings(), np.arange(num_frames)))[0]

    np.testing.assert_allclose(camera(4)[::4], camera(1), atol=6)
