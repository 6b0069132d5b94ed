import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dft.configs.errors import OutputError, OutputExistsError, VideoNotFoundError
from dft.trackio import atomic
from dft.trackio.atomic import atomic_output, check_output, translate_os_error


@pytest.fixture
def target(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "result.mp4"


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_result_appears_whole_at_the_end(target):
    with atomic_output(target, overwrite=False) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".mp4"
        assert temporary.name.startswith(f".result.partial-{os.getpid()}")
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names_in(target.parent) == ["result.mp4"]


def test_overwriting_keeps_the_old_result_until_the_end(target):
    target.write_text("old")
    with atomic_output(target, overwrite=True) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit, VideoNotFoundError("no video")])
@pytest.mark.parametrize("existing", [None, "old"])
def test_a_failure_leaves_no_trace(target, failure, existing):
    if existing:
        target.write_text(existing)
    before = names_in(target.parent)
    kind = failure if isinstance(failure, type) else type(failure)
    with pytest.raises(kind), atomic_output(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise failure
    assert names_in(target.parent) == before
    assert not existing or target.read_text() == existing


def test_two_at_once_do_not_meet(target):
    with atomic_output(target, overwrite=True) as one, atomic_output(target, overwrite=True) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert target.read_text() == "one"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EFBIG, "larger than"),
        (errno.EACCES, "permission denied; check the rights"),
        (errno.EROFS, "read-only"),
    ],
)
def test_the_system_s_refusals_become_one_clear_line(target, number, words):
    with pytest.raises(OutputError) as caught, atomic_output(target, overwrite=False) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number), str(temporary))
    assert str(caught.value).startswith(f"cannot write {target}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names_in(target.parent) == []


def test_an_error_of_unknown_number_keeps_its_reason(target):
    assert "out of luck" in str(translate_os_error(OSError("out of luck"), target))


def test_an_error_about_another_file_passes_unchanged(target):
    with pytest.raises(FileNotFoundError) as caught, atomic_output(target, overwrite=False) as temporary:
        temporary.write_text("half")
        (target.parent / "other.txt").read_text()
    assert not isinstance(caught.value, OutputError)
    assert names_in(target.parent) == []


def test_nothing_written_is_an_error(target):
    with pytest.raises(OutputError, match="cannot write"), atomic_output(target, overwrite=False):
        pass


def test_a_file_that_appears_meanwhile_is_kept(target):
    with (
        pytest.raises(OutputExistsError, match="appeared"),
        atomic_output(target, overwrite=False) as temporary,
    ):
        temporary.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert names_in(target.parent) == ["result.mp4"]


@pytest.fixture
def no_links(monkeypatch):
    """A file system without hard links."""

    def refuse(self, other):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)


def test_without_hard_links(target, no_links):
    with atomic_output(target, overwrite=False) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert names_in(target.parent) == ["result.mp4"]


def test_without_hard_links_a_file_that_appears_meanwhile_is_kept(target, no_links):
    with pytest.raises(OutputExistsError), atomic_output(target, overwrite=False) as temporary:
        temporary.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"


def test_a_link_s_own_file_is_replaced(target, tmp_path):
    link = tmp_path / "link.mp4"
    link.symlink_to(target)
    target.write_text("old")
    with atomic_output(link, overwrite=True) as temporary:
        assert temporary.parent == target.parent
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_the_longest_possible_name(target):
    longest = target.with_name("n" * 251 + ".mp4")
    with atomic_output(longest, overwrite=False) as temporary:
        temporary.write_text("new")
    assert longest.read_text() == "new"
    with pytest.raises(OutputError, match="name is too long"):
        check_output(target.with_name("n" * 252 + ".mp4"), overwrite=False)


def test_the_file_is_flushed_before_it_is_renamed(target, monkeypatch):
    flushed = []
    monkeypatch.setattr(atomic, "flush", lambda path: flushed.append((path, target.exists())))
    with atomic_output(target, overwrite=False) as temporary:
        temporary.write_text("new")
    assert flushed == [(temporary, False), (target.parent, True)]


def test_a_file_limit_gives_one_output_error(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from dft.configs.errors import OutputError
        from dft.trackio.atomic import atomic_output
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            with atomic_output(Path(sys.argv[1]), overwrite=False) as temporary:
                temporary.write_bytes(bytes(50_000))
        except OutputError as error:
            print(error)
    """
    path = tmp_path / "big.mp4"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cannot write {path}: the file grew larger")
    assert done.stderr == ""
    assert names_in(tmp_path) == []


def test_check_passes_what_can_be_written(target):
    check_output(target, overwrite=False)
    target.touch()
    check_output(target, overwrite=True, inputs=[target.with_name("in.mp4")])


def test_check_refuses_an_existing_file(target):
    target.touch()
    with pytest.raises(OutputExistsError, match=r"result\.mp4 exists.*--overwrite"):
        check_output(target, overwrite=False)


@pytest.mark.parametrize("make", [os.link, os.symlink], ids=["hard link", "symbolic link"])
def test_check_refuses_an_input_under_another_name(target, tmp_path, make):
    source = tmp_path / "in.mp4"
    source.touch()
    make(source, target)
    with pytest.raises(OutputError, match="its own input"):
        check_output(target, overwrite=True, inputs=[source])


def test_check_refuses_a_folder_a_device_and_bad_folders(target, tmp_path):
    with pytest.raises(OutputError, match="got a folder"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="got a device"):
        check_output(Path(os.devnull), overwrite=True)
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere"):
        check_output(tmp_path / "nowhere" / "out.mp4", overwrite=True)
    target.touch()
    with pytest.raises(OutputError, match="is not a folder"):
        check_output(target / "out.mp4", overwrite=True)


def test_check_refuses_a_folder_without_rights(target, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != target.parent)  # root may write anywhere
    with pytest.raises(OutputError, match="not writable"):
        check_output(target, overwrite=False)
