"""What a person does on the page, and what is in the log afterwards."""

import json
import shutil

import pytest
from click.testing import CliRunner

from dft.cli import cli
from dft.trackio.edits.log import read_log
from dft.trackio.edits.operations import Batch, Mark, Swap
from dft.trackio.edits.reading import read_edited


def operations(tracks):
    """What the log holds, in order: operations, and "undo" and "redo"."""
    entries = read_log(tracks).entries
    return [entry.operation or ("undo" if entry.undoes is not None else "redo") for entry in entries]


def states(tracks):
    return {suspect.kind: suspect.state for suspect in read_edited(tracks)[0].metadata.suspects}


def rows(tracks):
    columns = ["frame_index", "track_id", "person", "side", "x1", "y1", "x2", "y2", "origin"]
    return read_edited(tracks)[0].table.select(columns).to_pylist()


def persons(tracks, frame):
    """Who is where: person by left edge."""
    return {row["x1"]: row["person"] for row in rows(tracks) if row["frame_index"] == frame and row["person"]}


@pytest.fixture
def page(running, window):
    return window(running.client.url).ready()


@pytest.mark.parametrize("recipe", ["closed gop", "variable rate", "hevc"])
def test_the_pixels_are_those_of_the_frame_that_is_named(start, window, media, recipe):
    page = window(start(recipe).client.url).ready()
    page.press("Home")
    frame = 0
    for key, step in [
        ("ArrowRight", 1),
        ("Shift+ArrowRight", 10),
        ("ArrowLeft", -1),
        ("Shift+ArrowRight", 10),
        ("ArrowLeft", -1),
    ]:
        page.press(key)
        frame += step
        page.at(frame)
        assert media.read_number(page.luma()) == frame
    page.press("End")
    page.at(49)
    assert media.read_number(page.luma()) == 49
    page.wait_text("#now", "frame 49 of 50")


def test_suspects_are_decided_by_key_and_the_next_one_comes_by_itself(running, page):
    page.card("cut")
    assert page.text("#left") == "3 of 4 suspects left"
    page.press("1")
    page.card("contact")
    page.saved(1)
    assert page.text("#left") == "2 of 4 suspects left"
    page.press("2")
    page.card("gap")
    page.press("u")
    page.wait_text("#card", "All suspects are decided")
    assert page.text("#left") == "0 of 4 suspects left, 1 unsure"
    assert states(running.tracks) == {"contact": "fixed", "gap": "unsure", "cut": "accepted", "jump": "accepted"}
    kept, mended, unsure = operations(running.tracks)
    assert kept == Mark("cut", 25, 49, "accepted")
    assert [type(one) for one in mended.operations] == [Swap, Mark]
    assert unsure == Mark("gap", 30, 33, "unsure")
    page.press("z")
    page.card("gap")
    page.wait_text("#message", "Undone: mark the gap")


@pytest.mark.parametrize("wrong", [(12, 24), (25, 49)])
def test_a_swap_of_two_people_is_mended_with_one_key_after_it_is_shown(start, window, wrong):
    review = start(swapped=wrong)
    right = start().tracks
    was = {row["frame_index"]: row for row in rows(right) if row["person"] == "A"}
    review = start(swapped=wrong)
    page = window(review.client.url).ready()
    page.card("")  # the likeliest comes first
    page.press("2")
    page.saved(1)
    found = {row["frame_index"]: row for row in rows(review.tracks) if row["person"] == "A"}
    assert {frame: row["x1"] for frame, row in found.items()} == {frame: row["x1"] for frame, row in was.items()}


def test_the_card_shows_both_people_before_and_after_under_both_hypotheses(page):
    page.press("n")
    page.card("contact")
    kept, swapped = (page.page.locator(f'.hypothesis[aria-label="{name}"] img') for name in ("Kept", "Swapped"))
    for crops in (kept, swapped):
        crops.nth(3).wait_for()
        for place in range(4):
            page.page.wait_for_selector(".hypothesis img[src^=blob]")
            assert crops.nth(place).evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    words = [[crops.nth(n).get_attribute("alt").split(":")[0] for n in range(4)] for crops in (kept, swapped)]
    assert words == [
        ["A before", "A after, if kept", "B before", "B after, if kept"],
        ["A before", "A after, if swapped", "B before", "B after, if swapped"],
    ]
    sources = [[crops.nth(n).get_attribute("src") for n in range(4)] for crops in (kept, swapped)]
    assert sources[1] == [sources[0][0], sources[0][3], sources[0][2], sources[0][1]]


