// A network and its decoder, run by onnxruntime's WebAssembly on one thread.

import { file } from "./file.js";
import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // More threads would need a page that is isolated from other origins.

const KEPT = 20;

async function session(name) {
  const bytes = await (await file(`${name}.onnx`)).arrayBuffer();
  return ort.InferenceSession.create(new Uint8Array(bytes));
}

export class Network {
  times = []; // Times of the last readings, in milliseconds.

  /** Loads the network that `description`, an entry of networks.json, describes. */
  static async load(description) {
    const network = new Network();
    Object.assign(network, description);
    network.classifier = await session(description.name);
    network.decoder = await session(`${description.name}_decoder`);
    network.samples = description.samples.map(({ digits, pixels }) => ({
      digits,
      values: Float32Array.from(pixels, (value) => value / 255),
    }));
    await network.read(new Float32Array(network.size ** 2)); // The first reading takes longer.
    network.times = [];
    return network;
  }

  /** Returns the outputs for pixels in [0, 1] as ONNX tensors: scores, poses, map. */
  async read(pixels) {
    const image = new ort.Tensor("float32", pixels, [1, this.size, this.size, 1]);
    const start = performance.now();
    const outputs = await this.classifier.run({ image });
    this.times = [...this.times.slice(1 - KEPT), performance.now() - start];
    return outputs;
  }

  /** Returns the pixels that the decoder draws for one pose, in the capsule of `digit`. */
  async decode(pose, digit) {
    const masked = new Float32Array(10 * pose.length);
    masked.set(pose, digit * pose.length);
    const poses = new ort.Tensor("float32", masked, [1, 10, pose.length]);
    return (await this.decoder.run({ poses })).reconstruction.data;
  }

  /** The median of these times. */
  get latency() {
    return this.times.toSorted((a, b) => a - b)[this.times.length >> 1];
  }
}
