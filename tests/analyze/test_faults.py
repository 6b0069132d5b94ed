"""What pass one answers to faults on the way: full memory, a decoder or an embedder that gives up."""

import gc
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

import av
import numpy as np
import pytest

from dft.analyze import stage_one
from dft.analyze.chunks import plan_chunks
from dft.analyze.evidence import EvidenceStore
from dft.analyze.pipeline import analyze
from dft.analyze.report import recoveries_in
from dft.analyze.stage_one import Eyes, observe, open_eyes
from dft.analyze.tracking.closer import SecondDetector
from dft.analyze.tracking.reid import FaceEmbedder
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import EngineError, MemoryFullError
from dft.configs.recovery import Recovery
from dft.configs.settings import build
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cpu.detect import YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.devices import DeviceChoice
from dft.engines.fake import FakeDecoder, FakeDetector, FakeEmbedder, FakeFace, FakeImage
from dft.engines.protocols import Setback
from dft.trackio.files import read_tracks

NUM, SIZE = 60, (320, 180)


def settings(**values):
    return build(AnalyzeSettings, {"chunk_seconds": 0.5, "threads": 1, "workers": 1, **values})


@pytest.fixture(scope="module")
def video(talk, media, tmp_path_factory):
    """The beginning of the talk, small: a cut after 50 frames, a keyframe every 10."""
    with av.open(str(talk.video)) as source:
        frames = islice(source.decode(video=0), NUM)
        pictures = [frame.reformat(*SIZE, format="rgb24").to_ndarray() for frame in frames]
    recipe = media.recipe(num_frames=NUM, size=SIZE, options=media.x264(10, 2))
    return media.write(tmp_path_factory.mktemp("faults") / "v.mp4", recipe, pictures.__getitem__)


@pytest.fixture(scope="module")
def undisturbed(video, tmp_path_factory):
    """The track file of an analysis that nothing disturbs."""
    output = tmp_path_factory.mktemp("undisturbed") / "v.tracks.parquet"
    assert analyze(video, output, settings=settings()).recovered == ()
    made = read_tracks(output)
    assert made.metadata.persons == ("A", "B")
    return made


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_size_of_batches_changes_nothing(video, undisturbed, tmp_path, batch_size):
    analyze(video, tmp_path / "t.parquet", settings=settings(batch_size=batch_size))
    assert read_tracks(tmp_path / "t.parquet").table.equals(undisturbed.table)


class Runtime:
    """A session of ONNX Runtime that has room for small batches only; or none, at certain calls."""

    def __init__(self, session, room=None, calls=()):
        self._session, self._room, self._calls, self.num_calls = session, room, calls, 0

    def run(self, outputs, inputs):
        self.num_calls += 1
        (tensor,) = inputs.values()
        if (self._room is not None and len(tensor) > self._room) or self.num_calls in self._calls:
            raise RuntimeError(f"Failed to allocate memory for requested buffer of size {tensor.nbytes}")
        return self._session.run(outputs, inputs)


@pytest.fixture
def short_of_memory(monkeypatch):
    """Has what a backend opens run in a ``Runtime``."""

    def limit(backend, **limits):
        real = backend.__init__

        def opened(self, *arguments, **options):
            real(self, *arguments, **options)
            self._session = Runtime(self._session, **limits)

        monkeypatch.setattr(backend, "__init__", opened)

    return limit


def test_memory_that_is_full_is_answered_by_smaller_batches(video, undisturbed, tmp_path, short_of_memory, caplog):
    short_of_memory(YuNetDetector, room=2)
    told = []
    report = analyze(
        video, tmp_path / "t.parquet", settings=settings(batch_size=8), progress=lambda *step: told.append(step)
    )
    made = read_tracks(tmp_path / "t.parquet")
    assert made.table.equals(undisturbed.table)
    assert [recovery.answer for recovery in report.recovered] == [
        "went on from frame 0, batches of 5 for 8", "went on from frame 0, batches of 3 for 5",
        "went on from frame 0, batches of 2 for 3",
    ]  # fmt: skip
    assert all("face detection failed: Failed to allocate" in recovery.cause for recovery in report.recovered)
    assert made.metadata.notes == report.notes == tuple(recovery.note for recovery in report.recovered)
    assert all(note in caplog.text for note in report.notes)
    assert told == [(done, NUM) for done in range(1, NUM + 1)] + [(NUM, NUM)], "each frame is counted once"


def test_it_goes_on_after_the_last_chunk_that_was_kept(video, undisturbed, tmp_path, short_of_memory, monkeypatch):
    short_of_memory(YuNetDetector, calls={9})
    spans, frames = [], PyAvDecoder.frames
    monkeypatch.setattr(PyAvDecoder, "frames", lambda self, *span: spans.append(span) or frames(self, *span))
    report = analyze(video, tmp_path / "t.parquet", settings=settings())
    (recovery,) = report.recovered
    (first, again) = (span[0] for span in spans)
    assert first == 0 and again in (20, 40) and f"from frame {again}, batches of 2 for 4" in recovery.answer
    assert read_tracks(tmp_path / "t.parquet").table.equals(undisturbed.table)


