"""The review page in a real Chromium, served by a real server."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

# No GPU, no sandbox of its own, and nothing that a browser asks the network for by itself.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT = 30_000  # milliseconds, for a machine that is busy; what is there sooner is seen sooner


def launch(playwright: Any) -> Any:
    """The Chromium of the system, or, if there is none, the one that Playwright has fetched.

    Raises:
        Error: There is neither, or it does not start; it says so in the first line.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Skips where no browser is, and fails there under DFT_REQUIRE_BROWSER=1."""
    with ExitStack() as opened:
        try:
            from playwright.sync_api import Error, sync_playwright

            made = launch(opened.enter_context(sync_playwright()))
        except ImportError:
            _without("Playwright is not installed")
        except Error as error:
            _without(f"no Chromium starts (apt install chromium, or make browser): {str(error).splitlines()[0]}")
        yield made
        made.close()


def _without(reason: str) -> None:
    if os.environ.get("DFT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"DFT_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


class Window:
    """A window of a browser that has never seen the page before.

    Attributes:
        page: Playwright's page.
        console: Errors in the console, and errors that nobody caught.
        asked: Addresses of all requests.
    """

    def __init__(self, browser: Any, url: str, before: Callable[[Any], None] | None = None):
        self.page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        self.page.set_default_timeout(WAIT)
        self.console: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self.console.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        if before is not None:
            before(self.page)
        self.page.goto(url)

    def ready(self) -> "Window":
        """Wait until the first frame and the first card are shown."""
        self.page.wait_for_selector("#picture[data-frame]")
        self.page.wait_for_selector("#card .decide, #card p")
        return self

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, frame: int) -> None:
        """Wait until a frame is drawn."""
        self.page.wait_for_selector(f'#picture[data-frame="{frame}"]')

    def wait_text(self, selector: str, text: str) -> None:
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def saved(self, revision: int) -> None:
        """Wait until the page shows that many records."""
        self.wait_text("#saved", f"all saved · {revision} in the log")

    def card(self, kind: str) -> None:
        """Wait until the decision card of that kind of suspect can be decided."""
        self.page.locator("#card:has(.decide button:enabled) h2").filter(has_text=kind).wait_for()

    def luma(self) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """The picture that is on the canvas."""
        width, height, values = self.page.evaluate(
            """() => {
              const canvas = document.getElementById("picture");
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              return [canvas.width, canvas.height, Array.from(data)];
            }"""
        )
        rgba = np.array(values, np.float64).reshape(height, width, 4)
        return (rgba[..., :3] @ [0.299, 0.587, 0.114]).astype(np.uint8)


@pytest.fixture
def window(browser) -> Iterator[Callable[..., Window]]:
    """Opens windows; in the end no error may have come up, and nothing may have been asked of others.

    ``refused``: HTTP statuses that the browser reports as errors, and that the test provokes.
    """
    opened: list[tuple[Window, tuple[int, ...]]] = []

    def begin(url: str, *, refused: tuple[int, ...] = (), before: Callable[[Any], None] | None = None) -> Window:
        opened.append((Window(browser, url, before), refused))
        return opened[-1][0]

    yield begin
    for made, refused in opened:
        origin = made.page.evaluate("location.origin")
        unexpected = [said for said in made.console if not any(f"status of {code}" in said for code in refused)]
        made.page.context.close()
        assert unexpected == []
        assert made.asked
        assert [url for url in made.asked if not url.removeprefix("blob:").startswith(f"{origin}/")] == []
