"""Static HDR metadata: read from real files, and written so that it comes back the same."""

import av
import numpy as np
import pytest

from dft.engines.hdr import x265_params
from dft.engines.probe import probe
from dft.engines.protocols import HdrMetadata

P3_DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
P3 = HdrMetadata(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), (0.3127, 0.329), (0.005, 1000.0), 1200, 400)
TAGS = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"


def hevc(path, params):
    """A video of three grey pictures."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x265-params": f"log-level=none:{TAGS}{params}"}
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        for number in range(3):
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane in frame.planes:
                np.frombuffer(plane, np.uint16)[:] = 512
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def approximately(hdr):
    """Its numbers in one row."""
    return pytest.approx([*np.ravel(hdr.primaries_xy), *hdr.white_xy, *hdr.luminance], abs=1e-6)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_what_x265_wrote_is_read(tmp_path, name):
    path = hevc(tmp_path / name, f":master-display={P3_DISPLAY}:max-cll=1200,400")
    info = probe(path)
    assert info.is_hdr and info.depth == 10
    assert [*np.ravel(info.hdr.primaries_xy), *info.hdr.white_xy, *info.hdr.luminance] == approximately(P3)
    assert (info.hdr.max_cll, info.hdr.max_fall) == (1200, 400)
    assert x265_params(info.hdr) == {"master-display": P3_DISPLAY, "max-cll": "1200,400"}


def test_written_again_it_is_the_same(tmp_path):
    made = HdrMetadata(((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), (0.3127, 0.329), (0.0001, 4000.0), 3210, 87)
    params = "".join(f":{name}={value}" for name, value in x265_params(made).items())
    read = probe(hevc(tmp_path / "v.mp4", params)).hdr
    assert [*np.ravel(read.primaries_xy), *read.white_xy, *read.luminance] == approximately(made)
    assert (read.max_cll, read.max_fall) == (3210, 87)


def test_only_light_levels(tmp_path):
    read = probe(hevc(tmp_path / "v.mp4", ":max-cll=600,200")).hdr
    assert read == HdrMetadata(max_cll=600, max_fall=200)
    assert x265_params(read) == {"max-cll": "600,200"}


def test_none(tmp_path, media):
    info = probe(hevc(tmp_path / "v.mp4", ""))
    assert info.is_hdr and info.hdr is None
    sdr = probe(media("closed gop"))
    assert not sdr.is_hdr and sdr.hdr is None


def test_an_incomplete_display_is_left_out():
    assert x265_params(HdrMetadata(luminance=(0.005, 1000.0))) == {}
    assert x265_params(HdrMetadata(primaries_xy=P3.primaries_xy, white_xy=P3.white_xy, max_cll=5, max_fall=None)) == {}
