// What the export wrote into an ONNX file about its input and its scores.

import { metadata } from "./metadata.js";

/**
 * Returns `{ labels, range, task, threshold, layout }` from the bytes of an ONNX file, or throws an
 * Error that begins with `name` and says in words why the file does not go.
 */
export function factsOf(bytes, name) {
  let properties;
  try {
    properties = metadata(bytes);
  } catch (error) {
    throw new Error(`${name} cannot be read: ${error.message}.`);
  }
  if (!properties.verification || !properties.input_range) {
    throw new Error(
      `${name} does not say what its input means: keras-capsules did not export it. ` +
        "Export the Keras model with python -m export.to_onnx.",
    );
  }
  const facts = understood(properties);
  if (!facts) {
    throw new Error(`${name} is damaged: what it says of itself cannot be read.`);
  }
  if (!(facts.range[0] < facts.range[1])) {
    throw new Error(`${name} is damaged: its input range is ${properties.input_range}.`);
  }
  return facts;
}

/** Returns the facts of properties, which the export wrote as JSON, or nothing if it did not. */
function understood(properties) {
  const read = (key, otherwise) => JSON.parse(properties[key] || otherwise);
  try {
    const labels = read("class_names", "null");
    const range = read("input_range", "[0, 1]");
    const { kind = "classes", threshold = 0.5 } = read("task", "{}");
    const { layout = "channels_last" } = read("preprocessing", "{}");
    const named = [kind, layout, ...(labels ?? [])].every((value) => typeof value === "string");
    const counted = [threshold, ...range].every(Number.isFinite) && range.length === 2;
    const listed = labels === null || Array.isArray(labels);
    return named && counted && listed ? { labels, range, task: kind, threshold, layout } : null;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) {
      return null; // Not JSON, or JSON of another kind.
    }
    throw error;
  }
}
