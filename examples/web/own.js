// Runs the page of a user's own file: takes a file and a picture, and shows what the file answers.

import { evidence, paintPicture } from "./paint.js";
import { readPicture } from "./picture.js";
import { loaded, loading } from "./progress.js";
import { answer, showScores } from "./scores.js";

const element = (id) => document.getElementById(id);
const EXPORT_OUTPUTS =
  "Export the model with --outputs scores,map,reconstruction, if it has capsules";

let own = null; // The user's file.
let picture = null; // The user's picture.
let last = Promise.resolve(); // The work in progress.

/** Takes files in turn, networks or pictures, and shows the answer, or the first problem. */
function take(files) {
  const tasks = files.map((file) => {
    const picture = file.type.startsWith("image/");
    return () => (picture ? takePicture(file) : takeNetwork(file));
  });
  last = last.then(async () => {
    let problem;
    for (const task of [...tasks, () => problem ?? show()]) {
      try {
        await task();
      } catch (error) {
        problem ??= error;
      }
    }
    if (problem) {
      console.warn(problem);
      clear();
      say(problem.message);
    }
  });
}

async function takePicture(file) {
  picture = null;
  element("picture-name").textContent = file.name;
  picture = await readPicture(file);
}

async function takeNetwork(file) {
  await own?.predictor.release();
  own = null;
  element("file-name").textContent = file.name;
  element("facts").replaceChildren();
  clear();
  loading("Loading the network.");
  try {
    const { OwnFile } = await import("./own_file.js");
    own = await OwnFile.open(file, loaded);
  } finally {
    loaded();
  }
  for (const [name, value] of own.facts) {
    const [term, description] = ["dt", "dd"].map((kind) => document.createElement(kind));
    term.textContent = name;
    description.textContent = value;
    element("facts").append(term, description);
  }
}

async function show() {
  clear();
  if (!own || !picture) {
    say(own ? "Choose a picture for the network." : "Choose a file that keras-capsules exported.");
    return;
  }
  const prepared = own.prepare(picture);
  const outputs = await own.run(prepared);
  const scores = outputs.scores ?? Object.values(outputs)[0];
  if (scores.dims.length !== 2) {
    say(`The file gives no scores, but an output of shape ${scores.dims.join(" × ")}.`);
    return;
  }
  const values = scores.data.slice(0, scores.dims[1]);
  say(answer(values, own.predictor));
  showScores(element("classes"), values, own.predictor);
  showMap(outputs.map, prepared);
  showReconstruction(outputs.reconstruction);
}

function showMap(map, prepared) {
  const { width, height } = prepared;
  const there = map?.dims[1] === height && map.dims[2] === width;
  element("map-caption").hidden = !there;
  element("no-map").textContent = there ? "" : `The file has no map. ${EXPORT_OUTPUTS}.`;
  const layers = there ? evidence(map.data.slice(0, width * height), 0.75) : [];
  paintPicture(element("evidence"), prepared, ...layers);
}

function showReconstruction(reconstruction) {
  const there = reconstruction?.dims.length === 4;
  element("redrawn-caption").textContent = there
    ? "The picture is redrawn from the pose of the longest capsule alone."
    : `The file has no reconstruction. ${EXPORT_OUTPUTS} and a decoder.`;
  element("redrawn").hidden = !there;
  if (there) {
    paintPicture(element("redrawn"), own.asPicture(reconstruction));
  }
}

function clear() {
  for (const canvas of [element("evidence"), element("redrawn")]) {
    canvas.width = canvas.height = 1;
  }
  element("classes").replaceChildren();
  element("map-caption").hidden = true;
  element("no-map").textContent = element("redrawn-caption").textContent = "";
}

function say(text) {
  element("answer").textContent = text;
}

for (const id of ["file", "picture"]) {
  element(id).addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = ""; // So that the same file, exported again, can be chosen again.
  });
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault(); // The browser would leave the page for the file.
    document.body.classList.toggle("target", kind === "dragover");
  });
}
addEventListener("drop", ({ dataTransfer }) => take([...dataTransfer.files]));