@pytest.mark.parametrize("backend", [YuNetDetector, OnnxEmbedder])
def test_after_three_answers_the_video_fails_and_what_was_kept_stays(
    video, undisturbed, tmp_path, short_of_memory, monkeypatch, backend
):  # fmt: skip
    with monkeypatch.context() as during:
        real = backend.__init__
        short_of_memory(backend, calls=range(8 if backend is YuNetDetector else 1, 1000))
        with pytest.raises(MemoryFullError, match=r"was so again after 3 tries .* got .* to allocate .*; run fewer"):
            analyze(video, tmp_path / "t.parquet", settings=settings())
        during.setattr(backend, "__init__", real)
        report = analyze(video, tmp_path / "t.parquet", settings=settings())
    assert (report.resumed_frames > 0) == (backend is YuNetDetector) and report.recovered == ()
    assert read_tracks(tmp_path / "t.parquet").table.equals(undisturbed.table)


def test_an_embedder_without_memory_is_asked_again(video, undisturbed, tmp_path, short_of_memory):
    """Only what fails for good leaves people to be told apart by places alone."""
    short_of_memory(OnnxEmbedder, calls={2})
    report = analyze(video, tmp_path / "t.parquet", settings=settings())
    assert read_tracks(tmp_path / "t.parquet").table.equals(undisturbed.table)
    (recovery,) = report.recovered
    assert recovery.cause.startswith("face embedding failed: Failed to allocate") and "batches of 2" in recovery.answer


def test_an_embedder_that_fails_otherwise_is_a_fault_that_was_answered(video, tmp_path, monkeypatch):
    def fail(self, chips):
        raise EngineError("face embedding failed", got="a cosmic ray")

    monkeypatch.setattr(OnnxEmbedder, "embed", fail)
    report = analyze(video, tmp_path / "t.parquet", settings=settings())
    cause, answer = "face embedding failed; got a cosmic ray", "told people apart by places and motion alone"
    assert report.recovered == (Recovery(cause, answer),) and cause in report.notes[0]


INJECTED = """
from dft.engines.cpu import detect

real = detect.YuNetDetector.detect

def with_little_room(self, batch):
    if len(batch) > 2:
        raise MemoryError("Unable to allocate 2.62 MiB for an array")
    return real(self, batch)

detect.YuNetDetector.detect = with_little_room
"""


