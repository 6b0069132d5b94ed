"""A batch on a real Ray cluster of two nodes on this machine: results as of the local engine, whatever dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from dft.configs.errors import EngineError
from dft.engines.cluster import MAX_MESSAGE_BYTES, joined, living_nodes
from dft.engines.cluster_worker import ClusterWorker, Share
from dft.engines.processes import Died, Done, Failed, NodeLost, Ready
from dft.render.batch.crews.nodes import check_sight
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions
from dft.render.batch.work import Passes

from .conftest import fake_analyze, fake_render, num_runs
from .disturbed import SRC, begun, hidden_files, results, run, workers_of

HEALTH = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
STORE_BYTES = 80_000_000
FAKES = Passes(fake_analyze, fake_render)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of two cores each."""
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    before = os.environ.get("PYTHONPATH")
    patience = {"RAY_raylet_start_wait_time_s": "120", "RAY_worker_register_timeout_seconds": "180"}
    os.environ.update(PYTHONPATH=SRC, RAY_USAGE_STATS_ENABLED="0", **patience)
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": HEALTH,
        },
    )  # fmt: skip
    made.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    yield made
    made.shutdown()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def second(cluster):
    """The node that is not the head; a new one takes its place if it was killed."""
    yield next(node for node in cluster.list_all_nodes() if not node.head)
    lost = [node for node in cluster.list_all_nodes() if not node.head and node.dead_processes()]
    for node in lost:
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)


def kill(node) -> None:
    """As when the machine goes down: Ray's process there, and the workers with it."""
    (raylet,) = (info.process for info in node.all_processes["raylet"])
    os.kill(raylet.pid, signal.SIGSTOP)  # so that it begins none meanwhile
    for pid in [*workers_of(raylet), raylet.pid]:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def seat(argument: object):
    def work(item: object, tell) -> None:
        match item:
            case "die":
                os._exit(3)
            case "bug":
                raise KeyError("missing")
            case "a frame":
                tell(b"x" * MAX_MESSAGE_BYTES)
            case "wait":
                tell("waiting")
                time.sleep(600)
        tell((argument, item, os.environ.get("CUDA_VISIBLE_DEVICES")))

    yield work


@contextmanager
def shut(argument: object):
    raise EngineError(f"it cannot be opened with {argument}")
    yield


def answers(worker, item=None):
    """All that it says of an item, or until it is ready."""
    if item is not None:
        worker.begin(0, item)
    said = [worker.receive()]
    while not isinstance(said[-1], Done | Failed | Died | Ready):
        said.append(worker.receive())
    return said


def test_a_worker_on_a_node_does_as_one_here(cluster):
    with joined(cluster.address):
        node = living_nodes()[0]
        with ClusterWorker(0, seat, 7, Share(1), node) as worker:
            assert not worker.ready and answers(worker) == [Ready()] and worker.ready
            (told, done) = answers(worker, "x")
            assert told.message[:2] == (7, "x") and done == Done()
            assert "KeyError" in repr(answers(worker, "bug")[-1].error)
            assert "a bytes is too large for the cluster" in str(answers(worker, "a frame")[-1].error)
            (died,) = answers(worker, "die")
            assert type(died) is Died and f"on node {node}" in died.how and "\n" not in died.how
        with ClusterWorker(1, shut, 7, Share(1)) as worker:
            assert str(answers(worker)[-1].error) == "it cannot be opened with 7"
        with ClusterWorker(2, seat, 7, Share(99), node) as worker:
            assert isinstance(worker.receive(), NodeLost), "as of a node that is gone: there will never be such room"


@pytest.mark.slow
def test_a_worker_waits_for_room_and_comes_when_there_is(cluster):
    with joined(cluster.address):
        node = living_nodes()[0]
        with ClusterWorker(0, seat, 7, Share(2), node) as first:
            assert answers(first) == [Ready()]
            with ClusterWorker(1, seat, 8, Share(1), node) as other:
                assert not other.connection.poll(1.0) and not other.ready
                first.dismiss()
                assert answers(other) == [Ready()]
                assert answers(other, "x")[0].message[:2] == (8, "x")


