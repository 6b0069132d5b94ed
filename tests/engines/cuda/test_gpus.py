"""Which GPUs there are, and which is which: on stand-ins for the driver and for NVML, which number them differently."""

import ctypes
import os
import subprocess
import sys
import types
from uuid import UUID

import pytest

from dft.configs import hardware
from dft.configs.hardware import gpu_uuids, why_no_cuda
from dft.engines import devices
from dft.engines.cuda import gpus, usage
from dft.engines.cuda.gpus import VisibleGpu, names_in, visible_gpus
from dft.engines.cuda.usage import Memory, Usage, gpu_memory, gpu_usage, together
from dft.engines.devices import DeviceChoice, environments

CUDA, CPU = DeviceChoice("cuda", ""), DeviceChoice("cpu", "")
FIRST, SECOND, PART, HIDDEN = (UUID(int=(number << 96) + 5) for number in range(1, 5))
FREE = {f"GPU-{FIRST}": 10, f"GPU-{SECOND}": 20, f"MIG-{PART}": 30, f"GPU-{HIDDEN}": 40}  # GB, of 80


class Driver:
    """``libcuda.so.1`` with some GPUs."""

    def __init__(self, uuids, code=0):
        self.uuids, self.code = uuids, code

    def cuInit(self, flags):
        return self.code

    def cuDeviceGetCount(self, number):
        number._obj.value = len(self.uuids)
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = 100 + number
        return 0

    def cuDeviceGetUuid_v2(self, uuid, device):
        ctypes.memmove(uuid, self.uuids[device.value - 100].bytes, 16)
        return 0


class NvmlError(Exception):
    pass


@pytest.fixture
def driver(monkeypatch):
    """Have CUDA show some GPUs."""

    def show(*uuids, code=0):
        made = Driver(uuids, code)
        monkeypatch.setattr(hardware, "_cuda_driver", lambda: made)
        monkeypatch.delenv(gpus.VISIBLE, raising=False)

    return show


@pytest.fixture
def nvml(monkeypatch):
    """NVML, which counts all GPUs of the machine."""

    def by_uuid(name):
        if name not in FREE:
            raise NvmlError(name)
        return name

    module = types.ModuleType("pynvml")
    module.NVMLError, module.nvmlInit, module.nvmlShutdown = NvmlError, lambda: None, lambda: None
    module.nvmlDeviceGetHandleByUUID = by_uuid
    module.nvmlDeviceGetMemoryInfo = lambda device: types.SimpleNamespace(
        free=FREE[device] * 10**9, used=(80 - FREE[device]) * 10**9, total=80 * 10**9
    )
    module.nvmlDeviceGetUtilizationRates = lambda device: types.SimpleNamespace(gpu=FREE[device] + 1)
    module.nvmlDeviceGetDecoderUtilization = lambda device: (FREE[device] + 2, 1000)

    def no_encoder(device):
        raise NvmlError("not supported")

    module.nvmlDeviceGetEncoderUtilization = no_encoder
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_the_driver_tells_which_gpus_it_shows(driver):
    driver(SECOND, PART)
    assert why_no_cuda() is None and gpu_uuids() == (SECOND, PART)
    driver()
    assert why_no_cuda() == "the NVIDIA driver sees no GPU" and gpu_uuids() == ()
    driver(FIRST, code=100)
    assert "cuInit returned 100" in why_no_cuda() and gpu_uuids() == ()


@pytest.mark.parametrize(
    ("setting", "shown", "names"),
    [
        (None, 2, ("0", "1")),
        (None, 0, ()),
        ("1,0", 2, ("1", "0")),
        (" 3 , 1", 2, ("3", "1")),
        ("0,9,1", 1, ("0",)),  # what follows an unknown name is ignored
        ("", 0, ()),
        ("-1", 0, ()),
        ("GPU-aaa,GPU-bbb", 2, ("GPU-aaa", "GPU-bbb")),
        ("MIG-aaa,MIG-bbb,MIG-ccc", 1, ("MIG-aaa", "MIG-bbb", "MIG-ccc")),  # a process is shown one part at a time
        ("MIG-aaa", 0, ()),
    ],
)
def test_names_in_a_list(setting, shown, names):
    assert names_in(setting, shown) == names


def test_each_has_its_own_memory_whatever_number_nvml_gives_it(driver, nvml, monkeypatch):
    monkeypatch.setattr("dft.engines.cuda.nvdec.num_engines", lambda gpu: (7, 3)[gpu])
    driver(SECOND, FIRST)
    assert visible_gpus() == (
        VisibleGpu("0", 7, Memory(20e9, 80e9)), VisibleGpu("1", 3, Memory(10e9, 80e9)),
    )  # fmt: skip
    monkeypatch.setenv(gpus.VISIBLE, f"MIG-{PART},MIG-{FIRST}")
    driver_of_one = Driver((PART,))
    monkeypatch.setattr(hardware, "_cuda_driver", lambda: driver_of_one)
    part, other = visible_gpus()
    assert (part.memory, part.num_engines, part.num_processes) == (Memory(30e9, 80e9), 7, 8)
    assert (other.name, other.memory, other.num_engines) == (f"MIG-{FIRST}", Memory(10e9, 80e9), 7)
    monkeypatch.setenv(gpus.VISIBLE, f"MIG-{PART},MIG-GPU-old-kind/1/0")
    assert visible_gpus()[1].memory is None


def test_usage_is_that_of_cudas_gpu(driver, nvml):
    driver(SECOND, PART)
    assert gpu_usage(1) == Usage(50e3, 31.0, 32.0, None) and gpu_usage() == Usage(60e3, 21.0, 22.0, None)
    assert gpu_usage(2) is None
    assert devices.usage(CUDA) == Usage(110e3, 26.0, 27.0, None) and devices.usage(CPU) is None
    assert together([]) is None


def test_without_nvml_nothing_is_told(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    driver(FIRST)
    assert gpu_usage() is None and gpu_memory(FIRST) is None and devices.usage(CUDA) is None
    assert usage.gpu_memory(HIDDEN) is None


def test_processes_get_a_gpu_each(driver, monkeypatch):
    driver(FIRST, SECOND)
    assert environments(CUDA) == ({"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setenv(gpus.VISIBLE, f"GPU-{HIDDEN},GPU-{FIRST}")
    assert environments(CUDA)[1] == {"CUDA_VISIBLE_DEVICES": f"GPU-{FIRST}"}
    assert environments(CPU) == ({},)
    driver()
    assert environments(CUDA) == ({},), "a process must be had all the same"
    assert devices.gpus(CPU) == () == devices.gpus(CUDA)


def test_a_gpu_of_this_machine_is_the_one_that_a_process_is_shown(needs_cuda):
    needs_cuda()
    uuids, ask = gpu_uuids(), "from dft.configs.hardware import gpu_uuids; print(*gpu_uuids())"
    for environment, uuid in zip(environments(CUDA), uuids, strict=True):
        told = subprocess.run(
            [sys.executable, "-c", ask], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        assert told.stdout.split() == [str(uuid)]
        memory = gpu_memory(uuid)
        assert memory is not None and 0 < memory.free < memory.total