def test_every_process_answers_for_itself(video, undisturbed, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(INJECTED)  # Python imports it first, in every process
    monkeypatch.syspath_prepend(tmp_path)
    told = []
    report = analyze(
        video, tmp_path / "t.parquet", settings=settings(workers=2), progress=lambda *step: told.append(step)
    )
    assert read_tracks(tmp_path / "t.parquet").table.equals(undisturbed.table)
    assert len(report.recovered) == 2 and told[-1] == (NUM, NUM)
    assert all("batches of 2 for 4" in recovery.answer for recovery in report.recovered)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


class Halting(PyAvDecoder):
    """Plays a GPU's decoder that gave up at frame 30, and was followed by another until frame 40."""

    setbacks = (Setback(30, Recovery("nvdec gave up at frame 30: error 700", "decoded by rung cpu up to frame 40")),)


def test_a_decoder_that_gave_up_is_told_in_the_track_file(video, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("dft.analyze.pipeline.open_decoder", lambda path, device, threads, **more: Halting(path))
    report = analyze(video, tmp_path / "t.parquet", settings=settings())
    made = read_tracks(tmp_path / "t.parquet")
    assert report.recovered == (Halting.setbacks[0].recovery,)
    assert made.metadata.notes == ("nvdec gave up at frame 30: error 700: decoded by rung cpu up to frame 40",)
    assert made.table.equals(undisturbed.table)


def test_the_seams_are_where_chunks_begin(video, tmp_path, monkeypatch):
    seen = []

    def opened(path, device, threads, *, index, seams):
        seen.append(seams)
        return PyAvDecoder(path, threads, index=index)

    monkeypatch.setattr("dft.analyze.pipeline.open_decoder", opened)
    analyze(video, tmp_path / "t.parquet", settings=settings())
    assert seen == [(0, 20, 40)]


# The way from a GPU to the CPU: fakes play both.

CUDA = DeviceChoice("cuda", "there is a GPU")


class FullDetector(FakeDetector):
    """Of a GPU that has no memory left from the given picture on."""

    def __init__(self, last):
        super().__init__()
        self.left, self.num_closed = last, 0

    def close(self):
        self.num_closed += 1

    def detect(self, batch):
        self.left -= len(batch)
        if self.left < 0:
            raise MemoryFullError("face detection failed on the GPU", got="out of memory", hint="run fewer videos")
        return super().detect(batch)


class Machine:
    """Opens fakes on a GPU and on the CPU, and keeps what it has opened, by device."""

    def __init__(self, monkeypatch, last=25):
        self.last, self.detectors, self.decoders = last, {}, {}
        for name in ("decoder", "detector", "embedder"):
            monkeypatch.setattr(stage_one, f"open_{name}", getattr(self, f"open_{name}"))

    def open_decoder(self, path, device, threads=None, *, index=None):
        images = [FakeImage((FakeFace((100 + n, 80, 180 + n, 180)),), luma=90 + n % 40) for n in range(NUM)]
        self.decoders[device.kind] = FakeDecoder(images, keyframes=range(0, NUM, 10))
        return self.decoders[device.kind]

    def open_detector(self, model, device, **form):
        if self.last is None and device.kind == "cuda":
            raise MemoryFullError("no memory on the GPU for a batch of 8", got="out of memory")
        made = FullDetector(self.last) if device.kind == "cuda" else FakeDetector()
        self.detectors.setdefault(device.kind, made)
        return made

    def open_embedder(self, model, device, threads):
        return FakeEmbedder()

    def look(self, folder, opened, **values):
        chosen = build(AnalyzeSettings, {"closer_size": 0, **values})
        eyes = open_eyes(self.open_decoder(None, CUDA), CUDA, chosen, opened)
        chunks = plan_chunks(eyes.decoder.index, eyes.decoder.info.time_base, 0.4)
        store, told = EvidenceStore(folder, {"test": 1}), []
        observe([eyes], chunks, store, chosen, lambda *step: told.append(step))
        assert told == [(done, NUM) for done in range(1, NUM + 1)] + [(NUM, NUM)]
        return list(store.finished(chunks).checked())


@pytest.fixture
def opened():
    with ExitStack() as stack:
        yield stack


def same(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        for name, values in vars(replace(ours, rungs=theirs.rungs, recoveries=theirs.recoveries)).items():
            np.testing.assert_array_equal(values, getattr(theirs, name))
    return True


def test_a_gpu_that_stays_full_is_left_for_the_cpu(tmp_path, monkeypatch, opened):
    wanted = Machine(monkeypatch, last=10**6).look(tmp_path / "wanted", opened)
    machine = Machine(monkeypatch)
    found = machine.look(tmp_path / "found", opened)
    assert same(found, wanted)
    recoveries = recoveries_in(NUM, found)
    assert [recovery.answer for recovery in recoveries] == [
        "went on from frame 20, batches of 2 for 4", "went on from frame 20, batches of 1 for 2",
        "went on from frame 20, batches of 1 for 1", "went on from frame 20 on the CPU",
    ]  # fmt: skip
    assert {recovery.cause for recovery in recoveries} == {"face detection failed on the GPU: out of memory"}
    assert [len(evidence.recoveries) for evidence in found] == [0, 0, 4, 0, 0, 0]
    assert machine.detectors["cuda"].num_closed > 0 and machine.decoders["cuda"].num_closed > 0
    assert machine.decoders["cpu"].decoded == list(range(20, NUM))


def test_a_gpu_that_was_asked_for_is_not_left(tmp_path, monkeypatch, opened):
    machine = Machine(monkeypatch)
    with pytest.raises(MemoryFullError, match="again after 3 tries"):
        machine.look(tmp_path, opened, device="cuda")
    assert "cpu" not in machine.decoders


def test_a_gpu_that_is_full_from_the_start(tmp_path, monkeypatch, opened):
    machine = Machine(monkeypatch, last=None)
    (recovery,) = recoveries_in(NUM, machine.look(tmp_path, opened))
    assert "no memory on the GPU for a batch" in recovery.cause and recovery.answer.startswith("looked on the CPU")
    with pytest.raises(MemoryFullError, match="no memory on the GPU for a batch"):
        Machine(monkeypatch, last=None).look(tmp_path, opened, device="cuda")


def test_pictures_are_let_go_before_the_next_try(tmp_path):
    """Even those that the error's own traceback holds."""
    alive = []

    class Picture(FakeImage):
        def __init__(self, *more):
            super().__init__(*more)
            alive.append(self.luma)

        def __del__(self):
            alive.remove(self.luma)

    class Making(FakeDecoder):
        def frames(self, first=0, end=None):
            still.append(len(alive))
            for frame in super().frames(first, end):
                yield replace(frame, image=Picture((), frame.frame_index))

    class Detector(FakeDetector):
        num_tries = 0

        def detect(self, batch):
            self.num_tries += 1
            if self.num_tries == 6:
                raise MemoryFullError("it failed", got="out of memory")
            return super().detect(batch)

    still, chosen = [], build(AnalyzeSettings, {})
    decoder = Making([FakeImage()] * NUM, keyframes=range(0, NUM, 10))
    eyes = Eyes(decoder, Detector(), SecondDetector(None), FaceEmbedder(FakeEmbedder))
    chunks = plan_chunks(decoder.index, decoder.info.time_base, 0.4)
    gc.disable()
    try:
        observe([eyes], chunks, EvidenceStore(tmp_path, {"test": 1}), chosen, lambda *_: None)
    finally:
        gc.enable()
    assert still == [0, 0]
