"""``dft bench``: both passes against this machine's own limits, measured in one run.

Each pass runs as its own ``dft`` process, so that its peak memory is its own; the limits are measured in this one.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..configs.errors import DftError
from ..configs.rendering import RenderSettings
from ..configs.settings import all_settings, as_values
from ..engines.limits import Crop, decode_fps, transcode_fps
from ..engines.probe import probe
from ..engines.protocols import EncodeOptions, VideoInfo
from ..trackio.files import read_tracks
from .layout import layout_for
from .plan import CameraPlan
