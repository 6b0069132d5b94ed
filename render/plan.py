"""The camera plan: which part of every frame each tile shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..configs.errors import NoFaceError
from ..configs.rendering import CameraSettings, RenderSettings
from ..engines.protocols import Tile
from ..trackio.metadata import TrackMetadata
from .faces import FaceTrack, read_faces
from .framing import Frame, frame_faces
from .layout import Layout, TileArea, side_by_side, single
