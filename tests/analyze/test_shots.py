"""Cuts are found on the exact frame; flashes, pans and fades are none; chunks do not matter."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from dft.analyze.shots import find_cuts, join_changes, luma_change, shot_numbers, stands_out
from dft.configs.analysis import ShotSettings

SETTINGS = ShotSettings()
SHAPE = (18, 32)


@dataclass
class Seen:
    """The part of a chunk's evidence that shots are found by."""

    luma_change: np.ndarray
    head_thumbnails: np.ndarray
    tail_thumbnails: np.ndarray


def chunk_of(thumbnails) -> Seen:
    changes = np.full((len(thumbnails), 2), np.nan, np.float32)
    for place in range(len(thumbnails)):
        for back in (1, 2):
            if place >= back:
                changes[place, back - 1] = luma_change(thumbnails[place], thumbnails[place - back])
    stacked = np.array(thumbnails, np.uint8).reshape(-1, *SHAPE)
    return Seen(changes, stacked[:2], stacked[-2:])


def cuts_of(thumbnails, borders=(), fps=25.0, level=SETTINGS.cut_level) -> list[int]:
    parts = np.split(np.arange(len(thumbnails)), borders)
    changes = join_changes([chunk_of([thumbnails[i] for i in part]) for part in parts])
    return find_cuts(np.arange(len(thumbnails)) / fps, changes, SETTINGS, level).tolist()


def texture(seed: int, shift: int = 0):
    """A picture that can be panned over."""
    wide = np.random.default_rng(seed).integers(30, 220, (6, 60)).repeat(3, axis=0).repeat(4, axis=1)
    return wide[:, shift : shift + 32].astype(np.uint8)


def noisy(picture, seed, most=3):
    noise = np.random.default_rng(seed).integers(-most, most + 1, picture.shape)
    return np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)


STILL = [noisy(texture(1), i) for i in range(60)]
CUT = [*STILL[:30], *(noisy(texture(2), i) for i in range(30))]


@given(hnp.arrays(np.uint8, SHAPE), hnp.arrays(np.uint8, SHAPE))
def test_the_change_is_the_mean_difference(a, b):
    by_hand = [abs(int(x) - int(y)) for x, y in zip(a.flat, b.flat, strict=True)]
    assert luma_change(a, b) == luma_change(b, a) == sum(by_hand) / len(by_hand)


def test_the_change_from_black_to_white():
    assert luma_change(np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)) == 255


def test_a_still_picture_has_no_cut():
    assert cuts_of(STILL) == []


@pytest.mark.parametrize("fps", [12.0, 25.0, 60.0])
def test_a_cut_is_found_on_its_frame(fps):
    assert cuts_of(CUT, fps=fps) == [30]


@pytest.mark.parametrize("at", [10, 20, 58])
@pytest.mark.parametrize("level", [250, 5])
def test_a_flash_is_no_cut(at, level):
    video = list(STILL)
    video[at] = np.full(SHAPE, level, np.uint8)
    assert cuts_of(video) == []


def test_a_fast_pan_is_no_cut():
    """It starts and ends smoothly, and in its middle every frame changes as much as at a cut."""
    scene = cv2.GaussianBlur(np.random.default_rng(3).uniform(0, 255, (18, 400)), (0, 0), 4)
    scene = (scene - scene.mean()) / scene.std() * 50 + 128
    place = 300 * (1 - np.cos(np.linspace(0, np.pi, 50))) / 2
    video = [cv2.warpAffine(scene, np.float64([[1, 0, -x], [0, 1, 0]]), (32, 18)) for x in [*[0] * 20, *place, 300]]
    video = [noisy(np.clip(picture, 0, 255), i) for i, picture in enumerate(video)]
    changes = [luma_change(a, b) for a, b in pairwise(video[40:50])]
    assert min(changes) > SETTINGS.cut_level
    assert cuts_of(video) == []


def test_a_fade_is_no_cut():
    video = [np.uint8((texture(1) * (1 - s) + texture(2) * s).round()) for s in np.linspace(0, 1, 40)]
    assert cuts_of(video) == []


def test_cuts_close_together_are_all_found():
    video = [*STILL[:20], *[texture(2)] * 4, *[texture(3)] * 5, *[texture(4)] * 20]
    assert cuts_of(video) == [20, 24, 29]


def test_the_first_frame_is_no_cut_and_the_last_may_be():
    assert cuts_of([*STILL[:20], texture(5)]) == [20]
    assert cuts_of([texture(5)]) == []
    assert cuts_of([]) == []


@pytest.mark.parametrize(
    "borders", [[30], [29], [31], [1], [59], [10, 20, 30, 40], [29, 30, 31], [15, 30, 31, 32, 45]], ids=str
)
def test_chunks_do_not_matter(borders):
    flash = list(CUT)
    flash[45] = np.full(SHAPE, 250, np.uint8)
    for video in (CUT, STILL, flash):
        assert cuts_of(video, borders) == cuts_of(video)
        parts = np.split(np.arange(len(video)), borders)
        whole = join_changes([chunk_of(video)])
        np.testing.assert_array_equal(join_changes([chunk_of([video[i] for i in part]) for part in parts]), whole)


def test_a_chunk_of_which_nothing_could_be_decoded():
    changes = join_changes([chunk_of(CUT[:20]), chunk_of([]), chunk_of(CUT[25:])])
    assert find_cuts(np.arange(len(changes)) / 25, changes, SETTINGS, SETTINGS.cut_level).tolist() == [25]


def test_a_cut_to_a_similar_picture_is_found_at_a_lower_level_alone():
    """Another camera on the same set: the picture changes little, but more than in any frame around."""
    similar = np.clip(texture(1).astype(int) + np.random.default_rng(9).integers(-12, 13, SHAPE), 0, 255)
    video = [noisy(texture(1) if i < 30 else similar, i, most=1) for i in range(60)]
    change = luma_change(video[29], video[30])
    assert SETTINGS.doubtful_level < change < SETTINGS.cut_level
    assert cuts_of(video) == []
    assert cuts_of(video, level=SETTINGS.doubtful_level) == [30]


@pytest.mark.parametrize("level", [SETTINGS.doubtful_level, SETTINGS.cut_level, 40.0])
def test_a_lower_level_finds_whatever_a_higher_does(level):
    flash = list(CUT)
    flash[45] = np.full(SHAPE, 250, np.uint8)
    for video in (CUT, STILL, flash):
        assert set(cuts_of(video, level=level)) <= set(cuts_of(video, level=1.0))


@pytest.mark.parametrize(
    ("change", "around", "expected"),
    [
        pytest.param(10, [1, 2, 3], True, id="five times the median"),
        pytest.param(5, [1, 2, 3], False, id="less than three times"),
        pytest.param(6, [2, 2, 50], True, id="another cut close by counts for nothing"),
        pytest.param(10, [9, 9, 9], False, id="everything moves"),
        pytest.param(2.9, [0, 0, 0], False, id="a still picture has noise"),
        pytest.param(3, [0, 0, 0], True, id="over the noise"),
        pytest.param(3, [], True, id="nothing around"),
        pytest.param(5, [5, 5], True, id="nothing lower around"),
    ],
)
def test_what_stands_out(change, around, expected):
    assert stands_out(change, np.array(around, np.float32), 3.0) is expected


def test_shot_numbers():
    assert shot_numbers(6, np.array([2, 5])).tolist() == [0, 0, 1, 1, 1, 2]
    assert shot_numbers(2, np.array([], np.intp)).tolist() == [0, 0]
