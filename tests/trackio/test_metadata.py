import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import TrackFormatError
from dft.trackio.metadata import DeviceRecord, Shot, Suspect, TrackMetadata, TrackRecord, VideoRecord


def test_round_trip(metadata):
    assert TrackMetadata.from_json(metadata.to_json()) == metadata


def test_fractions_are_written_as_text(metadata):
    video = json.loads(metadata.to_json())["video"]
    assert (video["time_base"], video["fps"]) == ("1/1000", "25/1")


def test_keys_of_the_json_object(metadata):
    assert set(json.loads(metadata.to_json())) == {
        "version",
        "video",
        "box_convention",
        "persons",
        "models",
        "settings",
        "device",
        "tool_version",
        "shots",
        "suspects",
        "notes",
        "tracks",
        "edits_sha256",
    }


TEXT, COUNT = st.text(max_size=8), st.integers(-(2**40), 2**40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
RATIO = st.fractions(max_denominator=10**6)
VIDEOS = st.builds(VideoRecord, TEXT, COUNT, COUNT, COUNT, COUNT, RATIO, RATIO, FINITE, COUNT)
METADATA = st.builds(
    TrackMetadata,
    video=VIDEOS,
    persons=st.lists(TEXT, max_size=3).map(tuple),
    models=st.dictionaries(TEXT, TEXT, max_size=3),
    settings=st.dictionaries(TEXT, st.none() | st.booleans() | COUNT | FINITE | TEXT, max_size=3),
    device=st.builds(DeviceRecord, TEXT, TEXT),
    tool_version=TEXT,
    shots=st.lists(st.builds(Shot, COUNT, COUNT, COUNT, COUNT), max_size=3).map(tuple),
    suspects=st.lists(
        st.builds(Suspect, TEXT, COUNT, COUNT, COUNT, COUNT, FINITE, TEXT, st.dictionaries(TEXT, FINITE, max_size=3)),
        max_size=3,
    ).map(tuple),
    tracks=st.lists(st.builds(TrackRecord, COUNT, st.none() | TEXT, st.none() | FINITE, COUNT, FINITE), max_size=3).map(
        tuple
    ),
    notes=st.lists(TEXT, max_size=3).map(tuple),
    edits_sha256=st.none() | TEXT,
    extra=st.dictionaries(TEXT.map(lambda name: "x-" + name), TEXT, max_size=3),
)


@given(METADATA)
def test_any_metadata_round_trips(metadata):
    assert TrackMetadata.from_json(metadata.to_json()) == metadata


def changed(metadata, *path, value):
    """JSON text in which the key at ``path`` has another value."""
    values = json.loads(metadata.to_json())
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(values)


@pytest.mark.parametrize("path", [("mood",), ("video", "mood"), ("shots", 1, "mood"), ("device", "mood")], ids=str)
def test_unknown_keys_are_kept_and_written_back(metadata, path):
    text = changed(metadata, *path, value={"of": ["the", "day"]})
    again = json.loads(TrackMetadata.from_json(text).to_json())
    assert again == json.loads(text)


def test_a_known_key_wins_over_extra(metadata):
    assert json.loads(replace(metadata, extra={"persons": "nobody"}).to_json())["persons"] == ["A", "B"]


@pytest.mark.parametrize("version", ["2.0", "0.9", "11.0"])
def test_unknown_major_version_is_refused(metadata, version):
    with pytest.raises(TrackFormatError, match=rf"unknown version; got {version}; expected 1\.x"):
        TrackMetadata.from_json(changed(metadata, "version", value=version))


def test_unknown_major_version_is_refused_whatever_its_keys():
    with pytest.raises(TrackFormatError, match="unknown version"):
        TrackMetadata.from_json('{"version": "2.0"}')


def test_unknown_minor_version_is_accepted_and_kept(metadata):
    newer = TrackMetadata.from_json(changed(metadata, "version", value="1.7"))
    assert newer == replace(metadata, version="1.7")
    assert newer.from_newer_minor
    assert not metadata.from_newer_minor


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 1, "key version; got 1;"),
        (("version",), "one", "key version; got 'one'"),
        (("video",), "in.mp4", "key video; got 'in.mp4'; expected an object"),
        (("video", "width"), "640", "key video.width; got '640'; expected a whole number"),
        (("video", "width"), True, "key video.width; got True"),
        (("video", "width"), 640.5, "key video.width; got 640.5"),
        (("video", "fps"), 25, "key video.fps; got 25; expected a fraction"),
        (("video", "fps"), "25/0", "key video.fps; got '25/0'"),
        (("video", "duration_seconds"), None, "key video.duration_seconds; got None"),
        (("persons",), "AB", "key persons; got 'AB'; expected a list"),
        (("persons", 1), 7, r"key persons\[1\]; got 7; expected text"),
        (("models",), [], "key models; got \\[\\]; expected an object"),
        (("models", "yunet"), 5, "key models.yunet; got 5; expected text"),
        (("shots", 1), [5, 9], r"key shots\[1\]; got \[5, 9\]; expected an object"),
        (("suspects", 0, "probability"), "high", r"key suspects\[0\].probability; got 'high'"),
        (("edits_sha256",), 5, "key edits_sha256; got 5"),
    ],
    ids=str,
)
def test_a_wrong_type_is_named_with_its_key(metadata, path, value, message):
    with pytest.raises(TrackFormatError, match=message):
        TrackMetadata.from_json(changed(metadata, *path, value=value))


@pytest.mark.parametrize("path", [("video",), ("persons",), ("video", "sha256"), ("shots", 0, "last_pts")], ids=str)
def test_a_missing_key_is_named(metadata, path):
    values = json.loads(metadata.to_json())
    place = values
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    with pytest.raises(TrackFormatError, match=rf"{path[-1]} is missing"):
        TrackMetadata.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"version": NaN}'])
def test_what_is_no_metadata_is_refused(text):
    with pytest.raises(TrackFormatError):
        TrackMetadata.from_json(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}], ids=str)
def test_settings_that_json_cannot_hold_are_refused(metadata, value):
    with pytest.raises(TrackFormatError, match="cannot be written as JSON"):
        replace(metadata, settings={"level": value}).to_json()


def test_seconds_count_from_the_first_frame(with_video):
    video = with_video(time_base=Fraction(1, 90000), start_pts=9000).video
    assert video.seconds(9000) == 0
    assert video.seconds(99000) == 1
    assert video.seconds_array(np.array([9000, 99000, 0])).tolist() == [0, 1, -0.1]
