"""The flow of pass one over fakes: no codec, no model, exact truth."""

from pathlib import Path

import numpy as np
import pytest

from dft.analyze.chunks import plan_chunks
from dft.analyze.evidence import EvidenceStore
from dft.analyze.pipeline import Source, damage, decide, observe
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import CorruptVideoError, NoFaceError
from dft.configs.settings import build
from dft.engines.fake import FakeDecoder, FakeDetector, FakeFace, FakeImage, fake_info

NUM = 120
SETTINGS = build(AnalyzeSettings, {"chunk_seconds": 1.0})


def silent(done: int, total: int) -> None:
    pass


def two_people(num: int = NUM, cut: int | None = 60) -> list[FakeImage]:
    """A on the left, B on the right; another camera from ``cut`` on, where both lie 40 pixels lower."""
    images = []
    for number in range(num):
        low = 40.0 if cut is not None and number >= cut else 0.0
        a = FakeFace((100.0 + 0.2 * number, 80 + low, 180 + 0.2 * number, 180 + low), 0.9, 0)
        b = FakeFace((440.0, 90 + low, 520.0, 190 + low), 0.8, 1)
        images.append(FakeImage((a, b), luma=90 if low else 160))
    return images


def analysed(decoder: FakeDecoder, folder: Path, settings: AnalyzeSettings = SETTINGS):
    """Both stages: what was decided, and the evidence."""
    detector = FakeDetector()
    source = Source(decoder.info, decoder.index, "ab" * 32, detector.model)
    chunks = plan_chunks(decoder.index, decoder.info.time_base, settings.chunks.chunk_seconds)
    store = EvidenceStore(folder, source.evidence_key(settings))
    observe(decoder, detector, chunks, store, settings, silent)
    evidence = store.finished(chunks)
    return decide(source, evidence, settings), damage(source, evidence)


def test_two_people_across_a_cut(tmp_path):
    decision, notes = analysed(FakeDecoder(two_people(), keyframes=range(0, NUM, 5)), tmp_path / "c")
    table = decision.table.to_pydict()
    assert decision.persons == ("A", "B") and notes == []
    assert decision.table.num_rows == 2 * NUM
    assert [(shot.first_frame, shot.last_frame) for shot in decision.shots] == [(0, 59), (60, 119)]
    assert table["person"] == ["A", "B"] * NUM or sorted(table["person"]) == ["A"] * NUM + ["B"] * NUM
    by_person = {"A": "left", "B": "right"}
    assert all(side == by_person[person] for person, side in zip(table["person"], table["side"], strict=True))
    x1 = np.array(table["x1"])[[p == "A" for p in table["person"]]]
    np.testing.assert_allclose(x1, 100 + 0.2 * np.arange(NUM), atol=1e-3)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 60.0])
def test_the_chunk_length_does_not_change_the_result(tmp_path, seconds):
    settings = build(AnalyzeSettings, {"chunk_seconds": seconds})
    decoder = FakeDecoder(two_people(), keyframes=range(0, NUM, 5))
    whole, _ = analysed(FakeDecoder(two_people(), keyframes=range(0, NUM, 5)), tmp_path / "whole")
    decision, _ = analysed(decoder, tmp_path / "c", settings)
    columns = [name for name in whole.table.column_names if name != "track_id"]
    assert (
        decision.table.select(columns)
        .sort_by([("frame_index", "ascending"), ("x1", "ascending")])
        .equals(whole.table.select(columns).sort_by([("frame_index", "ascending"), ("x1", "ascending")]))
    )
    assert decision.shots == whole.shots


def test_each_frame_is_decoded_once(tmp_path):
    decoder = FakeDecoder(two_people(), keyframes=range(0, NUM, 5))
    analysed(decoder, tmp_path / "c")
    assert decoder.decoded == list(range(NUM))


def test_damaged_frames_are_counted_and_interpolated(tmp_path):
    damaged = [30, 31, 32, 100]
    decision, notes = analysed(
        FakeDecoder(two_people(), keyframes=range(0, NUM, 25), damaged=damaged), tmp_path / "c"
    )  # fmt: skip
    assert notes == [f"4 of {NUM} frames could not be decoded"]
    rows = decision.table.to_pylist()
    guessed = sorted({row["frame_index"] for row in rows if row["origin"] == "interpolated"})
    assert guessed == damaged and len(rows) == 2 * NUM


def test_a_chunk_of_which_nothing_can_be_decoded(tmp_path):
    settings = build(AnalyzeSettings, {"chunk_seconds": 1.0, "max_corrupt": 0.5})
    decoder = FakeDecoder(two_people(cut=None), keyframes=range(0, NUM, 25), damaged=range(25, 50))
    decision, notes = analysed(decoder, tmp_path / "c", settings)
    assert notes == [f"25 of {NUM} frames could not be decoded"]
    assert len(decision.shots) == 1 and decision.persons == ("A", "B")


def test_too_much_damage_is_too_much_however_often_one_tries(tmp_path):
    """The damage of chunks that an earlier run finished counts too."""
    for _ in range(3):
        decoder = FakeDecoder(two_people(), keyframes=range(0, NUM, 25), damaged=range(0, NUM, 3))
        with pytest.raises(CorruptVideoError, match=r"fake\.mp4 is too damaged"):
            analysed(decoder, tmp_path / "c")


def test_nobody(tmp_path):
    with pytest.raises(NoFaceError, match="no detection in 50 frames"):
        analysed(FakeDecoder([FakeImage()] * 50), tmp_path / "c")


def test_a_glimpse_is_nobody(tmp_path):
    images = [*two_people(5), *[FakeImage(luma=160)] * 60]
    with pytest.raises(NoFaceError, match="10 detections in 65 frames"):
        analysed(FakeDecoder(images), tmp_path / "c")


def test_variable_rate_and_an_offset(tmp_path):
    pts = 5000 + np.cumsum(np.random.default_rng(0).choice([17, 33, 41, 120], NUM))
    decision, _ = analysed(FakeDecoder(two_people(), pts=pts, keyframes=range(0, NUM, 5)), tmp_path / "c")
    assert sorted(set(decision.table["pts"].to_pylist())) == pts.tolist()
    assert [shot.first_pts for shot in decision.shots] == [pts[0], pts[60]]


def test_a_bystander_has_no_person_and_no_side(tmp_path):
    images = [FakeImage((*image.faces, FakeFace((290.0, 60, 322, 100), 0.85, 2)), image.luma) for image in two_people()]
    decision, _ = analysed(FakeDecoder(images, info=fake_info()), tmp_path / "c")
    others = [row for row in decision.table.to_pylist() if row["person"] is None]
    assert len(others) == NUM and {row["side"] for row in others} == {None}
    assert {row["x1"] for row in others} == {290.0}
