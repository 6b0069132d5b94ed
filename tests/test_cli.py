"""The command line: help, exit status, what goes to stdout and what to stderr, Ctrl-C."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import click
import pytest
from click.testing import CliRunner

from dft.cli import PASSES, cli, main
from dft.configs.analysis import STAGE_TWO
from dft.configs.settings import all_settings

SRC = str(Path(sys.modules["dft"].__path__[0]).parent)
FAST = ["--chunk-seconds", "0.8", "--threads", "2"]


def commands(group=cli, path=("dft",)):
    """Every command of the tree with the words that call it."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands())
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.fixture
def dft(monkeypatch, capsys):
    """Run the command in this process: exit status, stdout, stderr."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dft", *map(str, words)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as leave:
            status = leave.code or 0
        return status, *capsys.readouterr()

    yield run
    root.handlers[:], root.level = before


@pytest.fixture(scope="module")
def tracks(talk, tmp_path_factory):
    from dft.analyze.pipeline import analyze

    return analyze(talk.video, tmp_path_factory.mktemp("cli") / "talk.tracks.parquet").output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(path):
    result = CliRunner().invoke(cli, [*path[1:], "--help"])
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    example = lines[lines.index("Example:") + 1]
    words = example.replace('eval "$(', "").split()
    assert words[: len(path)] == list(path) or isinstance(COMMANDS[path], click.Group)
    assert words[0] == "dft"
    assert lines[2] and lines[2][0].isupper(), "a sentence says what it does"


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_and_its_help(path):
    for parameter in LEAVES[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_each_setting_of_a_pass_is_a_flag_of_its_command():
    for section, settings in PASSES.items():
        flags = {option for parameter in COMMANDS["dft", section].params for option in parameter.opts}
        assert {setting.flag for setting in all_settings(settings).values()} <= flags


def test_reidentify_has_the_flags_of_stage_two_alone():
    flags = {option for parameter in COMMANDS["dft", "tracks", "reidentify"].params for option in parameter.opts}
    known = {name: setting.flag for name, setting in all_settings(PASSES["analyze"]).items()}
    assert {flag for flag in known.values() if flag in flags} == {known[name] for name in STAGE_TWO}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_commands_with_a_result_know_json_quiet_and_log_level(path):
    flags = {option for parameter in LEAVES[path].params for option in parameter.opts}
    if path[-1] not in ("settings", "completion"):
        assert {"--json", "--quiet", "--log-level"} <= flags


def test_version(dft):
    status, out, err = dft("--version")
    assert (status, err) == (0, "")
    assert out.startswith("dft, version ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["analyze"],
        ["analyze", "in.mp4", "--no-such-flag"],
        ["analyze", "in.mp4", "--device", "abacus"],
        ["analyze", "in.mp4", "--batch-size", "many"],
        ["tracks", "show"],
        ["tracks", "score", "in.parquet"],
        ["tracks", "score", "in.parquet", "truth.parquet", "--iou", "0"],
        ["tracks", "reidentify"],
        ["tracks", "reidentify", "in.parquet", "--detect-size", "320"],
        ["completion", "tcsh"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(dft, words):
    status, out, err = dft(*words)
    assert (status, out) == (2, "")
    assert "Error: " in err and "Traceback" not in err


def bad_inputs(tmp_path, talk, tracks):
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "dft.toml").write_text("[analyze]\nhigh_score = 'much'\n")
    return {
        "missing": (["analyze", tmp_path / "no.mp4"], "there is no video"),
        "text": (["analyze", tmp_path / "text.mp4"], "text.mp4; got a file that is no video"),
        "folder": (["analyze", tmp_path], "a folder"),
        "this folder": (["analyze", "."], "a folder"),
        "range": (["analyze", talk.video, "--batch-size", "0"], "setting batch_size cannot be 0"),
        "settings file": (["analyze", talk.video, "--config", tmp_path / "dft.toml"], "high_score cannot be 'much'"),
        "no settings file": (["analyze", talk.video, "--config", tmp_path / "no.toml"], "cannot read settings file"),
        "model": (["analyze", talk.video, "--detector", "nobody"], "there is no model nobody"),
        "no folder": (["analyze", talk.video, "-o", tmp_path / "no" / "t.parquet"], "there is no folder"),
        "same file": (["analyze", tmp_path / "text.mp4", "-o", tmp_path / "text.mp4"], "text.mp4"),
        "no tracks": (["tracks", "show", tmp_path / "no.parquet"], "there is no track file"),
        "text as tracks": (["tracks", "validate", tmp_path / "text.mp4"], "is not a whole Parquet file"),
        "plot of nothing": (["tracks", "plot", tmp_path / "no.parquet"], "there is no track file"),
        "score of nothing": (["tracks", "score", tmp_path / "no.parquet", tracks], "there is no track file"),
        "no truth": (["tracks", "score", tracks, tmp_path / "no.parquet"], "there is no truth"),
        "text as truth": (["tracks", "score", tracks, tmp_path / "text.mp4"], "is not a whole Parquet file"),
        "reidentify nothing": (["tracks", "reidentify", tmp_path / "no.parquet"], "there is no track file"),
        "in place": (["tracks", "reidentify", tracks], "exists; allow replacing it"),
        "no evidence": (["tracks", "reidentify", tracks, "-o", tmp_path / "n.parquet"], "there is no evidence in"),
    }


BAD = (
    "missing, text, folder, this folder, range, settings file, no settings file, model, no folder, same file, "
    "no tracks, text as tracks, plot of nothing, score of nothing, no truth, text as truth, reidentify nothing, "
    "in place, no evidence"
)


@pytest.mark.parametrize("case", BAD.split(", "))
def test_errors_are_one_line_and_status_1(dft, tmp_path, talk, tracks, case):
    words, part = bad_inputs(tmp_path, talk, tracks)[case]
    before = sorted(tmp_path.iterdir())
    status, out, err = dft(*words)
    assert (status, out) == (1, "")
    assert err.startswith("dft: error: ") and err.count("\n") == 1
    assert part in err
    assert sorted(tmp_path.iterdir()) == before


def test_cuda_is_never_replaced(dft, talk, tmp_path, monkeypatch):
    monkeypatch.setattr("dft.engines.devices.why_no_cuda", lambda: "no NVIDIA driver")
    status, _, err = dft("analyze", talk.video, "-o", tmp_path / "t.parquet", "--device", "cuda")
    assert status == 1
    assert "device cuda cannot be used; got no NVIDIA driver" in err
    assert list(tmp_path.iterdir()) == []


def test_analyze_prints_one_line(dft, talk, tmp_path):
    output = tmp_path / "t.parquet"
    status, out, err = dft("analyze", talk.video, "-o", output, *FAST)
    assert (status, err) == (0, ""), "quiet where stderr is no terminal"
    assert out.count("\n") == 1
    assert out.startswith(f"{output}: A and B in 110 frames, 3 shots, ")


def test_analyze_json(dft, talk, tmp_path):
    output = tmp_path / "t.parquet"
    status, out, err = dft("analyze", talk.video, "-o", output, "--json", *FAST)
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["output"] == str(output)
    assert report["persons"] == ["A", "B"] and report["frames"] == 110 and report["shots"] == 3
    assert report["notes"] == [] and report["device"] == "cpu"
    assert report["peak_rss_mb"] > 10 and report["fps"] > 0


def test_an_existing_file_is_kept_unless_told(dft, talk, tmp_path):
    output = tmp_path / "t.parquet"
    output.write_text("mine")
    status, _, err = dft("analyze", talk.video, "-o", output, *FAST)
    assert (status, output.read_text()) == (1, "mine")
    assert "--overwrite" in err
    assert dft("analyze", talk.video, "-o", output, "--overwrite", *FAST)[0] == 0
    assert output.read_bytes()[:4] == b"PAR1"


def test_flags_win_over_the_file_and_the_file_over_defaults(dft, talk, tmp_path):
    from dft.trackio.files import read_tracks

    (tmp_path / "dft.toml").write_text("[analyze]\nbatch_size = 2\nhigh_score = 0.5\n[render]\ncrf = 20\n")
    output = tmp_path / "t.parquet"
    config = ["--config", tmp_path / "dft.toml"]
    assert dft("analyze", talk.video, "-o", output, *config, "--high-score", "0.55", *FAST)[0] == 0
    used = read_tracks(output).metadata.settings
    assert (used["batch_size"], used["high_score"], used["birth_score"]) == (2, 0.55, 0.7)


def test_log_level_and_quiet(dft, talk, tmp_path):
    words = ["analyze", talk.video, "-o", tmp_path / "t.parquet", "--overwrite", *FAST]
    _, out, err = dft(*words, "--log-level", "info")
    assert "dft: INFO: device cpu: " in err and "INFO" not in out
    assert dft(*words, "--log-level", "info", "--quiet")[2] == ""


def test_tracks_show(dft, tracks):
    status, out, err = dft("tracks", "show", tracks)
    assert (status, err) == (0, "")
    assert "A" in out and "left" in out
    status, out, err = dft("tracks", "show", tracks, "--json")
    assert (status, err) == (0, "")
    json.loads(out)


def test_tracks_validate(dft, tracks, tmp_path):
    import pyarrow.parquet as pq

    num_rows = pq.read_metadata(tracks).num_rows
    assert dft("tracks", "validate", tracks) == (0, f"{tracks} is valid: {num_rows} rows\n", "")
    broken = tmp_path / "broken.parquet"
    table = pq.read_table(tracks)
    pq.write_table(table.take([5, 2, 0]), broken)
    status, out, err = dft("tracks", "validate", broken)
    assert (status, err) == (1, "")
    assert "row 1, column frame_index" in out
    status, out, _ = dft("tracks", "validate", broken, "--json")
    result = json.loads(out)
    assert status == 1 and not result["valid"] and result["problems"]


def test_tracks_plot(dft, tracks, tmp_path):
    picture = tmp_path / "p.png"
    assert dft("tracks", "plot", tracks, "-o", picture) == (0, f"{picture}\n", "")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    status, _, err = dft("tracks", "plot", tracks, "-o", picture)
    assert status == 1 and "--overwrite" in err
    status, out, _ = dft("tracks", "plot", tracks, "-o", picture, "--overwrite", "--json")
    assert status == 0 and json.loads(out) == {"output": str(picture)}


def test_tracks_plan(dft, talk, tracks):
    status, out, err = dft("tracks", "plan", talk.video, tracks)
    assert (status, err) == (0, "")
    assert "left" in out and "right" in out and "whole face in the crop" in out
    status, out, err = dft("tracks", "plan", talk.video, tracks, "--json", "--head-share", "0.3")
    assert (status, err) == (0, "")
    cameras = json.loads(out)["cameras"]
    assert [camera["side"] for camera in cameras] == ["left", "right"]
    assert all(camera["full"] == 1 and camera["visible"] > 0 for camera in cameras)


def test_tracks_plan_compares_and_draws(dft, talk, tracks, tmp_path):
    picture = tmp_path / "camera.svg"
    status, out, err = dft("tracks", "plan", talk.video, tracks, "--compare", "--plot", picture)
    assert (status, err) == (0, "") and "Savitzky-Golay" in out and "dead zone" in out
    assert b"dead zone" in picture.read_bytes()
    status, _, err = dft("tracks", "plan", talk.video, tracks, "--plot", picture)
    assert status == 1 and "--overwrite" in err
    status, out, _ = dft("tracks", "plan", talk.video, tracks, "--compare", "--json")
    assert status == 0 and list(json.loads(out)["usual"]) == ["Savitzky-Golay", "dead zone"]


@pytest.fixture(scope="module")
def truth(talk, tmp_path_factory) -> Path:
    """What ``dft demo`` writes beside its video."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path_factory.mktemp("truth") / "talk.truth.parquet"
    pq.write_table(pa.Table.from_pylist([vars(row) for row in talk.truth]), path)
    return path


