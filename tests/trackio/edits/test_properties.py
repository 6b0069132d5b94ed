"""Any tracks, any operations."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dft.configs.errors import EditError
from dft.trackio.edits.actions import do
from dft.trackio.edits.diff import diff
from dft.trackio.edits.imports import edits_from_diff
from dft.trackio.edits.log import REDO, UNDO, append, read_log
from dft.trackio.edits.operations import (
    Anchor,
    Assign,
    Batch,
    Box,
    Boxes,
    Delete,
    Interpolate,
    Mark,
    Merge,
    SetSide,
    Split,
    Swap,
    operation_from_dict,
)
from dft.trackio.edits.replay import replay
from dft.trackio.edits.rows import Rows
from dft.trackio.edits.session import Edits
from dft.trackio.files import write_tracks
from dft.trackio.validate import problems

FRAMES = 40
LAST = FRAMES - 1


@st.composite
def talks(draw):
    """Rows and settings: up to five tracks; each is one person's, or a bystander's, where that keeps to the profile."""
    rows, names, sides = [], set(), set()
    for track in range(draw(st.integers(1, 5))):
        person = draw(st.sampled_from(["A", "B", None]))
        side = {"A": "left", "B": "right"}.get(person) if draw(st.integers(0, 5)) else draw(
            st.sampled_from(["left", "right", None])
        )  # fmt: skip
        frames = draw(st.sets(st.integers(0, LAST), min_size=1, max_size=FRAMES))
        for frame in frames:
            name = person if (frame, person) not in names else None
            place = side if name is not None and (frame, side) not in sides else None
            names.add((frame, name))
            sides.add((frame, place))
            rows.append((frame, track * 3, name, place, 60.0 * track + frame))
    return rows, {"assign": draw(st.sampled_from(["identity", "identity", "position"]))}


TRACKS = st.sampled_from([0, 3, 6, 9, 12, 13, 14, 15, 16])
FRAME = st.integers(0, LAST)
RANGE = st.tuples(FRAME, FRAME).map(sorted)
NAME = st.sampled_from(["A", "B"])
BOX = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h), *[st.floats(1, 200, width=32) for _ in range(4)]
)  # fmt: skip
SIMPLE = st.one_of(
    RANGE.map(lambda r: Swap(*r)),
    st.builds(Split, TRACKS, FRAME),
    st.tuples(TRACKS, TRACKS, st.sampled_from(["refuse", "first", "second", "higher_score"]))
    .filter(lambda t: t[0] != t[1])
    .map(lambda t: Merge(*t)),
    st.builds(lambda t, p, r, take: Assign(t, p, *r, take), TRACKS, st.none() | NAME, RANGE, st.booleans()),
    st.builds(lambda t, r: Delete(t, *r), TRACKS, RANGE),
    st.builds(lambda t, r, s: Interpolate(t, *r, s), TRACKS, RANGE, st.sampled_from([0.1, 0.4, 2.0])),
    st.builds(lambda f, b, t, s: Box(f, b, t, blend_seconds=s), FRAME, BOX, TRACKS, st.sampled_from([0.0, 0.3])),
    st.builds(lambda f, b, p: Box(f, b, None, p), FRAME, BOX, st.none() | NAME),
    st.builds(
        lambda t, p, boxes: Boxes(t, p, tuple(sorted(boxes)), tuple(boxes[f] for f in sorted(boxes))),
        st.none() | TRACKS, st.none() | NAME, st.dictionaries(FRAME, BOX, min_size=1, max_size=4),
    ),
    st.builds(lambda p, s, r: SetSide(p, s, *r), NAME, st.sampled_from(["left", "right", None]), RANGE),
    st.builds(lambda s: Mark("gap", 3, 4, s), st.sampled_from(["accepted", "fixed", "unsure", "open"])),
    st.builds(Anchor, FRAME, NAME),
)  # fmt: skip
OPERATIONS = SIMPLE | st.lists(SIMPLE, min_size=1, max_size=3).map(lambda listed: Batch(tuple(listed)))


def fitted(rows, operation):
    """The operation on tracks and frames that there are, so that few are refused."""
    if isinstance(operation, Batch):
        return Batch(tuple(fitted(rows, part) for part in operation.operations))
    ids = sorted(rows.persons())
    if not ids:
        return operation
    names = {"track_id", "other_id"} & set(vars(operation))
    changes = {name: ids[value % len(ids)] for name in names if (value := getattr(operation, name)) is not None}
    frames = rows.frame[rows.track(changes["track_id"])].tolist() if "track_id" in changes else [LAST]
    if isinstance(operation, Anchor):
        frames = rows.frame[rows.find(person="AB".index(operation.person))].tolist() or [LAST]
    if isinstance(operation, Split | Anchor):
        changes["frame"] = frames[operation.frame % len(frames)]
    if isinstance(operation, Delete | Assign):
        changes["first_frame"] = min(frames[operation.first_frame % len(frames)], operation.last_frame)
    if changes.get("other_id") == changes.get("track_id", -1):
        return operation
    return replace(operation, **changes)


def possible(track_file, operations):
    """The operations that the tracks allow, each after those before it, on tracks that there are."""
    rows, kept = Rows(track_file), []
    for operation in operations:
        attempt, fit = rows.copy(), fitted(rows, operation)
        try:
            do(attempt, fit)
        except EditError:
            continue
        rows = attempt
        kept.append(fit)
    return kept


def plain(track_file):
    """All that a track file holds but where it lies."""
    return track_file.table.to_pylist(), track_file.metadata


def unmarked(track_file):
    """The same without the hash of the edits."""
    return track_file.table.to_pylist(), replace(track_file.metadata, edits_sha256=None)


@given(talks(), st.lists(OPERATIONS, max_size=6))
@settings(max_examples=100, deadline=None)
def test_tracks_stay_valid_and_replay_is_deterministic(make_file, talk, operations):
    file = make_file(talk[0], **talk[1])
    done = possible(file, operations)
    after = replay(file, done)
    assert problems(after.table, after.metadata) == []
    assert plain(replay(file, done)) == plain(after)
    assert after.table.schema.names == file.table.schema.names


@given(OPERATIONS)
@settings(max_examples=150)
def test_an_operation_is_its_json(operation):
    import json

    assert operation_from_dict(json.loads(json.dumps(operation.as_dict()))) == operation
    assert operation.words()


@given(talks(), st.lists(OPERATIONS, max_size=3), st.tuples(FRAME, FRAME).map(sorted))
@settings(max_examples=100, deadline=None)
def test_a_second_swap_takes_the_first_back(make_file, talk, operations, frames):
    file = make_file(talk[0], **talk[1])
    before = possible(file, operations)
    swap = Swap(*frames)
    try:
        after = replay(file, [*before, swap, swap])
    except EditError as error:
        assert "neither has a box there" in str(error)
    else:
        assert unmarked(after) == unmarked(replay(file, before))


@given(talks(), st.lists(OPERATIONS, min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_undo_after_do_is_as_before_and_redo_as_after(make_file, tmp_path_factory, talk, operations):
    file = make_file(talk[0], **talk[1])
    path = tmp_path_factory.mktemp("undo") / "in.tracks.parquet"
    write_tracks(path, file.table, file.metadata)
    edits = Edits(path)
    states = [plain(edits.current())]
    for operation in possible(edits.base, operations):
        edits.do(operation)
        states.append(plain(edits.current()))
    for state in states[-2::-1]:
        edits.undo()
        assert plain(edits.current()) == state
    for state in states[1:]:
        edits.redo()
        assert plain(edits.current()) == state
    assert plain(Edits(path).current()) == states[-1]
    assert path.read_bytes() and edits.base.table.equals(Edits(path).base.table)


@given(talks(), st.lists(OPERATIONS, min_size=1, max_size=5), st.lists(st.integers(0, 5), max_size=3))
@settings(max_examples=30, deadline=None)
def test_sessions_do_not_matter(make_file, tmp_path_factory, talk, operations, breaks):
    file = make_file(talk[0], **talk[1])
    folder = tmp_path_factory.mktemp("sessions")
    path = folder / "in.tracks.parquet"
    write_tracks(path, file.table, file.metadata)
    edits = Edits(path)
    done = possible(edits.base, operations)
    for place, operation in enumerate(done):
        if place in breaks:
            edits = Edits(path)
        edits.do(operation, author=f"author {place}")
    assert plain(Edits(path).current()) == plain(replay(edits.base, done))


@given(st.lists(st.sampled_from([UNDO, REDO, "do"]), max_size=25))
@settings(max_examples=30, deadline=None)
def test_undo_and_redo_are_two_stacks(make_file, tmp_path_factory, steps):
    file = make_file([(0, 1, "A", "left", 0.0)])
    path = tmp_path_factory.mktemp("stacks") / "in.tracks.parquet"
    write_tracks(path, file.table, file.metadata)
    done, undone = [], []
    for number, step in enumerate(steps):
        if step == "do":
            done, undone = [*done, Split(number, 1)], []
            append(path, [done[-1]])
            continue
        source, target = (done, undone) if step == UNDO else (undone, done)
        try:
            append(path, [step])
        except EditError:
            assert not source
        else:
            target.append(source.pop())
    assert list(read_log(path).operations) == done


@given(talks(), st.lists(OPERATIONS, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_file_does_not_differ_from_itself(make_file, talk, operations):
    file = make_file(talk[0], **talk[1])
    after = replay(file, possible(file, operations))
    assert diff(after, after) == ()
    assert edits_from_diff(after, after) == ()


def who(file):
    """Who is where: frame, person, side and box."""
    names = ("frame_index", "person", "side", "x1", "y1", "x2", "y2")
    return sorted([tuple(row[name] for name in names) for row in file.table.to_pylist()], key=str)


@given(talks(), st.lists(OPERATIONS, max_size=6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_edits_from_diff_give_the_corrected_file(make_file, talk, operations, renumbered):
    file = make_file(talk[0], **talk[1])
    corrected = replay(file, possible(file, operations))
    if renumbered:
        corrected = renumber(corrected)
    made = edits_from_diff(file, corrected, tolerance=0)
    after = replay(file, made)
    assert who(after) == who(corrected)
    assert diff(after, corrected, 0) == ()
    assert problems(after.table, after.metadata) == []


def renumber(file):
    """The same with other track ids, as some tools make them."""
    ids = file.table["track_id"].to_pylist()
    shuffled = {old: (new * 7) % 11 + 20 * (new // 11) for new, old in enumerate(sorted(set(ids)))}
    rows = [{**row, "track_id": shuffled[row["track_id"]]} for row in file.table.to_pylist()]
    rows.sort(key=lambda row: (row["frame_index"], row["track_id"]))
    table = type(file.table).from_pylist(rows, schema=file.table.schema)
    return replace(file, table=table)


@given(talks(), talks())
@settings(max_examples=30, deadline=None)
def test_edits_from_diff_lead_to_any_other_tracks(make_file, one, other):
    file, corrected = make_file(one[0], **one[1]), make_file(other[0], **other[1])
    assert who(replay(file, edits_from_diff(file, corrected, tolerance=0))) == who(corrected)
