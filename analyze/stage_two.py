"""Stage 2, over the whole video: shots -> pure tracklets -> chains -> persons -> gaps -> sides -> suspects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..configs.analysis import AnalyzeSettings
from ..configs.errors import NoFaceError
from ..trackio.metadata import Shot, Suspect, TrackRecord
from .evidence import ChunkEvidence
from .identity.chains import Chain, link_chains
from .identity.named import find_named
from .identity.persons import OTHER, PERSONS, SHORT_FRAMES, Identity, identify
from .identity.purity import pure
from .identity.tracklets import join_evidence
from .outcome.gaps import fill_gaps
from .outcome.rows import Rows, to_table
from .outcome.sides import SIDES, a_is_left, sides_by_identity
from .outcome.suspects import SuspectFinder, Timeline
from .shots import find_cuts, join_changes, shot_numbers
from .source import Source


@dataclass(frozen=True)
class Decision:
    """What stage 2 made of the evidence."""

    table: pa.Table
    persons: tuple[str, ...]
    shots: tuple[Shot, ...]
    suspects: tuple[Suspect, ...]
    tracks: tuple[TrackRecord, ...]


def decide(source: Source, evidence: Iterable[ChunkEvidence], settings: AnalyzeSettings) -> Decision:
    """Decide who is who, and make the rows of the track file.

    Raises:
        NoFaceError: Nobody is seen long enough.
        SettingError: A person was named where nobody is.
    """
    times, pts = source.times_seconds(), source.index.pts
    shot_of_frame, chains, identity = find_persons(source, evidence, times, settings)
    num_persons = identity.num_persons
    if num_persons == 0:
        raise _no_face(source, evidence, settings)
    rows = Rows.of_chains(chains, identity.person).one_per_person()
    max_gap = settings.identity.max_gap_seconds
    filled = [fill_gaps(rows, p, times, shot_of_frame, max_gap) for p in range(num_persons)]
    rows = Rows.joined([rows, *filled])
    sides = assign_sides(rows, times, source.width, num_persons, settings)
    suspects = SuspectFinder(rows, Timeline(pts, times, shot_of_frame), chains, identity).find()
    return Decision(
        to_table(rows, sides, pts, shot_of_frame), PERSONS[:num_persons], _shot_records(shot_of_frame, pts), suspects,
        _track_records(chains, identity),
    )  # fmt: skip


def find_persons(
    source: Source, evidence: Iterable[ChunkEvidence], times_seconds: NDArray[np.float64], settings: AnalyzeSettings
) -> tuple[NDArray[np.int32], list[Chain], Identity]:
    """Shots, who is seen in them, and which of those are the main persons.

    A small change of the picture is a cut only where nobody goes on, so it is decided once persons are known.

    Returns:
        ``(N,)`` int32 shot of every frame of the video, where a frame that was not decoded belongs to the shot before;
        the chains; and who they are.
    """
    decoded = np.concatenate([np.zeros(0, np.int32), *(e.frame_index for e in evidence)])
    changes, decoded_times = join_changes(evidence), times_seconds[decoded]
    cuts = find_cuts(decoded_times, changes, settings.shots, settings.shots.cut_level)
    doubtful = find_cuts(decoded_times, changes, settings.shots, settings.shots.doubtful_level)
    least_chain = min(SHORT_FRAMES, len(times_seconds))  # shorter, and no main person: a false alarm of the detector
    least = min(len(times_seconds), round(settings.identity.min_presence_seconds * float(source.fps)))

    def persons_between(cuts: NDArray[np.intp]) -> tuple[NDArray[np.int32], list[Chain], Identity]:
        shot_of_frame = shot_numbers(len(times_seconds), decoded[cuts])
        tracklets = pure(join_evidence(evidence, times_seconds, shot_of_frame), decoded[doubtful])
        chains = link_chains(tracklets, settings.identity.max_join_seconds)
        named = find_named(settings.identity.main, chains, (source.width, source.height), settings.identity.people)
        identity = identify(
            chains, source.width, least, people=settings.identity.people, named=named,
            max_join_seconds=settings.identity.max_join_seconds,
        )  # fmt: skip
        kept = [i for i, c in enumerate(chains) if len(c) >= least_chain or identity.person[i] != OTHER]
        return shot_of_frame, [chains[i] for i in kept], identity.take(np.array(kept, np.intp))

    found = persons_between(cuts)
    if not found[1]:
        return found
    rows = Rows.of_chains(found[1], found[2].person)
    parted = [c for c in np.setdiff1d(doubtful, cuts) if rows.nobody_goes_on(int(decoded[c - 1]), int(decoded[c]))]
    return persons_between(np.union1d(cuts, parted)) if parted else found


def assign_sides(
    rows: Rows, times_seconds: NDArray[np.float64], frame_width: int, num_persons: int, settings: AnalyzeSettings
) -> NDArray[np.int8]:
    """``(R,)`` int8 side of each row: 0 left, 1 right, -1 none."""
    main = (rows.person != OTHER) & (rows.person < len(SIDES))
    sides = np.full(len(rows), -1, np.int8)
    if settings.sides.assign == "identity":
        sides[main] = sides_by_identity(num_persons)[rows.person[main]]
        return sides
    x = np.full((len(PERSONS), len(times_seconds)), np.nan)
    x[rows.person[main], rows.frame_index[main]] = rows.boxes_xyxy[main][:, [0, 2]].mean(axis=1) / frame_width
    left = a_is_left(times_seconds, x[0], x[1], settings.sides)[rows.frame_index]
    sides[main] = (rows.person == 0)[main] != left[main]
    return sides


def _no_face(source: Source, evidence: Iterable[ChunkEvidence], settings: AnalyzeSettings) -> NoFaceError:
    faces = sum(len(e.scores) for e in evidence)
    return NoFaceError(
        f"no face to follow in {source.path}",
        got=f"{faces} detections in {len(source.index)} frames"
        if faces
        else f"no detection in {len(source.index)} frames",
        expected=f"somebody seen for {settings.identity.min_presence_seconds:g} s or more",
        hint="for small faces raise --detect-size, for unclear ones lower --birth-score and --high-score",
    )


def _shot_records(shot_of_frame: NDArray[np.int32], pts: NDArray[np.int64]) -> tuple[Shot, ...]:
    first = np.flatnonzero(np.diff(shot_of_frame, prepend=-1))
    last = np.append(first[1:], len(pts)) - 1
    return tuple(Shot(int(a), int(b), int(pts[a]), int(pts[b])) for a, b in zip(first, last, strict=True))


def _track_records(chains: Sequence[Chain], identity: Identity) -> tuple[TrackRecord, ...]:
    def record(i: int, chain: Chain) -> TrackRecord:
        person, margin = int(identity.person[i]), float(identity.margin[i])
        return TrackRecord(
            track_id=i,
            person=None if person == OTHER else PERSONS[person],
            margin=round(margin, 3) if np.isfinite(margin) else None,
            embedded=len(chain.faces[1]),
            stability=round(float(min(t.stability.min() for t in chain.tracklets)), 3),
        )

    return tuple(record(i, chain) for i, chain in enumerate(chains))
