// onnxruntime's WebAssembly on one thread.

import { download } from "./file.js";
import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // More threads would need a page that is isolated from other origins.

const WASM = "ort-wasm-simd-threaded.wasm";

/** Downloads files, and the runtime if it is not there yet, as `download` does. */
export async function load(names, progressed) {
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly, which runs it. Any current one has it.");
  }
  const needed = ort.env.wasm.wasmBinary ? names : [...names, WASM];
  const contents = await download(needed, progressed);
  ort.env.wasm.wasmBinary ??= contents.pop().buffer;
  return contents;
}

/** Makes a session from the bytes of an ONNX file. */
export function session(bytes) {
  return ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
}

export function tensor(type, values, shape) {
  return new ort.Tensor(type, values, shape);
}
