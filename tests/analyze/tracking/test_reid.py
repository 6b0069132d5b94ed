"""Which faces are embedded, and what happens when that fails; over fakes, at 25 frames per second."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.tracking.box import boxes_of
from dft.analyze.tracking.quality import face_quality
from dft.analyze.tracking.reid import (
    GOOD,
    MAX_PENDING,
    PATIENCE_SECONDS,
    REMEMBER_SECONDS,
    SPACING_SECONDS,
    USABLE,
    FaceEmbedder,
    FaceSampler,
    Samples,
)
from dft.configs.errors import BackendUnavailableError, EngineError, ModelError
from dft.engines.fake import FakeEmbedder, FakeFace, FakeImage
from dft.engines.protocols import Detections

FPS = 25
FRAME = 1 / FPS
SIZE = (1280, 720)
HIGH = 0.6
NEVER: Sequence[float] = ()


class Opener:
    """Opens a fake embedder and counts that.

    ``last`` is the batch that fails, ``bad`` the identity whose face cannot be cut out.
    """

    def __init__(self, *, last: int | None = None, bad: int | None = None, error: Exception | None = None):
        self.num_opened = self.num_closed = self.num_prepared = 0
        self.embedder = FakeEmbedder()
        self._prepare, self._embed = self.embedder.prepare, self.embedder.embed
        self._last, self._bad, self._error = last, bad, error
        self.embedder.prepare, self.embedder.embed = self.prepare, self.embed
        self.embedder.close = self.close

    def __call__(self) -> FakeEmbedder:
        self.num_opened += 1
        if self._error:
            raise self._error
        return self.embedder

    def close(self):
        self.num_closed += 1

    def prepare(self, image, landmarks):
        self.num_prepared += 1
        chips = self._prepare(image, landmarks)
        if any(chip.identity == self._bad for chip in chips):
            raise EngineError("a face cannot be aligned")
        return chips

    def embed(self, chips):
        if self._last is not None and len(self.embedder.batches) >= self._last:
            raise EngineError("the device is lost", hint="restart")
        return self._embed(chips)


IMAGE = FakeImage((FakeFace((0, 0, 80, 100), identity=3), FakeFace((200, 0, 280, 100), identity=4)))


def test_it_is_opened_when_it_is_first_needed_and_once():
    opener = Opener()
    embedder = FaceEmbedder(opener)
    assert embedder.record == ("", "", "", "") and opener.num_opened == 0
    chips = [embedder.chip(IMAGE, face.landmarks) for face in IMAGE.faces]
    assert opener.num_opened == 1 and embedder.num_embedded == 0
    assert embedder.embed(chips).argmax(axis=1).tolist() == [3, 4]
    assert embedder.record == ("fake", "0" * 64, "1.0", "")
    assert (opener.num_opened, embedder.num_embedded, embedder.failure) == (1, 2, "")


def test_what_was_not_opened_is_not_closed():
    opener = Opener()
    FaceEmbedder(opener).close()
    assert opener.num_opened == opener.num_closed == 0
    embedder = FaceEmbedder(opener)
    embedder.chip(IMAGE, IMAGE.faces[0].landmarks)
    embedder.close()
    assert opener.num_closed == 1


@pytest.mark.parametrize(
    "error", [ModelError("no weights", hint="install them"), BackendUnavailableError("no runtime")], ids=str
)
def test_without_an_embedder_all_goes_on(caplog, error):
    opener = Opener(error=error)
    embedder = FaceEmbedder(opener)
    for _ in range(3):
        assert embedder.chip(IMAGE, IMAGE.faces[0].landmarks) is None
        assert embedder.embed([IMAGE.faces[0]]) is None
    assert opener.num_opened == 1
    assert embedder.failure == str(error) and embedder.record == ("", "", "", str(error))
    assert caplog.text.count(str(error)) == 1
    embedder.close()


def test_failing_midway_ends_it(caplog):
    opener = Opener(last=1)
    embedder = FaceEmbedder(opener)
    chips = [embedder.chip(IMAGE, face.landmarks) for face in IMAGE.faces]
    assert len(embedder.embed(chips)) == 2
    for _ in range(2):
        assert embedder.embed(chips) is None
        assert embedder.chip(IMAGE, IMAGE.faces[0].landmarks) is None
    assert embedder.record == ("fake", "0" * 64, "1.0", "the device is lost; restart")
    assert caplog.text.count("device is lost") == 1
    assert embedder.num_embedded == 2
    embedder.close()
    assert opener.num_closed == 1


def test_a_face_that_cannot_be_cut_out_costs_no_other():
    embedder = FaceEmbedder(Opener(bad=3))
    chips = [embedder.chip(IMAGE, face.landmarks) for face in IMAGE.faces]
    assert chips[0] is None and chips[1] == IMAGE.faces[1]
    assert embedder.failure == "" and embedder.embed(chips[1:]).argmax() == 4


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        FaceEmbedder(Opener(error=ZeroDivisionError())).chip(IMAGE, IMAGE.faces[0].landmarks)


def test_its_time_is_counted():
    embedder = FaceEmbedder(Opener())
    assert embedder.seconds == 0
    chip = embedder.chip(IMAGE, IMAGE.faces[0].landmarks)
    cut = embedder.seconds
    embedder.embed([chip])
    assert 0 < cut < embedder.seconds < 5


def person(identity: int = 0, *, x: float = 300.0, height: float = 100.0, score: float = 0.9) -> FakeFace:
    return FakeFace((x - 0.4 * height, 300 - height / 2, x + 0.4 * height, 300 + height / 2), score, identity)


Shown = Sequence[tuple[int, FakeFace]]  # tracklets and their faces
Scene = Callable[[float], Shown]


def still(*shown: tuple[int, FakeFace]) -> Scene:
    """The same at any time."""
    return lambda _: shown


@dataclass(frozen=True)
class Watched:
    """What came of a scene: all detections in order, as (time, tracklet, face), and the samples."""

    seen: list[tuple[float, int, FakeFace]]
    samples: Samples

    def times(self, number: int = 0) -> list[float]:
        """When tracklet ``number`` was sampled."""
        return [self.seen[row][0] for row in self.samples.rows if self.seen[row][1] == number]

    def between(self, low: float, high: float, number: int = 0) -> list[float]:
        """When it was sampled from ``low`` to ``high``, both with half a frame to spare."""
        return [t for t in self.times(number) if low - FRAME / 2 < t < high + FRAME / 2]


def watch(
    scene: Scene,
    seconds: float,
    mode: str = "conditional",
    opener: Callable[[], FakeEmbedder] | None = None,
    doubt: Sequence[float] = NEVER,
    end: Sequence[float] = NEVER,
) -> Watched:
    """Run a sampler over what ``scene`` shows at each time; all is doubted, or ends, before the frames given."""
    embedder = FaceEmbedder(opener or Opener())
    sampler = FaceSampler(embedder, mode, SIZE, HIGH)
    seen = []
    for number in range(round(seconds * FPS)):
        now = number / FPS
        if any(abs(now - at) < FRAME / 2 for at in doubt):
            sampler.doubt_all(now)
        if any(abs(now - at) < FRAME / 2 for at in end):
            sampler.end_tracks()
        shown = list(scene(now))
        seen += [(now, track, face) for track, face in shown]
        faces = [face for _, face in shown]
        sampler.add(FakeImage(tuple(faces)), now, detections(faces), np.array([t for t, _ in shown], np.int32))
    found = Watched(seen, sampler.finish())
    assert_fits(found)
    return found


def assert_fits(found: Watched) -> None:
    """No face is there twice, all are of tracklets, and each vector and quality is that of its face."""
    samples = found.samples
    assert (np.diff(samples.rows) > 0).all()
    quality = qualities_of(found.seen)
    for row, vector, value in zip(samples.rows, samples.vectors, samples.quality, strict=True):
        _, number, face = found.seen[row]
        assert number >= 0 and vector.argmax() == face.identity and vector.sum() == 1
        assert value == pytest.approx(quality[row]) and value >= USABLE


def detections(faces: Sequence[FakeFace]) -> Detections:
    if not faces:
        return Detections.none()
    return Detections(
        np.array([face.box_xyxy for face in faces], np.float32),
        np.array([face.score for face in faces], np.float32),
        np.stack([face.landmarks for face in faces]),
    )


def never_opened() -> FakeEmbedder:
    raise AssertionError("opened without need")


def test_two_at_birth_then_pauses_that_grow():
    times = watch(still((0, person())), 60).times()
    pauses = np.diff(times)[:-1]
    np.testing.assert_allclose(pauses, [0.2, 1, 2, 4, *[8] * 6], atol=1.5 * FRAME)
    assert times[0] == 0 and 60 - times[-1] <= REMEMBER_SECONDS + 2 * FRAME  # and the last


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_quiet_talk_needs_few(seconds):
    found = watch(still((0, person(0)), (1, person(1, x=800))), seconds)
    assert len(found.samples.rows) <= 0.015 * len(found.seen)
    assert len(found.times(0)) == len(found.times(1)) >= 7


def test_poor_faces_are_passed_over_for_better_ones():
    found = watch(lambda t: [(0, person(score=0.62 if t < 0.4 else 0.9))], 2)
    assert found.times()[0] == pytest.approx(0.4)


def test_patience_ends():
    found = watch(still((0, person(score=0.62))), 2)
    assert found.times()[0] == pytest.approx(PATIENCE_SECONDS, abs=FRAME)
    assert (found.samples.quality < GOOD).all()


def test_what_says_nothing_is_never_embedded():
    assert watch(still((0, person(score=0.52))), 5, opener=never_opened).times() == []


def test_a_poor_frame_now_and_then_puts_a_sample_off_only():
    found = watch(lambda t: [(0, person(score=0.62 if round(t * FPS) % 2 == 0 else 0.9))], 20)
    assert (found.samples.quality > GOOD).all() and 7 <= len(found.times()) <= 9


EVENT = 5.0  # seconds, far from any regular sample


def assert_sampled_around(found: Watched, at: float, number: int = 0, after: float = 0.0) -> None:
    """One face shortly before ``at``, and one ``after`` it or a little later."""
    assert found.between(at - REMEMBER_SECONDS - 2 * FRAME, at - FRAME, number), "none before"
    assert found.between(at + after, at + after + SPACING_SECONDS, number), "none after"


def test_the_quiet_scene_has_no_sample_there():
    assert watch(still((0, person())), 10).between(EVENT - 1, EVENT + 1) == []


def test_no_moment_is_sampled_twice():
    """Whoever is gone soon after a sample was remembered before it too."""
    assert watch(lambda t: [(0, person())] if t < 3.26 else [], 6).times() == pytest.approx(
        [0, 0.2, 1.2, 3.2], abs=FRAME
    )


def test_a_face_is_remembered_for_one_moment_only():
    """Who is no more clear is doubted twice: the last clear face was sampled the first time."""
    found = watch(lambda t: [(0, person(score=0.9 if t < 4.9 else 0.52))], 7, doubt=[EVENT, EVENT + 0.4, EVENT + 0.8])
    assert len(found.between(3.5, 7)) == 1


def test_samples_are_in_order_whoever_is_remembered_last():
    """The last face of who left early is embedded after later ones of who stayed."""
    found = watch(lambda t: [(0, person(0)), *([(1, person(1, x=800))] if t < EVENT else [])], 12)
    assert found.times(0)[-2] > EVENT > found.times(1)[-1] > 4


def test_a_clear_face_is_cut_out_about_once_a_second():
    """To be remembered, until the next is; besides those that are sampled."""
    opener, seconds = Opener(), 60
    watch(still((0, person())), seconds, opener=opener)
    assert seconds / REMEMBER_SECONDS * 0.9 < opener.num_prepared < seconds / REMEMBER_SECONDS * 1.2


@pytest.mark.parametrize("end", [1.0, 2.48, 5.0, 9.6])
def test_the_last_clear_face(end):
    found = watch(lambda t: [(0, person())] if t < end else [], 12)
    assert end - found.times()[-1] <= REMEMBER_SECONDS + 2 * FRAME


def test_the_last_clear_face_before_a_cut():
    found = watch(lambda t: [(int(t >= EVENT), person(int(t >= EVENT)))], 10, end=[EVENT])
    assert EVENT - found.times(0)[-1] <= REMEMBER_SECONDS + 2 * FRAME
    assert found.times(1)[0] == pytest.approx(EVENT)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda t: [(0, person(x=300 if t < EVENT else 360))], id="a jump"),
        pytest.param(lambda t: [(0, person(height=100 if t < EVENT else 140))], id="suddenly larger"),
        pytest.param(lambda t: [(0, person(height=140 if t < EVENT else 100))], id="suddenly smaller"),
    ],
)
def test_both_sides_of(scene):
    assert_sampled_around(watch(scene, 10), EVENT)


@pytest.mark.parametrize("gap", [0.08, 0.4, 1.0])
def test_both_sides_of_a_gap(gap):
    found = watch(lambda t: [] if EVENT - gap - FRAME / 2 < t < EVENT - FRAME / 2 else [(0, person())], 10)
    assert found.between(EVENT - gap - REMEMBER_SECONDS - 2 * FRAME, EVENT - gap - FRAME)
    assert found.between(EVENT, EVENT)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda t: [] if EVENT - 0.05 < t < EVENT else [(0, person())], id="a missing frame"),
        pytest.param(lambda t: [(0, person(x=300 if t < EVENT else 340))], id="a small step"),
        pytest.param(lambda t: [(0, person(height=100 if t < EVENT else 120))], id="a little larger"),
        pytest.param(lambda t: [(0, person(score=0.55 if EVENT <= t < 5.4 else 0.9))], id="a moment's doubt"),
    ],
)
def test_no_need(scene):
    assert watch(scene, 10).between(EVENT - 1, EVENT + 1) == []


def test_slow_growth():
    """The size is compared with that of the last sample, not of the last frame."""
    found = watch(lambda t: [(0, person(height=100 + 20 * max(0, t - 3.5)))], 7)
    assert found.between(5.0, 5.2)


def test_all_are_doubted():
    found = watch(still((0, person(0)), (1, person(1, x=800))), 10, doubt=[EVENT])
    assert_sampled_around(found, EVENT, 0)
    assert_sampled_around(found, EVENT, 1)


def test_confidence_falls_and_comes_back():
    found = watch(lambda t: [(0, person(score=0.57 if 4 <= t < 6 else 0.9))], 10)
    assert found.between(4 - REMEMBER_SECONDS - FRAME, 4 - FRAME)  # the last clear face
    fallen = 4 + np.log(2)  # when half of the last second was unsure
    assert found.between(fallen + PATIENCE_SECONDS, fallen + PATIENCE_SECONDS + 3 * FRAME)
    assert found.between(6, 6 + np.log(2) + 3 * FRAME)


NEAR, FAR = 390.0, 800.0  # x of the other person, whose enlarged box touches or does not


def meeting(t: float) -> Shown:
    return [(0, person(0)), (1, person(1, x=NEAR if 4 <= t < 6 else FAR))]


def test_both_sides_of_a_contact():
    found = watch(meeting, 10)
    for number in (0, 1):
        assert found.between(4 - REMEMBER_SECONDS - FRAME, 4 - FRAME, number)
        assert found.between(6, 6 + SPACING_SECONDS, number)


def test_while_they_touch_only_when_patience_ends():
    found = watch(meeting, 10)
    assert found.between(4, 4 + PATIENCE_SECONDS - FRAME) == []
    assert found.between(4 + PATIENCE_SECONDS, 6 - FRAME)[0] == pytest.approx(4 + PATIENCE_SECONDS, abs=1.5 * FRAME)


def test_a_long_contact_is_no_new_moment_in_each_frame():
    """It is doubted where it begins and where it ends; between there are the regular samples, when patience ends."""
    found = watch(lambda t: [(0, person(0)), (1, person(1, x=NEAR if 4 <= t < 16 else FAR))], 20)
    for number in (0, 1):
        assert len(found.between(4, 16 - FRAME, number)) <= 4
        assert found.between(16, 16 + SPACING_SECONDS, number)


def test_nothing_in_a_short_contact():
    found = watch(lambda t: [(0, person(0)), (1, person(1, x=NEAR if 4 <= t < 4.4 else FAR))], 10)
    for number in (0, 1):
        assert found.between(4, 4.4 - FRAME, number) == []
        assert_sampled_around(found, 4.0, number, after=0.4)


def test_a_stranger_without_tracklet_touches_too():
    found = watch(lambda t: [(0, person(0)), (-1, person(1, x=NEAR if 4 <= t < 4.4 else FAR))], 10)
    assert_sampled_around(found, 4.0, after=0.4)
    assert found.between(4, 4.4 - FRAME) == []
    assert found.times(-1) == []


def mixed(t: float) -> Shown:
    """Somebody clear, somebody whose every second frame says nothing, and somebody who is no tracklet."""
    odd = round(t * FPS) % 2 == 1
    return [(0, person(0)), (4, person(1, x=800, score=0.9 if odd else 0.5)), (-1, person(2, x=1100))]


def test_always_embeds_every_usable_face():
    found = watch(mixed, 4, "always")
    assert len(found.times(0)) == 100 and len(found.times(4)) == 50 and found.times(-1) == []


def test_off_embeds_none_and_opens_nothing():
    found = watch(mixed, 4, "off", never_opened, doubt=[2], end=[3])
    assert len(found.samples.rows) == 0 and len(found.samples.stability) == len(found.seen)


@pytest.mark.parametrize("mode", ["conditional", "always"])
def test_without_faces_nothing_is_opened(mode):
    for scene in (still(), still((-1, person()))):
        found = watch(scene, 2, mode, never_opened)
        assert found.samples.vectors.shape[0] == found.samples.rows.size == found.samples.quality.size == 0


def test_no_frame_at_all():
    samples = watch(still(), 0).samples
    assert [len(part) for part in (samples.rows, samples.vectors, samples.quality, samples.stability)] == [0] * 4
    assert samples.rows.dtype == np.int32 and samples.vectors.dtype == samples.stability.dtype == np.float32


def test_what_was_embedded_before_stays():
    opener = Opener(last=2)
    found = watch(still((0, person(5))), 10, "always", opener)
    assert found.samples.rows.tolist() == list(range(2 * MAX_PENDING))
    assert (found.samples.vectors.argmax(axis=1) == 5).all()


@pytest.mark.parametrize("mode", ["conditional", "always"])
def test_without_an_embedder_nothing_but_the_samples_is_missing(mode):
    found = watch(meeting, 10, mode, Opener(error=ModelError("no weights")))
    assert len(found.samples.rows) == 0
    np.testing.assert_array_equal(found.samples.stability, watch(meeting, 10).samples.stability)


def test_a_face_that_cannot_be_cut_out_is_left_out():
    found = watch(meeting, 10, opener=Opener(bad=0))
    assert found.times(0) == [] and found.times(1) == watch(meeting, 10).times(1)


def test_batches_stay_small():
    opener = Opener()
    watch(still((0, person(0)), (1, person(1, x=800))), 10, "always", opener)
    assert max(opener.embedder.batches) <= MAX_PENDING + 1 and sum(opener.embedder.batches) == 500


def test_seen_well_throughout():
    assert (watch(meeting, 5).samples.stability == 1).all()


def test_it_follows_the_last_second():
    stability = watch(lambda t: [(0, person(score=0.5 if 2 <= t < 4 else 0.9))], 6).samples.stability
    assert stability.dtype == np.float32
    times = np.arange(len(stability)) / FPS
    assert (stability[times < 2] == 1).all()
    unsure = (times >= 2) & (times < 4)
    np.testing.assert_allclose(stability[unsure], np.exp(-(times[unsure] - 2 + FRAME)), rtol=1e-4)
    low = stability[unsure][-1]
    sure = times >= 4
    np.testing.assert_allclose(stability[sure], 1 - (1 - low) * np.exp(-(times[sure] - 4 + FRAME)), rtol=1e-4)


def test_each_tracklet_has_its_own():
    found = watch(still((0, person(0)), (-1, person(2, x=600)), (1, person(1, x=900, score=0.5))), 2)
    of = np.array([number for _, number, _ in found.seen])
    assert (found.samples.stability[of != 1] == 1).all()
    assert found.samples.stability[of == 1][-1] == pytest.approx(np.exp(-49 * FRAME), rel=1e-4)


@st.composite
def scenes(draw):
    """Up to four people who come and go, move, grow, blur and touch; some hardly, some all the time."""
    people = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "x": st.floats(100, 1180),
                    "sway": st.sampled_from([0.0, 20.0, 400.0]),
                    "grow": st.sampled_from([0.0, 0.4]),
                    "away": st.sampled_from([0.0, 0.02, 0.5]),
                    "stranger": st.sampled_from([0.0, 0.1]),
                    "blur": st.sampled_from([0.0, 0.3, 0.4]),
                    "from": st.floats(0, 3),
                    "to": st.floats(2, 7),
                }
            ),
            min_size=1,
            max_size=4,
        )
    )
    seed = draw(st.integers(0, 2**16))

    def scene(t: float) -> Shown:
        random, shown = np.random.default_rng((seed, round(t * FPS))), []
        for i, one in enumerate(people):
            away, stranger, blur = random.uniform(size=3) < (one["away"], one["stranger"], 0.5)
            if not away and one["from"] <= t <= one["to"]:
                x, height = one["x"] + one["sway"] * np.sin(3 * t + i), 90 * (1 + one["grow"] * np.sin(t))
                shown.append((-1 if stranger else i, person(i, x=x, height=height, score=0.95 - blur * one["blur"])))
        return shown

    return scene


@settings(deadline=None, max_examples=40)
@given(scenes(), st.sampled_from(["conditional", "always", "off"]), st.lists(st.floats(0, 6), max_size=3))
def test_samples_fit_what_was_seen(scene, mode, doubt):
    """Whoever comes and goes; :func:`watch` looks at every sample."""
    found = watch(scene, 6, mode, doubt=doubt)
    samples = found.samples
    assert samples.stability.shape == (len(found.seen),)
    assert ((samples.stability >= 0) & (samples.stability <= 1)).all()
    assert samples.rows.dtype == np.int32 and samples.quality.dtype == np.float32
    quality = qualities_of(found.seen)
    if mode == "always":
        tracked = np.array([number >= 0 for _, number, _ in found.seen], bool)
        assert samples.rows.tolist() == np.flatnonzero(tracked & (quality >= USABLE)).tolist()


@settings(deadline=None, max_examples=30)
@given(scenes())
def test_samples_of_a_tracklet_are_apart(scene):
    """Only a remembered face may lie nearer to its neighbour than the spacing."""
    found = watch(scene, 6)
    for number in range(4):
        times = np.array(found.times(number))
        assert (times[2:] - times[:-2] >= SPACING_SECONDS - 1e-6).all()


def qualities_of(seen: Sequence[tuple[float, int, FakeFace]]) -> np.ndarray:
    """Of each face among those seen at the same time."""
    times = np.array([t for t, _, _ in seen])
    faces = [face for _, _, face in seen]
    found = [detections([faces[i] for i in np.flatnonzero(times == t)]) for t in np.unique(times)]
    return np.array([value for together in found for value in qualities_in(together)], np.float32)


def qualities_in(faces: Detections) -> list[float]:
    """Of each face of one frame."""
    boxes = boxes_of(faces.boxes_xyxy)
    return [
        face_quality(which, boxes, score, landmarks, SIZE)
        for which, (score, landmarks) in enumerate(zip(faces.scores.tolist(), faces.landmarks.tolist(), strict=True))
    ]
