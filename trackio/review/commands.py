"""The command ``dft review``."""

from __future__ import annotations

import json
import threading
import webbrowser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...configs.console import FILE, common
from ...configs.errors import BackendUnavailableError

if TYPE_CHECKING:
    from .video import ReviewVideo

OpenVideo = Callable[[Path, str], "ReviewVideo"]  # by its path and fingerprint


def review_command(open_video: OpenVideo) -> click.Command:
    """The command, for a page whose pictures come from ``open_video``: ``trackio`` itself decodes nothing."""

    @click.command(short_help="Check and correct the tracks of VIDEO on a page in the browser.")
    @click.argument("video", type=FILE)
    @click.argument("tracks", type=FILE, required=False)
    @click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [any that is free]")
    @click.option("--no-browser", is_flag=True, help="Only print the address.")
    @click.option("--keep-open", is_flag=True, help="Go on when the page is closed, until Ctrl-C.")
    @click.option("--author", help="Who edits, for the log.  [env: DFT_AUTHOR; else the user of the system]")
    @click.option("--force", is_flag=True, help="Use TRACKS even if they were made from another file.")
    @common
    def review(
        video: Path, tracks: Path | None, port: int, no_browser: bool, keep_open: bool, author: str | None,
        force: bool, as_json: bool,
    ) -> None:  # fmt: skip
        """Check and correct the tracks of VIDEO on a page in the browser, the doubtful moments first.

        TRACKS is VIDEO's name with .tracks.parquet, if not given. Every edit is saved at once, in a log beside TRACKS,
        which stay as they are; dft render and dft tracks read the log. The page is served on this machine alone, to
        whoever has the address that is printed. The command ends a while after the page has been closed.

        \b
        Example:
          dft review in.mp4
        """
        try:
            from .lifetime import Lifetime
            from .server import ReviewServer
        except ImportError as error:
            raise BackendUnavailableError(
                "the review page cannot be served", got=error, hint="pip install 'dual-face-tracker[review]'"
            ) from error
        from ..edits.session import Edits
        from ..files import check_same_video, default_tracks_path
        from ..fingerprint import fingerprint
        from .review import Review

        edits = Edits(tracks if tracks is not None else default_tracks_path(video))
        check_same_video(edits.base, video, force=force)
        with closing(Review(edits, open_video(video, fingerprint(video)), author)) as reviewed:
            server = ReviewServer(reviewed, port, Lifetime(keep_open=keep_open))
            click.echo(json.dumps({"url": server.url, "port": server.port}) if as_json else server.url)
            if not no_browser:  # in a thread: a text browser returns only when it is left
                threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
            server.run()

    return review
