"""Killed at random moments and run again, a batch comes to the same results, from what was finished."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from .disturbed import begun, hidden_files, kept, kill_all, results, run, unfinished_step

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by way of /proc")

NAMES = ("long", "short")
NUM_PARTS = {"long": 6, "short": 3}  # chunks, and segments as well
NUM_EVENTS = 2 * (sum(NUM_PARTS.values()) + len(NAMES))  # each part, each result


@pytest.fixture(scope="session")
def folder(two_people):
    return two_people(long=75, short=37)


@pytest.fixture(scope="session")
def undisturbed(folder, tmp_path_factory):
    """The results' digests, and the report."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    ended = run(folder, output)
    assert ended.status == 0, ended.stderr
    assert all(ended.stages(name)[step]["resumed"] == 0 for name in NAMES for step in ("analyze", "render"))
    return results(output, *NAMES), ended


@dataclass(frozen=True)
class Moment:
    """When a batch is killed.

    Attributes:
        events: So many chunks, segments and results have been seen.
        seconds: After the last of them.
        everything: Whether its workers are killed with it; else they notice that it is gone.
    """

    events: int
    seconds: float
    everything: bool


def moments(num: int, seed: int) -> list[Moment]:
    """Spread over the whole run."""
    chance = random.Random(seed)
    places = [(number + chance.random()) * NUM_EVENTS / num for number in range(num)]
    return [Moment(int(place), place % 1 * 0.05, chance.random() < 0.5) for place in places]


def wait_for(moment: Moment, process, output: Path) -> bool:
    """Whether it was still running at that moment."""
    seen: set[str] = set()
    patterns = (".*.chunks/chunk-*.npz", ".*.segments/*.json", "*.parquet", "*.dft.mp4")
    while len(seen) < moment.events:
        with suppress(FileNotFoundError):  # a folder goes while it is looked through
            seen |= {str(path) for pattern in patterns for path in output.glob(pattern) if ".partial" not in path.name}
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    time.sleep(moment.seconds)
    return process.poll() is None


def kill_and_run_again(moment: Moment, folder: Path, output: Path):
    """Where it was, what lay on the disk then, and the end of the second run; None if it was over before."""
    with begun(folder, output) as process:
        if not wait_for(moment, process, output):
            return None
        if moment.everything:
            kill_all(process)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        found = {name: kept(output, name) for name in NAMES}
    return unfinished_step(output), found, run(folder, output)


@pytest.mark.parametrize(
    ("num", "seed"),
    [pytest.param(4, 3090, id="4 kills"), pytest.param(20, 2026, id="20 kills", marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_it_comes_to_the_same(undisturbed, folder, tmp_path, num, seed, record_property):
    wanted, whole = undisturbed
    chosen = moments(num, seed)
    with ThreadPoolExecutor(2) as both:
        outputs = [tmp_path / f"{number}" for number in range(num)]
        ends = list(
            both.map(lambda given: kill_and_run_again(given[0], folder, given[1]), zip(chosen, outputs, strict=True))
        )
    hit: dict[str, int] = {"analyze": 0, "render": 0, "none": 0, "too late": 0}
    num_resumed = {"analyze": 0, "render": 0}
    for moment, output, end in zip(chosen, outputs, ends, strict=True):
        if end is None:
            hit["too late"] += 1
            continue
        step_hit, found, again = end
        assert again.status == 0, again.stderr
        assert results(output, *NAMES) == wanted
        assert hidden_files(output) == [".dft-batch"]
        hit[step_hit] += 1
        line = []
        for name in NAMES:
            for step, stage in again.stages(name).items():
                known = found[name][step]
                assert stage["frames"] == whole.stages(name)[step]["frames"]
                if found[name][f"{step} made"]:
                    continue  # killed while its parts were removed: the result is made anew, or taken as it is
                as_it_lay = stage["resumed"] == known if moment.everything else stage["resumed"] >= known
                assert as_it_lay, f"{moment}: {name}, {step}: {stage} with {found}"
                if known:
                    num_resumed[step] += 1
                    line.append(f"{name}, {step}: {stage['resumed']} of {stage['frames']} frames")
        print(moment, f"in {step_hit}", *line, sep="; ")
    print("kills", hit, "of which work was resumed", num_resumed)
    record_property("kills by pass", hit)
    for step in ("analyze", "render"):
        assert hit[step] >= num // 4 and num_resumed[step] >= num // 5, "the moments are spread over both passes"
