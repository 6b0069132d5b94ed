from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.errors import (
    OutputExistsError,
    TrackFileError,
    TrackFileNotFoundError,
    TrackFormatError,
    TrackMismatchError,
    VideoNotFoundError,
)
from dft.trackio.files import (
    ROW_GROUP_ROWS,
    TrackFile,
    check_same_video,
    default_tracks_path,
    read_tracks,
    write_tracks,
)
from dft.trackio.fingerprint import fingerprint
from dft.trackio.metadata import Shot
from dft.trackio.schema import PROFILE, SCHEMA, conform, empty_table


def test_round_trip(track_file, table, metadata):
    again = read_tracks(track_file.path)
    assert again.path == track_file.path
    assert again.table.equals(table, check_metadata=True)
    assert again.table.schema.equals(SCHEMA, check_metadata=True)
    assert again.metadata == metadata


def test_an_empty_table_round_trips(tmp_path, metadata):
    write_tracks(tmp_path / "t.parquet", empty_table(), metadata)
    assert read_tracks(tmp_path / "t.parquet").table.equals(empty_table())


COORDINATE = st.floats(0, 300, width=32)
TRACKS = st.dictionaries(
    st.tuples(st.integers(0, 9), st.integers(1, 5)),
    st.tuples(
        COORDINATE,
        COORDINATE,
        st.floats(0.5, 40, width=32),
        st.floats(0, 1, width=32),
        st.none() | st.lists(st.floats(-1e6, 1e6, width=32), min_size=10, max_size=10),
        st.sampled_from(["detected", "interpolated", "manual"]),
        st.sampled_from([None, "side"]),
    ),
    max_size=25,
)


def table_of(tracks):
    """A valid table: track 1 is person A, at times on the left, track 2 B on the right, others bystanders."""
    made = []
    for (frame, track), (x, y, size, score, landmarks, origin, sided) in sorted(tracks.items()):
        person = {1: "A", 2: "B"}.get(track)
        made.append(
            {
                "frame_index": frame,
                "pts": 1000 + 40 * frame,
                "track_id": track,
                "person": person,
                "side": {"A": "left", "B": "right"}[person] if person and sided else None,
                **{"x1": x, "y1": y, "x2": x + size, "y2": y + size},
                "score": 0 if origin == "interpolated" else score,
                "landmarks": landmarks,
                "origin": origin,
                "shot": frame // 5,
            }
        )
    return pa.Table.from_pylist(made, schema=SCHEMA)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # the file is overwritten
@given(tracks=TRACKS)
def test_any_valid_table_round_trips_to_the_bit(tmp_path, metadata, tracks):
    table = conform(table_of(tracks))
    write_tracks(tmp_path / "t.parquet", table, metadata, overwrite=True)
    again = read_tracks(tmp_path / "t.parquet").table
    assert again.equals(table)
    for name in ("x1", "y1", "x2", "y2", "score"):
        assert again[name].to_numpy().tobytes() == table[name].to_numpy().tobytes()


def test_file_layout(tmp_path, with_video):
    """zstd, row groups of 100,000 rows."""
    count = ROW_GROUP_ROWS + 10
    frames = np.arange(count)
    metadata = replace(with_video(frame_count=count), shots=(Shot(0, count - 1, 1000, 1000 + 40 * count),), suspects=())
    one = table_of({(0, 1): (1, 2, 3, 0.5, None, "detected", None)})
    table = one.take(np.zeros(count, np.int64))
    table = table.set_column(0, SCHEMA.field(0), pa.array(frames, pa.int32()))
    table = table.set_column(1, SCHEMA.field(1), pa.array(1000 + 40 * frames))
    write_tracks(tmp_path / "t.parquet", table, metadata)
    layout = pq.read_metadata(tmp_path / "t.parquet")
    assert [layout.row_group(k).num_rows for k in range(layout.num_row_groups)] == [ROW_GROUP_ROWS, 10]
    assert layout.row_group(0).column(0).compression == "ZSTD"
    assert read_tracks(tmp_path / "t.parquet").table.equals(conform(table))


def test_duckdb_counts_frames_per_person(track_file):
    query = f"select person, count(*) from '{track_file.path}' group by person order by person nulls last"
    assert duckdb.sql(query).fetchall() == [("A", 8), ("B", 8), (None, 2)]


def test_duckdb_sees_landmarks_and_nulls(track_file):
    chosen = "landmarks is not null and person = 'A'"
    query = f"select count(*), sum(landmarks[1]) from '{track_file.path}' where {chosen}"
    assert duckdb.sql(query).fetchall() == [(7, 700.0)]


def test_pandas_opens_it(track_file):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(track_file.path)
    assert list(frame.columns) == SCHEMA.names
    assert frame.groupby("person", observed=True).size().to_dict() == {"A": 8, "B": 8}


def test_polars_opens_it(track_file):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(track_file.path)
    assert frame.columns == SCHEMA.names
    assert frame["person"].null_count() == 2
    assert frame.filter(polars.col("side").cast(polars.String) == "left").height == 8


def test_a_table_that_pandas_worked_on_can_be_written(tmp_path, track_file):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(track_file.path)
    back = pa.Table.from_pandas(frame, preserve_index=False)
    write_tracks(tmp_path / "again.parquet", back, track_file.metadata)
    assert read_tracks(tmp_path / "again.parquet").table.equals(track_file.table)


