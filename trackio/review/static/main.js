/** The page of dft review, put together. */

import { actionButton, actionGroups, showState } from "./actions.js";
import { Api } from "./api.js";
import { Card } from "./card.js";
import { byId, element } from "./dom.js";
import { Edits } from "./edits.js";
import { Frames } from "./frames.js";
import { Keys } from "./keys.js";
import { Lists } from "./lists.js";
import { Player } from "./player.js";
import { Review, rowWords } from "./review.js";
import { Sound } from "./sound.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

async function start() {
  const api = new Api();
  api.addEventListener("lost", () => warn("The server does not answer. What was done is saved; nothing can be edited until it is back."));
  api.addEventListener("back", () => warn(""));
  const review = new Review(api);
  try {
    await review.open();
  } catch (error) {
    warn(error.message);
    return;
  }
  review.addEventListener("said", ({ detail }) => say(detail));
  const frames = new Frames(api, review.count);
  const places = { stage: byId("stage"), picture: byId("picture"), overlay: byId("overlay") };
  const stage = new Stage(review, frames, places, (id, box) => edits.moved(id, box));
  const edits = new Edits(review, stage);
  const sound = new Sound(api, review.session.video.has_audio);
  const player = new Player(review, frames, stage, sound);
  stage.playing = () => player.playing;
  const timeline = new Timeline(review, byId("timeline"));
  const lists = new Lists(review);
  const keys = new Keys();
  const buttons = [];
  const made = (action) => {
    const button = actionButton(action, (event) => {
      if (event.detail > 0 && !document.querySelector("dialog[open]")) places.stage.focus();
      refresh();
    });
    buttons.push([button, action]);
    showState(button, action);
    return button;
  };
  const refresh = () => buttons.forEach(([button, action]) => showState(button, action));
  let groups = [];
  const card = new Card(review, byId("card"), () => element("div", { class: "decide" }, ...groups[0].actions.filter(({ place }) => place === "card").map(made)));
  groups = actionGroups({ review, stage, timeline, card, edits, player, keys, sound });
  const actions = groups.flatMap((group) => group.actions);
  for (const place of ["go", "edit", "time", "page"]) {
    byId(`${place}-tools`).append(...inOrder(actions.filter((action) => action.place === place)).map(made));
  }
  byId("time-tools").append(legend());
  edits.onWait = (words) => showWaiting(words, edits);
  player.onChange = refresh;
  keys.onToggle = (on) => {
    refresh();
    review.say(on ? "Single keys are on." : "Single keys are off; arrows, Ctrl+Z and all buttons work.");
  };
  keys.listen(withRefresh(actions, refresh), { "Ctrl+z": () => review.undo(), "Ctrl+Shift+z": () => review.redo(), "Ctrl+y": () => review.redo() }, (name) => waitingKey(name, edits, stage));
  for (const event of ["tracks", "choice", "frame"]) review.addEventListener(event, () => describe(review, edits, stage));
  for (const event of ["tracks", "choice"]) review.addEventListener(event, () => { showHead(review); refresh(); });
  window.addEventListener("pagehide", () => api.goodbye());
  byId("video-name").textContent = review.session.video.name;
  document.title = `${review.session.video.name} · dft review`;
  showHead(review);
  describe(review, edits, stage);
  await lists.load();
  if (review.suspect) review.pick(review.key);
  card.show();
  stage.show();
  places.stage.focus();
  api.watch(() => review.revision, () => review.settled, async () => {
    await review.reload();
    review.say("The tracks were changed elsewhere: reloaded.");
  });
}

/** Buttons stand in time's order, whatever the order of the help. */
function inOrder(actions) {
  const order = ["Start", "Ten back", "Back", "Play", "On", "Ten on", "End", "Cut before", "Cut after", "Go to", "Prev", "Next", "In", "Out", "Clear"];
  return actions.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

function withRefresh(actions, refresh) {
  return actions.map((action) => ({ key: action.key, run: () => {
    action.run();
    refresh();
  } }));
}

/** Keys while a box or a proposal waits: Enter accepts, arrows move or size the box. */
function waitingKey(name, edits, stage) {
  if (!edits.waiting) return false;
  if (name === "Enter") {
    edits.accept();
    return true;
  }
  const [, alt, shift, arrow] = /^(Alt\+)?(Shift\+)?(Arrow\w+)$/.exec(name) ?? [];
  if (!arrow || !stage.draft) return false;
  const [dx, dy] = ARROWS[arrow].map((step) => step * (shift ? 10 : 1));
  stage.nudge(dx, dy, Boolean(alt));
  return true;
}

function showWaiting(words, edits) {
  const place = byId("pending");
  place.hidden = !words;
  if (!words) return;
  place.replaceChildren(element("span", {}, words),
    element("button", { type: "button", class: "main", onclick: () => edits.accept() }, "Accept ", element("kbd", {}, "Enter")),
    element("button", { type: "button", onclick: () => edits.discard() }, "Discard ", element("kbd", {}, "Esc")));
  byId("stage").focus();
}

function describe(review, edits, stage) {
  if (stage.draft && stage.draft.frame !== review.frame) edits.discard();
  const { frame, count, range } = review;
  const rows = review.rows(frame).map((row) => rowWords(row) + (row.origin === "detected" ? "" : ` (${row.origin})`));
  const chosen = review.chosenRow ? `chosen: ${rowWords(review.chosenRow)}` : "";
  const marked = range ? `range ${range.first} to ${range.last}` : "";
  byId("now").replaceChildren(
    element("span", { class: "time" }, review.timecode(frame)), element("span", {}, `frame ${frame} of ${count}`),
    element("span", { class: "people" }, rows.join(" · ") || "nobody"), element("span", { class: "chosen" }, chosen), element("span", { class: "range" }, marked));
  byId("stage").setAttribute("aria-label", `Video, frame ${frame}`);
}

function showHead(review) {
  const { left, suspects, revision, saving } = review;
  const unsure = suspects.filter((one) => one.state === "unsure").length;
  byId("left").textContent = suspects.length ? `${left.length} of ${suspects.length} suspects left${unsure ? `, ${unsure} unsure` : ""}` : "no suspects";
  byId("saved").textContent = saving ? "saving" : revision ? `all saved · ${revision} in the log` : "no edits yet";
}

function say({ text, error }) {
  byId("message").textContent = error ? "" : text;
  byId("error").textContent = error ? text : "";
}

function warn(text) {
  byId("banner").textContent = text;
  byId("banner").hidden = !text;
}

function legend() {
  const parts = [["left", "A left"], ["right", "B right"], ["solid", "detected"], ["hatched", "interpolated"], ["manual", "by hand"], ["cut", "cut"]];
  return element("span", { class: "legend", "aria-hidden": "true" }, ...parts.flatMap(([name, words]) => [element("i", { class: name }), words]));
}

start();
