from dataclasses import fields

import numpy as np
import pytest

from dft.analyze.chunks import Chunk
from dft.analyze.evidence import ChunkEvidence, EvidenceStore
from dft.configs.errors import EvidenceError, OutputError

RUNGS = ("nvdec", "cpu (tensorrt: größer ✓)", "")
EMBEDDER = ("dlib", "ab" * 32, "0.6", "")
CHUNKS = [Chunk(i, 10 * i, 10 * i + 10) for i in range(4)]


def evidence_of(chunk: Chunk, num_faces: int = 7, embedder=EMBEDDER) -> ChunkEvidence:
    random = np.random.default_rng(chunk.number)
    return ChunkEvidence(
        np.arange(chunk.first, chunk.end, dtype=np.int32),
        random.random((10, 2)).astype(np.float32),
        random.integers(0, 255, (2, 18, 32)).astype(np.uint8),
        random.integers(0, 255, (2, 18, 32)).astype(np.uint8),
        np.sort(random.integers(chunk.first, chunk.end, num_faces)).astype(np.int32),
        random.random((num_faces, 4)).astype(np.float32),
        random.random(num_faces).astype(np.float32),
        random.random((num_faces, 10)).astype(np.float32),
        random.integers(-1, 3, num_faces).astype(np.int32),
        random.random(num_faces).astype(np.float32),
        np.arange(0, num_faces, 3).astype(np.int32),
        random.random((len(range(0, num_faces, 3)), 128 if num_faces else 0)).astype(np.float32),
        random.random(len(range(0, num_faces, 3))).astype(np.float32),
        np.array(embedder),
        np.array(RUNGS),
    )


def assert_same(a, b):
    for item in fields(ChunkEvidence):
        one, other = getattr(a, item.name), getattr(b, item.name)
        assert one.dtype == other.dtype, item.name
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def store(tmp_path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "chunks", {"video": "ab", "size": 640})


@pytest.mark.parametrize("num_faces", [0, 7])
def test_round_trip(store, num_faces):
    evidence = evidence_of(CHUNKS[1], num_faces)
    store.save(CHUNKS[1], evidence)
    assert_same(store.load(CHUNKS[1]), evidence)
    assert store.load(CHUNKS[0]) is None


@pytest.mark.parametrize(
    ("embedder", "unit"),
    [
        (EMBEDDER, 0.6),
        (("dlib", "ab" * 32, "0.6", "the device is lost; restart"), 0.6),
        (("", "", "", ""), 1.0),
        (("", "", "", "no weights: größer ✓"), 1.0),
    ],
    ids=str,
)
def test_the_embedder_is_kept(store, embedder, unit):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0], embedder=embedder))
    loaded = store.load(CHUNKS[0])
    assert tuple(loaded.embedder.tolist()) == embedder and loaded.distance_unit == unit


def test_nothing_is_made_before_the_first_chunk(store, tmp_path):
    assert list(store.missing_runs(CHUNKS)) == [CHUNKS]
    assert list(tmp_path.iterdir()) == []


def test_missing_runs(store):
    for chunk in (CHUNKS[0], CHUNKS[2]):
        store.save(chunk, evidence_of(chunk))
    assert list(store.missing_runs(CHUNKS)) == [[CHUNKS[1]], [CHUNKS[3]]]
    store.save(CHUNKS[1], evidence_of(CHUNKS[1]))
    store.save(CHUNKS[3], evidence_of(CHUNKS[3]))
    assert list(store.missing_runs(CHUNKS)) == []


def test_finished_chunks_come_in_order_as_often_as_asked(store):
    for chunk in (CHUNKS[2], CHUNKS[0]):
        store.save(chunk, evidence_of(chunk))
    finished = store.finished(CHUNKS)
    for _ in range(2):
        assert [int(e.frame_index[0]) for e in finished] == [0, 20]


