"""The summary of a batch as one HTML file that needs nothing else."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from ....configs.console import count
from .report import BatchReport, VideoReport
from .sheet import NUM_STILLS, WIDTH

STYLE = f"""
:root {{ color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }}
body {{ max-width: {NUM_STILLS * (WIDTH + 8)}px; margin: 2em auto; padding: 0 1em; }}
h1 {{ font-size: 1.4em; }} h2 {{ font-size: 1.05em; margin: 2em 0 .3em; }}
.stills {{ display: grid; grid-template-columns: repeat({NUM_STILLS}, 1fr); gap: 6px; }}
.stills img {{ width: 100%; display: block; border-radius: 3px; }}
p, ul {{ margin: .3em 0; }} .fact {{ opacity: .75; }}
.failed h2, .verdict {{ color: #c62828; }}
@media (prefers-color-scheme: dark) {{ .failed h2, .verdict {{ color: #ff8a80; }} }}
"""


def page_of(report: BatchReport, stills: Mapping[str, Sequence[bytes]]) -> str:
    """The page.

    Args:
        report: On the batch.
        stills: JPEG pictures of finished videos, by the name of their results.
    """
    head, *rest = report.as_text().splitlines()
    verdict = rest[0] if report.verdict != "ok" else ""
    failed_first = sorted(report.videos, key=lambda video: (video.outcome != "failed", video.name))
    sections = "\n".join(_section(video, stills.get(video.name, ())) for video in failed_first)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>dft batch</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>
<body><h1>{escape(head)}</h1>
<p class="verdict">{escape(verdict)}</p>
<p class="fact">{escape(report.rates)}</p>
<p class="fact">{report.streams} at once on {escape(report.device)} ({escape(report.why)}),
{count(len(report.ignored), "other file")} ignored</p>
{sections}
</body></html>
"""


def _section(video: VideoReport, stills: Sequence[bytes]) -> str:
    facts = [
        f"{step}: {stage['frames']:,.0f} frames in {stage['seconds']:.1f} s, {stage['fps']:.1f} frames/s"
        for step, stage in video.stages.items()
    ]
    faults = [fault.words for fault in video.faults]
    lines = "".join(f"<li>{escape(line)}</li>" for line in (*faults, *video.notes))
    pictures = "".join(
        f'<img alt="still {number} of {escape(video.name)}" src="data:image/jpeg;base64,{b64encode(jpeg).decode()}">'
        for number, jpeg in enumerate(stills, 1)
    )
    return f"""<section class="{video.outcome}"><h2>{escape(video.name)}: {_outcome(video)}</h2>
<p class="fact">{escape("; ".join([str(video.video), *facts]))}</p><ul>{lines}</ul>
<div class="stills">{pictures}</div></section>"""


def _outcome(video: VideoReport) -> str:
    return {"skipped": "done before", "left": "left for the next run"}.get(video.outcome, video.outcome)
