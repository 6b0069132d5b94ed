/** Everything that can be done: each is a button, a key, and a line of the help. */

import { ask, tell } from "./dialogs.js";
import { element } from "./dom.js";

const POINTER = [
  "Video: click a box to choose its track; drag the chosen box or its corners on a paused frame, and it is saved.",
  "Timeline: click or drag to go there, Shift and drag to move it, wheel to zoom, Shift and wheel to move.",
  "While a box is drawn: arrows move it, with Alt they size it, with Shift by ten pixels; Enter saves, Esc leaves.",
];
const KEY_NAMES = {
  ArrowLeft: "←", ArrowRight: "→", "Shift+ArrowLeft": "⇧←", "Shift+ArrowRight": "⇧→", " ": "Space", Escape: "Esc",
  PageUp: "PgUp", PageDown: "PgDn", "Shift+z": "⇧Z", "-": "−",
};

/**
 * @typedef {{key: string, name: string, help: string, place: string, run: () => any, short?: string,
 *   pressed?: () => boolean, off?: () => boolean, hidden?: () => boolean}} Action
 *   `key` as `keys.js` spells it; `place`: the tool bar of the button; `short`: what the button shows; `pressed` of a
 *   switch; `off` and `hidden`: not possible now.
 */

/**
 * The actions of the page, in the order of the help.
 * @param {{review: object, stage: object, timeline: object, card: object, edits: object, player: object, keys: object,
 *   sound: object}} parts
 * @returns {{title: string, actions: Action[]}[]}
 */
export function actionGroups({ review, stage, timeline, card, edits, player, keys, sound }) {
  const by = (frames) => () => step(review, player, review.frame + frames);
  const show = (what) => () => {
    stage.shown[what] = !stage.shown[what];
    stage.draw();
  };
  const groups = [
    { title: "Decide a suspect", actions: [
      { key: "1", name: "Keep", help: "it is right as it is; go on to the next", place: "card", run: () => card.decide("accepted") },
      { key: "2", name: "Swap", help: "A and B are swapped: swap them in the frames that the card names; go on to the next", place: "card", run: () => card.decide("fixed", true) },
      { key: "3", name: "Fixed", help: "it was wrong and is mended by other edits; go on to the next", place: "card", run: () => card.decide("fixed") },
      { key: "u", name: "Unsure", help: "leave it for somebody else; go on to the next", place: "card", run: () => card.decide("unsure") },
      { key: "r", name: "Reopen", help: "decide it again", place: "card", run: () => card.decide("open"), hidden: () => !review.suspect?.state },
      { key: "e", name: "Range", help: "change up to where key 2 swaps", place: "card", run: () => card.otherRange() },
      { key: "n", name: "Next", help: "next suspect that is left, the likeliest and longest first", place: "go", run: () => go(player, () => review.pickNext(1)) },
      { key: "p", name: "Prev", help: "previous suspect", place: "go", run: () => go(player, () => review.pickNext(-1)) },
    ] },
    { title: "Go", actions: [
      { key: "Home", name: "Start", short: "|←", help: "first frame", place: "go", run: () => step(review, player, 0) },
      { key: "Shift+ArrowLeft", name: "Ten back", short: "−10", help: "ten frames back", place: "go", run: by(-10) },
      { key: "ArrowLeft", name: "Back", short: "−1", help: "one frame back", place: "go", run: by(-1) },
      { key: " ", name: "Play", help: "play and stop", place: "go", run: () => player.toggle(), pressed: () => player.playing },
      { key: "ArrowRight", name: "On", short: "+1", help: "one frame on", place: "go", run: by(1) },
      { key: "Shift+ArrowRight", name: "Ten on", short: "+10", help: "ten frames on", place: "go", run: by(10) },
      { key: "End", name: "End", short: "→|", help: "last frame", place: "go", run: () => step(review, player, review.count - 1) },
      { key: "PageUp", name: "Cut before", short: "Cut ←", help: "first frame of the shot, or of the one before", place: "go", run: () => step(review, player, cutBefore(review)) },
      { key: "PageDown", name: "Cut after", short: "Cut →", help: "first frame of the next shot", place: "go", run: () => step(review, player, review.shot(review.frame)[1] + 1) },
      { key: "g", name: "Go to", help: "go to a time or a frame", place: "go", run: () => goTo(review, player) },
    ] },
    { title: "Choose", actions: [
      { key: "i", name: "In", help: "the range begins here", place: "go", run: () => review.mark("first") },
      { key: "o", name: "Out", help: "the range ends here", place: "go", run: () => review.mark("last") },
      { key: "Escape", name: "Clear", help: "forget range and track; leave a box or a proposal", place: "go", run: () => (edits.waiting ? edits.discard() : review.clear()) },
      { key: "t", name: "Track", help: "choose the next track of this frame (or click its box)", place: "edit", run: () => review.chooseNext() },
    ] },
    { title: "Edit", actions: [
      { key: "s", name: "Swap", help: "swap two people: over the range if there is one, else from here to the end, or to the next cut; asks first, Enter does it", place: "edit", run: () => edits.swap() },
      { key: "a", name: "Assign", help: "say whose a track is: A, B or a bystander", place: "edit", run: () => edits.assign() },
      { key: "l", name: "Side", help: "say on which side a person is", place: "edit", run: () => edits.side() },
      { key: "b", name: "Box", help: "move the chosen track's box, or add one; Enter saves it", place: "edit", run: () => edits.box() },
      { key: "f", name: "Fill", help: "fill a track's gaps: shows the boxes, Enter accepts them", place: "edit", run: () => edits.fill() },
      { key: "k", name: "Split", help: "a track ends here, and a new one begins", place: "edit", run: () => edits.split() },
      { key: "m", name: "Merge", help: "two tracks are one", place: "edit", run: () => edits.merge() },
      { key: "d", name: "Delete", help: "remove boxes of a track", place: "edit", run: () => edits.remove() },
      { key: "x", name: "Anchor", help: "a person is right here: edits that contradict it warn", place: "edit", run: () => edits.anchor() },
      { key: "z", name: "Undo", help: "take the last edit back (also Ctrl+Z)", place: "page", run: () => review.undo(), off: () => !review.session.can_undo },
      { key: "Shift+z", name: "Redo", help: "do it again (also Ctrl+Shift+Z)", place: "page", run: () => review.redo(), off: () => !review.session.can_redo },
    ] },
    { title: "Show", actions: [
      { key: "v", name: "Boxes", help: "boxes and names", place: "time", run: show("boxes"), pressed: () => stage.shown.boxes },
      { key: "h", name: "Trails", help: "where the faces were during the last 25 frames", place: "time", run: show("trails"), pressed: () => stage.shown.trails },
      { key: "c", name: "Crops", help: "what dft render would show of each", place: "time", run: show("crops"), pressed: () => stage.shown.crops },
      { key: "q", name: "Sound", help: "sound while it plays", place: "time", run: () => { sound.on = !sound.on; }, pressed: () => sound.on && sound.present, off: () => !sound.present },
      { key: "[", name: "Pan back", short: "◂", help: "move the timeline back", place: "time", run: () => timeline.pan(-0.5) },
      { key: "]", name: "Pan on", short: "▸", help: "move the timeline on", place: "time", run: () => timeline.pan(0.5) },
      { key: "+", name: "Zoom in", help: "show less of the timeline (also the wheel)", place: "time", run: () => timeline.zoomIn() },
      { key: "-", name: "Zoom out", help: "show more of the timeline", place: "time", run: () => timeline.zoomOut() },
      { key: "0", name: "All", help: "show the whole timeline", place: "time", run: () => timeline.fit() },
    ] },
  ];
  groups.push({ title: "Page", actions: [
    { key: "", name: "Single keys", help: "switch the keys of one letter, digit or sign off, where they are in the way", place: "page", run: () => keys.toggle(), pressed: () => keys.on },
    { key: "?", name: "Help", help: "this list", place: "page", run: () => help(groups) },
  ] });
  return groups;
}