@pytest.mark.parametrize(("kept", "loads"), [(0, 12), (2, 8), (4, 4)], ids=str)
def test_chunks_that_fit_into_memory_are_read_once(store, monkeypatch, kept, loads):
    for chunk in CHUNKS:
        store.save(chunk, evidence_of(chunk))
    monkeypatch.setattr("dft.analyze.evidence.MAX_KEPT_BYTES", kept * evidence_of(CHUNKS[0]).num_bytes)
    read: list[Chunk] = []
    load = EvidenceStore.load
    monkeypatch.setattr(EvidenceStore, "load", lambda self, chunk: read.append(chunk) or load(self, chunk))
    finished = store.finished(CHUNKS)
    for _ in range(3):
        for chunk, evidence in zip(CHUNKS, finished, strict=True):
            assert_same(evidence, evidence_of(chunk))
    assert len(read) == loads


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -30], ids="{} bytes".format)
def test_a_damaged_chunk_is_missing(store, caplog, keep):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    (path,) = store.folder.glob("chunk-*")
    path.write_bytes(path.read_bytes()[:keep])
    assert store.load(CHUNKS[0]) is None
    assert "damaged" in caplog.text
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    assert store.load(CHUNKS[0]) is not None


def test_flipped_bytes_never_pass_unseen(store):
    """Whatever byte is flipped, the chunk is as it was or missing."""
    whole = evidence_of(CHUNKS[0])
    store.save(CHUNKS[0], whole)
    (path,) = store.folder.glob("chunk-*")
    content = path.read_bytes()
    for place in range(0, len(content), 131):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        loaded = store.load(CHUNKS[0])
        if loaded is not None:
            assert_same(loaded, whole)


def test_the_same_key_keeps_and_another_discards(store):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    again = EvidenceStore(store.folder, {"size": 640, "video": "ab"})
    assert again.load(CHUNKS[0]) is not None
    other = EvidenceStore(store.folder, {"size": 320, "video": "ab"})
    assert other.load(CHUNKS[0]) is None and not store.folder.exists()


def test_a_folder_without_key_is_discarded(store):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    (store.folder / "key.json").unlink()
    assert EvidenceStore(store.folder, {"video": "ab", "size": 640}).load(CHUNKS[0]) is None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        EvidenceStore(tmp_path / "file" / "chunks", {}).save(CHUNKS[0], evidence_of(CHUNKS[0]))


def test_remove(store):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    store.remove()
    store.remove()
    assert not store.folder.exists()


def test_kept_evidence_is_opened_whatever_it_depends_on(store):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    opened = EvidenceStore.opened(store.folder)
    assert_same(opened.load(CHUNKS[0]), evidence_of(CHUNKS[0]))
    assert EvidenceStore(store.folder, {"video": "ab", "size": 640}).load(CHUNKS[0]) is not None  # nothing was removed


def test_opening_what_is_not_there_makes_nothing(tmp_path):
    assert EvidenceStore.opened(tmp_path / "none").load(CHUNKS[0]) is None
    assert list(tmp_path.iterdir()) == []


def test_all_chunks_are_there(store):
    for chunk in CHUNKS:
        store.save(chunk, evidence_of(chunk))
    finished = store.finished(CHUNKS)
    assert finished.checked() is finished and len(list(finished)) == len(CHUNKS)


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK")], ids=["missing", "damaged"]
)
@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_chunk_that_is_not_there_whole_is_told(store, number, damage):
    for chunk in CHUNKS:
        store.save(chunk, evidence_of(chunk))
    damage(store.folder / f"chunk-{number:05d}.npz")
    with pytest.raises(EvidenceError, match=rf"not complete; got no sound chunk {number}; expected 4 chunks"):
        store.finished(CHUNKS).checked()


@pytest.mark.parametrize("name", ["stability", "embedded", "embeddings", "embedding_quality", "embedder", "rungs"])
def test_a_chunk_of_an_older_version_is_missing(store, name, caplog):
    store.save(CHUNKS[0], evidence_of(CHUNKS[0]))
    path = store.folder / "chunk-00000.npz"
    with np.load(path) as arrays:
        kept = {key: arrays[key] for key in arrays.files if key != name}
    np.savez(path, **kept)
    assert store.load(CHUNKS[0]) is None and "damaged" in caplog.text
