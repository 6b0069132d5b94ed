"""When a frame is looked at again, in larger size."""

import numpy as np
import pytest

from dft.analyze.tracking.closer import CHECK_SECONDS, CLEAR_SCORE, CLOSE_UP, SMALL_PIXELS, CloserLook, SecondDetector
from dft.configs.analysis import AnalyzeSettings
from dft.configs.settings import build
from dft.engines.fake import FakeDetector, FakeFace, FakeImage
from dft.engines.protocols import Detections

FRAME = (1280, 720)
SIZE = 640  # the detector sees half the size
SMALL = 2 * SMALL_PIXELS
CLOSE = CLOSE_UP * FRAME[1]
CLOSER = FakeImage((FakeFace((10, 10, 50, 60), identity=5),))  # what the second look finds, whatever the picture
NOBODY = FakeImage()


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
        FakeFace((300.0 * i, 100, 300.0 * i + 0.8 * h, 100 + h), score) for i, (h, score) in enumerate(faces)
    )
    return FakeDetector().detect([FakeImage(images)])[0]


def look(second: SecondDetector, people: int = 2, frame: tuple[int, int] = FRAME) -> CloserLook:
    return CloserLook(second, build(AnalyzeSettings, {"detect_size": SIZE, "people": people}), frame)


LARGE, TINY = (SMALL, 0.9), (SMALL - 1, 0.9)


def late(closer: CloserLook) -> CloserLook:
    """A check has just found nothing new, so only traces count for a while."""
    closer.faces(NOBODY, 0.0, seen())
    return closer


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
        pytest.param([(CLOSE, 0.9), TINY], True, id="a trace in a close-up"),
    ],
)
def test_traces_of_small_faces(faces, looks):
    second = SecondDetector(Opened())
    closer, before = late(look(second)), second.num_frames
    found = closer.faces(CLOSER, 0.04, seen(*faces))
    assert second.num_frames - before == int(looks)
    assert found.boxes_xyxy.tolist() == ([[10, 10, 50, 60]] if looks else seen(*faces).boxes_xyxy.tolist())


@pytest.mark.parametrize(
    ("faces", "checks"),
    [
        pytest.param([], True, id="nobody"),
        pytest.param([LARGE], True, id="one of two"),
        pytest.param([LARGE, LARGE], False, id="both"),
        pytest.param([(CLOSE, 0.9)], False, id="a close-up"),
    ],
)
def test_a_main_who_is_not_seen_is_looked_for_now_and_then(faces, checks):
    second = SecondDetector(FakeDetector)
    closer = look(second)
    times = np.arange(0, 2, 0.04)
    for time in times:
        closer.faces(NOBODY, float(time), seen(*faces))
    assert second.num_frames == (2 / CHECK_SECONDS - 0 if checks else 0)


def test_as_long_as_the_second_look_finds_more_it_goes_on():
    second = SecondDetector(FakeDetector)
    closer = look(second)
    shown = [CLOSER] * 10 + [NOBODY] * 10
    for i, image in enumerate(shown):
        closer.faces(image, 0.04 * i, seen())
    assert second.num_frames == 11  # the last of them finds nobody


def test_after_a_change_of_the_picture_it_looks_at_once():
    second = SecondDetector(FakeDetector)
    closer = late(look(second))
    closer.faces(NOBODY, 0.04, seen())
    closer.picture_changed()
    closer.faces(NOBODY, 0.08, seen())
    assert second.num_frames == 2


@pytest.mark.parametrize(("people", "looks"), [(1, False), (2, True), (3, True)])
def test_how_many_mains_there_are_matters(people, looks):
    second = SecondDetector(FakeDetector)
    look(second, people).faces(CLOSER, 0.0, seen(LARGE, TINY))
    assert second.num_frames == int(looks)


@pytest.mark.parametrize(
    ("frame", "least"),
    [((1280, 720), 48), ((720, 1280), 48), ((320, 180), 24), ((3840, 2160), 144)],
    ids=str,
)
def test_small_is_what_is_small_in_the_first_look(frame, least):
    for height, looks in ((least - 1, 1), (least + 1, 0)):
        second = SecondDetector(FakeDetector)
        closer = late(look(second, 2, frame))
        closer.faces(CLOSER, 0.04, seen((height, 0.9)))
        assert second.num_frames == 1 + looks


def test_without_a_second_detector_the_first_look_counts():
    first = seen(TINY)
    assert look(SecondDetector(None)).faces(CLOSER, 0.0, first) is first


def test_the_detector_is_opened_when_needed_once_and_closed():
    opened = Opened()
    with SecondDetector(opened) as second:
        look(second).faces(CLOSER, 0.0, seen(LARGE, LARGE))
        assert opened.detectors == []
        for i in range(5):
            look(second).faces(CLOSER, 0.04 * i, seen(TINY))
        assert second.num_frames == 5 and opened.detectors[0].batches == [1] * 5
    assert len(opened.detectors) == opened.num_closed == 1
