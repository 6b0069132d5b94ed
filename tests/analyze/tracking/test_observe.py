"""The flow of pass one over fakes: no codec, no model, exact truth."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dft.analyze.chunks import plan_chunks
from dft.analyze.evidence import EvidenceStore, FinishedChunks
from dft.analyze.report import notes_on
from dft.analyze.source import Source
from dft.analyze.stage_one import Eyes, observe
from dft.analyze.stage_two import decide
from dft.analyze.tracking.closer import SecondDetector
from dft.analyze.tracking.reid import FaceEmbedder
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import CorruptVideoError, EngineError, ModelError, NoFaceError
from dft.configs.settings import build
from dft.engines.devices import DeviceChoice
from dft.engines.fake import FakeDecoder, FakeDetector, FakeEmbedder, FakeFace, FakeImage, fake_info

NUM = 120
SETTINGS = build(AnalyzeSettings, {"chunk_seconds": 1.0})


def silent(done: int, total: int) -> None:
    pass


def two_people(num: int = NUM, cut: int | None = 60, *, change_places: bool = False) -> list[FakeImage]:
    """A on the left, B on the right; another camera from ``cut`` on, where both lie 40 pixels lower.

    With ``change_places`` B is on the left and A on the right there.
    """
    images = []
    for number in range(num):
        low = 40.0 if cut is not None and number >= cut else 0.0
        left, right = (1, 0) if low and change_places else (0, 1)
        a = FakeFace((100.0 + 0.2 * number, 80 + low, 180 + 0.2 * number, 180 + low), 0.9, left)
        b = FakeFace((440.0, 90 + low, 520.0, 190 + low), 0.8, right)
        images.append(FakeImage((a, b), luma=90 if low else 160))
    return images


class FailingEmbedder(FakeEmbedder):
    """Fails from a batch on."""

    def __init__(self, batches: int):
        super().__init__()
        self._left = batches

    def embed(self, chips):
        self._left -= 1
        if self._left < 0:
            raise EngineError("the device is lost", hint="restart")
        return super().embed(chips)


def observed(
    decoder: FakeDecoder,
    folder: Path,
    settings: AnalyzeSettings = SETTINGS,
    open_embedder: Callable[[], FakeEmbedder] = FakeEmbedder,
    second: SecondDetector | None = None,
) -> tuple[Source, FinishedChunks]:
    """Stage 1: the video, and the evidence."""
    detector, second = FakeDetector(), second or SecondDetector(None)
    source = Source.of(decoder.info, decoder.index, "ab" * 32, detector.model, DeviceChoice("cpu", "asked for"))
    chunks = plan_chunks(decoder.index, decoder.info.time_base, settings.chunks.chunk_seconds)
    store = EvidenceStore(folder, source.evidence_key(settings))
    observe([Eyes(decoder, detector, second, FaceEmbedder(open_embedder))], chunks, store, settings, silent)
    return source, store.finished(chunks)


def analysed(decoder: FakeDecoder, folder: Path, settings: AnalyzeSettings = SETTINGS, **eyes):
    """Both stages: what was decided, and what a user should know."""
    source, evidence = observed(decoder, folder, settings, **eyes)
    return decide(source, evidence, settings), notes_on(source, evidence)


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


@pytest.mark.parametrize("change_places", [False, True], ids=["same places", "other places"])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 60.0])
def test_the_chunk_length_does_not_change_the_result(tmp_path, seconds, change_places):
    settings, images = build(AnalyzeSettings, {"chunk_seconds": seconds}), two_people(change_places=change_places)
    decoder = FakeDecoder(images, keyframes=range(0, NUM, 5))
    whole, _ = analysed(FakeDecoder(images, keyframes=range(0, NUM, 5)), tmp_path / "whole")
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


def identities_of(source: Source, evidence: FinishedChunks, images: list[FakeImage]) -> list[tuple[int, int]]:
    """Frame and identity of each embedded face, by its vector; checked against who is seen there."""
    found = []
    for chunk in evidence:
        assert (np.diff(chunk.embedded) > 0).all()
        for row, vector in zip(chunk.embedded, chunk.embeddings, strict=True):
            frame, identity = int(chunk.detection_frame[row]), int(vector.argmax())
            (true,) = [f.identity for f in images[frame].faces if np.allclose(f.box_xyxy, chunk.boxes_xyxy[row])]
            assert identity == true
            found.append((frame, identity))
    return found


@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_faces_on_both_sides_of_a_cut_are_embedded(tmp_path, seconds):
    images, settings = two_people(change_places=True), build(AnalyzeSettings, {"chunk_seconds": seconds})
    source, evidence = observed(FakeDecoder(images, keyframes=range(0, NUM, 5)), tmp_path / "c", settings)
    found = identities_of(source, evidence, images)
    for person in (0, 1):
        assert any(33 <= frame < 60 for frame, identity in found if identity == person)
        assert any(60 <= frame < 66 for frame, identity in found if identity == person)
    assert len(found) < 0.25 * 2 * NUM
    for chunk in evidence:
        assert chunk.embedder.tolist() == ["fake", "0" * 64, "1.0", ""] and chunk.distance_unit == 1


def test_persons_keep_who_they_are_when_they_change_places(tmp_path):
    images = two_people(change_places=True)
    decision, notes = analysed(FakeDecoder(images, keyframes=range(0, NUM, 25)), tmp_path / "c")
    assert notes == [] and decision.persons == ("A", "B")
    for row in decision.table.to_pylist():
        own = [f.identity for f in images[row["frame_index"]].faces if abs(f.box_xyxy[0] - row["x1"]) < 1]
        assert [row["person"]] == ["AB"[identity] for identity in own]


def test_a_cut_to_a_similar_picture_is_doubted(tmp_path):
    """The picture changes less than at a cut: tracklets go on, but faces on both sides are embedded."""
    images = [FakeImage(image.faces, luma=100 if number < 60 else 105) for number, image in enumerate(two_people())]
    settings = build(AnalyzeSettings, {"chunk_seconds": 60.0})
    source, evidence = observed(FakeDecoder(images), tmp_path / "c", settings)
    (chunk,) = evidence
    assert chunk.luma_change[60, 0] == 5 < settings.shots.cut_level
    frames = sorted({frame for frame, _ in identities_of(source, evidence, images)})
    assert any(33 <= frame < 60 for frame in frames) and any(60 <= frame < 66 for frame in frames)
    quiet = observed(FakeDecoder(two_people(cut=None)), tmp_path / "quiet", settings)
    quiet_frames = {frame for frame, _ in identities_of(*quiet, two_people(cut=None))}
    assert not any(33 <= frame < 66 for frame in quiet_frames)


@pytest.mark.parametrize(("mode", "num"), [("off", 0), ("always", 2 * NUM)])
def test_modes(tmp_path, mode, num):
    settings = build(AnalyzeSettings, {"reid": mode})
    _, evidence = observed(FakeDecoder(two_people()), tmp_path / "c", settings)
    assert sum(len(chunk.embedded) for chunk in evidence) == num
    assert {chunk.embedder[0] for chunk in evidence} == {"fake" if num else ""}


def test_nobody_needs_no_embedder(tmp_path):
    def never_opened() -> FakeEmbedder:
        raise AssertionError("opened without need")

    observed(FakeDecoder([FakeImage()] * 50), tmp_path / "c", open_embedder=never_opened)
    observed(FakeDecoder(two_people()), tmp_path / "off", build(AnalyzeSettings, {"reid": "off"}), never_opened)


def test_an_embedder_that_cannot_be_opened(tmp_path):
    def missing() -> FakeEmbedder:
        raise ModelError("no weights", hint="install them")

    decision, notes = analysed(FakeDecoder(two_people()), tmp_path / "c", open_embedder=missing)
    assert notes == ["faces could not be told apart, only places and motion: no weights; install them"]
    assert decision.persons == ("A", "B") and decision.table.num_rows == 2 * NUM


def test_an_embedder_that_fails_midway(tmp_path):
    settings = build(AnalyzeSettings, {"chunk_seconds": 1.0})
    source, evidence = observed(
        FakeDecoder(two_people(), keyframes=range(0, NUM, 25)), tmp_path / "c", settings, lambda: FailingEmbedder(2)
    )
    chunks = list(evidence)
    assert [len(chunk.embedded) > 0 for chunk in chunks] == [True, True, False, False, False]
    assert [str(chunk.embedder[3]) for chunk in chunks] == ["", "", *["the device is lost; restart"] * 3]
    assert {str(chunk.embedder[0]) for chunk in chunks} == {"fake"}
    (note,) = notes_on(source, evidence)
    assert note.startswith("from some point on, faces could not be told apart") and "the device is lost" in note
    assert decide(source, evidence, settings).persons == ("A", "B")


def test_a_resumed_analysis_keeps_what_it_had(tmp_path):
    """The embedder fails, then the analysis is killed; the next run goes on with an embedder that works."""
    images = two_people()
    observed(FakeDecoder(images, keyframes=range(0, NUM, 25)), tmp_path / "c", open_embedder=lambda: FailingEmbedder(1))
    for number in (3, 4):
        (tmp_path / "c" / f"chunk-{number:05d}.npz").unlink()
    decoder = FakeDecoder(images, keyframes=range(0, NUM, 25))
    source, evidence = observed(decoder, tmp_path / "c")
    assert decoder.decoded == list(range(75, NUM))
    chunks = list(evidence)
    assert [len(chunk.embedded) > 0 for chunk in chunks] == [True, False, False, True, True]
    assert [str(chunk.embedder[3]) for chunk in chunks] == ["", *["the device is lost; restart"] * 2, "", ""]
    assert "from some point on" in notes_on(source, evidence)[0]


def test_a_second_run_finds_the_same(tmp_path):
    first, second = (
        analysed(FakeDecoder(two_people(change_places=True), keyframes=range(0, NUM, 25)), tmp_path / "c")[0]
        for _ in range(2)
    )
    assert first.table.equals(second.table) and first.suspects == second.suspects and first.tracks == second.tracks


def test_chunks_say_how_sure_each_detection_is(tmp_path):
    images = [FakeImage((FakeFace((100, 80, 180, 180), 0.9 if i < 25 else 0.5),)) for i in range(50)]
    (chunk,) = observed(FakeDecoder(images), tmp_path / "c", build(AnalyzeSettings, {"chunk_seconds": 60.0}))[1]
    assert chunk.stability.dtype == np.float32 and (chunk.stability[:25] == 1).all()
    assert (np.diff(chunk.stability[24:]) < 0).all() and chunk.stability[-1] == pytest.approx(np.exp(-1), abs=1e-3)


def test_small_faces_are_looked_at_more_closely(tmp_path):
    class Sharper(FakeDetector):
        def detect(self, batch):
            return super().detect([FakeImage(tuple(FakeFace(f.box_xyxy, 0.95) for f in i.faces)) for i in batch])

    images = [FakeImage((FakeFace((100, 80, 116, 100), 0.5),)) for _ in range(50)]
    sharper = SecondDetector(Sharper)
    (first, second) = observed(FakeDecoder(images, keyframes=[25]), tmp_path / "c", second=sharper)[1]
    assert sharper.num_frames == 50
    for chunk in (first, second):
        assert (chunk.scores == np.float32(0.95)).all() and (chunk.tracklet == 0).all()
