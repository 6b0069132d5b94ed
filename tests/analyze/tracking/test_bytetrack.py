from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dft.analyze.boxes import expand, iou
from dft.analyze.tracking.box import Box
from dft.analyze.tracking.bytetrack import LOW_OVERLAP, ByteTracker
from dft.analyze.tracking.kalman import BoxFilter
from dft.configs.analysis import TrackingSettings
from dft.engines.protocols import Detections

SETTINGS = TrackingSettings()


def faces(*placed) -> Detections:
    """Faces of (box, score)."""
    if not placed:
        return Detections.none()
    boxes, scores = zip(*placed, strict=True)
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros((len(boxes), 10), np.float32))


def test_ids_count_from_zero_in_each_tracker(box):
    for _ in range(2):
        tracker = ByteTracker(SETTINGS)
        assert tracker.update(0.0, faces((box(100), 0.9), (box(400), 0.9))).tolist() == [0, 1]
        assert tracker.update(0.04, faces((box(401), 0.9), (box(101), 0.9), (box(250), 0.9))).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param(SETTINGS.birth_score, 0, id="births"),
        pytest.param(SETTINGS.birth_score - 0.05, -1, id="high, but begins nothing"),
        pytest.param(SETTINGS.low_score + 0.05, -1, id="low"),
    ],
)
def test_what_begins_a_tracklet(box, score, expected):
    assert ByteTracker(SETTINGS).update(0.0, faces((box(100), score))).tolist() == [expected]


def test_a_low_score_continues_but_a_lower_does_not(box):
    tracker = ByteTracker(SETTINGS)
    seen = [0.9, 0.9, SETTINGS.low_score + 0.01, SETTINGS.low_score - 0.05, 0.9]
    ids = [tracker.update(0.04 * i, faces((box(100), score))).tolist() for i, score in enumerate(seen)]
    assert ids == [[0], [0], [0], [-1], [0]]


