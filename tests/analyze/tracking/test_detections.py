from itertools import pairwise

import pytest

from dft.analyze.tracking.detections import detected_frames
from dft.engines.fake import FakeDecoder, FakeDetector, FakeFace, FakeImage


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_frames_come_in_order_with_their_pictures(batch_size):
    images = [FakeImage((FakeFace((10, 10, 30, 34 + i)),), luma=i) for i in range(20)]
    frames = list(detected_frames(FakeDecoder(images), FakeDetector(), (2, 17), batch_size))
    assert [frame.frame_index for frame in frames] == list(range(2, 17))
    assert all(b.pts - a.pts == 40 for a, b in pairwise(frames))
    assert all(frame.image is images[frame.frame_index] for frame in frames)
    assert all((frame.thumbnail == frame.frame_index).all() for frame in frames)
    assert [frame.faces.boxes_xyxy[0, 3] for frame in frames] == [34 + i for i in range(2, 17)]