/** The button of an action. */
export function actionButton(action, afterClick) {
  const key = action.key && !action.short ? element("kbd", {}, keyName(action.key)) : null;
  return element("button", {
    type: "button", title: `${action.name} (${keyName(action.key) || "no key"}): ${action.help}`, "data-key": action.key,
    "aria-label": action.short ? action.name : false,
    "aria-keyshortcuts": action.key ? ariaKey(action.key) : false,
    onclick: (event) => {
      action.run();
      afterClick(event);
    },
  }, action.short ?? action.name, key ? " " : "", key);
}

/** Show which actions are on and which are not possible now. */
export function showState(button, action) {
  if (action.pressed) button.setAttribute("aria-pressed", String(action.pressed()));
  if (action.off) button.disabled = action.off();
  if (action.hidden) button.hidden = action.hidden();
}

const keyName = (key) => KEY_NAMES[key] ?? key.toUpperCase();
const ariaKey = (key) => (key === " " ? "Space" : key === "+" ? "Plus" : key);

function step(review, player, frame) {
  player.stop();
  review.seek(frame);
}

function go(player, pick) {
  player.stop();
  return pick();
}

function cutBefore(review) {
  const [first] = review.shot(review.frame);
  return first < review.frame || first === 0 ? first : review.shot(first - 1)[0];
}

async function goTo(review, player) {
  const values = await ask({
    title: "Go to", confirm: "Go",
    fields: [{ name: "where", label: "Time (00:01:23.4, 83.4) or frame (2085f)", kind: "text", value: "" }],
  });
  if (!values) return;
  const frame = frameOf(review, values.where.trim());
  if (frame === null) review.say(`No time or frame: ${values.where}. Write 00:01:23.4, 83.4, or 2085f.`, true);
  else step(review, player, frame);
}

/** The frame that a text names; null if none. */
function frameOf(review, text) {
  const frame = /^(\d{1,9})f$/.exec(text);
  if (frame) return Number(frame[1]) < review.count ? Number(frame[1]) : null;
  const time = /^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?$/.exec(text);
  if (!time) return null;
  const seconds = Number(time[1] ?? 0) * 3600 + Number(time[2] ?? 0) * 60 + Number(time[3]);
  return seconds < review.times.at(-1) + 1 ? review.frameAt(seconds) : null;
}

function help(groups) {
  const tables = groups.map(({ title, actions }) => element("section", {}, element("h3", {}, title), element("dl", {},
    ...actions.flatMap((action) => [
      element("dt", {}, action.key ? element("kbd", {}, keyName(action.key)) : "", ` ${action.name}`),
      element("dd", {}, action.help),
    ]))));
  const pointer = element("section", {}, element("h3", {}, "Pointer"), ...POINTER.map((line) => element("p", {}, line)));
  tell("Keys", element("div", { class: "help" }, ...tables, pointer));
}
