"""Single frames of a video for people to look at: ``reader`` gets them, ``jpeg`` makes what a page shows."""
