"""The scene of ``dft demo``: two people talk and lean in, the camera cuts to a close-up of each and back."""

from .portraits import eileen_collins, grace_hopper
from .scene import Key, Scene, SceneShot

DEMO_SCENE = Scene(
    cast={"A": grace_hopper, "B": eileen_collins},
    shots=(
        SceneShot(
            4.0,
            {
                "A": (Key(0, 0.25, 0.42, 0.24), Key(1.5, 0.25, 0.42, 0.24), Key(2.5, 0.31, 0.40, 0.26)),
                "B": (Key(0, 0.74, 0.40, 0.22), Key(2.5, 0.74, 0.40, 0.22), Key(4.0, 0.69, 0.41, 0.22)),
            },
            background=1,
        ),
        SceneShot(2.0, {"B": (Key(0, 0.60, 0.42, 0.38), Key(2, 0.58, 0.42, 0.38))}, background=2),
        SceneShot(2.0, {"A": (Key(0, 0.38, 0.42, 0.40), Key(2, 0.40, 0.42, 0.40))}, background=3),
        SceneShot(
            4.0,
            {
                "A": (Key(0, 0.27, 0.42, 0.24), Key(4.0, 0.27, 0.42, 0.24)),
                "B": (Key(0, 0.72, 0.40, 0.22), Key(1.5, 0.72, 0.40, 0.22), Key(3.5, 0.62, 0.40, 0.25)),
            },
            background=1,
        ),
    ),
)
