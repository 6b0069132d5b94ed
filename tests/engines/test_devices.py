import sys

import pytest

from dft.configs.errors import BackendUnavailableError, ModelError, VideoNotFoundError
from dft.configs.hardware import num_cores, peak_rss_mb, why_no_cuda
from dft.engines import devices
from dft.engines.devices import DeviceChoice, choose_device, open_decoder, open_detector


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "why_no_cuda", lambda: "no NVIDIA driver here")


def test_cpu_is_what_was_asked_for(no_gpu):
    assert choose_device("cpu") == DeviceChoice("cpu", "asked for")


def test_auto_says_why(no_gpu, caplog):
    with caplog.at_level("INFO"):
        assert choose_device("auto") == DeviceChoice("cpu", "no NVIDIA driver here")
    assert "device cpu: no NVIDIA driver here" in caplog.text


def test_cuda_is_refused_with_the_reason(no_gpu):
    with pytest.raises(BackendUnavailableError, match=r"cuda cannot be used; got no NVIDIA driver here; use --device"):
        choose_device("cuda")


def test_cuda_is_taken_where_all_that_it_needs_is_there(monkeypatch):
    monkeypatch.setattr(devices, "why_no_cuda", lambda: None)
    monkeypatch.setattr(devices, "why_unusable", lambda: None)
    assert choose_device("cuda") == DeviceChoice("cuda", "asked for")
    assert choose_device("auto") == DeviceChoice("cuda", "there is a GPU")
    assert choose_device("cpu") == DeviceChoice("cpu", "asked for")
    monkeypatch.setattr(devices, "why_unusable", lambda: "cupy is not installed")
    assert choose_device("auto") == DeviceChoice("cpu", "cupy is not installed")
    with pytest.raises(BackendUnavailableError, match="cuda cannot be used; got cupy is not installed"):
        choose_device("cuda")


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_every_role_has_a_backend_on_every_device(kind):
    """The modules can be imported on any machine; what they need is imported when they are opened."""
    for role in ("decode", "detect", "embed", "compose", "encode"):
        assert callable(devices._backend(DeviceChoice(kind, ""), role))


def test_this_machine_is_told_in_one_clause():
    reason = why_no_cuda()
    assert reason is None or (reason and "\n" not in reason)
    assert num_cores() >= 1
    assert 10 < peak_rss_mb() < 100_000


def test_a_missing_runtime_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dft.engines.cpu.detect", None)
    with pytest.raises(BackendUnavailableError, match=r"onnxruntime cannot be imported.*pip install"):
        open_detector("yunet", DeviceChoice("cpu", ""), size=640, min_score=0.3)


def test_what_is_opened_checks_its_input(tmp_path):
    cpu = DeviceChoice("cpu", "")
    with pytest.raises(VideoNotFoundError):
        open_decoder(tmp_path / "no.mp4", cpu)
    with pytest.raises(ModelError, match="there is no model"):
        open_detector(str(tmp_path / "no.onnx"), cpu, size=640, min_score=0.3)


def test_the_gate_of_gpu_tests(needs_cuda, monkeypatch):
    monkeypatch.setenv("DFT_REQUIRE_CUDA", "0")
    with pytest.raises(pytest.skip.Exception, match="no GPU"):
        needs_cuda("no GPU")
    monkeypatch.setenv("DFT_REQUIRE_CUDA", "1")
    with pytest.raises(pytest.fail.Exception, match="DFT_REQUIRE_CUDA=1, but no GPU"):
        needs_cuda("no GPU")