@pytest.mark.slow
def test_parts_of_a_gpu_are_shared_out(cluster):
    node = cluster.add_node(num_cpus=4, num_gpus=1, object_store_memory=STORE_BYTES)  # says so: there is none
    try:
        with joined(cluster.address):
            (place,) = (living for living in living_nodes() if living.id == node.node_id)
            workers = [ClusterWorker(number, seat, number, Share(1, 0.5), place) for number in range(3)]
            assert [answers(worker) for worker in workers[:2]] == [[Ready()]] * 2
            assert [answers(worker, "x")[0].message for worker in workers[:2]] == [(0, "x", "0"), (1, "x", "0")]
            assert not workers[2].connection.poll(0.5)
            for worker in workers:
                worker.end(at_once=True)
    finally:
        cluster.remove_node(node)


@pytest.mark.slow
def test_faults_are_those_of_the_local_engine(cluster, files, tmp_path):
    folder = files(a="good a", b="error", c="poison", d="die-once", e="bug", g="hang")
    options = BatchOptions(engine="ray", address=cluster.address, stall_seconds=3.0, keep_going=True)
    report = batch([folder], tmp_path / "out", options=options, passes=FAKES)
    faults = {video.name: [(fault.stage, fault.kind) for fault in video.faults] for video in report.videos}
    assert faults == {
        "a": [], "b": [("analyze", "error")], "c": [("analyze", "died")] * 2, "d": [("analyze", "died")],
        "e": [("analyze", "unexpected")], "g": [("analyze", "hung")] * 2,
    }  # fmt: skip
    assert {video.name: video.outcome for video in report.videos} == {
        **dict.fromkeys("ad", "done"), **dict.fromkeys("bceg", "failed"),
    }  # fmt: skip
    assert num_runs(folder) == {"a": 2, "b": 1, "c": 2, "d": 3, "e": 1, "g": 2}
    assert (report.streams, report.why) == (2, "2 nodes with room for 2, 2 cores for each")
    assert (tmp_path / "out" / "a.dft.mp4").read_text() == "tracks of good a in good a"
    again = batch([folder / "a.mp4"], tmp_path / "out", options=BatchOptions(streams=1), passes=FAKES)
    assert again.num("skipped") == 1, "the local engine goes on with what the cluster has made"


def test_what_a_node_does_not_see_is_told_before_any_work(cluster, files, tmp_path):
    folder = files(a="good a")
    with joined(cluster.address):
        nodes = living_nodes()
        check_sight(nodes, tmp_path, [(folder / "a.mp4", 6)])
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        with pytest.raises(
            EngineError, match=r"^node \S+ \(\w{8}\) cannot read .*gone.mp4: No such file .*same paths$"
        ):
            check_sight(nodes, tmp_path, [(folder / "gone.mp4", 6)])


def test_other_versions_are_told(cluster, files, tmp_path, monkeypatch):
    import ray

    options = BatchOptions(engine="ray", address=cluster.address)
    monkeypatch.setattr("dft.render.batch.crews.nodes.VERSION", "0.0")
    with pytest.raises(EngineError, match=r"^node \S+ \(\w{8}\) has another version of dft; got .* expected 0.0"):
        batch([files(a="good a")], tmp_path / "out", options=options, passes=FAKES)
    monkeypatch.setattr(ray, "__version__", "0.0")
    with pytest.raises(EngineError, match=r"Version mismatch: The cluster was started with: Ray: [^\n]*$"):
        batch([files(a="good a")], tmp_path / "out", options=options, passes=FAKES)
    assert not (tmp_path / "out").exists()


def error_line(*words, code="pass") -> str:
    script = f"import sys; {code}; from dft.cli import main; sys.argv[1:] = {list(map(str, words))!r}; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": SRC},
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_without_ray_or_a_cluster_there_is_one_line(files, tmp_path):
    given = ["batch", files(a="good a"), "-o", tmp_path / "out", "--engine", "ray"]
    blocked = error_line(*given, code="sys.modules['ray'] = None")
    assert "Ray cannot be imported" in blocked and "dual-face-tracker[cluster]" in blocked
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    assert "cannot reach a Ray cluster at 127.0.0.1:9; got " in error_line(*given, "--address", "127.0.0.1:9")
    assert not (tmp_path / "out").exists()


