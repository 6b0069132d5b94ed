"""Who is who on real faces, from the video to the score: crossings, reversed sides, leaving and coming back.

The people are two public-domain portraits; the truth is what was drawn.
"""

from pathlib import Path

import pytest

from dft.analyze.pipeline import analyze
from dft.analyze.report import AnalysisReport
from dft.configs.analysis import AnalyzeSettings
from dft.configs.settings import build
from dft.render.portraits import eileen_collins, grace_hopper
from dft.render.scene import Key, Scene, SceneShot, write_scene
from dft.trackio.files import read_tracks
from dft.trackio.score import Score, score
from dft.trackio.truth import read_truth

CAST = {"A": grace_hopper, "B": eileen_collins}
PASSING = SceneShot(  # each goes to the seat of the other; B passes in front of A, and hides her for a moment
    4.4,
    {
        "A": (Key(0, 0.25, 0.44, 0.26), Key(1.2, 0.25, 0.44, 0.26), Key(3.2, 0.74, 0.44, 0.26)),
        "B": (Key(0, 0.74, 0.42, 0.27), Key(1.2, 0.74, 0.42, 0.27), Key(3.2, 0.25, 0.42, 0.27)),
    },
    background=1,
)
REVERSED = SceneShot(  # after a cut they sit the other way round
    2.0,
    {"A": (Key(0, 0.26, 0.42, 0.25), Key(2, 0.30, 0.42, 0.25)), "B": (Key(0, 0.72, 0.42, 0.25),)},
    background=2,
)
LEAVING = SceneShot(  # A leaves on the left, B takes the seat, A comes back on the right
    5.0,
    {
        "A": (
            Key(0, 0.24, 0.42, 0.26), Key(0.8, 0.24, 0.42, 0.26), Key(1.8, -0.25, 0.42, 0.26),
            Key(2.6, -0.25, 0.42, 0.26), Key(2.64, 1.25, 0.42, 0.26), Key(3.8, 0.75, 0.42, 0.26),
        ),
        "B": (Key(0, 0.66, 0.42, 0.25), Key(1.6, 0.66, 0.42, 0.25), Key(3.0, 0.28, 0.42, 0.25)),
    },
    background=3,
)  # fmt: skip
CLOSE_UPS = (  # the same place, one after the other
    SceneShot(1.0, {"B": (Key(0, 0.5, 0.45, 0.42),)}, background=4),
    SceneShot(1.0, {"A": (Key(0, 0.5, 0.45, 0.42),)}, background=5),
)


@pytest.fixture(scope="module")
def talk_with_crossings(tmp_path_factory) -> Path:
    """14 s of both, 640 x 360 pixels; its truth lies beside it."""
    video = tmp_path_factory.mktemp("crossings") / "talk.mp4"
    write_scene(Scene(CAST, (PASSING, REVERSED, *CLOSE_UPS, LEAVING), width=640, height=360), video)
    return video


@pytest.fixture(scope="module")
def scored(talk_with_crossings, tmp_path_factory):
    """Report and score of an analysis, made once for each way to embed."""
    made: dict[str, tuple[AnalysisReport, Score]] = {}

    def run(reid: str) -> tuple[AnalysisReport, Score]:
        if reid not in made:
            output = tmp_path_factory.mktemp("tracks") / f"{reid}.parquet"
            report = analyze(talk_with_crossings, output, settings=build(AnalyzeSettings, {"reid": reid}))
            truth = read_truth(talk_with_crossings.with_suffix(".truth.parquet"))
            made[reid] = report, score(read_tracks(output), truth)
        return made[reid]

    return run


@pytest.mark.parametrize("reid", ["conditional", "always"])
def test_nobody_is_ever_taken_for_another(scored, reid):
    _, result = scored(reid)
    assert (result.switches, result.wrong, result.wrong_ranges) == (0, 0, ())
    assert result.names == {"A": "A", "B": "B"}, "A is left for longer"
    assert result.coverage >= 0.97
    assert result.faces > 500


def test_few_faces_are_embedded_for_it(scored):
    assert 20 < scored("conditional")[0].embedded < scored("always")[0].embedded / 5


def test_places_alone_would_not_do(scored):
    """The scene is as hard as was promised."""
    report, result = scored("off")
    assert report.embedded == 0
    assert result.switches > 0 or result.wrong > 0.05 or result.coverage < 0.9
