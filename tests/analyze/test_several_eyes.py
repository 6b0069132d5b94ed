"""One video looked at by several decoders at once: the same evidence, whoever looks."""

import threading

import numpy as np
import pytest

from dft.analyze.chunks import plan_chunks
from dft.analyze.evidence import EvidenceStore
from dft.analyze.stage_one import Eyes, observe
from dft.analyze.tracking.closer import SecondDetector
from dft.analyze.tracking.reid import FaceEmbedder
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import CorruptVideoError
from dft.configs.settings import build
from dft.engines.fake import FakeDecoder, FakeDetector, FakeEmbedder, FakeFace, FakeImage

NUM = 200
SETTINGS = build(AnalyzeSettings, {"chunk_seconds": 0.5, "max_corrupt": 0.1})


def images():
    return [FakeImage((FakeFace((100 + n, 80, 180 + n, 180), 0.9, 0),), luma=90 + n % 40) for n in range(NUM)]


def looked(folder, num_eyes, damaged=(), keep=()):
    decoders = [FakeDecoder(images(), keyframes=range(0, NUM, 5), damaged=damaged) for _ in range(num_eyes)]
    eyes = [Eyes(d, FakeDetector(), SecondDetector(None), FaceEmbedder(FakeEmbedder)) for d in decoders]
    chunks = plan_chunks(decoders[0].index, decoders[0].info.time_base, SETTINGS.chunks.chunk_seconds)
    store, told = EvidenceStore(folder, {"test": 1}), []
    for chunk in chunks:
        if store.load(chunk) is not None and chunk.number not in keep:
            store._path(chunk).unlink()
    observe(eyes, chunks, store, SETTINGS, lambda *step: told.append(step))
    return list(store.finished(chunks).checked()), decoders, told


@pytest.mark.parametrize("num_eyes", [2, 3, 7, 40])
def test_the_evidence_is_that_of_one(tmp_path, num_eyes):
    damaged = [30, 31, 120]
    wanted, _, _ = looked(tmp_path / "one", 1, damaged)
    found, decoders, told = looked(tmp_path / "many", num_eyes, damaged)
    assert len(found) == len(wanted) > 10
    for ours, theirs in zip(found, wanted, strict=True):
        for name, values in vars(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), values)
    decoded = sorted(number for decoder in decoders for number in decoder.decoded)
    assert decoded == [number for number in range(NUM) if number not in damaged], "each frame by one decoder"
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (NUM, NUM) and told[-2] == (NUM, NUM)


def test_a_resumed_video_is_shared_out_too(tmp_path):
    looked(tmp_path / "c", 1)
    _, decoders, told = looked(tmp_path / "c", 3, keep=(0, 1, 8))
    decoded = sorted(number for decoder in decoders for number in decoder.decoded)
    assert len(decoded) == len(set(decoded)) < NUM and told[-1] == (NUM, NUM)


def test_damage_is_counted_over_all_and_stops_all(tmp_path):
    with pytest.raises(CorruptVideoError, match="too damaged"):
        looked(tmp_path / "c", 4, damaged=range(10, 190, 3))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dft-")]
