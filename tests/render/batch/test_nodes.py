"""What room a cluster has, and whether its nodes see the same; without a cluster."""

import logging
import time
from multiprocessing.connection import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.chunks import Chunk
from dft.analyze.evidence import EvidenceStore
from dft.analyze.parallel import MAX_PART, _Errand, _looking_afar
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import DeviceLostError, EngineError, SettingError
from dft.configs.rendering import RenderSettings
from dft.configs.settings import build
from dft.engines.cluster import MAX_MESSAGE_BYTES, Node, joined, packed
from dft.engines.cluster_worker import Share
from dft.engines.processes import Failed
from dft.render.batch.admission import Admission
from dft.render.batch.crews.cluster import ClusterCrew, Nodes
from dft.render.batch.crews.nodes import (
    Facts,
    Room,
    Sight,
    _slices,
    check_same,
    cpu_share,
    facts_here,
    gpu_share,
    places,
    versions_here,
    why_unseen,
)
from dft.render.batch.plan import Job
from dft.render.batch.work import Task, Workplace

cores = st.lists(st.integers(0, 200), min_size=1, max_size=20)


def machines(cores, gpus=0):
    return [Node(f"{number:056x}", f"host{number}", float(has), float(gpus)) for number, has in enumerate(cores)]


@given(cores, st.none() | st.integers(1, 300))
def test_each_video_gets_as_many_cores_as_there_are_for_so_many_at_once(cores, streams):
    nodes = machines(cores)
    share = cpu_share(nodes, streams)
    room = sum(places(node, share) for node in nodes)
    assert room <= sum(cores) and share.cpus >= 1
    if streams is None:
        assert share.cpus == (2 if max(cores) >= 2 else 1)
    elif streams <= sum(cores):
        assert room >= streams
        more = Share(share.cpus + 1)
        assert sum(places(node, more) for node in nodes) < streams, "they could have more"


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 8)), min_size=1, max_size=10),
    st.none() | st.integers(1, 500),
    st.integers(1, 16),
)
def test_parts_of_gpus_fit(machines, streams, per_gpu):
    nodes = [Node(f"{number:056x}", "host", float(c), float(g)) for number, (c, g) in enumerate(machines)]
    share = gpu_share(nodes, streams, per_gpu)
    for node in nodes:
        room = places(node, share)
        assert room >= node.gpus, "each GPU is used"
        assert room * share.gpus <= node.gpus and room * share.cpus <= node.cpus + 1e-9
        assert round(1 / share.gpus) <= per_gpu
    if streams is not None:
        gpus = sum(node.gpus for node in nodes)
        assert round(1 / share.gpus) <= -(-streams // gpus), "no more at once on a GPU than are asked for"


def test_a_gpu_that_is_good_for_seven_takes_seven():
    (node,) = machines([64], gpus=8)
    share = gpu_share([node], None, 7)
    assert (share, places(node, share)) == (Share(1.0, 0.1428), 56)


def test_another_version_is_told_in_one_line(caplog):
    (node,) = machines([2])
    here = versions_here()
    check_same(node, facts_here("cpu"), here, "cpu")
    with pytest.raises(EngineError, match=r"node host0 \(00000000\) has another version of dft; got 0.0; expected"):
        check_same(node, Facts({**here, "dft": "0.0"}, "cpu", 0), here, "cpu")
    with pytest.raises(EngineError, match=r"works on cpu, and others on cuda.*--device"):
        check_same(node, Facts(here, "cpu", 0), here, "cuda")
    with caplog.at_level(logging.WARNING):
        check_same(node, Facts({**here, "av": "1.0"}, "cpu", 0), here, "cpu")
    assert "has av 1.0" in caplog.text


def test_what_is_not_seen_is_named(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"abc")
    (tmp_path / "seen-1").write_text("1")
    assert why_unseen(Sight(tmp_path, "1", ((video, 3), (video, None)))) is None
    assert [path.name for path in tmp_path.iterdir()].count("seen-1") == 1 and len(list(tmp_path.iterdir())) == 2
    assert why_unseen(Sight(tmp_path, "1", ((tmp_path / "b.mp4", 3),))) == (
        f"cannot read {tmp_path / 'b.mp4'}: No such file or directory"
    )
    assert "another file" in str(why_unseen(Sight(tmp_path, "1", ((video, 4),))))
    (tmp_path / "seen-2").write_text("1")
    assert "sees another folder" in str(why_unseen(Sight(tmp_path, "2", ())))
    assert "cannot use the output folder" in str(why_unseen(Sight(tmp_path / "gone", "1", ())))


def test_new_nodes_are_used_if_they_do_the_same_work_and_lost_ones_are_not(monkeypatch, caplog):
    first, same, other, small = machines([2, 2, 2, 1])
    living = [first]

    def check(node):
        if node is other:
            raise EngineError(f"node {node} has another version of dft")

    monkeypatch.setattr("dft.render.batch.crews.cluster.LOOK_SECONDS", -1.0)
    monkeypatch.setattr("dft.render.batch.crews.cluster.living_nodes", lambda: living)
    room = Room((first,), Share(2.0), "cpu", Admission(1, (), "one node"))
    nodes = Nodes(room, check)
    assert nodes.now() == [first]
    living[:] = [first, same, other, small]
    deadline = time.monotonic() + 10
    while not (same in nodes.now() and "not used" in caplog.text) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert nodes.now() == [first, same]
    assert "node host2 (00000000) has another version of dft: it is not used" in caplog.text
    nodes.lose(first)
    assert nodes.now() == [same]


class Refused:
    """A worker that cannot begin."""

    def __init__(self, number, *arguments):
        self.number, self.item, self.ready = number, -1, False
        self.connection, other = Pipe()
        other.send("something")

    def receive(self):
        return Failed(EngineError("no such folder"))

    def end(self, *, at_once):
        self.connection.close()

    kill = dismiss = lambda self: None


@pytest.mark.parametrize(
    ("living", "message"),
    [([], "no node of the cluster is left"), (machines([2, 2]), "workers cannot begin on the cluster; got no such")],
)
def test_a_cluster_on_which_nothing_begins_is_given_up(monkeypatch, living, message):
    monkeypatch.setattr("dft.render.batch.crews.cluster.WAIT_SECONDS", 0.1)
    monkeypatch.setattr("dft.render.batch.crews.cluster.ClusterWorker", {(Workplace, Task): Refused})
    room = Room(tuple(machines([2, 2])), Share(2.0), "cpu", Admission(2, (), "two nodes"))
    schedule = SimpleNamespace(num_waiting=2, is_empty=False, stopped=False, tick=lambda: None)
    with (
        pytest.raises(EngineError, match=message),
        ClusterCrew(room, SimpleNamespace(now=lambda: living), None, schedule, 1.0) as crew,
    ):
        crew.work()


class Blind(Refused):
    """On a GPU that is lost."""

    def receive(self):
        return Failed(DeviceLostError("the GPU does not answer", got="error 999"))


def test_a_node_whose_gpu_is_lost_is_left_alone(monkeypatch, caplog):
    living = machines([2, 2, 2])
    nodes = SimpleNamespace(now=lambda: list(living), lose=living.remove)
    monkeypatch.setattr("dft.render.batch.crews.cluster.WAIT_SECONDS", 0.1)
    monkeypatch.setattr("dft.render.batch.crews.cluster.ClusterWorker", {(Workplace, Task): Blind})
    room = Room(tuple(living), Share(2.0), "cuda", Admission(1, (), "three nodes"))
    schedule = SimpleNamespace(num_waiting=9, is_empty=False, stopped=False, tick=lambda: None)
    with (
        pytest.raises(EngineError, match="no node of the cluster is left"),
        ClusterCrew(room, nodes, None, schedule, 1.0) as crew,
    ):
        crew.work()
    assert not living and caplog.text.count("no more is given to node") == 3


@given(st.lists(st.text("abcä/", min_size=1, max_size=2000), max_size=200))
def test_questions_stay_small(names):
    slices = list(_slices((Path(name), 1) for name in names))
    assert [path for some in slices for path, _ in some] == [Path(name) for name in names]
    assert all(len(packed(Sight(Path("/x"), "t", some))) <= MAX_MESSAGE_BYTES for some in slices)


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "host:port", ":6379"])
def test_what_is_no_address_is_told(address):
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    with pytest.raises(SettingError, match="HOST:PORT"), joined(address):
        pass


def test_what_a_node_is_told_of_a_long_video_is_small():
    name = Path("/", *["x" * 250] * 16)  # as long as a path may be
    settings = build(AnalyzeSettings, {"detector": str(name)})
    store = EvidenceStore(name / "no.chunks", {"version": "1", "video": "0" * 64})
    assert len(packed((_looking_afar, _Errand(name, settings, store)))) < MAX_MESSAGE_BYTES / 2
    assert len(packed([Chunk(10**6 + k, 10**8 + k, 10**8 + k) for k in range(MAX_PART)])) < MAX_MESSAGE_BYTES / 2
    job = Job(name, name.name, name, name, settings, RenderSettings(), 0, 10**12, growing=False)
    assert len(packed(Task(job, "analyze", "0" * 64, name))) < MAX_MESSAGE_BYTES / 2
