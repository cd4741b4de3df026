// A network of the page and its decoder.

import { load, session, tensor } from "./runtime.js";

const CLASSES = 10;
const KEPT = 20;

export class Network {
  times = []; // Times of the last readings, in milliseconds.
  explained = 0; // The digit that the last map was for.

  /** Loads the network that `description`, an entry of networks.json, describes. */
  static async load(description, progressed) {
    const network = new Network();
    Object.assign(network, description);
    const files = [`${description.name}.onnx`, `${description.name}_decoder.onnx`];
    const [classifier, decoder] = await load(files, progressed);
    network.classifier = await session(classifier);
    network.decoder = await session(decoder);
    network.samples = description.samples.map(({ digits, pixels }) => ({
      digits,
      values: Float32Array.from(pixels, (value) => value / 255),
    }));
    await network.read(new Float32Array(network.size ** 2)); // The first reading takes longer.
    network.times = [];
    return network;
  }

  /** Returns what is read in pixels in [0, 1], with the map of the longest capsule. */
  async read(pixels) {
    let found = await this.run(pixels, this.explained);
    const scores = found.scores.data;
    const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
    if (order[0] !== this.explained) {
      found = await this.run(pixels, order[0]);
    }
    const winners = order.slice(0, this.digits).sort((a, b) => a - b);
    const [poses, map] = [found.poses.data, found.map.data];
    return { pixels, scores, poses, map, winners, longest: order[0] };
  }

  /** Returns what speaks for and against a digit, for each pixel. */
  async map(pixels, digit) {
    return (await this.run(pixels, digit)).map.data;
  }

  async run(pixels, digit) {
    const chosen = new Float32Array(CLASSES);
    chosen[digit] = 1;
    this.explained = digit;
    const inputs = {
      image: tensor("float32", pixels, [1, this.size, this.size, 1]),
      chosen: tensor("float32", chosen, [1, CLASSES]),
    };
    const start = performance.now();
    const outputs = await this.classifier.run(inputs);
    this.times = [...this.times.slice(1 - KEPT), performance.now() - start];
    return outputs;
  }

  /** Returns the pixels that the decoder draws for each of several poses of one digit. */
  async decode(poses, digit) {
    const length = poses[0].length;
    const masked = new Float32Array(poses.length * CLASSES * length);
    poses.forEach((pose, index) => masked.set(pose, (index * CLASSES + digit) * length));
    const inputs = { poses: tensor("float32", masked, [poses.length, CLASSES, length]) };
    const { data } = (await this.decoder.run(inputs)).reconstruction;
    const count = data.length / poses.length;
    return poses.map((_, index) => data.slice(index * count, (index + 1) * count));
  }

  /** The median of these times. */
  get latency() {
    return this.times.toSorted((a, b) => a - b)[this.times.length >> 1];
  }
}