def test_a_table_that_polars_worked_on_can_be_written(tmp_path, track_file):
    polars = pytest.importorskip("polars")
    back = polars.read_parquet(track_file.path).to_arrow()
    write_tracks(tmp_path / "again.parquet", back, track_file.metadata)
    assert read_tracks(tmp_path / "again.parquet").table.equals(track_file.table)


def test_further_columns_and_keys_are_kept(tmp_path, table, metadata):
    wide = table.append_column("yaw", pa.array(range(table.num_rows), pa.int16()))
    wide = wide.replace_schema_metadata({"lab": "7"})
    write_tracks(tmp_path / "t.parquet", wide, replace(metadata, extra={"mood": "good"}))
    again = read_tracks(tmp_path / "t.parquet")
    assert again.table["yaw"].to_pylist() == list(range(table.num_rows))
    assert again.table.schema.metadata == {b"lab": b"7"}
    assert again.metadata.extra == {"mood": "good"}


def test_an_invalid_table_leaves_nothing(tmp_path, table, metadata):
    with pytest.raises(TrackFormatError, match="row 1, column frame_index"):
        write_tracks(tmp_path / "t.parquet", table.take([2, 0]), metadata)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_told(track_file, metadata):
    before = track_file.path.read_bytes()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_tracks(track_file.path, empty_table(), metadata)
    assert track_file.path.read_bytes() == before
    write_tracks(track_file.path, empty_table(), metadata, overwrite=True)
    assert read_tracks(track_file.path).table.num_rows == 0


def test_a_missing_file(tmp_path):
    with pytest.raises(TrackFileNotFoundError, match=r"no track file .*t.parquet; make it with: dft analyze"):
        read_tracks(tmp_path / "t.parquet")


def test_a_folder(tmp_path):
    with pytest.raises(TrackFileError, match=r"cannot read track file .*; got Is a directory"):
        read_tracks(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 200, -1], ids=["empty", "3 bytes", "200 bytes", "all but one"])
def test_a_cut_off_file(track_file, keep):
    track_file.path.write_bytes(track_file.path.read_bytes()[:keep])
    with pytest.raises(TrackFormatError, match="is not a whole Parquet file"):
        read_tracks(track_file.path)


def test_damaged_pages(track_file):
    content = bytearray(track_file.path.read_bytes())
    content[4:400] = bytes(396)
    track_file.path.write_bytes(content)
    with pytest.raises(TrackFormatError, match=r"in\.tracks\.parquet is (damaged|not a whole)"):
        read_tracks(track_file.path)


def test_not_parquet(tmp_path):
    (tmp_path / "t.parquet").write_text("frame,person\n1,A\n" * 50)
    with pytest.raises(TrackFormatError, match="is not a whole Parquet file"):
        read_tracks(tmp_path / "t.parquet")


def test_parquet_of_another_kind(tmp_path, table):
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TrackFormatError, match="no key dft_tracks"):
        read_tracks(tmp_path / "t.parquet")


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe", b'{"version": "2.0"}'], ids=["json", "utf-8", "version"])
def test_a_key_that_cannot_be_read_names_the_file(tmp_path, table, value):
    pq.write_table(table.replace_schema_metadata({PROFILE: value}), tmp_path / "t.parquet")
    with pytest.raises(TrackFormatError, match=r"track file .*t\.parquet: "):
        read_tracks(tmp_path / "t.parquet")


def rewritten(path: Path, table: pa.Table) -> None:
    """Replace the rows as another tool would, with the key kept."""
    key = pq.read_schema(path).metadata[PROFILE.encode()]
    pq.write_table(table.replace_schema_metadata({PROFILE: key}), path)


def test_a_missing_column(track_file):
    rewritten(track_file.path, track_file.table.drop_columns(["score"]))
    with pytest.raises(TrackFormatError, match=r"in\.tracks\.parquet: column score: .*expected one of type float"):
        read_tracks(track_file.path)
    with pytest.raises(TrackFormatError, match="column score"):
        read_tracks(track_file.path, check=False)


def test_broken_rows_are_found_on_reading_unless_told(track_file):
    rewritten(track_file.path, track_file.table.take([2, 0]))
    with pytest.raises(TrackFormatError, match="row 1, column frame_index"):
        read_tracks(track_file.path)
    assert read_tracks(track_file.path, check=False).table.num_rows == 2


def test_default_tracks_path():
    assert default_tracks_path(Path("a/in.mp4")) == Path("a/in.tracks.parquet")
    assert default_tracks_path(Path("talk.2024.mkv")) == Path("talk.2024.tracks.parquet")
    assert default_tracks_path(Path()).name == ".tracks.parquet"  # a folder: told when it is opened


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "in.mp4"
    path.write_bytes(b"not really a video")
    return path


def test_same_video(table, with_video, video):
    tracks = TrackFile(Path("in.tracks.parquet"), table, with_video(sha256=fingerprint(video)))
    assert check_same_video(tracks, video, force=False)


def test_another_video_is_refused_unless_forced(track_file, video):
    with pytest.raises(TrackMismatchError, match=r"another video.*--force"):
        check_same_video(track_file, video, force=False)
    assert not check_same_video(track_file, video, force=True)


def test_a_missing_video(track_file, tmp_path):
    with pytest.raises(VideoNotFoundError):
        check_same_video(track_file, tmp_path / "no.mp4", force=True)
