"""The simulated queue: against queueing theory, the real schedule, a measured batch and the page on scaling."""

import heapq
import os
import random
import re
import shlex
from itertools import count
from math import factorial
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.render.batch.entry import Entry
from dft.render.batch.plan import BatchOptions, Values, make_jobs
from dft.render.batch.queueing import Cluster, Leg, Stage, Work, simulate
from dft.render.batch.reporting.live import Silent
from dft.render.batch.schedule import Schedule
from dft.render.batch.simulation import (
    Planner,
    Rates,
    Way,
    bounds,
    main,
    sample_videos,
)
from dft.render.batch.state import BatchState
from dft.render.batch.work import Made

PAGE = Path(__file__).parents[3] / "docs" / "scaling.md"
SHOWN = re.compile(
    r"<!-- checked by tests/render/batch/test_simulation.py -->\n+ {4}python -m (\S+)(.*)\n\n((?:\|.*\n)+)"
)


def one(seconds, num_bytes=0.0, **more):
    """A video of one task of one leg."""
    return Work((Stage(((Leg(seconds, num_bytes),),)),), **more)


# --- theory


def arrivals(num, rate, seed):
    draw, now = random.Random(seed), 0.0
    for _ in range(num):
        now += draw.expovariate(rate)
        yield now


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_waits_of_one_stream_are_those_of_pollaczek_and_khinchine(load):
    """M/D/1: mean wait = load x service / (2 (1 - load))."""
    works = [one(1.0, arrival_seconds=at) for at in arrivals(20_000, load, seed=1)]
    waits = simulate(works, Cluster(1, streams_per_gpu=1)).waits.values()
    assert sum(waits) / len(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize(("streams", "load"), [(2, 0.7), (8, 0.8)])
def test_waits_of_several_streams_are_those_of_erlang(streams, load):
    """M/M/c, first come first served: mean wait = C(c, a) x service / (c (1 - load)), with Erlang's C."""
    draw, offered = random.Random(2), streams * load
    works = [one(draw.expovariate(1), arrival_seconds=at) for at in arrivals(40_000, offered, seed=3)]
    waits = simulate(works, Cluster(1, streams_per_gpu=streams)).waits.values()
    full = offered**streams / factorial(streams) / (1 - load)
    erlang_c = full / (sum(offered**k / factorial(k) for k in range(streams)) + full)
    assert sum(waits) / len(waits) == pytest.approx(erlang_c / (streams * (1 - load)), rel=0.06)


legs = st.builds(Leg, st.floats(0.1, 50), st.floats(0, 500), st.floats(0.5, 20))
stages = st.builds(
    Stage,
    st.lists(st.lists(legs, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4).map(tuple),
    st.floats(0, 0.5),
)
chains = st.builds(Work, st.lists(stages, min_size=1, max_size=3).map(tuple), st.integers(0, 3).map(float))


@settings(deadline=None, max_examples=40)
@given(st.lists(chains, min_size=1, max_size=12), st.integers(1, 12), st.floats(5, 200), st.integers(0, 99))
def test_everything_is_done_once_and_not_faster_than_can_be(works, gpus, storage, seed):
    cluster = Cluster(gpus, gpus_per_node=2, streams_per_gpu=2, storage=storage, start_seconds=3.0)
    outcome = simulate(works, cluster, seed)
    assert outcome.ended == dict.fromkeys(range(len(works)), 1)
    assert len(outcome.begun) == sum(len(stage.tasks) for work in works for stage in work.stages)
    assert outcome.num_bytes == pytest.approx(sum(work.num_bytes for work in works))
    assert outcome.seconds >= max(bounds(works, cluster).values()) * (1 - 1e-9)
    for video, work in enumerate(works):  # a stage begins when the one before is through
        order = [stage for number, stage in outcome.begun if number == video]
        assert order == sorted(order)
        assert len(order) == sum(len(stage.tasks) for stage in work.stages)
    assert simulate(works, cluster, seed) == outcome


@settings(deadline=None, max_examples=40)
@given(st.lists(chains, min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_with_nodes_that_are_lost_everything_is_still_done_once(works, gpus, seed):
    cluster = Cluster(gpus, gpus_per_node=2, streams_per_gpu=2, storage=100, losses_per_hour=40, repair_seconds=5)
    outcome = simulate(works, cluster, seed)
    assert outcome.ended == dict.fromkeys(range(len(works)), 1)
    assert len(outcome.begun) == sum(len(stage.tasks) for work in works for stage in work.stages) + outcome.again
    assert outcome.num_bytes == pytest.approx(sum(work.num_bytes for work in works))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=40), st.integers(1, 10))
def test_independent_videos_keep_grahams_bound_and_gain_by_every_gpu(lengths, gpus):
    """List scheduling on m machines: at most total / m + (1 - 1 / m) x longest (Graham 1966)."""
    works = [one(length, rank=length) for length in lengths]
    fewer, more = (simulate(works, Cluster(num, streams_per_gpu=1)).seconds for num in (gpus, gpus + 1))
    assert fewer <= (sum(lengths) / gpus + (1 - 1 / gpus) * max(lengths)) * (1 + 1e-9)
    assert more <= fewer * (1 + 1e-9)


# --- parts of the model


def test_storage_that_is_too_slow_is_shared_and_nothing_of_it_is_left_idle():
    works = [one(10.0, 1000.0) for _ in range(8)]
    assert simulate(works, Cluster(1, storage=1e9)).seconds == pytest.approx(10)
    assert simulate(works, Cluster(1, storage=400.0)).seconds == pytest.approx(20)
    assert simulate(works, Cluster(1, link=400.0)).seconds == pytest.approx(20, rel=0.2)  # what came first has more
    half = [one(10.0, 1000.0) for _ in range(4)] + [one(10.0) for _ in range(4)]
    assert simulate(half, Cluster(1, storage=200.0)).seconds == pytest.approx(20)


def test_the_scheduler_hands_out_one_at_a_time():
    works = [Work((Stage(((Leg(1.0),),), scheduler_seconds=2.0),)) for _ in range(5)]
    assert simulate(works, Cluster(1)).seconds == pytest.approx(5 * 2 + 1)


def test_what_a_lost_node_has_finished_is_kept():
    def seconds(kept_seconds, num_bytes=0.0):
        work = Work((Stage(((Leg(2000.0, num_bytes, kept_seconds),),)),))
        cluster = Cluster(1, streams_per_gpu=1, storage=1e6, losses_per_hour=3, repair_seconds=0)
        outcome = simulate([work], cluster, seed=3)
        assert outcome.again == outcome.losses > 0
        return outcome.seconds

    assert 2000 < seconds(1.0) < 2000 + 20
    assert seconds(1.0, num_bytes=2e9) == pytest.approx(seconds(1.0), abs=5)  # nothing else wants the storage
    assert seconds(1000.0) > 2100


def test_parts_of_one_video_are_looked_at_at_once():
    film = sample_videos(1, 1.0, 8.0, 0)[0]
    times = [
        simulate([Planner(Rates(), way, Cluster(8), [film]).work(film)], Cluster(8)).seconds
        for way in (Way(("analyze",)), Way(("analyze",), 10.0), Way(("analyze",), "fair"))
    ]
    assert film.num_frames == 180_000
    assert times[0] > film.num_frames / 605
    assert times[0] / 5 > times[1] > times[2]


def test_fair_parts_are_no_longer_than_what_a_stream_has_to_do_anyway():
    videos, analysis = sample_videos(200, 0.05, 8.0, 0), Way(("analyze",), "fair")

    def tasks(gpus):
        planner = Planner(Rates(), analysis, Cluster(gpus), videos)
        return [sum(len(stage.tasks) for stage in planner.work(video).stages) for video in videos]

    assert set(tasks(1)) == {1}
    share = sum(video.num_frames for video in videos) / 800
    assert tasks(100) == [1 if video.num_frames <= share else 2 + -int(-video.num_frames // share) for video in videos]


def test_more_gpus_are_never_slower_with_the_measured_rates():
    videos = sample_videos(300, 0.05, 8.0, 0)
    for way in (Way(), Way(("analyze",), 30.0), Way(("analyze",), "fair")):
        times = []
        for gpus in (1, 2, 4, 8, 16):
            cluster = Cluster(gpus, storage=20e9, start_seconds=7.0)
            planner = Planner(Rates(), way, cluster, videos)
            times.append(simulate([planner.work(video) for video in videos], cluster).seconds)
        assert times == sorted(times, reverse=True)


def test_lengths_are_as_said():
    videos = sample_videos(10_000, 0.05, 8.0, 0)
    lengths = sorted(video.num_frames / 25 / 60 for video in videos)
    assert sum(length == 120 for length in lengths) == 500
    assert lengths[len(lengths) // 2] == pytest.approx(31.5, rel=0.05)  # 30, and the films above it
    assert all(video.num_bytes == pytest.approx(video.num_frames / 25 * 1e6, rel=1e-3) for video in videos)


# --- what it stands for


def test_the_order_is_that_of_the_real_schedule(tmp_path):
    """The real one is asked at simulated times, by two streams."""
    frames = {"a": 700, "b": 600, "c": 450, "d": 330, "e": 100}
    for name, size in frames.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(bytes(size))
        os.utime(path, (1e9, 1e9))
    output = tmp_path / "out"
    (output / ".dft-batch").mkdir(parents=True)
    jobs = make_jobs([Entry(tmp_path / f"{name}.mp4", name) for name in frames], output, Values({}, {}), 1)
    schedule = Schedule(jobs, BatchState(output), BatchOptions(), Silent())
    rates, asked, numbers = {"analyze": 10.0, "render": 4.0}, [], count()
    running = [(0.0, next(numbers), None), (0.0, next(numbers), None)]
    while running:
        now, _, taken = heapq.heappop(running)
        if taken is not None:
            for path in taken[1].job.results(taken[1].step):
                path.write_bytes(b"made")
            schedule.told(*taken, Made(1, 1.0, (), ()))
        if (taken := schedule.take()) is not None:
            task = taken[1]
            asked.append((task.job.name, task.step))
            heapq.heappush(running, (now + frames[task.job.name] / rates[task.step], next(numbers), taken))
    works = [
        Work(tuple(Stage(((Leg(size / rate),),)) for rate in rates.values()), rank=size) for size in frames.values()
    ]
    names, steps = list(frames), list(rates)
    begun = simulate(works, Cluster(1, streams_per_gpu=2)).begun
    assert [(names[video], steps[stage]) for video, stage in begun] == asked
    assert len(asked) == 10


# `dft batch --preset ultrafast` of six videos of 1080p on two busy cores: seconds of each analysis and rendering, and
# of all, from batch.json; a worker takes 2.4 s to be there.
MEASURED = {
    1: ([14.0, 28.087, 19.424, 21.185, 8.755, 8.444, 4.201, 8.279, 7.798, 9.678, 4.915, 6.931], 144.833),
    2: ([11.611, 29.621, 11.945, 27.004, 11.58, 17.785, 12.391, 20.482, 9.718, 13.547, 7.832, 11.545], 95.356),
}


@pytest.mark.parametrize("streams", MEASURED)
def test_a_measured_batch_takes_as_long(streams):
    seconds, measured = MEASURED[streams]
    works = [
        Work((Stage(((Leg(looked),),)), Stage(((Leg(rendered),),))), rank=-number)
        for number, (looked, rendered) in enumerate(zip(seconds[::2], seconds[1::2], strict=True))
    ]
    simulated = simulate(works, Cluster(1, streams_per_gpu=streams, start_seconds=2.4)).seconds
    assert simulated == pytest.approx(measured, rel=0.02)


# --- the command


QUICK_LINES = 4  # of a table: two of its rows take about a second


def shown():
    for module, options, table in SHOWN.findall(PAGE.read_text("utf-8")):
        marks = [pytest.mark.slow] if table.count("\n") > QUICK_LINES else []
        yield pytest.param(module, options, table, id=options.strip(), marks=marks)


def test_the_page_on_scaling_shows_tables():
    assert len([block for block in shown() if not block.marks]) >= 4
    assert len(list(shown())) >= 8


@pytest.mark.parametrize(("module", "options", "table"), list(shown()))
def test_the_page_on_scaling_shows_what_its_commands_print(module, options, table):
    assert module == "dft.render.batch.simulation"
    result = CliRunner().invoke(main, shlex.split(options))
    assert result.exit_code == 0, result.output
    assert result.output == table


def test_a_rate_can_be_changed():
    def seconds(*options):
        result = CliRunner().invoke(main, ["--gpus", "8", "--videos", "50", "--parts", "whole", *options])
        assert result.exit_code == 0, result.output
        columns, _, row = (line.strip("| ").split(" | ") for line in result.output.splitlines())
        return dict(zip(columns, row, strict=True))["time"]

    assert seconds() == seconds("--rate", "render_fps=61.5") != seconds("--rate", "render_fps=120")


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--rate", "nothing=1"),
        ("--rate", "look_fps"),
        ("--rate", "look_fps=fast"),
        ("--rate", "look_fps=0"),
        ("--rate", "scan_seconds=-1"),
        ("--parts", "half"),
        ("--parts", "0"),
    ],
)
def test_what_cannot_be_is_refused(option, given):
    result = CliRunner().invoke(main, [option, given])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}" in result.output


def test_losses_are_told():
    options = ["--gpus", "16", "--videos", "60", "--only", "render", "--parts", "whole", "--losses", "1"]
    columns, _, row = (line.strip("| ").split(" | ") for line in CliRunner().invoke(main, options).output.splitlines())
    told = dict(zip(columns, row, strict=True))
    assert int(told["nodes lost"]) > 0
    assert int(told["tasks begun again"]) > 0
