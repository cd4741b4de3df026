// Reads the seal of a file, `model.onnx.golden.npz`, as `export.verify` in Python does.

import { product } from "./arrays.js";
import { readNpz } from "./npz.js";

const FORMAT = 1;
const LARGEST = 2 ** 26; // Bytes of a seal, and elements of an array that it describes.
const PRINTABLE = /^[\x20-\x7e]{0,300}$/;

/** Largest number of sealed values of an array. */
export const VALUES = 4093;

/** Returns `{ seal, arrays }`, or throws an Error if the bytes are not what the export wrote. */
export async function readSeal(bytes) {
  try {
    if (bytes.length > LARGEST) {
      throw new Error(`it has ${bytes.length} bytes`);
    }
    const arrays = await readNpz(bytes);
    if (!arrays.has("seal")) {
      throw new Error("the array 'seal' is missing");
    }
    const seal = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(arrays.get("seal").data));
    arrays.delete("seal");
    checkSeal(seal, arrays);
    return { seal, arrays };
  } catch (error) {
    throw new Error(
      "The seal is damaged, or not what the export wrote. Copy it again, or export again. " +
        `Received: ${error.message}`,
    );
  }
}

/** Returns the shape of an input or output, which is whole if it has no batch axis. */
export function shapeOf(samples, { shape, whole }) {
  return whole ? shape : [samples, ...shape];
}

/** Throws an Error if a seal contradicts itself or its arrays. */
function checkSeal(seal, arrays) {
  const { format, inputs, outputs, suites, sha256, reference } = seal;
  if (format !== FORMAT) {
    throw new Error(`its format is ${format}, but this program reads ${FORMAT}`);
  }
  if (!inputs.length || !outputs.length || !suites.length) {
    throw new Error("it has nothing to compare");
  }
  const names = [...inputs, ...outputs, ...suites].map(({ name }) => name);
  if (![...names, sha256, reference].every((s) => typeof s === "string" && PRINTABLE.test(s))) {
    throw new Error("a name cannot be printed");
  }
  const expected = new Set();
  suites.forEach(({ name, samples, allowed }, number) => {
    if (allowed.length !== outputs.length || !allowed.every((v) => Number.isFinite(v) && v >= 0)) {
      throw new Error(`the tolerances of '${name}' are ${allowed}`);
    }
    for (const [kind, values] of [["input", inputs], ["output", outputs]]) {
      values.forEach((value, index) => {
        const key = `suite_${number}_${kind}_${index}`;
        expected.add(key);
        checkArray(arrays.get(key), key, shapeOf(samples, value), value.dtype, kind);
      });
    }
  });
  if (expected.size !== arrays.size) {
    throw new Error("it has one array too many");
  }
}

function checkArray(array, key, shape, dtype, kind) {
  if (!array) {
    throw new Error(`the array '${key}' is missing`);
  }
  const { length } = array.data;
  const size = shape.every((axis) => Number.isInteger(axis) && axis > 0) ? product(shape) : 0;
  // The beginning of an input is enough, because inputs repeat.
  const fits = kind === "input" ? 1 <= length && length <= size : length === Math.min(size, VALUES);
  if (!fits || size === 0 || size > LARGEST || array.dtype !== dtype) {
    throw new Error(
      `the array '${key}' has ${length} ${array.dtype} values for an ${kind} of shape ` +
        `${shape.join(", ")} in ${dtype}`,
    );
  }
}
