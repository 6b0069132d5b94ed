import hashlib

import pytest

from dft.configs.errors import VideoNotFoundError, VideoUnreadableError
from dft.trackio.fingerprint import END_BYTES, fingerprint


@pytest.fixture
def content() -> bytearray:
    return bytearray(bytes(range(256)) * (3 * END_BYTES // 256) + b"odd end")


def written(tmp_path, content):
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    return path


def test_hashes_head_tail_and_size(tmp_path, content):
    size = len(content).to_bytes(8, "little")
    expected = hashlib.sha256(content[:END_BYTES] + content[-END_BYTES:] + size).hexdigest()
    assert fingerprint(written(tmp_path, content)) == expected


@pytest.mark.parametrize("size", [0, 1, END_BYTES, END_BYTES + 5, 2 * END_BYTES])
def test_hashes_every_byte_of_a_small_file_once(tmp_path, content, size):
    content = content[:size]
    expected = hashlib.sha256(content + size.to_bytes(8, "little")).hexdigest()
    assert fingerprint(written(tmp_path, content)) == expected


@pytest.mark.parametrize("place", [0, END_BYTES - 1, -END_BYTES, -1])
def test_changes_with_head_and_tail(tmp_path, content, place):
    before = fingerprint(written(tmp_path, content))
    content[place] ^= 1
    assert fingerprint(written(tmp_path, content)) != before


def test_changes_with_size(tmp_path):
    before = fingerprint(written(tmp_path, bytes(3 * END_BYTES)))
    assert fingerprint(written(tmp_path, bytes(3 * END_BYTES + 1))) != before


def test_does_not_read_the_middle(tmp_path, content):
    before = fingerprint(written(tmp_path, content))
    content[END_BYTES + 7] ^= 1
    assert fingerprint(written(tmp_path, content)) == before


def test_refuses_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(VideoNotFoundError, match=r"no video .*nothing.mp4"):
        fingerprint(tmp_path / "nothing.mp4")
    with pytest.raises(VideoUnreadableError, match="cannot read"):
        fingerprint(tmp_path)
