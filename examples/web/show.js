// Shows what a network read: `state` is that of page.js, where `reading` may be null.

import { colour, evidence, paint } from "./paint.js";
import { showSliders } from "./sliders.js";
import * as widgets from "./widgets.js";
import { likeness, sentence } from "./words.js";

const COLOURS = ["first", "second"]; // Of the winners.
const INK = 0.35; // The density of the drawing below the map.

const element = (id) => document.getElementById(id);

/** Returns the colour of a digit, which depends on whether the network names it. */
export function colourOf(digit, { reading }) {
  return colour(COLOURS[reading.winners.indexOf(digit)] ?? "quiet");
}

/** Shows the drawing: its strokes, as sharp as the screen, or the pixels of a sample. */
export function showDrawing(pad, { pixels, network }) {
  element("hint").hidden = pixels !== null || pad.strokes.length > 0;
  if (pixels && !pad.strokes.length) {
    paint(element("pad"), [network.size, network.size], { values: pixels, colour: colour("ink") });
  } else {
    pad.paint(colour("ink"));
  }
}

/** Says what the network read. */
export function showAnswer({ network, reading, redrawn }) {
  let answer = "Nothing drawn yet.";
  if (reading) {
    const { winners, scores, pixels } = reading;
    const lengths = winners.map((digit) => scores[digit]);
    const pictures = winners.map((digit) => redrawn.get(digit));
    answer = sentence(winners, likeness(lengths, pixels, pictures), network.levels);
    element("latency").textContent = `${network.latency.toFixed(1)} ms`;
  }
  if (element("answer").textContent !== answer) {
    element("answer").textContent = answer; // It is read aloud, so it is set only if it changes.
  }
}

/** Shows the parts of the drawing that speak for the chosen digit, and against it. */
export function showMap({ network, reading }) {
  const layers = [];
  if (reading) {
    const pale = reading.pixels.map((value) => INK * value);
    layers.push({ values: pale, colour: colour("ink") }, ...evidence(reading.map));
  }
  element("map-caption").hidden = !reading;
  paint(element("evidence"), [network.size, network.size], ...layers);
}

/** Paints pictures of poses, by digit: of those that the network names, or of the chosen one. */
export function showRedrawn(id, pictures, state) {
  const { network, reading, selected } = state;
  const shown = reading?.winners.includes(selected) ? reading.winners : [selected];
  const layers = shown
    .filter((digit) => pictures.has(digit))
    .map((digit) => ({ values: pictures.get(digit), colour: colourOf(digit, state) }));
  paint(element(id), [network.size, network.size], ...layers);
}

/** Shows which digit is chosen for map and sliders, and calls `choose` with another one. */
export function showChosen(sliders, state, choose) {
  const { reading, selected } = state;
  const winners = reading?.winners ?? [];
  widgets.showBars(element("bars"), reading?.scores, winners, selected);
  const [legend] = element("winners").children;
  const choices = winners.map((digit, index) => {
    const choice = widgets.makeChoice("winner", `${digit}`, digit === selected, () =>
      choose(digit),
    );
    widgets.tint(choice, index);
    return choice;
  });
  element("winners").replaceChildren(legend, ...choices);
  element("winners").hidden = winners.length < 2;
  element("pose-of").textContent = reading ? `The pose of the ${selected}` : "The pose";
  element("map-of").textContent = selected;
  showPose(sliders, state);
}

/** Sets the sliders to the changes of the chosen digit's pose. */
export function showPose(sliders, { reading, selected, offsets }) {
  element("reset").disabled = !offsets.has(selected);
  for (const box of sliders) {
    widgets.tint(box, reading ? reading.winners.indexOf(selected) : -1);
  }
  showSliders(sliders, reading && (offsets.get(selected) ?? []));
}
