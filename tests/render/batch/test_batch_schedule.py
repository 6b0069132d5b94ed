"""What comes next and what has come of it, without any process."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dft.configs.analysis import AnalyzeSettings
from dft.configs.rendering import RenderSettings
from dft.render.batch import plan
from dft.render.batch import schedule as schedules
from dft.render.batch.entry import Entry
from dft.render.batch.faults import Fault
from dft.render.batch.plan import BatchOptions, Job, Values, make_jobs
from dft.render.batch.reporting.live import Silent
from dft.render.batch.schedule import Schedule
from dft.render.batch.stalls import NoAnswerError
from dft.render.batch.state import BatchState, fingerprints
from dft.render.batch.work import Advanced, Made


@pytest.fixture
def schedule_of(files, tmp_path):
    """A schedule of videos of given contents and priorities."""

    def make(priorities=None, **contents):
        folder = files(**contents)
        output = tmp_path / "out"
        (output / ".dft-batch").mkdir(parents=True, exist_ok=True)
        entries = [Entry(folder / f"{name}.mp4", name, (priorities or {}).get(name, 0)) for name in contents]
        jobs = make_jobs(entries, output, Values({}, {}), threads=1)
        return Schedule(jobs, BatchState(output), BatchOptions(), Silent())

    return make


def finish(schedule, number, task):
    """Do what a worker would."""
    for path in task.job.results(task.step):
        path.write_text(f"{task.step} of {task.job.name}")
    prints = tuple(fingerprints(task.job.results(task.step)))
    schedule.told(number, task, Made(10, 1.0, prints, ()))


def all_steps(schedule):
    steps = []
    while (taken := schedule.take()) is not None:
        steps.append((taken[1].job.name, taken[1].step))
        finish(schedule, *taken)
    return steps


def test_order(schedule_of):
    schedule = schedule_of({"urgent": 1}, small="s", large="large", urgent="u")
    assert all_steps(schedule) == [
        (name, step) for name in ("urgent", "large", "small") for step in ("analyze", "render")
    ]
    assert [record.status for record in schedule.records] == ["done"] * 3 and schedule.is_empty
    assert all_steps(schedule_of(small="s", large="large", urgent="u", new="n")) == [
        ("new", "analyze"), ("new", "render"),
    ]  # fmt: skip


def test_what_was_done_before_speaks_for_a_batch_whose_rest_fails_again(schedule_of):
    contents = dict.fromkeys("abcde", "good" * 9) | dict.fromkeys("wxyz", "bad")
    for _ in range(2):
        schedule = schedule_of(**contents)
        while (taken := schedule.take()) is not None:
            number, task = taken
            if task.job.name in "abcde":
                finish(schedule, *taken)
            else:
                schedule.told(number, task, Fault(task.step, "error", "damaged", "film it again"))
        assert not schedule.stopped and schedule.is_degraded
    assert [record.status for record in schedule.records] == ["skipped"] * 5 + ["failed"] * 4


def test_a_step_whose_process_is_lost_twice_is_given_up(schedule_of):
    schedule = schedule_of(a="a", b="bb")
    number, task = schedule.take()
    assert task.job.name == "b"
    schedule.lost(number, task, "died", "died (signal SIGSEGV)")
    number, task = schedule.take()
    assert task.job.name == "b", "what was begun goes on first"
    schedule.lost(number, task, "hung", "made no progress")
    assert all_steps(schedule) == [("a", "analyze"), ("a", "render")]
    record = schedule.records[number]
    assert record.status == "failed" and [fault.kind for fault in record.faults] == ["died", "hung"]
    assert schedule.is_degraded and not schedule.stopped


def test_a_process_lost_in_each_step_is_forgiven(schedule_of):
    schedule = schedule_of(a="a")
    for step in ("analyze", "render"):
        number, task = schedule.take()
        schedule.lost(number, task, "died", "died")
        number, task = schedule.take()
        assert task.step == step
        schedule.told(number, task, Advanced(5, 10))
        finish(schedule, number, task)
    assert schedule.take() is None and schedule.records[0].status == "done"
    assert schedule.records[0].tries == {"analyze": 2, "render": 2} and len(schedule.records[0].faults) == 2


def test_a_process_that_dies_after_its_step_costs_nothing(schedule_of):
    schedule = schedule_of(a="a", b="bb")
    taken = schedule.take()
    finish(schedule, *taken)
    schedule.lost(*taken, "died", "died")
    number, task = schedule.take()
    schedule.lost(*taken, "died", "died")
    schedule.told(number, task, Fault("render", "error", "cause", "answer"))
    schedule.lost(number, task, "died", "died")
    assert schedule.records[number].status == "failed" and len(schedule.records[number].faults) == 1
    assert all_steps(schedule) == [("a", "analyze"), ("a", "render")]


def test_a_file_that_is_gone_fails_alone(schedule_of):
    schedule = schedule_of(a="a", b="bb")
    schedule.records[0].job.video.unlink()
    assert [name for name, _ in all_steps(schedule)] == ["a", "a"]
    assert "there is no video" in schedule.records[0].faults[0].cause


def test_a_killed_batch_may_replace_what_it_was_making(schedule_of):
    schedule = schedule_of(a="a")
    finish(schedule, *schedule.take())
    task = schedule.take()[1]
    task.job.output.write_text("written just before the kill")
    again = schedule_of(a="a")
    assert again.take()[1].step == task.step == "render"


def test_tracks_that_were_made_but_not_noted_are_taken(schedule_of):
    schedule = schedule_of(a="a")
    task = schedule.take()[1]
    task.job.tracks.write_text("written just before the kill")
    again = schedule_of(a="a").take()[1]
    assert (task.step, again.step) == ("analyze", "render")


def test_tracks_that_lay_there_before_are_not_taken_for_new_ones(schedule_of):
    schedule = schedule_of(a="a")
    number, task = schedule.take()
    finish(schedule, number, task)
    before = BatchState(task.job.tracks.parent)
    before.begin(task.job, "analyze", task.key)
    assert schedule_of(a="a").take()[1].step == "analyze"


def of_sizes(schedule, sizes):
    """Give the videos, by name, pictures of these sizes."""
    for record in schedule.records:
        record.job = replace(record.job, picture=sizes.get(record.job.name))
    return schedule


def test_a_worker_goes_on_with_pictures_of_the_size_that_it_had(schedule_of):
    wide, tall = (16, 9), (9, 16)
    schedule = schedule_of({"z": -1, "urgent": 1}, a="aaaa", b="bbb", c="cc", d="d", z="zzzzzz", urgent="u")
    of_sizes(schedule, {"a": wide, "b": tall, "c": tall, "z": wide, "urgent": tall})
    taken = [schedule.records[schedule._pop(like)].job.name for like in (wide, tall, wide, wide, tall, tall)]
    # the urgent one is alone of its priority, as is the least urgent one; one of unknown size is like none
    assert taken == ["urgent", "b", "a", "c", "d", "z"]


def test_a_begun_video_is_finished_before_one_of_the_same_size_begins(schedule_of):
    schedule = of_sizes(schedule_of(a="aaa", b="bb"), {"a": (2, 1), "b": (1, 2)})
    finish(schedule, *schedule.take())
    task = schedule.take((1, 2))[1]
    assert (task.job.name, task.step) == ("a", "render")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), most=st.integers(0, 5), videos=st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([None, (1, 1), (2, 1), (3, 1)])), min_size=1, max_size=25
))  # fmt: skip
def test_nobody_is_passed_over_for_long(monkeypatch, data, most, videos):
    """Whatever sizes are asked for: all come once, by priority, and among equals none later than it may be."""
    monkeypatch.setattr("dft.render.batch.schedule.MAX_PASSED", most)
    waiting = Waiting(videos)
    order = []
    while waiting.schedule._waiting:
        order.append(waiting.schedule._pop(data.draw(st.sampled_from([None, (1, 1), (2, 1), (9, 9)]))))
    assert sorted(order) == list(range(len(videos)))
    priorities = [videos[number][0] for number in order]
    assert priorities == sorted(priorities, reverse=True)
    for priority in set(priorities):
        own = [number for number in order if videos[number][0] == priority]
        for place, number in enumerate(sorted(own, key=lambda number: waiting.schedule.records[number].job.rank)):
            # it comes after those that are larger, each of which, like itself, may be passed over so often
            assert own.index(number) <= place + (place + 1) * most


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), videos=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_priorities_hold_while_files_are_being_written(monkeypatch, data, videos):
    """Whenever something is begun, it is the most urgent of the files that are whole just then."""
    unwhole = {number for number, (_, growing) in enumerate(videos) if growing}
    monkeypatch.setattr(Schedule, "_is_growing", lambda _, job: int(job.name) in unwhole)
    schedule = Waiting([(priority, None) for priority, _ in videos], unwhole).schedule
    left = set(range(len(videos)))
    while left:
        if unwhole and data.draw(st.booleans()):
            unwhole.remove(data.draw(st.sampled_from(sorted(unwhole))))
        whole = [number for number in left if number not in unwhole]
        wanted = min(whole, key=lambda number: (-videos[number][0], number), default=None)
        assert schedule._pop(None) == wanted
        left.discard(wanted)
        if wanted is None:
            unwhole.pop()


class Waiting:
    """A schedule of jobs of given priorities and sizes of pictures, none of which is ever begun."""

    def __init__(self, videos, growing=()):
        jobs = [
            Job(
                Path(f"{number}.mp4"), f"{number}", Path("t"), Path("o"), AnalyzeSettings(), RenderSettings(), priority,
                100 - number, number in growing, picture,
            )
            for number, (priority, picture) in enumerate(videos)
        ]  # fmt: skip
        self.schedule = Schedule(jobs, None, BatchOptions(), Silent())


def test_a_file_that_gets_whole_takes_its_place(schedule_of, monkeypatch):
    """Not the last one: what is urgent comes first as soon as it is whole."""
    unwhole = {"urgent", "later"}
    monkeypatch.setattr(plan, "growing", lambda paths, *_: [path for path in paths if path.stem in unwhole])
    monkeypatch.setattr(Schedule, "_is_growing", lambda _, job: job.name in unwhole)
    schedule = schedule_of({"urgent": 5, "later": 1}, a="aaa", b="bb", urgent="u", later="later")
    assert (taken := schedule.take())[1].job.name == "a"
    unwhole.remove("urgent")
    assert schedule.take()[1].job.name == "urgent"
    assert schedule.take()[1].job.name == "b"
    monkeypatch.setattr("dft.render.batch.schedule.PATIENCE_SECONDS", 0.0)
    assert schedule.take() is None, "others are still at work: there is time"
    for record in schedule.records:
        record.status = "done" if record.status == "running" else record.status
    assert schedule.take() is None
    time.sleep(0.01)
    assert schedule.take() is None and "is being written" in schedule.records[-1].faults[0].cause
    assert taken[0] == 0 and schedule.is_empty


def test_between_two_videos_that_do_not_answer_the_others_are_heard(schedule_of, monkeypatch):
    """And the second one is waited for a little only."""
    asked = []

    def in_time(read, path, seconds=None):
        asked.append((path.stem, seconds))
        if path.stem != "good":
            raise NoAnswerError(f"{path} does not answer")
        return read()

    monkeypatch.setattr(schedules, "in_time", in_time)
    schedule = schedule_of(gone="larger", lost="large", good="g")
    assert schedule.take() is None and schedule.take() is None
    assert schedule.take()[1].job.name == "good"
    assert asked == [("gone", None), ("lost", 1.0), ("good", 1.0)]
    assert [record.status for record in schedule.records] == ["failed", "failed", "running"]
