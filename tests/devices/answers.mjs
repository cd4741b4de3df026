// Prints as JSON what devices/javascript answers to each job of a JSON file, or its error.

import { readFile } from "node:fs/promises";

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

async function answer({ file, seal, inputs, pixels, image, fault }) {
  InferenceSession.create = create;
  const options = { seal: seal && (await readFile(seal)) };
  if (fault) {
    withFaulty(FAULTS[fault]);
    options.executionProviders = ["webgpu", "wasm"];
  }
  const predictor = await Predictor.load(await readFile(file), options);
  const found = {};
  if (inputs) {
    found.outputs = named(await predictor.run(named(inputs, array)), plain);
  }
  const asked = pixels ? array(pixels) : image && { ...image, data: Uint8Array.from(image.data) };
  if (asked) {
    const predictions = await predictor.predict(asked);
    found.predictions = predictions.map((p) => ({ ...p, scores: Array.from(p.scores) }));
  }
  if (seal) {
    found.verdict = await predictor.verify();
    found.providers = predictor.executionProviders;
  }
  await predictor.release();
  return found;
}

const jobs = JSON.parse(await readFile(process.argv[2]));
const answers = [];
for (const job of jobs) {
  answers.push(await answer(job).catch((error) => ({ error: error.message })));
}
console.log(JSON.stringify(answers));
