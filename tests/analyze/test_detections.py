from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.detections import CLEAR_SCORE, SMALL_PIXELS, CloserLook, detected_frames
from dft.engines.fake import FakeDecoder, FakeDetector, FakeFace, FakeImage
from dft.engines.protocols import Detections

FRAME = (1280, 720)
SIZE = 640  # the detector sees half the size
SMALL = 2 * SMALL_PIXELS
CLOSER = FakeImage((FakeFace((10, 10, 50, 60), identity=5),))  # what the closer look finds, whatever the picture


class Opened:
    """Opens a detector, and remembers it."""

    def __init__(self):
        self.detectors: list[FakeDetector] = []
        self.num_closed = 0

    def __call__(self) -> FakeDetector:
        detector = FakeDetector()
        detector.close = self._close  # type: ignore[method-assign]
        self.detectors.append(detector)
        return detector

    def _close(self) -> None:
        self.num_closed += 1


def seen(*faces: tuple[float, float]) -> Detections:
    """Faces of (height, score), side by side."""
    images = tuple(
        FakeFace((200.0 * i, 100, 200.0 * i + 0.8 * h, 100 + h), score) for i, (h, score) in enumerate(faces)
    )
    return FakeDetector().detect([FakeImage(images)])[0]


LARGE, TINY = (SMALL, 0.9), (SMALL - 1, 0.9)


@pytest.mark.parametrize(
    ("faces", "looks"),
    [
        pytest.param([], False, id="nobody"),
        pytest.param([LARGE, LARGE], False, id="both mains"),
        pytest.param([LARGE], False, id="one main, nobody small"),
        pytest.param([LARGE, TINY], True, id="one main, and somebody small"),
        pytest.param([TINY], True, id="somebody small"),
        pytest.param([TINY, TINY], True, id="two small ones"),
        pytest.param([LARGE, LARGE, TINY, TINY], False, id="both mains, and small bystanders"),
        pytest.param([LARGE, (SMALL, CLEAR_SCORE - 0.1), TINY], True, id="a main that is not clear"),
        pytest.param([LARGE, (SMALL, CLEAR_SCORE + 0.01), TINY], False, id="a main that is just clear"),
        pytest.param([LARGE, (SMALL, CLEAR_SCORE - 0.1)], False, id="not clear, but not small"),
    ],
)
def test_when_one_looks_closer(faces, looks):
    opened = Opened()
    with CloserLook(opened, 2, SIZE, FRAME) as closer:
        found = closer.faces(CLOSER, seen(*faces))
        assert closer.num_frames == len(opened.detectors) == int(looks)
        assert found.boxes_xyxy.tolist() == ([[10, 10, 50, 60]] if looks else seen(*faces).boxes_xyxy.tolist())
    assert opened.num_closed == int(looks)


@pytest.mark.parametrize(("people", "looks"), [(1, False), (2, True), (3, True)])
def test_how_many_mains_there_are_matters(people, looks):
    closer = CloserLook(Opened(), people, SIZE, FRAME)
    closer.faces(CLOSER, seen(LARGE, TINY))
    assert closer.num_frames == int(looks)


@pytest.mark.parametrize(
    ("frame", "size", "least"),
    [((1280, 720), 640, 48), ((720, 1280), 640, 48), ((320, 180), 640, 24), ((3840, 2160), 640, 144)],
    ids=str,
)
def test_small_is_what_is_small_in_the_first_look(frame, size, least):
    for height, looks in ((least - 1, 1), (least + 1, 0)):
        closer = CloserLook(Opened(), 2, size, frame)
        closer.faces(CLOSER, seen((height, 0.9)))
        assert closer.num_frames == looks


def test_without_a_larger_detector_the_first_look_counts():
    with CloserLook(None, 2, SIZE, FRAME) as closer:
        first = seen(TINY)
        assert closer.faces(CLOSER, first) is first and closer.num_frames == 0


def test_the_detector_is_opened_once():
    opened = Opened()
    with CloserLook(opened, 2, SIZE, FRAME) as closer:
        for _ in range(5):
            closer.faces(CLOSER, seen(TINY))
        assert closer.num_frames == 5 and opened.detectors[0].batches == [1] * 5
    assert len(opened.detectors) == opened.num_closed == 1


FACES = st.lists(st.tuples(st.floats(10, 100), st.floats(0, 1)), max_size=5)


@given(st.lists(FACES, min_size=1, max_size=8))
def test_what_was_seen_before_does_not_matter(frames):
    """Or the result would depend on where chunks begin."""
    closer, found = CloserLook(Opened(), 2, SIZE, FRAME), [seen(*faces) for faces in frames]
    together = [closer.faces(CLOSER, faces).scores.tolist() for faces in found]
    alone = [CloserLook(Opened(), 2, SIZE, FRAME).faces(CLOSER, faces).scores.tolist() for faces in found]
    assert together == alone


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_frames_come_in_order_with_their_pictures_and_a_closer_look_where_needed(batch_size):
    small, large = FakeFace((10, 10, 30, 34)), FakeFace((10, 10, 90, 110))
    images = [FakeImage((small,) if i % 4 == 0 else (large,), luma=i) for i in range(20)]
    with CloserLook(FakeDetector, 2, SIZE, FRAME) as closer:
        frames = list(detected_frames(FakeDecoder(images), FakeDetector(), closer, (2, 17), batch_size))
    assert [frame.frame_index for frame in frames] == list(range(2, 17))
    assert all(b.pts - a.pts == 40 for a, b in pairwise(frames))
    assert all(frame.image is images[frame.frame_index] for frame in frames)
    assert all((frame.thumbnail == frame.frame_index).all() for frame in frames)
    assert closer.num_frames == 4
    assert [len(frame.faces) for frame in frames] == [1] * 15
    assert np.unique([frame.faces.boxes_xyxy[0, 3] for frame in frames]).tolist() == [34, 110]