def test_a_low_score_does_not_take_a_high_ones_tracklet(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    assert tracker.update(0.04, faces((box(100), 0.4), (box(108), 0.9))).tolist() == [-1, 0]


@pytest.mark.parametrize("fps", [12.5, 25, 50, 60])
def test_lost_and_found_by_real_time(box, fps):
    for away, expected in ((SETTINGS.max_lost_seconds - 0.1, 0), (SETTINGS.max_lost_seconds + 0.1, 1)):
        tracker = ByteTracker(SETTINGS)
        for frame in range(round(fps)):
            tracker.update(frame / fps, faces((box(100), 0.9)))
        last = (round(fps) - 1) / fps
        back = last + away
        for frame in range(round(fps), int(back * fps)):
            assert len(tracker.update(frame / fps, faces())) == 0
        assert tracker.update(back, faces((box(100), 0.9))).tolist() == [expected]


@pytest.mark.parametrize("fps", [12.5, 25, 50])
def test_two_people_three_faces_apart_keep_their_ids(box, fps):
    """Both sway by half a face in opposite directions, and the detections come in any order."""
    tracker, random = ByteTracker(SETTINGS), np.random.default_rng(1)
    for frame in range(round(6 * fps)):
        sway = 50 * np.sin(2 * np.pi * frame / fps)
        placed = [(box(200 + sway), 0.9), (box(440 - sway), 0.85)]
        order = random.permutation(2)
        ids = tracker.update(frame / fps, faces(*(placed[i] for i in order)))
        assert ids.tolist() == order.tolist()


def test_a_fast_small_face_is_not_lost(box):
    """At 25 fps it moves by more than its width per frame: the boxes themselves never overlap."""
    tracker = ByteTracker(SETTINGS)
    ids = [tracker.update(0.04 * i, faces((box(50 + 22 * i, height=24), 0.9))).tolist() for i in range(20)]
    assert ids == [[0]] * 20


def test_another_place_is_another_tracklet(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    assert tracker.update(0.04, faces((box(500), 0.9))).tolist() == [1]


def test_reset_ends_all_tracklets_and_counts_on(box):
    tracker = ByteTracker(SETTINGS)
    tracker.update(0.0, faces((box(100), 0.9)))
    tracker.reset()
    assert tracker.update(0.04, faces((box(100), 0.9))).tolist() == [1]


def test_frames_without_faces(box):
    tracker = ByteTracker(SETTINGS)
    assert tracker.update(0.0, faces()).tolist() == []
    assert tracker.update(0.04, faces((box(100), 0.9))).tolist() == [0]
    assert tracker.update(0.08, faces()).dtype == np.int32


def run(tracker: ByteTracker, frames, fps: float = 25.0) -> list[list[int]]:
    """Ids of the faces in each frame of boxes."""
    return [tracker.update(i / fps, faces(*((b, 0.9) for b in boxes))).tolist() for i, boxes in enumerate(frames)]


MEETING = [[300.0, 500.0]] * 20 + [
    [300.0 + 10 * i, 500.0] for i in range(1, 12)
]  # x of two faces; one moves to the other


def test_two_tracks_that_compete_for_one_face_both_end(box):
    """The one who moved is hidden at last, where the other is."""
    ids = run(ByteTracker(SETTINGS), [[box(a), box(b)] for a, b in MEETING] + [[box(500)]] * 20)
    assert ids[: len(MEETING)] == [[0, 1]] * len(MEETING)
    alone = [number for (number,) in ids[len(MEETING) :]]
    assert alone[-1] == 2 and set(alone) <= {1, 2} and sorted(alone) == alone
    assert alone[9] == 2  # no later than the two are at one place


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_only_a_margin_splits(box, margin):
    tracker = ByteTracker(replace(SETTINGS, split_margin=margin))
    ids = run(tracker, [[box(a), box(b)] for a, b in MEETING] + [[box(500)]] * 20)
    assert len({number for frame in ids for number in frame}) == (2 if margin == 0 else 3)


def test_one_face_that_becomes_two_ends_a_track(box):
    """Two faces come out of one, equally far from where it was."""
    ids = run(ByteTracker(SETTINGS), [[box(300)]] * 20 + [[box(270), box(331)]] + [[box(269), box(332)]] * 20)
    assert ids[19:] == [[0], *[[1, 2]] * 21]


BESIDE = 410.0  # enlarged, a box there overlaps one at 300 by less than is asked of a match, but overlaps it


@pytest.mark.parametrize("least", [0.05, SETTINGS.min_overlap])
def test_one_face_is_of_one_track_and_one_track_of_one_face(box, least):
    """Two tracks have but one face within reach; then one track has two, the nearer of which goes on."""
    tracker = ByteTracker(replace(SETTINGS, min_overlap=least))
    ids = run(tracker, [[box(300), box(BESIDE)]] * 5 + [[box(BESIDE)]] * 20 + [[box(300), box(BESIDE)]])
    assert ids == [[0, 1]] * 5 + [[1]] * 20 + [[2, 1]]


def test_a_face_that_is_not_near_ends_nothing(box):
    ids = run(ByteTracker(SETTINGS), [[box(300)]] * 20 + [[box(300), box(500)]] * 20)
    assert ids[19:] == [[0], *[[0, 1]] * 20]


def test_a_newcomer_elsewhere_ends_no_track_that_is_hard_to_follow(box):
    """What overlaps nothing is no rival, however little the true one overlaps."""
    tracker = ByteTracker(replace(SETTINGS, min_overlap=0.05))
    assert run(tracker, [[box(300)], [box(300)], [box(430), box(900)]])[-1] == [0, 1]


@pytest.mark.parametrize("apart", [80, 100, 150])
def test_people_side_by_side_are_not_split_again_and_again(box, apart):
    """Cheek to cheek, with noise: once, at the most, and then never again."""
    random = np.random.default_rng(3)
    frames = [[np.array(box(x)) + random.normal(0, 2, 4) for x in (400, 400 + apart)] for _ in range(200)]
    assert run(ByteTracker(SETTINGS), frames) == [[0, 1]] * 200


def test_after_a_split_tracks_go_on(box):
    ids = run(ByteTracker(SETTINGS), [[box(300)]] * 20 + [[box(270), box(331)]] * 100)
    assert ids[20:] == [[1, 2]] * 100


def test_a_low_score_is_no_rival(box):
    """What is half seen beside a face, as a reflection or a hand, ends nothing."""
    tracker = ByteTracker(SETTINGS)
    for i in range(20):
        tracker.update(0.04 * i, faces((box(300), 0.9)))
    assert tracker.update(0.8, faces((box(300), 0.9), (box(305), 0.4))).tolist() == [0, -1]


def test_who_is_split_by_an_unsure_face_waits_for_a_clear_one(box):
    tracker = ByteTracker(SETTINGS)
    run(tracker, [[box(300)]] * 20)
    unsure = SETTINGS.birth_score - 0.05
    assert tracker.update(0.8, faces((box(270), unsure), (box(331), unsure))).tolist() == [-1, -1]
    assert tracker.update(0.84, faces((box(270), 0.9), (box(331), 0.9))).tolist() == [1, 2]


@st.composite
def crossings(draw):
    """Two people cross at some speed, and the one behind is hidden while they overlap, and a little longer."""
    fps, fastest = draw(st.sampled_from([(25.0, 6.0), (50.0, 6.0), (12.5, 3.0)]))
    height = draw(st.floats(60, 140))
    heights = (height, height * draw(st.floats(0.75, 1.3)))
    speed, share = draw(st.floats(0.3, fastest)) * height, draw(st.floats(-0.3, 1.3))
    lower = draw(st.floats(-0.3, 0.3)) * height
    hidden = draw(st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)))
    return fps, heights, (speed * share, -speed * (1 - share)), lower, hidden, draw(st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=60)
