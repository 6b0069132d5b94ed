"""Static HDR metadata: read from FFmpeg's side data, and written as x265 wants it."""

from typing import Any

import numpy as np

from .protocols import HdrMetadata

MASTERING_DISPLAY, CONTENT_LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"  # PyAV's names

# AVMasteringDisplayMetadata and AVContentLightMetadata of libavutil/mastering_display_metadata.h: ints and rationals
_RATIONAL = [("num", np.intc), ("den", np.intc)]
_MASTERING = np.dtype(
    [
        ("primaries", _RATIONAL, (3, 2)),
        ("white", _RATIONAL, 2),
        ("luminance", _RATIONAL, 2),
        ("has_primaries", np.intc),
        ("has_luminance", np.intc),
    ]
)
_LIGHT = np.dtype([("max_cll", np.uintc), ("max_fall", np.uintc)])

CHROMATICITY_STEP, LUMINANCE_STEP = 0.00002, 0.0001  # of H.265's mastering display SEI message, in cd/m2


def read_hdr(picture: Any) -> HdrMetadata | None:
    """Metadata of a decoded frame (PyAV's ``VideoFrame``), from its bitstream or its container; None without any."""
    found: dict[str, Any] = {}
    for data in picture.side_data:
        if data.type.name == MASTERING_DISPLAY:
            found |= _mastering_display(bytes(data))
        elif data.type.name == CONTENT_LIGHT:
            found |= _content_light(bytes(data))
    return HdrMetadata(**found) if found else None


def x265_params(hdr: HdrMetadata) -> dict[str, str]:
    """Values of x265's options ``master-display`` and ``max-cll``; what is not known has no key.

    x265 writes a mastering display only as a whole, so one without primaries, white or luminance is left out.
    """
    made = {}
    if hdr.primaries_xy is not None and hdr.white_xy is not None and hdr.luminance is not None:
        points = dict(zip("RGB", hdr.primaries_xy, strict=True)) | {"WP": hdr.white_xy}
        steps = {name: [round(value / CHROMATICITY_STEP) for value in points[name]] for name in ("G", "B", "R", "WP")}
        steps["L"] = [round(value / LUMINANCE_STEP) for value in reversed(hdr.luminance)]
        made["master-display"] = "".join(f"{name}({first},{second})" for name, (first, second) in steps.items())
    if hdr.max_cll is not None and hdr.max_fall is not None:
        made["max-cll"] = f"{hdr.max_cll},{hdr.max_fall}"
    return made


def svt_av1_params(hdr: HdrMetadata) -> dict[str, str]:
    """Values of SVT-AV1's options ``mastering-display`` and ``content-light``; what is not known has no key."""
    made = {}
    if hdr.primaries_xy is not None and hdr.white_xy is not None and hdr.luminance is not None:
        points = dict(zip("RGB", hdr.primaries_xy, strict=True)) | {"WP": hdr.white_xy, "L": hdr.luminance[::-1]}
        made["mastering-display"] = "".join(
            f"{name}({points[name][0]:.5f},{points[name][1]:.5f})" for name in ("G", "B", "R", "WP", "L")
        )
    if hdr.max_cll is not None and hdr.max_fall is not None:
        made["content-light"] = f"{hdr.max_cll},{hdr.max_fall}"
    return made


def _mastering_display(data: bytes) -> dict[str, Any]:
    record = np.frombuffer(data, _MASTERING, count=1)[0]
    found: dict[str, Any] = {}
    if record["has_primaries"]:
        found["primaries_xy"] = tuple((float(x), float(y)) for x, y in _values(record["primaries"]))
        x, y = _values(record["white"])
        found["white_xy"] = (float(x), float(y))
    if record["has_luminance"]:
        least, greatest = _values(record["luminance"])
        found["luminance"] = (float(least), float(greatest))
    return found


def _content_light(data: bytes) -> dict[str, Any]:
    """Light levels; CTA-861.3 writes 0 where one is not known, and zeros in both mean that nothing is told."""
    record = np.frombuffer(data, _LIGHT, count=1)[0]
    levels = int(record["max_cll"]), int(record["max_fall"])
    return {"max_cll": levels[0], "max_fall": levels[1]} if any(levels) else {}


def _values(rationals: Any) -> Any:
    return rationals["num"] / np.maximum(rationals["den"], 1)
