"""The figures of a camera plan, on plans with known motion."""

from itertools import pairwise

import numpy as np
import pytest

from dft.configs.rendering import RenderSettings
from dft.engines.protocols import Canvas
from dft.render.camera.faces import NOBODY, FaceTrack
from dft.render.camera.framing import Picture
from dft.render.camera.metrics import measure
from dft.render.camera.plan import CameraPlan, View, plan
from dft.render.presets import single

PICTURE = Picture(1920, 1080)
HEIGHT, WIDTH, LEVEL = 100.0, 80.0, 0.4  # of the face; of its centre in a crop of 300 by 300


def face_at(x, y, height=HEIGHT, seen=None):
    x, y, height = np.broadcast_arrays(np.asarray(x, float), y, height)
    person = np.zeros(len(x), np.int8) if seen is None else np.where(seen, 0, NOBODY).astype(np.int8)
    hidden = np.where(person == NOBODY, np.nan, 1.0)
    return FaceTrack(x * hidden, y * hidden, WIDTH * hidden, height * hidden, person)


def crops_at(x, y, size=300.0):
    """Crops that have (x, y) where a face belongs."""
    x, y, size = np.broadcast_arrays(np.asarray(x, float), y, size)
    left, top = x - size / 2, y - LEVEL * size
    return np.stack([left, top, left + size, top + size], axis=1)


def figures(crops, face, times, starts=(0,)):
    area, num_frames = single(300, 300).areas[0], len(crops)
    view = View(area, crops, np.ones(num_frames, bool), np.zeros(num_frames), face, np.array(starts, np.int64))
    camera = CameraPlan(Canvas(300, 300), (view,), (), PICTURE)
    (made,) = measure(camera, np.asarray(times, float), LEVEL)
    return made


@pytest.fixture(params=["constant", "variable"])
def times(request, rng):
    steps = np.full(2000, 0.01) if request.param == "constant" else rng.uniform(0.005, 0.015, 2000)
    return np.cumsum(steps)


def test_a_camera_that_never_moves(times):
    made = figures(crops_at(np.full(len(times), 900), 500), face_at(np.full(len(times), 900), 500), times)
    assert (made.acceleration, made.jerk, made.still, made.full) == (0, 0, 1, 1)
    assert (made.centring_median, made.centring_p95, made.size_spread) == (0, 0, 0)
    assert (made.side, made.takes, made.visible) == ("single", 1, 2000)
    assert made.seconds == pytest.approx(times[-1] - times[0])


def test_a_swing_in_both_directions(times):
    """x = 30 sin wt, y = 40 sin wt in pixels is 0.5 sin wt in face heights."""
    rate = 2 * np.pi / 4
    x, y = 900 + 30 * np.sin(rate * times), 500 + 40 * np.sin(rate * times)
    made = figures(crops_at(x, y), face_at(x, y), times)
    assert made.acceleration == pytest.approx(0.5 * rate**2 / np.sqrt(2), rel=0.02)
    assert made.jerk == pytest.approx(0.5 * rate**3 / np.sqrt(2), rel=0.02)
    assert made.still == 0 and made.centring_p95 == pytest.approx(0)


def test_still_is_a_share_of_time_not_of_frames():
    times = np.concatenate([np.arange(0, 4, 0.5), np.arange(4, 5, 0.01)])
    x = 900 + 10 * np.maximum(times - 4, 0)
    made = figures(crops_at(x, 500), face_at(x, 500), times)
    assert made.still == pytest.approx(4 / 4.99)


def test_cuts_are_no_motion(times):
    x = np.where(np.arange(2000) < 700, 500, 1200)
    cut = figures(crops_at(x, 500), face_at(x, 500), times, (0, 700))
    assert (cut.acceleration, cut.still, cut.takes) == (0, 1, 2)
    uncut = figures(crops_at(x, 500), face_at(x, 500), times)
    assert uncut.acceleration > 1000 and uncut.still < 1


def test_takes_without_the_face_do_not_count(times):
    seen = np.arange(2000) < 500
    x = np.where(seen, 900.0, 900 + 5 * np.sin(times))
    made = figures(crops_at(x, 500), face_at(np.full(2000, 900), 500, seen=seen), times, (0, 500))
    assert (made.visible, made.takes, made.still, made.acceleration) == (500, 1, 1, 0)
    assert made.seconds == pytest.approx(times[499] - times[0])


@pytest.mark.parametrize(("dx", "dy"), [(109, 0), (-109, 0), (0, 129), (0, -69)])
def test_the_whole_face_is_in_the_crop_or_not(times, dx, dy):
    """Of 300 pixels 110 are left beside a face, 70 above and 130 below; two pixels more are too many."""
    crops = crops_at(np.full(2000, 900), 500)
    step = 3 * np.sign([dx, dy])
    out = np.arange(2000) < 100
    face = face_at(900 + dx + step[0] * out, 500 + dy + step[1] * out)
    made = figures(crops, face, times)
    assert made.full == pytest.approx(0.95)
    assert made.centring_median == pytest.approx(np.hypot(dx, dy) / HEIGHT)


