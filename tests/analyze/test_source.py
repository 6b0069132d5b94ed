import json
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dft.analyze.chunks import Chunk
from dft.analyze.source import FILE, Source
from dft.configs.analysis import STAGE_TWO, AnalyzeSettings
from dft.configs.errors import EvidenceError, OutputError
from dft.configs.settings import all_settings, build
from dft.engines.devices import DeviceChoice
from dft.engines.fake import FakeDecoder, FakeDetector, FakeImage
from dft.engines.protocols import FrameIndex

INDEX = FrameIndex(
    np.array([500, 533, 600, 640], np.int64), np.array([True, False, True, False]), 680, seekable=False,
    ended_early="the file ends after 0.1 s of 9 s",
)  # fmt: skip
SOURCE = Source(
    Path("in einer Mappe/größer.mp4"), 720, 1280, 90, Fraction(1, 1000), Fraction(30000, 1001), INDEX, "ab" * 32,
    ("yunet", "cd" * 32), DeviceChoice("cpu", "no GPU"),
)  # fmt: skip
CHUNKS = [Chunk(0, 0, 2), Chunk(1, 2, 4)]


def assert_same(one: Source, other: Source) -> None:
    for item in fields(Source):
        if item.name != "index":
            assert getattr(one, item.name) == getattr(other, item.name), item.name
    for item in fields(FrameIndex):
        np.testing.assert_array_equal(getattr(one.index, item.name), getattr(other.index, item.name))
    assert one.index.pts.dtype == other.index.pts.dtype and one.index.keyframe.dtype == other.index.keyframe.dtype


@pytest.mark.parametrize(
    "index",
    [INDEX, replace(INDEX, ended_early=None, seekable=True), replace(INDEX, packet_pts=INDEX.pts[::-1].copy())],
    ids=["short", "whole", "without times"],
)
def test_round_trip(tmp_path, index):
    source = replace(SOURCE, index=index)
    source.save(tmp_path, CHUNKS)
    loaded, chunks = Source.load(tmp_path)
    assert_same(loaded, source)
    assert chunks == CHUNKS


def test_saving_again_replaces(tmp_path):
    SOURCE.save(tmp_path, CHUNKS)
    replace(SOURCE, width=99).save(tmp_path, CHUNKS[:1])
    loaded, chunks = Source.load(tmp_path)
    assert loaded.width == 99 and chunks == CHUNKS[:1]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_the_engines_know():
    decoder, detector = FakeDecoder([FakeImage()] * 3, pts=[100, 150, 300]), FakeDetector()
    source = Source.of(decoder.info, decoder.index, "ab", detector.model, SOURCE.device)
    assert (source.width, source.height, source.detector) == (640, 360, ("fake", "0" * 64))
    np.testing.assert_allclose(source.times_seconds(), [0, 0.05, 0.2])


@pytest.mark.parametrize("folder", ["", "none"], ids=["an empty folder", "no folder"])
def test_no_evidence(tmp_path, folder):
    with pytest.raises(EvidenceError, match=r"there is no evidence in .*--keep-evidence"):
        Source.load(tmp_path / folder)


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -30], ids="{} bytes".format)
def test_damaged(tmp_path, keep):
    SOURCE.save(tmp_path, CHUNKS)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EvidenceError, match="is damaged"):
        Source.load(tmp_path)


def test_flipped_bytes_never_pass_unseen(tmp_path):
    SOURCE.save(tmp_path, CHUNKS)
    path = tmp_path / FILE
    content = path.read_bytes()
    for place in range(0, len(content), 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            loaded, chunks = Source.load(tmp_path)
        except EvidenceError:
            continue
        assert_same(loaded, SOURCE)
        assert chunks == CHUNKS


@pytest.mark.parametrize("name", ["path", "detector", "device", "fps", "time_base", "seekable"])
def test_facts_that_are_missing(tmp_path, name):
    """As of another version, or of another tool."""
    SOURCE.save(tmp_path, CHUNKS)
    with np.load(tmp_path / FILE) as arrays:
        kept = {key: arrays[key] for key in arrays.files}
    facts = json.loads(str(kept["facts"]))
    del facts[name]
    np.savez(tmp_path / FILE, **{**kept, "facts": np.array(json.dumps(facts))})
    with pytest.raises(EvidenceError, match="is damaged"):
        Source.load(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        SOURCE.save(tmp_path / "file", CHUNKS)


ELSEWHERE = {"device", "threads", "workers"}  # where the work runs changes nothing that is seen


@pytest.mark.parametrize("name", sorted(set(all_settings(AnalyzeSettings)) - ELSEWHERE))
def test_evidence_depends_on_what_stage_one_looks_at(name):
    """On nothing that stage 2 alone looks at, except the number of people, which tells when to look closer."""
    known = all_settings(AnalyzeSettings)[name]
    if known.choices:
        other = next(choice for choice in known.choices if choice != known.default)
    else:
        other = "other" if known.type is str else known.type((known.default or 4) / 2)
    keys = [SOURCE.evidence_key(build(AnalyzeSettings, values)) for values in ({}, {name: other})]
    assert (keys[0] == keys[1]) == (name in STAGE_TWO and name != "people")


def test_evidence_depends_on_the_video_and_the_model():
    key = SOURCE.evidence_key(AnalyzeSettings())
    assert key != replace(SOURCE, sha256="ef" * 32).evidence_key(AnalyzeSettings())
    assert key != replace(SOURCE, detector=("yunet", "ef" * 32)).evidence_key(AnalyzeSettings())
    assert key == replace(SOURCE, path=Path("moved.mp4")).evidence_key(AnalyzeSettings())
    json.dumps(key)
