import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from dft.configs.errors import BackendUnavailableError, OutputExistsError, SettingError
from dft.trackio.files import TrackFile
from dft.trackio.metadata import Shot
from dft.trackio.plot import plot_tracks
from dft.trackio.schema import SCHEMA, empty_table

image = pytest.importorskip("matplotlib.image")


def test_png_shows_the_persons_colours(track_file, tmp_path):
    plot_tracks(track_file, tmp_path / "plot.png", overwrite=False)
    pixels = np.round(image.imread(tmp_path / "plot.png")[..., :3] * 255).astype(int)
    for colour in ([0x00, 0x72, 0xB2], [0xD5, 0x5E, 0x00]):
        assert np.count_nonzero((pixels == colour).all(axis=2)) > 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.tracks.parquet", "plot.png"]


def texts_of(path: Path) -> str:
    """The SVG's comments: matplotlib puts the words of each drawn text into one."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return "\n".join(str(item.text) for item in root.iter() if item.tag is ElementTree.Comment)


def test_svg_says_who_where_and_what_is_doubtful(track_file, tmp_path):
    plot_tracks(track_file, tmp_path / "plot.svg", overwrite=False)
    words = texts_of(tmp_path / "plot.svg")
    for word in ("left side", "right side", "A seen", "B seen", "other people", "interpolated", "cut", "gap"):
        assert f" {word} " in words
    assert " contact " not in words


def test_upper_case_suffix(track_file, tmp_path):
    plot_tracks(track_file, tmp_path / "PLOT.PNG", overwrite=False)
    assert (tmp_path / "PLOT.PNG").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "plot.jpg"])
def test_another_suffix_is_refused(track_file, tmp_path, name):
    with pytest.raises(SettingError, match=r"expected one of \.png, \.svg"):
        plot_tracks(track_file, tmp_path / name, overwrite=False)
    assert not (tmp_path / name).exists()


def test_an_existing_picture_is_kept(track_file, tmp_path):
    (tmp_path / "plot.png").write_text("mine")
    with pytest.raises(OutputExistsError):
        plot_tracks(track_file, tmp_path / "plot.png", overwrite=False)
    assert (tmp_path / "plot.png").read_text() == "mine"


def test_without_matplotlib(track_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'dual-face-tracker\[plot\]'"):
        plot_tracks(track_file, tmp_path / "plot.png", overwrite=False)


def test_pyplot_stays_out(track_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_tracks(track_file, tmp_path / "plot.png", overwrite=False)
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_nobody_and_nothing_doubtful(track_file, tmp_path):
    quiet = replace(track_file.metadata, suspects=(), shots=())
    plot_tracks(TrackFile(track_file.path, empty_table(), quiet), tmp_path / "plot.svg", overwrite=False)
    words = texts_of(tmp_path / "plot.svg")
    assert " left side " in words
    assert " other people " not in words


@pytest.mark.parametrize("name", ["$5 for $x_$.parquet", "対談.parquet"])
def test_any_file_name_can_be_a_title(track_file, tmp_path, name):
    plot_tracks(replace(track_file, path=Path(name)), tmp_path / "plot.svg", overwrite=False)
    assert name in texts_of(tmp_path / "plot.svg")


def test_suspects_of_a_newer_version_are_drawn(track_file, tmp_path):
    ghost = replace(track_file.metadata.suspects[0], kind="ghost")
    newer = replace(track_file.metadata, suspects=(ghost,), version="1.9")
    plot_tracks(replace(track_file, metadata=newer), tmp_path / "plot.svg", overwrite=False)
    assert " ghost " in texts_of(tmp_path / "plot.svg")


def test_two_hours_plot_quickly(track_file, with_video, tmp_path):
    count = 180_000
    frames = np.arange(count)
    table = track_file.table.slice(0, 1).take(np.zeros(count, np.int64))
    table = table.set_column(0, SCHEMA.field(0), pa.array(frames, pa.int32()))
    table = table.set_column(1, SCHEMA.field(1), pa.array(1000 + 40 * frames))
    long = with_video(frame_count=count, duration_seconds=count / 25)
    long = replace(long, shots=(Shot(0, count - 1, 1000, 1000 + 40 * count),), suspects=())
    started = time.perf_counter()
    plot_tracks(TrackFile(track_file.path, table, long), tmp_path / "plot.svg", overwrite=False)
    assert time.perf_counter() - started < 10
    assert (tmp_path / "plot.svg").stat().st_size < 500_000  # a point for every frame would be megabytes
