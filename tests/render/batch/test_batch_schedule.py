"""What comes next and what has come of it, without any process."""

import pytest

from dft.render.batch.faults import Fault
from dft.render.batch.inputs import Entry
from dft.render.batch.live import Silent
from dft.render.batch.plan import BatchOptions, Values, make_jobs
from dft.render.batch.schedule import Schedule
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
    task = schedule.take()[1]
    task.job.tracks.write_text("written just before the kill")
    again = schedule_of(a="a")
    assert again.take()[1].step == "analyze"
