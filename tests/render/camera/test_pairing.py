"""How the crops of two people go together, and that an edit of the tracks changes no more than it must."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.signal import lfilter

from dft.configs.rendering import CameraSettings, OutputSettings, RenderSettings
from dft.render.camera.metrics import measure
from dft.render.camera.pairing import CLOSER_STEPS, crowd_notes, crowding
from dft.render.camera.plan import plan

FPS, N = 25, 250
LEFT, RIGHT = (480, 430), (1440, 450)
SIZE_STEP = 0.0101


@pytest.fixture
def plan_of(make_table, make_metadata):
    def make(faces, num_frames=N, cuts=(), size=(1920, 1080), output=None, **camera):
        chosen = RenderSettings(output=output or OutputSettings(), camera=CameraSettings(**camera))
        metadata = make_metadata(num_frames, size, cuts)
        return plan(make_table(faces, num_frames), metadata, chosen, np.arange(num_frames))

    return make


def crops_of(camera):
    return [view.crops_xyxy for view in camera.views]


def heights(crops):
    return crops[:, 3] - crops[:, 1]


def levels(crops, y):
    return (y - crops[:, 1]) / heights(crops)


def smooth_step(times, start, length):
    at = np.clip((times - start) / length, 0, 1)
    return at**2 * (3 - 2 * at)


def speaker(times, seed, jitter=0.03, every=20.0):
    """A seated speaker's face in face heights: jitter of 0.4 s, and leans by a half of 3 to 10 s, now and then."""
    rng = np.random.default_rng(seed)
    face, at = np.zeros(len(times)), 0.0
    while at < times[-1]:
        at += rng.exponential(every)
        length, way, quick = rng.uniform(3, 10), rng.choice([-0.5, 0.5]), rng.uniform(0.5, 1.2)
        face += way * (smooth_step(times, at, quick) - smooth_step(times, at + length, quick))
        at += length
    keep = np.exp(-1 / (0.4 * FPS))
    return face + lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(0, jitter, len(times)))


def seated(box, num_frames, seed, places=((480, 430, 200), (1440, 450, 160)), share=1.0):
    """Two seated speakers with jitter and leans in place and jitter in size, as the faces of a table."""
    times, made = np.arange(num_frames) / FPS, []
    for number, (x, y, height) in enumerate(places):
        across, down = (share * speaker(times, 100 * seed + 10 * number + axis) for axis in (0, 1))
        size = height * np.exp(speaker(times, 100 * seed + 10 * number + 2, 0.02, 1e9))
        columns = (x + height * across, y + 0.6 * height * down, size)
        made.append(lambda i, columns=columns: box(*(column[i] for column in columns)))
    return [("A", "left", made[0]), ("B", "right", made[1])]


# ---- edits ----------------------------------------------------------------------------------------------------------

MINUTES_10, EDITED = 15_000, slice(7500, 7525)


def with_sides_swapped(table, frames):
    inside = (np.asarray(table["frame_index"]) >= frames.start) & (np.asarray(table["frame_index"]) < frames.stop)
    side = np.asarray(table["side"].to_pylist(), dtype=object)
    other = np.where(side == "left", "right", "left")
    column = pa.array(np.where(inside, other, side).tolist()).dictionary_encode()
    field = table.schema.field("side")
    return table.set_column(table.schema.get_field_index("side"), field, column.cast(field.type))


def without(table, frames):
    frame = np.asarray(table["frame_index"])
    return table.filter(pa.array((frame < frames.start) | (frame >= frames.stop)))


def changed(before, after):
    """Frames whose crops differ in any tile by anything at all."""
    pairs = zip(crops_of(before), crops_of(after), strict=True)
    return np.flatnonzero(np.logical_or.reduce([(one != two).any(axis=1) for one, two in pairs]))


@pytest.mark.parametrize("seed", range(2))
def test_an_edit_of_a_second_in_ten_minutes_changes_crops_around_it_only(make_table, make_metadata, box, seed):
    table, metadata, pts = (
        make_table(seated(box, MINUTES_10, seed), MINUTES_10), make_metadata(MINUTES_10), np.arange(MINUTES_10)
    )  # fmt: skip
    before, swapped, deleted = (
        plan(rows, metadata, RenderSettings(), pts)
        for rows in (table, with_sides_swapped(table, EDITED), without(table, EDITED))
    )
    for crops in crops_of(before):
        assert 0.3 < (np.diff(crops, axis=0) == 0).all(axis=1).mean() < 0.95  # there is motion to be disturbed
    np.testing.assert_array_equal(changed(before, swapped), np.arange(EDITED.start, EDITED.stop))
    frames = changed(before, deleted)
    assert len(frames) == 0 or (frames.min() > EDITED.start - 15 * FPS and frames.max() < EDITED.stop + 15 * FPS)
    for one, two in zip(crops_of(before), crops_of(deleted), strict=True):
        assert np.abs(one - two).max() < 0.1 * 160
        assert np.array_equal(heights(one)[[0, -1]], heights(two)[[0, -1]])


