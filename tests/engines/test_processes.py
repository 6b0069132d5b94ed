"""Work shared out over processes: all of it is done once, errors come back, and a dead process is replaced."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import EngineError, SettingError
from dft.engines.processes import Died, Told, WorkerProcess, ask_aside
from dft.engines.sharing import _Stretches, share_out_to_processes


@contextmanager
def noting(folder: Path):
    """Tells the item and the process; does as some items say."""
    log = logging.getLogger("dft.somewhere")

    def work(item: object, tell) -> None:
        match item:
            case "wrong setting":
                raise SettingError("setting x", got=3, expected=4, hint="say 4")
            case "strange error":
                raise StrangeError("a", "b")
            case "log":
                log.warning("noticed %d", 5)
            case ("die", times):
                mark = folder / f"died-{len(list(folder.glob('died-*')))}"
                if len(list(folder.glob("died-*"))) < times:
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                time.sleep(600)
        tell((item, os.getpid()))

    yield work


@contextmanager
def unopened(argument: object):
    raise SettingError(f"it cannot be opened with {argument}")
    yield


class StrangeError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one, two):
        super().__init__(one + two)


def shared_out(items, num, folder):
    told = []
    share_out_to_processes(items, num, noting, folder, told.append)
    return told


def test_every_item_is_worked_on_once_and_by_several(tmp_path):
    told = shared_out(list(range(23)), 3, tmp_path)
    assert sorted(item for item, _ in told) == list(range(23))
    assert len({process for _, process in told}) == 3
    assert os.getpid() not in {process for _, process in told}


def test_no_more_processes_than_items(tmp_path):
    assert len({process for _, process in shared_out([1, 2], 5, tmp_path)}) == 2
    assert shared_out([], 5, tmp_path) == []


def test_an_error_comes_back_as_it_was(tmp_path):
    with pytest.raises(SettingError, match="setting x; got 3; expected 4; say 4") as caught:
        shared_out([1, "wrong setting", "wait"], 2, tmp_path)
    assert (caught.value.got, caught.value.hint) == (3, "say 4")


def test_an_error_that_cannot_travel_is_told(tmp_path):
    with pytest.raises(EngineError, match=r"StrangeError\('ab'\)"):
        shared_out(["strange error"], 1, tmp_path)


def test_an_error_in_opening_comes_back():
    with pytest.raises(SettingError, match="cannot be opened with 7"):
        share_out_to_processes([1], 1, unopened, 7, print)


def test_a_process_that_dies_is_replaced(tmp_path, caplog):
    told = shared_out([1, ("die", 1), 3, 4], 2, tmp_path)
    assert sorted(str(item) for item, _ in told) == sorted(map(str, [1, ("die", 1), 3, 4]))
    assert "died (signal SIGKILL)" in caplog.text


def test_an_item_whose_processes_die_is_given_up(tmp_path):
    with pytest.raises(EngineError, match="SIGKILL"):
        shared_out([1, ("die", 9), "wait"], 2, tmp_path)


def test_their_log_is_ours(tmp_path, caplog):
    shared_out(["log"], 1, tmp_path)
    assert ("dft.somewhere", logging.WARNING, "noticed 5") in caplog.record_tuples


def test_an_interrupt_ends_all(tmp_path):
    def interrupted(message):
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        share_out_to_processes([1, "wait"], 2, noting, tmp_path, interrupted)
    assert time.monotonic() - begun < 60  # of the 600 that the other one would have waited


@pytest.mark.parametrize("next_item", [2, "wait"])
def test_they_end_with_their_caller(tmp_path, next_item):
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_processes import noting
        from dft.engines.sharing import share_out_to_processes
        def heard(message):
            print(message[1], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        share_out_to_processes([1, {next_item!r}], 1, noting, Path({str(tmp_path)!r}), heard)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 30
    while Path(f"/proc/{int(done.stdout)}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{int(done.stdout)}/cmdline").exists()


@contextmanager
def telling_the_environment(names: tuple[str, ...]):
    yield lambda item, tell: tell((os.getpid(), *(os.environ.get(name) for name in names)))


def test_processes_have_environments_in_turn(monkeypatch):
    monkeypatch.setenv("DFT_OURS", "ours")
    monkeypatch.setenv("DFT_ONE", "ours")
    told, places = [], [{"DFT_ONE": "a", "DFT_TWO": "b"}, {"DFT_ONE": "c"}]
    share_out_to_processes(
        list(range(9)), 3, telling_the_environment, ("DFT_OURS", "DFT_ONE", "DFT_TWO"), told.append, places
    )
    by_process = {process: values for process, *values in told}
    assert sorted(map(str, by_process.values())) == [
        str(values) for values in [["ours", "a", "b"], ["ours", "a", "b"], ["ours", "c", None]]
    ]
    assert os.environ["DFT_ONE"] == "ours" and "DFT_TWO" not in os.environ


def test_a_replacement_has_the_environment_of_the_one_that_died(tmp_path):
    told, places = [], [{"DFT_ONE": "a"}, {"DFT_ONE": "b"}]
    share_out_to_processes([0, 1], 2, dying_once, tmp_path, told.append, places)
    assert sorted(told) == [(0, "a"), (1, "b")]


@contextmanager
def dying_once(folder: Path):
    def work(item: int, tell) -> None:
        mark = folder / str(item)
        if not mark.exists():
            mark.touch()
            os._exit(4)
        tell((item, os.environ["DFT_ONE"]))

    yield work


@given(st.integers(0, 40), st.integers(1, 9), st.data())
def test_stretches_give_out_everything_once(num_items, num, data):
    stretches, taken = _Stretches(num_items, num), []
    while (item := stretches.take(data.draw(st.integers(0, num - 1)))) is not None:
        taken.append(item)
    assert sorted(taken) == list(range(num_items))


def test_a_worker_goes_on_with_the_neighbour_and_then_takes_half_of_the_longest():
    stretches = _Stretches(10, 2)
    assert [stretches.take(0) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert stretches.take(1) == 5
    assert [stretches.take(0) for _ in range(2)] == [8, 9]
    stretches.put_back(0, 9)
    assert [stretches.take(1) for _ in range(3)] == [6, 7, 9] and stretches.take(0) is None


class Held:
    """A process that the system does not let go of, whatever is sent: it waits for storage that does not answer."""

    pid = 7

    def terminate(self):
        pass

    kill = terminate

    def wait(self, timeout):
        raise subprocess.TimeoutExpired("worker", timeout)


def test_a_process_that_the_system_holds_keeps_nobody_waiting(tmp_path, caplog, monkeypatch):
    with WorkerProcess(0, noting, tmp_path) as worker:
        worker.dismiss()
        with monkeypatch.context() as patch:
            patch.setattr(worker, "_process", Held())
            worker.end(at_once=True)
            assert "process 7 waits for the system" in caplog.text
            worker.connection, other = Pipe()
            other.close()
            assert worker.receive() == Died("it says nothing any more, and does not end")


def test_workers_have_few_arenas_unless_told_otherwise(tmp_path, monkeypatch):
    for chosen, wanted in ((None, "2"), ("5", "5")):
        if chosen is not None:
            monkeypatch.setenv("MALLOC_ARENA_MAX", chosen)
        with WorkerProcess(0, saying_the_arenas, None) as worker:
            worker.begin(0, None)
            assert worker.receive() == Told(wanted)
            worker.dismiss()


@contextmanager
def saying_the_arenas(argument: None):
    yield lambda item, tell: tell(os.environ.get("MALLOC_ARENA_MAX"))


def own_pid():
    return os.getpid()


def test_a_question_is_answered_aside():
    assert ask_aside(own_pid, 60.0) != os.getpid()
    with pytest.raises(EngineError, match="has not answered; got exit status 3"):
        ask_aside(partial(os._exit, 3), 60.0)
    with pytest.raises(EngineError, match=r"has not answered; got int\(\) argument must be"):
        ask_aside(partial(int, []), 60.0)
    with pytest.raises(EngineError, match=r"got nothing within 0\.2 s"):
        ask_aside(partial(time.sleep, 600), 0.2)


def shout():
    os.write(1, b"as a library in C would")
    return True


def test_what_a_process_prints_is_no_result(capfd):
    assert ask_aside(shout, 60.0)
    out, err = capfd.readouterr()
    assert out == "" and "as a library in C would" in err