@given(crossings())
def test_no_tracklet_holds_two_people(box, crossing):
    fps, heights, speeds, lower, (before, after), seed = crossing
    random = np.random.default_rng(seed)
    half = min(3.0, 2 * max(heights) / (abs(speeds[0] - speeds[1])) + 0.6)
    times = np.arange(-half, half, 1 / fps)
    true = np.array([[box(640 + v * t, y, h) for v, y, h in zip(speeds, (150, 150 + lower), heights, strict=True)]
                     for t in times])  # fmt: skip
    over = times[[iou(front[None], back[None])[0, 0] > 0.3 for front, back in true]]
    tracker, holds = ByteTracker(SETTINGS), {}
    for t, places in zip(times, true, strict=True):
        is_hidden = len(over) and over[0] - before <= t <= over[-1] + after
        order = random.permutation(1 if is_hidden else 2)
        seen = [places[i] + random.normal(0, 0.015 * heights[i], 4) for i in order]
        for who, number in zip(order, tracker.update(t, faces(*((b, 0.9) for b in seen))), strict=True):
            assert holds.setdefault(int(number), who) == who
    assert len(holds) <= 6  # and it is not split again and again


@pytest.mark.parametrize("gone", [1, 2], ids=["nobody competes", "somebody competes"])
def test_what_overlaps_nothing_is_no_match_however_little_is_asked_for(box, gone):
    tracker = ByteTracker(replace(SETTINGS, min_overlap=0.0, split_margin=0.0))
    run(tracker, [[box(100), *[box(400), box(440)][:gone]]] * 10)
    assert tracker.update(0.4, faces((box(900), 0.9), (box(410), 0.9))).tolist()[0] == gone + 1