def test_nothing_imports_ray_unless_it_is_asked_for(files, tmp_path):
    script = (
        "import sys, dft.render.batch.crews.cluster, dft.render.batch.pipeline, dft.analyze.pipeline;"
        "print('ray' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture(scope="module")
def people(two_people):
    return two_people(one=75, two=62, three=50, four=37)


NAMES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def undisturbed(people, tmp_path_factory):
    """Digests of what the local engine makes."""
    output = tmp_path_factory.mktemp("local") / "out"
    ended = run(people, output)
    assert ended.status == 0, ended.stderr
    return results(output, *NAMES)


def on(cluster, *words):
    return ["--engine", "ray", "--address", cluster.address, "--log-level", "info", "--streams", "2", *words]


def nodes_in(stderr: str) -> set[str]:
    return set(re.findall(r"on node \S+ \((\w{8})\)", stderr))


@pytest.mark.slow
def test_both_nodes_work_and_the_results_are_the_same(cluster, people, undisturbed, tmp_path):
    ended = run(people, tmp_path / "out", *on(cluster))
    assert ended.status == 0, ended.stderr
    assert results(tmp_path / "out", *NAMES) == undisturbed
    assert len(nodes_in(ended.stderr)) == 2
    assert ended.report["recovery_rate"] is None and ended.report["done"] == 4
    assert hidden_files(tmp_path / "out")[0] == ".dft-batch" and len(hidden_files(tmp_path / "out")) == 1


FINISHED = {"analyze": ".{}.tracks.parquet.chunks/chunk-*.npz", "render": ".{}.dft.mp4.segments/*.json"}


@contextmanager
def killed(cluster, node, step, given, output, *words):
    """A batch whose node is killed once a part of a video that is in ``step`` there is finished; and the video."""
    mine = re.compile(rf"INFO: (\w+): {step} in process \d+ on node \S+ \({node.node_id[:8]}\)")
    with begun(given, output, *on(cluster, *words)) as process:
        match = next(filter(None, map(mine.search, process.stderr)))
        deadline = time.monotonic() + 60
        while not any(output.glob(FINISHED[step].format(match[1]))):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.001)
        kill(node)
        yield process, match[1]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["analyze", "render"])
def test_a_node_that_is_killed_takes_nothing_with_it(cluster, second, people, undisturbed, tmp_path, step):
    with killed(cluster, second, step, people, tmp_path / "out") as (process, name):
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["done"] == 4 and results(tmp_path / "out", *NAMES) == undisturbed
    faults = [(video["name"], fault) for video in report["videos"] for fault in video["faults"]]
    died = [fault for of, fault in faults if (of, fault["stage"], fault["kind"]) == (name, step, "died")]
    assert len(died) == 1, faults
    assert f"({second.node_id[:8]}) is lost" in died[0]["cause"] and "begun again" in died[0]["answer"]
    assert report["recovery_rate"] == 1.0


SLOW = ("--only", "analyze", "--detect-size", "1600")  # each frame takes long enough for helpers to come


@pytest.fixture(scope="module")
def long(people, tmp_path_factory):
    """A video, and its tracks as the local engine makes them."""
    output = tmp_path_factory.mktemp("long") / "out"
    ended = run(people / "one.mp4", output, *SLOW)
    assert ended.status == 0, ended.stderr
    return people / "one.mp4", (output / "one.tracks.parquet").read_bytes()


@pytest.mark.slow
def test_a_long_video_is_looked_at_by_both_nodes(cluster, long, tmp_path):
    video, tracks = long
    ended = run(video, tmp_path / "out", *on(cluster, *SLOW, "--split-seconds", "1"))
    assert ended.status == 0, ended.stderr
    assert (tmp_path / "out" / "one.tracks.parquet").read_bytes() == tracks
    helped, parts = re.search(r"helpers looked at (\d+) of (\d+) parts", ended.stderr).groups()
    assert 0 < int(helped) < int(parts) == 6
    assert hidden_files(tmp_path / "out") == [".dft-batch"]


@pytest.mark.slow
def test_a_long_video_does_without_a_node_that_is_killed(cluster, second, long, tmp_path):
    video, tracks = long
    output = tmp_path / "out"
    with begun(video, output, *on(cluster, *SLOW, "--split-seconds", "1")) as process:
        first_of_helper = output / ".one.tracks.parquet.chunks" / "chunk-00003.npz"
        while not first_of_helper.exists() and process.poll() is None:
            time.sleep(0.001)
        kill(second)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert (output / "one.tracks.parquet").read_bytes() == tracks
    (fault,) = json.loads(out)["videos"][0]["faults"]
    assert fault["kind"] in ("recovered", "died"), "it had the video itself, or helped"
    assert "is lost" in fault["cause"] and json.loads(out)["recovery_rate"] == 1.0
