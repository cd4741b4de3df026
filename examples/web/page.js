// Runs the page: passes the drawing through the network, and shows the outputs.

import { file } from "./file.js";
import { Pad, toPixels } from "./pad.js";
import { colour, paint } from "./paint.js";
import * as widgets from "./widgets.js";

const DIMENSIONS = 16; // Numbers in a pose.
const SURE = 0.5; // A digit counts as seen from this length on.

const element = (id) => document.getElementById(id);

const networks = new Map(); // Loaded networks by name.
let network; // The network in use.
let pixels = null; // The drawing, or null.
let seen = null; // The pixels that the network read last.
let outputs = null; // The outputs for these pixels.
let winners = []; // The longest capsules, as digits.
let selected; // The winner whose pose the sliders change.
let offsets = new Map(); // Changes of each winner's pose by the sliders.

// Work for the network: one task at a time, and of the tasks that come meanwhile only the last.

const work = { read: false, redraw: false, busy: false };

async function request(kind) {
  work[kind] = true;
  if (work.busy) {
    return;
  }
  work.busy = true;
  try {
    while (work.read || work.redraw) {
      const reading = work.read;
      work.read = work.redraw = false;
      if (reading) {
        await read();
      }
      await redraw();
      await new Promise(requestAnimationFrame); // Gives time to the screen and the pen.
    }
  } catch (error) {
    fail("The network failed.", error);
  }
  work.busy = false;
}

async function read() {
  seen = pixels;
  outputs = seen && (await network.read(seen));
  winners = outputs ? longest(outputs.scores.data, network.digits) : [];
  offsets = new Map(winners.map((digit) => [digit, new Float32Array(DIMENSIONS)]));
  selected = winners[0];
  showAnswer();
  showEvidence();
  showWinners();
  showPose();
}

function longest(scores, count) {
  const digits = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  return digits.slice(0, count).sort((a, b) => a - b);
}

async function redraw() {
  const layers = [];
  for (const [index, digit] of winners.entries()) {
    const start = digit * DIMENSIONS;
    const found = outputs.poses.data.slice(start, start + DIMENSIONS);
    const pose = found.map((value, dimension) => value + offsets.get(digit)[dimension]);
    const values = await network.decode(pose, digit);
    layers.push({ values, colour: colour(["first", "second"][index]) });
  }
  paint(element("redrawn"), network.size, ...layers);
}

// What comes in

const pad = new Pad(element("pad"), () => {
  take(toPixels(pad.strokes, network.size));
});

/** Takes new pixels, or none; and the button of the sample that they come from. */
function take(values, button = null) {
  pixels = values;
  if (button || !values) {
    pad.clear();
  }
  for (const other of element("samples").children) {
    other.ariaPressed = other === button;
  }
  showDrawing();
  request("read");
}

function reset() {
  offsets.get(selected).fill(0);
  showPose();
  request("redraw");
}

// What is shown

function showDrawing() {
  element("hint").hidden = pixels !== null;
  if (pixels && !pad.strokes.length) {
    paint(element("pad"), network.size, { values: pixels, colour: colour("ink") });
  } else {
    pad.paint(colour("ink"));
  }
}

function showAnswer() {
  const scores = outputs?.scores.data ?? new Float32Array(10);
  widgets.showBars(element("bars"), scores, winners);
  const named = winners.map((digit) => (digit === 8 ? "an 8" : `a ${digit}`)).join(" and ");
  const sure = winners.every((digit) => scores[digit] >= SURE);
  const answer = named ? `${sure ? "It sees" : "It may be"} ${named}.` : "Nothing drawn yet.";
  if (element("answer").textContent !== answer) {
    element("answer").textContent = answer; // It is read aloud, so it is set only if it changes.
  }
  if (outputs) {
    element("latency").textContent = `${network.latency.toFixed(1)} ms`;
  }
}

function showEvidence() {
  const layers = [];
  if (outputs) {
    const map = outputs.map.data; // Values below 0, which speak against the digit, are left out.
    const largest = Math.max(...map, Number.EPSILON);
    const values = map.map((value) => Math.max(0, value / largest));
    layers.push({ values, colour: colour("evidence") }, { values: seen, colour: colour("ink") });
    element("map-of").textContent = longest(outputs.scores.data, 1);
  }
  element("map-caption").hidden = !outputs;
  paint(element("evidence"), network.size, ...layers);
}

function showWinners() {
  const [legend] = element("winners").children;
  const choices = winners.map((digit, index) => {
    const choice = widgets.makeChoice("winner", `${digit}`, digit === selected, () => {
      selected = digit;
      showPose();
    });
    widgets.tint(choice, index);
    return choice;
  });
  element("winners").replaceChildren(legend, ...choices);
  element("winners").hidden = winners.length < 2;
  element("pose-of").textContent =
    ["The pose", `The pose of the ${selected}`][winners.length] ?? "The pose of";
}

function showPose() {
  const moved = offsets.get(selected);
  element("reset").disabled = !moved;
  widgets.tint(element("sliders"), winners.indexOf(selected));
  widgets.showSliders(element("sliders"), moved);
}

function showColours() {
  if (network) {
    showSamples();
    showDrawing();
    showEvidence();
    request("redraw");
  }
}

function showSamples() {
  const buttons = network.samples.map((sample) =>
    widgets.makeSample(sample, network.size, (button) => take(sample.values, button)),
  );
  element("samples").replaceChildren(...buttons);
}

// Loading

function state(text) {
  element("main").hidden = true;
  element("state").hidden = false;
  element("state-text").textContent = text;
}

function fail(text, error) {
  console.warn(error);
  state(`${text} (${error.message})`);
  element("retry").hidden = false;
}

async function use(description) {
  state("Loading the network …");
  try {
    const { Network } = await import("./network.js");
    if (!networks.has(description.name)) {
      networks.set(description.name, await Network.load(description));
    }
  } catch (error) {
    fail("The network could not be loaded.", error);
    return;
  }
  network = networks.get(description.name);
  element("size").textContent = `${network.size} × ${network.size}`;
  element("licence").textContent = `Sample digits: ${network.licence}.`;
  element("state").hidden = true;
  element("main").hidden = false;
  showSamples();
  element("samples").firstElementChild.click();
}

async function start() {
  widgets.makeBars(element("bars"));
  widgets.makeSliders(element("sliders"), DIMENSIONS, (dimension, value) => {
    offsets.get(selected)[dimension] = value;
    showPose();
    request("redraw");
  });
  if (typeof WebAssembly !== "object") {
    state("This browser has no WebAssembly, which runs the network. Any current one has it.");
    return;
  }
  state("Loading the network …");
  let descriptions;
  try {
    descriptions = await (await file("networks.json")).json();
  } catch (error) {
    fail("The list of networks could not be loaded.", error);
    return;
  }
  const choices = descriptions.map((description, index) => {
    const text = description.digits > 1 ? "Two digits" : "One digit";
    return widgets.makeChoice("network", text, index === 0, () => use(description));
  });
  element("networks").append(...choices);
  element("networks").hidden = descriptions.length < 2;
  await use(descriptions[0]);
}

element("clear").addEventListener("click", () => take(null));
element("reset").addEventListener("click", reset);
element("retry").addEventListener("click", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showColours);
addEventListener("resize", () => network && showDrawing());
await start();