class PlainTracker:
    """The rules over whole matrices: every assignment is searched for, and every rival looked at."""

    def __init__(self, settings):
        self._settings, self._tracks, self._time, self._next = settings, [], None, 0  # tracks of [id, filter, seen]

    def update(self, time, seen):
        kept, settings = [t for t in self._tracks if time - t[2] <= self._settings.max_lost_seconds], self._settings
        for _, motion, _ in kept:
            motion.predict(time - self._time)
        own = np.array([motion.box for _, motion, _ in kept]).reshape(-1, 4)
        overlap = iou(expand(own, settings.match_expand), expand(seen.boxes_xyxy, settings.match_expand))
        high = np.flatnonzero(seen.scores >= settings.high_score)
        low = np.flatnonzero((seen.scores < settings.high_score) & (seen.scores >= settings.low_score))
        pairs = self._assigned(overlap, np.arange(len(kept)), high, settings.min_overlap)
        mixed = self._mixed(overlap, dict(pairs), high)
        free = [i for i in range(len(kept)) if i not in dict(pairs) and kept[i][2] == self._time]
        pairs += self._assigned(overlap, np.array(free, np.intp), low, LOW_OVERLAP)
        ids = np.full(len(seen), -1)
        for track, face in pairs:
            if track not in mixed:
                ids[face], kept[track][2] = kept[track][0], time
                kept[track][1].update(Box(*seen.boxes_xyxy[face].tolist()))
        self._tracks, self._time = [track for i, track in enumerate(kept) if i not in mixed], time
        for face in high:
            if ids[face] < 0 and seen.scores[face] >= settings.birth_score:
                ids[face] = self._next
                self._tracks.append([self._next, BoxFilter(Box(*seen.boxes_xyxy[face].tolist())), time])
                self._next += 1
        return ids

    def _assigned(self, overlap, tracks, found, least):
        chosen = overlap[np.ix_(tracks, found)]
        rows, columns = linear_sum_assignment(-chosen)
        good = chosen[rows, columns] >= max(least, 1e-300)
        return list(zip(tracks[rows[good]].tolist(), found[columns[good]].tolist(), strict=True))

    def _mixed(self, overlap, partner, high):
        """Tracks whose face another one, or nobody, might take in exchange for the other's face, or a free one."""
        mixed, margin = set(), self._settings.split_margin
        for track, face in partner.items():
            for other in set(range(len(overlap))) - {track}:
                theirs = partner.get(other)
                kept = overlap[track, face] + (0 if theirs is None else overlap[other, theirs])
                changed = overlap[other, face] + (0 if theirs is None else overlap[track, theirs])
                if overlap[other, face] > 0 and kept - changed < margin:
                    mixed |= {track, other}
            for other in set(high.tolist()) - set(partner.values()):
                if overlap[track, other] > 0 and overlap[track, face] - overlap[track, other] < margin:
                    mixed.add(track)
        return mixed


@st.composite
def crowds(draw):
    """Frames of few or many faces on a grid: overlaps tie, faces come and go, scores lie on the limits."""
    scores = [SETTINGS.low_score, SETTINGS.high_score, SETTINGS.birth_score, 0.2, 0.5, 0.65, 0.9, 0.9, 0.9, 0.9]
    num, cell = draw(st.integers(0, 4) | st.integers(5, 30)), draw(st.sampled_from([20.0, 60.0, 110.0, 250.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise, away = draw(st.sampled_from([0.0, 0.0, 5.0])), draw(st.sampled_from([0.0, 0.1, 0.7]))
    frames = []
    homes = random.integers(0, draw(st.integers(1, 6)), (num, 2)) * cell
    for _ in range(draw(st.integers(1, 8))):
        here = np.flatnonzero(random.uniform(size=num) >= away)
        corners = homes[here] + noise * random.normal(size=(len(here), 2))
        boxes = np.concatenate([corners, corners + 80], axis=1).astype(np.float32)
        frames.append(Detections(
            boxes, random.choice(scores, len(here)).astype(np.float32), np.zeros((len(here), 10), np.float32)
        ))  # fmt: skip
    return frames


LIMITS = st.builds(
    replace, st.just(SETTINGS), split_margin=st.sampled_from([0.0, 0.2, 1.0]),
    min_overlap=st.sampled_from([0.0, 0.2, 0.6]), max_lost_seconds=st.sampled_from([0.0, 0.1, 0.5]),
)  # fmt: skip


@settings(deadline=None)
@given(crowds(), LIMITS)
def test_it_does_as_the_rules_say_with_many_faces_and_ties(frames, limits):
    tracker, plain = ByteTracker(limits), PlainTracker(limits)
    for number, seen in enumerate(frames):
        assert tracker.update(0.04 * number, seen).tolist() == plain.update(0.04 * number, seen).tolist()