def test_swap_undo_and_reload_in_a_fresh_browser(running, window, page):
    page.press("Home", "ArrowRight", "i", "Shift+ArrowRight", "o", "s")
    page.wait_text("dialog .preview", "Will do: swap A and B in frames 1 to 11")
    page.press("Enter")
    page.saved(1)
    assert persons(running.tracks, 5) == {10.0: "B", 60.0: "A"}
    page.press("z")
    page.saved(2)
    assert persons(running.tracks, 5) == {10.0: "A", 60.0: "B"}
    page.press("Shift+Z")
    page.saved(3)
    assert operations(running.tracks) == [Swap(1, 11), "undo", "redo"]
    fresh = window(running.client.url).ready()
    fresh.saved(3)
    fresh.page.click("#tab-log")
    assert fresh.page.locator("#log li").all_inner_texts()[-1].startswith("1")
    assert "swap A and B in frames 1 to 11" in fresh.text("#log")
    assert fresh.page.locator("#log li").count() == 3


def test_page_and_command_line_leave_the_same_log_and_the_same_tracks(running, page, tmp_path):
    other = tmp_path / "other" / "in.tracks.parquet"
    other.parent.mkdir()
    shutil.copy(running.tracks, other)
    page.press("Home", "Shift+ArrowRight", "s")
    page.page.click("dialog label:has-text('next cut')")
    page.press("Enter")
    page.saved(1)
    page.press("x")
    page.page.click("dialog label:text-is('B')")
    page.press("Enter")
    page.saved(2)
    page.press("l", "Enter")
    page.saved(3)
    page.press("z")
    page.saved(4)
    page.card("cut")
    page.press("1")
    page.saved(5)
    for command in (
        ["swap", other, "--at", "10f", "--until", "cut"], ["anchor", other, "B", "--at", "10f"],
        ["side", other, "A", "right"], ["undo", other], ["mark", other, "accepted", "--at", "40f"],
    ):  # fmt: skip
        done = CliRunner().invoke(cli, ["tracks", *map(str, command)])
        assert done.exit_code == 0, done.output
    assert operations(running.tracks) == operations(other)
    assert rows(running.tracks) == rows(other)
    assert states(running.tracks) == states(other)


def test_another_window_follows_by_itself(running, window, page):
    other = window(running.client.url).ready()
    page.press("Home", "s", "Enter")
    page.saved(1)
    other.saved(1)
    other.wait_text("#message", "changed elsewhere")


def test_an_edit_on_stale_tracks_is_refused_and_the_page_reloads(running, window, page):
    late = window(running.client.url, refused=(409,), before=lambda it: it.route("**/api/events*", lambda route: None))
    late.ready()
    page.press("Home", "s", "Enter")
    page.saved(1)
    assert late.text("#saved") == "no edits yet"
    late.card("cut")
    late.press("1")
    late.wait_text("#error", "Not done: the tracks were changed elsewhere")
    late.saved(1)
    assert len(operations(running.tracks)) == 1
    late.card("cut")
    late.press("1")
    late.saved(2)
    assert operations(running.tracks)[1] == Mark("cut", 25, 49, "accepted")


def test_a_refused_edit_is_told_in_a_line_and_changes_nothing(running, window):
    page = window(running.client.url, refused=(422,)).ready()
    page.press("Home", "t", "a")
    page.wait_text("dialog .preview.wrong", "B has another box")
    page.press("Enter")
    page.wait_text("#error[role=alert]", "Not done: ")
    assert operations(running.tracks) == []


def test_everything_can_be_done_with_the_keyboard_alone(running, window):
    page = window(running.client.url, refused=(422,)).ready()  # the dialog's first choice
    reached = set()
    page.page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    for _ in range(80):
        page.press("Tab")
        name, seen = page.page.evaluate(
            """() => [document.activeElement.dataset.key ?? document.activeElement.id,
                      getComputedStyle(document.activeElement).outlineStyle !== "none"]"""
        )
        reached.add(name)
        assert seen or not name, f"the focus on {name!r} cannot be seen"  # without a name: the document, at its end
    buttons = page.page.locator("button[data-key]:enabled:visible")
    keys = {buttons.nth(n).get_attribute("data-key") for n in range(buttons.count())}
    assert keys <= reached
    assert {"stage", "timeline", "tab-queue"} <= reached
    page.page.focus("#stage")
    page.press("Home", "t", "a", "Tab", "ArrowDown")  # track 1, B; one down: a bystander
    page.wait_text("dialog .preview", "track 1 is a bystander")
    page.press("Enter")
    page.saved(1)
    assert persons(running.tracks, 0) == {60.0: "B"}
    page.press("b", "ArrowRight", "Shift+ArrowDown", "Alt+ArrowRight", "Enter")
    page.saved(2)
    (box,) = operations(running.tracks)[1:]
    assert (box.frame, box.track_id, box.box) == (0, 1, (11.0, 30.0, 28.0, 50.0))


