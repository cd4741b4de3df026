// Runs the page: passes the drawing through the network, and shows the outputs.

import { file } from "./file.js";
import { Pad, toPixels } from "./pad.js";
import { loaded, loading } from "./progress.js";
import * as show from "./show.js";
import { ends, makeSliders, showEnds } from "./sliders.js";
import { makeBars, makeChoice, makeSample } from "./widgets.js";
import { Work } from "./work.js";

const DIMENSIONS = 16; // Numbers in a pose.
const FIRST = 4; // Of these, the sliders that are not folded.

const element = (id) => document.getElementById(id);
const sliders = [element("sliders"), element("more")];

const networks = new Map(); // Loaded networks by name.
let wanted; // The name of the network to use.
let ready = false; // Whether it is in use.
const state = {
  network: null, // The network in use.
  pixels: null, // The drawing, or null.
  reading: null, // What the network read in it, or null.
  redrawn: new Map(), // Pictures of the poses as they were found, by digit.
  selected: undefined, // The digit that map and sliders are for.
  offsets: new Map(), // Changes of each digit's pose by the sliders.
};

// Work for the network

const work = new Work({ swap, read, map, redraw, rank }, (error) =>
  fail("The network failed.", error),
);

function swap() {
  state.network = networks.get(wanted);
  state.reading = null;
  ready = true;
  loaded();
  const { size, licence } = state.network;
  element("size").textContent = `${size} × ${size}`;
  element("licence").textContent = `Sample digits: ${licence}.`;
  showSamples();
  if (pad.strokes.length) {
    take(toPixels(pad.strokes, size));
  } else {
    element("samples").firstElementChild.click();
  }
}

async function read() {
  state.reading = state.pixels && (await state.network.read(state.pixels));
  state.selected = state.reading?.longest;
  state.offsets = new Map();
  state.redrawn = new Map();
  for (const digit of state.reading?.winners ?? []) {
    state.redrawn.set(digit, await decode(digit));
  }
  show.showAnswer(state);
  show.showMap(state);
  showChosen();
}

async function map() {
  if (state.reading) {
    state.reading.map = await state.network.map(state.reading.pixels, state.selected);
    show.showMap(state);
  }
}

async function redraw() {
  const { reading, redrawn, selected, offsets } = state;
  if (reading && !redrawn.has(selected)) {
    redrawn.set(selected, await decode(selected));
  }
  const changed = new Map(redrawn);
  for (const [digit, offset] of offsets) {
    changed.set(digit, await decode(digit, offset));
  }
  show.showRedrawn("before", redrawn, state);
  show.showRedrawn("after", changed, state);
}

async function rank() {
  const { network, reading, selected } = state;
  if (reading) {
    const pictures = await network.decode(ends(pose(selected)), selected);
    showEnds(sliders, pictures, network.size, show.colourOf(selected, state));
  }
}

async function decode(digit, offset) {
  const found = pose(digit);
  const changed = offset ? found.map((value, index) => value + offset[index]) : found;
  return (await state.network.decode([changed], digit))[0];
}

function pose(digit) {
  return state.reading.poses.slice(digit * DIMENSIONS, (digit + 1) * DIMENSIONS);
}

// What comes in

const pad = new Pad(element("pad"), () => {
  take(ready ? toPixels(pad.strokes, state.network.size) : null);
});

/** Takes new pixels, or none; and the button of the sample that they come from. */
function take(values, button = null) {
  state.pixels = values;
  if (button) {
    pad.clear();
  }
  for (const other of element("samples").children) {
    other.ariaPressed = other === button;
  }
  show.showDrawing(pad, state);
  if (ready) {
    work.request("read", "redraw", "rank");
  }
}

function clear() {
  pad.clear();
  take(null);
}

function choose(digit) {
  state.selected = digit;
  showChosen();
  work.request("map", "redraw", "rank");
}

function move(dimension, value) {
  const { offsets, selected } = state;
  if (!offsets.has(selected)) {
    offsets.set(selected, new Float32Array(DIMENSIONS));
  }
  offsets.get(selected)[dimension] = value;
  show.showPose(sliders, state);
  work.request("redraw");
}

function reset() {
  state.offsets.delete(state.selected);
  show.showPose(sliders, state);
  work.request("redraw");
}

function showChosen() {
  show.showChosen(sliders, state, choose);
}

function showSamples() {
  const { samples, size } = state.network;
  const buttons = samples.map((sample) =>
    makeSample(sample, size, (button) => take(sample.values, button)),
  );
  element("samples").replaceChildren(...buttons);
}

function showColours() {
  show.showDrawing(pad, state);
  if (ready) {
    showSamples();
    show.showMap(state);
    work.request("redraw", "rank");
  }
}

// Loading

function fail(text, error) {
  console.warn(error);
  ready = false;
  loaded();
  element("answer").textContent = `${text} (${error.message})`;
  element("retry").hidden = false;
}

async function use(description) {
  wanted = description.name;
  ready = false; // What is drawn meanwhile is read later.
  loading("Loading the network.");
  try {
    const { Network } = await import("./network.js");
    if (!networks.has(description.name)) {
      networks.set(description.name, await Network.load(description, loaded));
    }
  } catch (error) {
    fail("The network could not be loaded.", error);
    return;
  }
  if (wanted === description.name) {
    work.request("swap");
  }
}

async function start() {
  makeBars(element("bars"), choose);
  makeSliders(sliders[0], DIMENSIONS, move);
  sliders[1].append(...[...sliders[0].children].slice(FIRST));
  showChosen();
  show.showDrawing(pad, state);
  let descriptions;
  try {
    descriptions = await (await file("networks.json")).json();
  } catch (error) {
    fail("The list of networks could not be loaded.", error);
    return;
  }
  const choices = descriptions.map((description, index) => {
    const text = description.digits > 1 ? "Two digits" : "One digit";
    return makeChoice("network", text, index === 0, () => use(description));
  });
  element("networks").append(...choices);
  await use(descriptions[0]);
}

element("clear").addEventListener("click", clear);
element("reset").addEventListener("click", reset);
element("retry").addEventListener("click", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showColours);
addEventListener("resize", () => show.showDrawing(pad, state));
await start();
