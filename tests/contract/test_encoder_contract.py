"""What every encoder must do; files are read back with the decoder of the same backend where there are any."""

import av
import pytest

from dft.configs.errors import DftError
from dft.engines.protocols import Encoder

STAMPS = [0, 40, 100, 120, 200]  # 1/1000 s


@pytest.fixture
def encoder(backend, tmp_path, options):
    with backend.encoder(tmp_path / "out.mp4", options) as made:
        yield made


def write_all(encoder, backend):
    for number, pts in enumerate(STAMPS):
        encoder.write(backend.canvas(64, 48, 40 + 30 * number), pts)


def test_it_is_an_encoder(encoder, backend):
    assert isinstance(encoder, Encoder)
    write_all(encoder, backend)
    encoder.finish()


def test_a_finished_file_holds_every_picture_in_order(encoder, backend, backend_name, tmp_path):
    write_all(encoder, backend)
    encoder.finish()
    encoder.close()
    if backend_name == "fake":
        assert [pts for _, pts in encoder.written] == STAMPS
        assert encoder.finished
        return
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].frames == len(STAMPS)
        assert [round(float(f.to_ndarray()[:48].mean()), -1) for f in frames] == [50, 80, 100, 130, 150]


def test_without_finish_nothing_claims_to_be_whole(encoder, backend, backend_name, tmp_path):
    write_all(encoder, backend)
    encoder.close()
    if backend_name == "fake":
        assert not encoder.finished


def test_it_can_be_closed_twice(encoder, backend):
    encoder.write(backend.canvas(64, 48, 100), 0)
    encoder.close()
    encoder.close()


def test_with_lets_errors_through(backend, tmp_path, options):
    with pytest.raises(KeyError, match="mine"), backend.encoder(tmp_path / "o.mp4", options) as encoder:
        encoder.write(backend.canvas(64, 48, 100), 0)
        raise KeyError("mine")


def test_time_never_goes_back(encoder, backend):
    encoder.write(backend.canvas(64, 48, 100), 40)
    with pytest.raises(DftError):
        for pts in (40, 0):
            encoder.write(backend.canvas(64, 48, 100), pts)
            encoder.finish()