def test_single_keys_can_be_switched_off_and_stay_off(running, page):
    page.card("cut")
    page.page.focus("button[data-key='']")
    page.press("Space")
    assert page.page.get_attribute("button[data-key='']", "aria-pressed") == "false"
    for key in ("1", "u", "s", "?", "z"):
        page.press(key)
    page.press("End")  # keys with names still work
    page.at(49)
    page.page.reload()
    page.ready()
    page.press("s", "?", "Home")
    page.at(0)
    assert page.page.locator("dialog").count() == 0
    assert operations(running.tracks) == []
    page.page.click("button[data-key='1']")
    page.saved(1)
    page.press("Control+z")
    page.saved(2)
    assert operations(running.tracks) == [Mark("cut", 25, 49, "accepted"), "undo"]


def test_every_key_is_a_button_and_stands_in_the_help(page):
    page.card("cut")
    buttons = page.page.locator("button[data-key]")
    names = {}
    for n in range(buttons.count()):
        title = buttons.nth(n).get_attribute("title")
        names[buttons.nth(n).get_attribute("data-key")] = title.split(" (")[0]
    assert {"1", "2", "u", "n", "p", "s", "i", "o", "z", "?", "ArrowLeft", "Shift+ArrowRight", " "} <= set(names)
    page.press("?")
    listed = page.page.locator("dialog dt").all_inner_texts()
    for name in names.values():
        assert any(line.endswith(name) for line in listed), name
    page.press("Escape")
    page.page.wait_for_selector("dialog", state="detached")


def test_a_box_is_dragged_on_a_paused_frame(running, page):
    page.press("Home")
    page.at(0)
    place = page.page.locator("#overlay").bounding_box()
    scale = place["width"] / 96

    def point(x, y):
        return place["x"] + x * scale, place["y"] + y * scale

    page.page.mouse.click(*point(18, 30))
    page.wait_text("#now", "chosen: A left, track 1")
    page.page.mouse.move(*point(18, 30))
    page.page.mouse.down()
    page.page.mouse.move(*point(20, 33), steps=4)
    page.page.mouse.move(*point(22, 34), steps=4)
    page.page.mouse.up()
    page.saved(1)
    (box,) = operations(running.tracks)
    assert (box.frame, box.track_id) == (0, 1)
    assert box.box == pytest.approx((14, 24, 30, 44), abs=0.3)


def test_a_gap_is_filled_after_its_boxes_were_shown(running, page):
    page.press("Home", "Shift+ArrowRight", "Shift+ArrowRight", "ArrowLeft", "t", "f", "Enter")
    page.wait_text("#pending", "1 boxes proposed, frame 20")
    page.at(20)
    assert operations(running.tracks) == []
    page.press("Enter")
    page.saved(1)
    added = [row for row in rows(running.tracks) if row["frame_index"] == 20 and row["person"] == "A"]
    assert [row["origin"] for row in added] == ["interpolated"]
    page.press("f", "Enter")
    page.wait_text("#error", "Nothing to fill")


def test_edits_are_announced(page):
    live = page.page.locator("#message")
    assert (live.get_attribute("role"), live.get_attribute("aria-live")) == ("status", "polite")
    page.press("Home", "s", "Enter")
    page.wait_text("#message", "swap A and B in frames 0 to 49.")
    page.press("ArrowRight")
    page.page.wait_for_selector('#timeline[role=slider][aria-valuenow="1"]')
    assert page.page.get_attribute("#timeline", "aria-valuetext").startswith("frame 1, 00:00:00.040")


def test_playing_comes_to_the_end_and_stops(page):
    page.press("Home", "Shift+ArrowRight", "Space")
    page.at(49)
    page.page.wait_for_selector('button[data-key=" "][aria-pressed="false"]')


def test_the_token_is_not_in_the_address_and_a_wrong_one_gets_nothing(running, window, page):
    assert page.page.url == f"{running.client.origin}/"
    wrong = window(f"{running.client.origin}/#token={'0' * 64}", refused=(403,))
    wrong.wait_text("#banner", "not valid")
    assert wrong.page.locator("#picture[data-frame]").count() == 0


def test_a_server_that_is_gone_is_told(running, window):
    page = window(running.client.url).ready()
    page.page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.press("Home", "End")
    page.wait_text("#banner", "does not answer")
    page.page.unroute("**/api/**")
    page.page.wait_for_selector("#banner", state="hidden")
    page.console.clear()  # the browser has said so, too


def test_go_to_a_time_a_frame_or_a_cut(page):
    page.press("g")
    page.page.keyboard.type("1.2")
    page.press("Enter")
    page.at(30)
    page.press("g")
    page.page.keyboard.type("7f")
    page.press("Enter")
    page.at(7)
    page.press("PageDown")
    page.at(25)
    page.press("PageUp")
    page.at(0)


def test_the_log_names_the_author(running, page):
    page.card("cut")
    page.press("1")
    page.saved(1)
    lines = running.tracks.with_name("in.tracks.edits.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["author"] == "ann"
    page.card("contact")
    page.press("2")
    page.card("gap")
    assert isinstance(operations(running.tracks)[-1], Batch)
