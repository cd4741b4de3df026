// What devices/javascript answers to jobs, in Node or in a browser.

import { arrayClass } from "../../devices/javascript/arrays.js";
import { InferenceSession } from "../../devices/javascript/ort.js";
import { Predictor } from "../../devices/javascript/predictor.js";

const create = InferenceSession.create;

/** A session whose "webgpu" answers what `spoil` makes of the outputs of wasm. */
function withFaulty(spoil) {
  InferenceSession.create = async (bytes, options) => {
    const session = await create.call(InferenceSession, bytes, {
      ...options,
      executionProviders: ["wasm"],
    });
    if (options.executionProviders[0] === "webgpu") {
      const run = session.run.bind(session);
      session.run = async (feeds) => spoil(await run(feeds));
    }
    return session;
  };
}

const FAULTS = {
  wrong: (outputs) => {
    Object.values(outputs).forEach(({ data }) => data.forEach((_, i) => (data[i] += 1)));
    return outputs;
  },
  failing: () => {
    throw new Error("no such kernel");
  },
};

const array = ({ type, data, dims }) => ({ data: arrayClass(type).from(data), dims });
const plain = ({ data, dims }) => ({ data: Array.from(data, Number), dims });
const named = (values, change) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

const listed = (predictions) => predictions.map((p) => ({ ...p, scores: Array.from(p.scores) }));

/** A canvas, or where there is none what is like an ImageData. */
function pictureOf({ data, width, height }) {
  if (typeof OffscreenCanvas === "undefined") {
    return { data: Uint8ClampedArray.from(data), width, height };
  }
  const canvas = new OffscreenCanvas(width, height);
  const picture = new ImageData(Uint8ClampedArray.from(data), width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

async function answer({ file, seal, inputs, pixels, image, fault }, read) {
  InferenceSession.create = create;
  const options = { seal: seal && (await read(seal)) };
  if (fault) {
    withFaulty(FAULTS[fault]);
    options.executionProviders = ["webgpu", "wasm"];
  }
  const predictor = await Predictor.load(await read(file), options);
  const found = {};
  if (inputs) {
    found.outputs = named(await predictor.run(named(inputs, array)), plain);
  }
  if (pixels) {
    found.predictions = listed(await predictor.predict(array(pixels)));
  }
  if (image) {
    found.pictured = listed(await predictor.predict(pictureOf(image)));
  }
  if (seal) {
    found.verdict = await predictor.verify();
    found.providers = predictor.executionProviders;
  }
  await predictor.release();
  return found;
}

/** Returns an answer, or an error, for each job; `read` returns the bytes of a file. */
export async function answersTo(jobs, read) {
  const answers = [];
  for (const job of jobs) {
    answers.push(await answer(job, read).catch((error) => ({ error: error.message })));
  }
  return answers;
}
