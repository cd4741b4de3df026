// Runs an exported model in browsers and in Node, as `export.device` does in Python.

import { arrayClass, batchOf, cast, filled } from "./arrays.js";
import { factsOf } from "./facts.js";
import { prediction } from "./labels.js";
import { InferenceSession, Tensor } from "./ort.js";
import { arrayOf, fitted, isPicture, pictureOf } from "./picture.js";
import { checkDigest, checkSignature, compare } from "./replay.js";
import { readSeal } from "./seal.js";

const CHUNK = 32; // Samples of one call of the runtime.
const FLOATS = [Float32Array, Float64Array];
const PIXELS = [Uint8Array, Uint8ClampedArray];

export class Predictor {
  #bytes;
  #seal;
  #session;

  /** See predictor.d.ts, also for the other methods. */
  static async load(source, { seal, executionProviders } = {}) {
    const predictor = new Predictor();
    const name = addressed(source) ? `${source}` : (source?.name ?? "The file");
    predictor.#bytes = await bytesOf(source);
    predictor.#seal = seal ?? (addressed(source) ? `${source}.golden.npz` : null);
    Object.assign(predictor, factsOf(predictor.#bytes, name));
    try {
      await predictor.#open(executionProviders ?? (await providersHere()));
    } catch (error) {
      const reason = "it is damaged, or not for onnxruntime-web here";
      throw new Error(`${name} cannot be loaded: ${reason}. (${error.message})`);
    }
    const inputs = predictor.#session.inputMetadata;
    const entries = (what) => Object.fromEntries(inputs.map((input) => [input.name, what(input)]));
    predictor.types = entries(({ type }) => type);
    predictor.shapes = entries(({ shape }) => shape.slice(1));
    predictor.batch = inputs.map(({ shape }) => shape[0]).find(Number.isInteger) ?? null;
    predictor.outputs = [...predictor.#session.outputNames];
    return predictor;
  }

  async predict(images) {
    const [name] = this.#onlyInput();
    const { data, dims } = this.prepare(images);
    const size = data.length / dims[0];
    const step = this.batch ?? CHUNK;
    const predictions = [];
    for (let start = 0; start < dims[0]; start += step) {
      const count = Math.min(step, dims[0] - start);
      const chunk = data.subarray(start * size, (start + count) * size);
      const batch = filled({ data: chunk, dims: [count, ...dims.slice(1)] }, this.batch ?? count);
      predictions.push(...this.#predictions(await this.run({ [name]: batch }), count));
    }
    return predictions;
  }

  async run(arrays) {
    const names = Object.keys(this.shapes);
    if ([...names].sort().join() !== Object.keys(arrays).sort().join()) {
      throw new Error(`Pass an array for each of the inputs ${names.join(", ")}.`);
    }
    const batches = names.map((name) => [name, batchOf(name, arrays[name], this.shapes[name])]);
    try {
      return await this.#infer(Object.fromEntries(batches));
    } catch (error) {
      throw new Error(`The model fails on this input: ${error.message}`);
    }
  }

  prepare(images) {
    const [name, shape] = this.#onlyInput();
    const type = this.types[name];
    const { data, dims } = batchOf(name, isPicture(images) ? this.#array(images) : images, shape);
    const floats = type.startsWith("float");
    const among = (kinds) => kinds.some((Kind) => data instanceof Kind);
    if (!among(PIXELS) && (type === "uint8" || (floats && !among(FLOATS)))) {
      throw new Error(
        "Pass pixels from 0 to 255 as Uint8Array, or, if the file does not scale them, numbers as " +
          `in the training, ${this.range.join(" to ")}. Received: ${data.constructor.name}`,
      );
    }
    const [low, high] = this.range;
    const scaled = (pixel) => low + pixel * ((high - low) / 255);
    const scales = floats && among(PIXELS);
    return { data: scales ? arrayClass(type).from(data, scaled) : cast(data, type), dims };
  }

  async verify() {
    if (!this.#seal) {
      throw new Error("Pass the seal of the file, model.onnx.golden.npz: load(bytes, { seal }).");
    }
    this.#seal = await bytesOf(this.#seal);
    const sealed = await readSeal(this.#seal);
    const sha256 = await checkDigest(this.#bytes, sealed.seal);
    checkSignature(this.#session, sealed.seal);
    const provider = this.executionProviders[0];
    const compared = compare((arrays) => this.#infer(arrays), sealed);
    const { checks, problem } = await compared.then(
      (checks) => ({ checks, problem: "computes otherwise than the model" }),
      (error) => ({ checks: [], problem: `cannot run the file (${error.message})` }),
    );
    const passed = checks.length > 0 && checks.every((check) => check.passed);
    if (!passed && provider !== "wasm") {
      console.warn(`${provider} ${problem}. wasm is used from now on.`);
      await this.release();
      await this.#open(["wasm"]);
      return { ...(await this.verify()), fellBack: `${provider} ${problem}` };
    }
    if (!checks.length) {
      throw new Error(`The file is intact, but onnxruntime-web ${problem}.`);
    }
    return { passed, checks, sha256, reference: sealed.seal.reference, fellBack: null };
  }

  async release() {
    await this.#session.release();
  }

  async #open(executionProviders) {
    const options = { executionProviders, logSeverityLevel: 4 };
    this.#session = await InferenceSession.create(this.#bytes, options);
    this.executionProviders = executionProviders.map((provider) => provider.name ?? provider);
  }

  #infer(arrays) {
    const tensors = this.#session.inputMetadata.map(({ name, type }) => {
      const { data, dims } = arrays[name];
      return [name, new Tensor(type, cast(data, type), dims)];
    });
    return this.#session.run(Object.fromEntries(tensors));
  }

  #predictions(outputs, count) {
    const { data, dims } = outputs.scores ?? outputs[this.outputs[0]];
    if (dims.length !== 2 || dims[0] < count || !dims[1]) {
      const shape = dims.join(", ");
      throw new Error(`The model gives no scores, but an output (${shape}). Call run() instead.`);
    }
    return Array.from({ length: count }, (_, row) =>
      prediction(data.slice(row * dims[1], (row + 1) * dims[1]), this),
    );
  }

  #onlyInput() {
    const inputs = Object.entries(this.shapes);
    if (inputs.length !== 1) {
      throw new Error(`Call run() with the inputs ${Object.keys(this.shapes).join(", ")}.`);
    }
    return inputs[0];
  }

  #array(image) {
    const last = this.layout !== "channels_first";
    const shape = this.#onlyInput()[1];
    const sizes = last ? shape : [...shape.slice(1), shape[0]];
    if (sizes.length !== 3 || ![1, 3].includes(sizes[2])) {
      throw new Error(`The model takes arrays of shape (${shape.join(", ")}), not pictures.`);
    }
    return arrayOf(fitted(pictureOf(image), sizes), last);
  }
}

function addressed(source) {
  return typeof source === "string" || source instanceof URL;
}

async function bytesOf(source) {
  if (addressed(source)) {
    const response = await fetch(source);
    if (!response.ok) {
      throw new Error(`${source}: ${response.status} ${response.statusText}`);
    }
    return new Uint8Array(await response.arrayBuffer());
  }
  if (source instanceof Uint8Array) {
    return source;
  }
  if (source instanceof ArrayBuffer || source instanceof Blob) {
    return new Uint8Array(await new Response(source).arrayBuffer());
  }
  throw new Error("Pass the address of a file, its bytes as Uint8Array, or a Blob.");
}

async function providersHere() {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter();
  return adapter ? ["webgpu", "wasm"] : ["wasm"];
}