def test_what_the_picture_does_not_show_of_a_face_cannot_be_in_the_crop(times):
    crops = np.tile([0.0, 380, 300, 680], (2000, 1))
    assert figures(crops, face_at(np.full(2000, 10), 500), times).full == 1


def test_the_share_of_frames_with_the_other_s_face_is_of_those_with_both(times):
    """Face boxes are 80 wide: of a crop from 750 to 1050 one is clear of it from 1090 on."""
    frames = np.arange(2000)
    near = face_at(np.where(frames < 100, 1089, 1091), 500, seen=frames < 1000)
    other = FaceTrack(near.centre_x, near.centre_y, near.width, near.height, np.where(frames < 1000, 1, NOBODY))
    own, crops = face_at(np.full(2000, 900), 500, seen=frames >= 50), crops_at(np.full(2000, 900), 500)
    shown = np.ones(2000, bool), np.zeros(2000)
    views = [View(single(300, 300).areas[0], crops, *shown, face, np.zeros(1, np.int64)) for face in (own, other)]
    plan_of_both = CameraPlan(Canvas(300, 300), tuple(views), (), PICTURE)
    made, _ = measure(plan_of_both, times, LEVEL)
    assert (made.both, made.crowded) == (950, pytest.approx(50 / 950))
    assert figures(crops, own, times).both == figures(crops, own, times).crowded == 0


def test_centring_error_in_heights_of_the_face(times):
    x = 900 + np.where(np.arange(2000) < 1900, 10.0, 60.0)
    made = figures(crops_at(np.full(2000, 900), 500), face_at(x, 500, 50.0), times)
    assert (made.centring_median, made.full) == (pytest.approx(0.2), 1)
    assert (
        made.centring_p95
        <= 1.2
        < figures(crops_at(np.full(2000, 900), 500), face_at(x + 1, 500, 50), times).centring_p95 + 1
    )


def test_size_spread_is_that_of_the_picture_shown(times):
    grow = np.linspace(1, 1.5, 2000)
    x = np.full(2000, 900)
    followed = figures(crops_at(x, 500, 300 * grow), face_at(x, 500, HEIGHT * grow), times)
    assert followed.size_spread == pytest.approx(0)
    fixed = figures(crops_at(x, 500), face_at(x, 500, HEIGHT * grow), times, (0, 1000))
    assert fixed.size_spread == pytest.approx(0.225 / 1.125, rel=0.01)
    assert fixed.size_spread_median == pytest.approx((0.225 / 1.125 + 0.225 / 1.375) / 2, rel=0.01)


def test_frames_at_one_time_count_once(times):
    rate = 2 * np.pi / 4
    x = 900 + 30 * np.sin(rate * times)
    once = figures(crops_at(x, 500), face_at(x, 500), times, (0, 700))
    twice = figures(
        np.repeat(crops_at(x, 500), 2, axis=0), face_at(np.repeat(x, 2), 500), np.repeat(times, 2), (0, 1400)
    )
    assert twice == once


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_next_to_no_frames(num_frames):
    times = np.arange(num_frames) / 25
    made = figures(crops_at(np.full(num_frames, 900), 500), face_at(np.full(num_frames, 900), 500), times)
    assert (made.acceleration, made.jerk, made.still, made.full) == (0, 0, 1, 1)


def test_of_a_real_plan_the_takes_and_faces_are_known(make_table, make_metadata, box, rng):
    """Two takes by a cut; a nervous face moves the camera no more than the bars allow."""
    jitter = rng.normal(0, 6, (500, 2))
    lean = 40 * np.sin(np.arange(500) / 25 / 8 * 2 * np.pi)
    face = lambda i: box(500 + lean[i] + jitter[i, 0] + 300 * (i >= 200), 430 + jitter[i, 1], 200)  # noqa: E731
    table = make_table([("A", "left", face), ("B", "right", box(1440, 450, 160))], 500)
    metadata, pts = make_metadata(500, cuts=[200]), np.arange(500)
    camera = plan(table, metadata, RenderSettings(), pts)
    left, right = measure(camera, metadata.video.seconds_array(pts), RenderSettings().camera.face_level)
    assert (left.side, right.side, left.takes) == ("left", "right", 2)
    assert left.full == right.full == right.still == 1
    assert left.acceleration <= 0.1 and left.still >= 0.6
    assert left.centring_p95 <= 0.4
    assert all(first < second for first, second in pairwise(camera.views[0].take_starts))