def test_in_a_swapped_second_each_tile_shows_the_other_s_crop(make_table, make_metadata, box):
    table = make_table(seated(box, N, 3), N)
    swapped = with_sides_swapped(table, slice(100, 125))
    before, after = (
        crops_of(plan(rows, make_metadata(N), RenderSettings(), np.arange(N))) for rows in (table, swapped)
    )
    np.testing.assert_array_equal(after[0][100:125], before[1][100:125])
    np.testing.assert_array_equal(after[1][100:125], before[0][100:125])


def test_a_size_is_that_of_the_person_in_the_shot(plan_of, box):
    """The half of a shot after a return elsewhere is shown as large as the other, though its own median is another."""
    face = lambda i: box(*LEFT, 205) if i < 80 else box(1100, 430, 195) if i >= 150 else None  # noqa: E731
    crops = crops_of(plan_of([("A", "left", face), ("B", "right", box(1700, 450, 160))]))[0]
    assert np.ptp(heights(crops)) < 0.02


@pytest.mark.parametrize("spread", [0.06, 0.12])
def test_a_few_odd_sizes_do_not_make_a_zoom(plan_of, box, rng, spread):
    size = 200 * (1 + rng.uniform(-spread / 2, spread / 2, N))
    size[::40] = 400
    face = lambda i: box(*LEFT, size[i])  # noqa: E731
    crops = crops_of(plan_of([("A", "left", face), ("B", "right", box(*RIGHT, 160))]))[0]
    assert np.ptp(heights(crops)) == 0
    assert heights(crops)[0] == pytest.approx(np.median(size) / 0.36, rel=SIZE_STEP)


def test_who_is_on_both_sides_at_once_is_shown_in_each_tile_where_the_tracks_say(plan_of, box):
    left, right = crops_of(plan_of([("A", "left", box(*LEFT, 200)), ("A", "right", box(*RIGHT, 160)),
                                    ("B", "right", lambda i: box(900, 400, 160) if i > 200 else None)]))  # fmt: skip
    assert (left[0, 0] + left[0, 2]) / 2 == pytest.approx(LEFT[0], abs=2)
    assert (right[0, 0] + right[0, 2]) / 2 == pytest.approx(RIGHT[0], abs=2)


# ---- heads and eyes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("match", [True, False])
def test_heads_are_matched_or_not(plan_of, box, match):
    left, right = crops_of(
        plan_of([("A", "left", box(480, 500, 500)), ("B", "right", box(*RIGHT, 200))], match_heads=match)
    )
    assert heights(left)[0] == 1080
    wanted = 1080 * 200 / 500 if match else 200 / 0.36
    assert heights(right)[0] == pytest.approx(wanted, rel=2 * SIZE_STEP)


@pytest.mark.parametrize(("y", "level"), [(130, 0.23), (1000, 0.86)])
def test_eyes_are_on_one_line_where_the_picture_s_edge_moves_one(plan_of, box, y, level):
    """At the top a face of 200 can be no lower than 130 of 556 pixels; at the bottom no higher than 476."""
    faces = [("A", "left", box(480, y, 200)), ("B", "right", box(1440, 500, 200))]
    left, right = crops_of(plan_of(faces))
    assert levels(left, y)[0] == pytest.approx(level, abs=0.02)
    wanted = min(level, 1 - 0.55 * 0.36)  # as far as the whole face stays in its crop
    assert levels(right, 500)[0] == pytest.approx(max(wanted, 0.55 * 0.36), abs=0.02)
    left, right = crops_of(plan_of(faces, match_eyes=False))
    assert levels(left, y)[0] == pytest.approx(level, abs=0.02)
    assert levels(right, 500)[0] == pytest.approx(0.42, abs=0.01)


def test_eyes_go_as_far_as_their_own_edge_allows(plan_of, box):
    """One is bound to be high in its crop, the other low: nothing in common, so both are as near as they can be."""
    left, right = crops_of(plan_of([("A", "left", box(480, 130, 200)), ("B", "right", box(1440, 1000, 200))]))
    assert levels(left, 130)[0] == pytest.approx(0.23, abs=0.02)
    assert levels(right, 1000)[0] == pytest.approx(0.86, abs=0.02)


def test_each_shot_has_its_own_line(plan_of, box):
    high = lambda i: box(480, 130 if i < 100 else 500, 200)  # noqa: E731
    right = crops_of(plan_of([("A", "left", high), ("B", "right", box(1440, 500, 200))], cuts=[100]))[1]
    assert levels(right, 500)[[0, 99, 100, -1]] == pytest.approx([0.23, 0.23, 0.42, 0.42], abs=0.02)


# ---- the other's face -----------------------------------------------------------------------------------------------


