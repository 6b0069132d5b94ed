"""What stage 1 keeps of a chunk, and the folder of finished chunks from which a killed analysis goes on."""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..configs.errors import EvidenceError
from ..trackio.atomic import atomic_output, translate_os_error
from .chunks import Chunk

log = logging.getLogger(__name__)

KEY_FILE = "key.json"
MAX_KEPT_BYTES = 256_000_000  # of evidence in memory; two hours with two people are 60 MB


@dataclass(frozen=True)
class ChunkEvidence:
    """Everything that stage 2 needs of one chunk, F decoded frames with D detections, E of which were embedded.

    Attributes:
        frame_index: ``(F,)`` int32, ascending.
        luma_change: ``(F, 2)`` float32 mean luma change against the frame before and the one before that, grey levels;
            NaN where that frame lies in the chunk before.
        head_thumbnails: ``(<=2, 18, 32)`` uint8 of the first two frames, to compare with the chunk before.
        tail_thumbnails: ``(<=2, 18, 32)`` uint8 of the last two frames.
        detection_frame: ``(D,)`` int32 frame index of each detection, ascending.
        boxes_xyxy: ``(D, 4)`` float32 displayed pixels.
        scores: ``(D,)`` float32.
        landmarks: ``(D, 10)`` float32 displayed pixels.
        tracklet: ``(D,)`` int32 tracklet within the chunk, -1 where none was continued or begun.
        stability: ``(D,)`` float32 share of the tracklet's last second in which it was seen with confidence.
        embedded: ``(E,)`` int32 positions among the detections, ascending.
        embeddings: ``(E, dimension)`` float32.
        embedding_quality: ``(E,)`` float32, 0..1.
        embedder: ``(4,)`` text: name, SHA-256, distance below which two faces are one person, and why the embedder
            failed; empty where it was not needed, or did not fail.
        rungs: ``(3,)`` text: on which ways frames were decoded, faces found and faces embedded, and why not on better
            ones; empty where it was not needed.
        recoveries: ``(K, 2)`` text: what went wrong, and what was done about it.
    """

    frame_index: NDArray[np.int32]
    luma_change: NDArray[np.float32]
    head_thumbnails: NDArray[np.uint8]
    tail_thumbnails: NDArray[np.uint8]
    detection_frame: NDArray[np.int32]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    tracklet: NDArray[np.int32]
    stability: NDArray[np.float32]
    embedded: NDArray[np.int32]
    embeddings: NDArray[np.float32]
    embedding_quality: NDArray[np.float32]
    embedder: NDArray[np.str_]
    rungs: NDArray[np.str_]
    recoveries: NDArray[np.str_] = field(default_factory=lambda: np.zeros((0, 2), "<U1"))

    @property
    def num_bytes(self) -> int:
        """Of all arrays."""
        return sum(getattr(self, item.name).nbytes for item in fields(self))

    @property
    def distance_unit(self) -> float:
        """The embedder's same-person distance; 1 where nothing was embedded."""
        return float(self.embedder[2] or 1.0)


class EvidenceStore:
    """Finished chunks on disk.

    Args:
        folder: Made when the first chunk is saved.
        key: What the evidence depends on (video, models, settings); chunks of another key are thrown away.
    """

    def __init__(self, folder: Path, key: dict[str, Any]):
        self.folder = folder
        self._key: str | None = json.dumps(key, sort_keys=True)
        if folder.exists() and self._stored_key() != self._key:
            log.info("evidence in %s is of another video or other settings: starting anew", folder)
            self.remove()

    @classmethod
    def opened(cls, folder: Path) -> "EvidenceStore":
        """Evidence that was kept, whatever it depends on."""
        store = cls.__new__(cls)
        store.folder = folder
        store._key = None
        return store

    def _stored_key(self) -> str | None:
        try:
            return (self.folder / KEY_FILE).read_text(encoding="utf-8")
        except (OSError, ValueError):  # none, or what a crash has left of it
            return None

    def _path(self, chunk: Chunk) -> Path:
        return self.folder / f"chunk-{chunk.number:05d}.npz"

    def make(self) -> None:
        """Make the folder, if it is not there; before several processes save into it.

        Raises:
            OutputError: The folder cannot be written, or the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, self.folder) from error
        if self._key is not None and self._stored_key() != self._key:
            with atomic_output(self.folder / KEY_FILE, overwrite=True) as path:
                path.write_text(self._key, encoding="utf-8")

    def save(self, chunk: Chunk, evidence: ChunkEvidence) -> None:
        """Write one finished chunk; it is there whole or not at all.

        Raises:
            OutputError: The folder cannot be written, or the disk is full.
        """
        self.make()
        with atomic_output(self._path(chunk), overwrite=True) as path, path.open("wb") as file:
            arrays = {item.name: getattr(evidence, item.name) for item in fields(ChunkEvidence)}
            np.savez(file, key=np.array(self._key), **arrays)

    def load(self, chunk: Chunk) -> ChunkEvidence | None:
        """A finished chunk, or None where it is missing or damaged."""
        try:
            # opened here: numpy leaves a file open that it cannot read
            with self._path(chunk).open("rb") as file, np.load(file) as arrays:
                if self._key is not None and str(arrays["key"]) != self._key:
                    raise ValueError("of another video or other settings")
                return ChunkEvidence(**{item.name: arrays[item.name] for item in fields(ChunkEvidence)})
        except FileNotFoundError:
            return None
        except Exception as error:  # numpy and zip have no common base for what they say of damage
            log.warning("chunk %d in %s is damaged (%s): analysed again", chunk.number, self.folder, error)
            return None

    def finished(self, chunks: Sequence[Chunk]) -> "FinishedChunks":
        """The evidence of all finished ones among ``chunks``, loaded one by one each time it is iterated."""
        return FinishedChunks(self, tuple(chunks))

    def missing_runs(self, chunks: list[Chunk]) -> Iterator[list[Chunk]]:
        """Runs of neighbouring chunks that are not finished: each is decoded in one go."""
        run: list[Chunk] = []
        for chunk in chunks:
            if self.load(chunk) is None:
                run.append(chunk)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def remove(self) -> None:
        """Delete all evidence."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class FinishedChunks:
    """Evidence on disk, in order. It is gone through many times, so what fits into memory is kept there."""

    store: EvidenceStore
    chunks: tuple[Chunk, ...]
    _kept: dict[int, ChunkEvidence] = field(default_factory=dict, repr=False, compare=False)

    def checked(self) -> "FinishedChunks":
        """The same, if all of it is there.

        Raises:
            EvidenceError: A chunk is missing or damaged.
        """
        for chunk in self.chunks:
            if self.store.load(chunk) is None:
                raise EvidenceError(
                    f"evidence in {self.store.folder} is not complete", got=f"no sound chunk {chunk.number}",
                    expected=f"{len(self.chunks)} chunks", hint="run dft analyze with --keep-evidence again",
                )  # fmt: skip
        return self

    def __iter__(self) -> Iterator[ChunkEvidence]:
        num_bytes = sum(evidence.num_bytes for evidence in self._kept.values())
        for chunk in self.chunks:
            evidence = self._kept.get(chunk.number) or self.store.load(chunk)
            if evidence is None:
                continue
            if chunk.number not in self._kept and num_bytes + evidence.num_bytes <= MAX_KEPT_BYTES:
                self._kept[chunk.number] = evidence
                num_bytes += evidence.num_bytes
            yield evidence