def test_tracks_score(dft, tracks, truth):
    status, out, err = dft("tracks", "score", tracks, truth)
    assert (status, err) == (0, "")
    assert "coverage" in out and "switches" in out and "Nothing is named wrong." in out
    status, out, err = dft("tracks", "score", tracks, truth, "--json", "--iou", "0.3")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert (result["wrong"], result["switches"], result["min_iou"]) == (0, 0, 0.3)
    assert result["coverage"] > 0.98 and result["names"] == {"A": "A", "B": "B"}


def test_tracks_score_against_another_track_file(dft, tracks):
    status, out, _ = dft("tracks", "score", tracks, tracks, "--json")
    assert status == 0
    assert json.loads(out)["coverage"] == 1.0


def test_keep_evidence_and_reidentify(dft, talk, tmp_path):
    output = tmp_path / "t.parquet"
    assert dft("analyze", talk.video, "-o", output, "--keep-evidence", *FAST)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.evidence", "t.parquet"]
    again = tmp_path / "again.parquet"
    status, out, err = dft("tracks", "reidentify", output, "-o", again)
    assert (status, err) == (0, "") and out.count("\n") == 1
    assert out.startswith(f"{again}: A and B in 110 frames, 3 shots, ")
    assert again.read_bytes() == output.read_bytes()
    evidence = ["--evidence", tmp_path / "t.evidence"]
    status, out, err = dft("tracks", "reidentify", again, *evidence, "--overwrite", "--people", "1", "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["persons"] == ["A"] and report["output"] == str(again) and report["reid_seconds"] == 0
    from dft.trackio.files import read_tracks

    assert read_tracks(again).metadata.settings["people"] == 1
    assert dft("tracks", "reidentify", output, "-o", again, "--overwrite", "--main", "0.9,0.9@1")[0] == 1
    assert read_tracks(again).metadata.persons == ("A",), "an error leaves what was there"


def test_settings_page(dft):
    status, out, _ = dft("settings")
    assert status == 0
    assert all(f"`{name}`" in out for settings in PASSES.values() for name in all_settings(settings))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(dft, shell):
    status, out, err = dft("completion", shell)
    assert (status, err) == (0, "")
    assert f"_DFT_COMPLETE={shell}_complete" in out


def run(*words, **kwargs):
    environment = {**os.environ, "PYTHONPATH": SRC, **kwargs.pop("env", {})}
    command = [sys.executable, "-m", "dft", *map(str, words)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, **kwargs
    )  # fmt: skip


def test_completion_completes_commands():
    done = run(env={"_DFT_COMPLETE": "bash_complete", "COMP_WORDS": "dft an", "COMP_CWORD": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain,analyze\n", "")


def test_an_error_in_a_process_of_its_own(tmp_path):
    done = run("analyze", tmp_path / "no.mp4")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dft: error: there is no video {tmp_path / 'no.mp4'}; check the path\n"


def python(script):
    environment = {**os.environ, "PYTHONPATH": SRC}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip


def test_help_loads_no_pass():
    script = "import sys\nfrom dft.cli import main\nsys.argv = ['dft', 'analyze', '--help']\ntry:\n    main()\n"
    script += "except SystemExit:\n    pass\nprint(sorted({'av', 'cv2', 'numpy', 'pyarrow'} & set(sys.modules)))"
    done = python(script)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves(tracks):
    """``dft settings | head -1``"""
    command = f"{sys.executable} -m dft settings | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={**os.environ, "PYTHONPATH": SRC}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stdout == "# Settings\n"
    assert done.stderr == ""


@pytest.fixture(scope="module")
def long_talk(talk, tmp_path_factory) -> Path:
    """The same talk six times over, for 26 s."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(talk.video)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [p for p in source.demux(video=0) if p.size]
        length = sum(p.duration for p in packets)
        stamps = [(p.pts, p.dts) for p in packets]
        for turn in range(6):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.stream = stream
                target.mux(packet)
                packet.stream = source.streams.video[0]
                packet.time_base = source.streams.video[0].time_base
    return path


def start(*words):
    """The command, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "dft", *map(str, words)],
        env={**os.environ, "PYTHONPATH": SRC}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(process, folder, pattern):
    """Until a file of that name is there and the command still runs."""
    deadline = time.monotonic() + 30
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(long_talk, tmp_path):
    output = tmp_path / "t.parquet"
    words = ["analyze", long_talk, "-o", output, "--json", *FAST]
    process = start(*words)
    chunks = tmp_path / ".t.parquet.chunks"
    wait_for(process, chunks, "chunk-*.npz")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "dft: stopped\n")
    left = [path.name for path in chunks.iterdir()]
    assert [path.name for path in tmp_path.iterdir()] == [chunks.name]
    assert all(name == "key.json" or name.startswith("chunk-") for name in left), left
    done = run(*words)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["resumed_frames"] >= 20 * (len(left) - 1) > 0
    assert report["frames"] == 6 * 110
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.slow
def test_a_killed_analysis_goes_on_and_ends_in_the_same_rows(long_talk, tmp_path):
    killed, whole = tmp_path / "killed.parquet", tmp_path / "whole.parquet"
    process = start("analyze", long_talk, "-o", killed, *FAST)
    wait_for(process, tmp_path / ".killed.parquet.chunks", "chunk-*.npz")
    process.kill()
    process.communicate()
    assert not killed.exists()
    report = json.loads(run("analyze", long_talk, "-o", killed, "--json", *FAST).stdout)
    assert report["resumed_frames"] > 0
    assert json.loads(run("analyze", long_talk, "-o", whole, "--json", *FAST).stdout)["resumed_frames"] == 0
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_rendering_stopped_by_ctrl_c_goes_on(long_talk, tmp_path):
    tracks, output = tmp_path / "t.parquet", tmp_path / "out.mp4"
    assert run("analyze", long_talk, "-o", tracks, *FAST).returncode == 0
    words = ["render", long_talk, tracks, "-o", output, "--preset", "superfast", "--segment-seconds", "1", "--json"]
    process = start(*words)
    folder = tmp_path / ".out.mp4.segments"
    wait_for(process, folder, "*.json")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.splitlines()[-1]) == (130, "", "dft: stopped")
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, tracks.name]
    assert not list(folder.glob("*.partial*"))
    report = json.loads(run(*words).stdout)
    assert 25 <= report["reused"] < report["frames"] == 6 * 110
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.mp4.qc.json", tracks.name]