def figures(camera):
    return measure(camera, np.arange(len(camera)) / FPS, 0.42)


@pytest.mark.parametrize("distance", [300, 340, 380])
def test_a_crop_gives_way_to_the_other_s_face(plan_of, box, distance):
    """Crops of faces of 200 are 494 wide, so that from 327 on the other's face is in the crop."""
    faces = [("A", "left", box(960 - distance / 2, 430, 200)), ("B", "right", box(960 + distance / 2, 430, 200))]
    for camera in figures(plan_of(faces)):
        assert (camera.crowded, camera.full, camera.still) == (0, 1, 1)
        assert camera.centring_p95 <= 0.6
    crowded = [camera.crowded for camera in figures(plan_of(faces, avoid_other=False))]
    assert crowded == ([1, 1] if distance < 327 else [0, 0])


def test_one_above_the_other_is_kept_out_on_y(plan_of, box):
    faces = [("A", "left", box(960, 300, 200)), ("B", "right", box(980, 680, 200))]
    assert max(camera.crowded for camera in figures(plan_of(faces, avoid_other=False))) == 1
    for camera, view in zip(figures(plan_of(faces)), plan_of(faces).views, strict=True):
        assert (camera.crowded, camera.full) == (0, 1)
        middle = (view.crops_xyxy[0, 0] + view.crops_xyxy[0, 2]) / 2
        assert middle == pytest.approx(np.nanmedian(view.face.centre_x), abs=2)


def test_where_giving_way_is_not_enough_both_crops_are_closer(plan_of, box):
    faces = [("A", "left", box(960 - 105, 430, 200)), ("B", "right", box(960 + 105, 430, 200))]
    camera = plan_of(faces)
    usual = heights(crops_of(plan_of(faces, avoid_other=False))[0])[0]
    found = [usual / heights(crops)[0] for crops in crops_of(camera)]
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert any(found[0] == pytest.approx(closer, rel=1e-3) for closer in CLOSER_STEPS)
    assert all((tile.crowded, tile.full) == (0, 1) for tile in figures(camera))


def test_who_cannot_be_kept_out_is_noted_and_changes_nothing(plan_of, box):
    faces = [("A", "left", box(960 - 82, 430, 200)), ("B", "right", box(960 + 82, 430, 200))]
    camera, plain = plan_of(faces), plan_of(faces, avoid_other=False)
    for one, two in zip(crops_of(camera), crops_of(plain), strict=True):
        np.testing.assert_array_equal(one, two)
    for side in ("left", "right"):
        assert any(
            note.startswith(f"{side}: the other face is in the crop in 100.0% of the frames")
            and note.endswith("0:00.0 to 0:10.0")
            for note in camera.notes
        )


def test_a_passing_neighbour_is_not_given_way_to(plan_of, box):
    """Two seconds near, on the way to another place."""
    walk = lambda i: box(np.interp(i, [50, 75, 125, 150], [1700, 900, 900, 1700]), 430, 200)  # noqa: E731
    faces = [("A", "left", box(600, 430, 200)), ("B", "right", walk)]
    left = crops_of(plan_of(faces))[0]
    assert np.ptp(left, axis=0).max() == 0


@pytest.mark.parametrize("distance", [250, 300])
def test_giving_way_does_not_make_the_camera_nervous(plan_of, box, distance):
    """Two lively neighbours for two minutes, whose leans change what can be avoided."""
    places = ((960 - distance / 2, 430, 200), (960 + distance / 2, 430, 200))
    faces = seated(box, 3000, 4, places, share=0.4)
    avoiding, plain = figures(plan_of(faces, 3000)), figures(plan_of(faces, 3000, avoid_other=False))
    for one, two in zip(avoiding, plain, strict=True):
        assert two.crowded > 0.75 and one.crowded < 0.2
        assert one.acceleration < 0.2 and one.full > 0.995


def test_crowding_counts_persons_not_tracks(plan_of, box):
    camera = plan_of([("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))])
    left, right = camera.views
    everything = np.tile([0.0, 0, 1920, 1080], (N, 1))
    both, crowded = crowding(everything, left.face, [right.face])
    assert both.all() and crowded.all()
    both, crowded = crowding(everything, left.face, [left.face])
    assert not both.any() and not crowded.any()
    assert crowd_notes("left", left.crops_xyxy, left.face, [right.face], np.arange(N) / FPS) == []


def test_the_note_tells_the_longest_time(plan_of, box):
    left, right = plan_of([("A", "left", box(*LEFT, 200)), ("B", "right", box(*RIGHT, 160))]).views
    crops = left.crops_xyxy.copy()
    crops[20:30] = crops[100:150] = [0, 0, 1920, 1080]
    (note,) = crowd_notes("left", crops, left.face, [right.face], np.arange(N) / FPS)
    assert "24.0%" in note and note.endswith("0:04.0 to 0:06.0")
