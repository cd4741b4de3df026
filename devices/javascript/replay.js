// Compares a file with its seal, as `export.verify` in Python does.

import { product, repeated } from "./arrays.js";
import { shapeOf, VALUES } from "./seal.js";

/** Throws an Error if a seal does not belong to the bytes of a file; returns their SHA-256. */
export async function checkDigest(bytes, seal) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== seal.sha256) {
    throw new Error(
      "The model is not the one that was sealed: it was changed or cut short, or the two files " +
        "are of different exports (one may have been interrupted). Copy both again, or export " +
        `again. SHA-256 of the model: ${found}, sealed: ${seal.sha256}`,
    );
  }
  return found;
}

/** Throws an Error if the inputs or outputs of a session are not those of a seal. */
export function checkSignature(session, seal) {
  for (const key of ["inputs", "outputs"]) {
    const metadata = key === "inputs" ? session.inputMetadata : session.outputMetadata;
    const model = metadata.map(({ name, type, shape }) => `${name}: ${type}, ${shape.length} axes`);
    const sealed = seal[key].map(
      (value) => `${value.name}: ${value.dtype}, ${shapeOf(1, value).length} axes`,
    );
    const [found, expected] = [model, sealed].map((values) => values.sort().join("; "));
    if (found !== expected) {
      throw new Error(`The model has the ${key} ${found}, but its seal has ${expected}.`);
    }
  }
}

/**
 * Returns the largest difference of each output over each suite.
 *
 * `run` takes arrays `{ data, dims }` by name, and returns such arrays.
 */
export async function compare(run, { seal, arrays }) {
  const checks = [];
  for (const [number, { name, samples, allowed }] of seal.suites.entries()) {
    const feeds = {};
    seal.inputs.forEach((value, index) => {
      const dims = shapeOf(samples, value);
      const { data } = arrays.get(`suite_${number}_input_${index}`);
      feeds[value.name] = { data: repeated(data, product(dims)), dims };
    });
    const outputs = await run(feeds);
    seal.outputs.forEach((value, index) => {
      const output = outputs[value.name];
      const expected = arrays.get(`suite_${number}_output_${index}`).data;
      const same = output.dims.join() === shapeOf(samples, value).join();
      const maxAbs = same ? difference(expected, sealedValues(output.data)) : Infinity;
      const passed = maxAbs <= allowed[index];
      const facts = { output: value.name, suite: name, samples };
      checks.push({ ...facts, maxAbs, allowed: allowed[index], passed });
    });
  }
  return checks;
}

/** Returns the values that a seal stores: all, or `VALUES` evenly spread. */
function sealedValues(data) {
  const count = Math.min(data.length, VALUES);
  return Array.from({ length: count }, (_, index) => data[Math.floor((index * data.length) / count)]);
}

/** Returns the largest difference, or infinity if NaN or infinity are at other places. */
function difference(expected, output) {
  let largest = 0;
  expected.forEach((value, index) => {
    const [wanted, found] = [Number(value), Number(output[index])];
    if (!Object.is(wanted, found)) {
      const distance = Math.abs(wanted - found);
      largest = Math.max(largest, Number.isFinite(distance) ? distance : Infinity);
    }
  });
  return largest;
}
