// A user's own file: what it says of itself, and its answers.

import { filled } from "./device/arrays.js";
import { factsOf } from "./device/facts.js";
import { fitted, planes } from "./device/picture.js";
import { Predictor } from "./device/predictor.js";
import { load } from "./runtime.js";

const LARGEST = 200e6; // Bytes, of which onnxruntime makes copies in a memory of 4 GB.
const LONGEST = 512; // Pixels along an axis that the file leaves open.
const ELSEWHERE = "python -m export.device runs it.";

export class OwnFile {
  /** Opens a file, or throws an Error that says in words why it does not go. */
  static async open(file, progressed) {
    if (file.size > LARGEST) {
      const size = Math.round(file.size / 1e6);
      throw new Error(`${file.name} has ${size} MB, more than the 200 MB here. ${ELSEWHERE}`);
    }
    factsOf(new Uint8Array(await file.arrayBuffer()), file.name); // Before the runtime is loaded.
    await load([], progressed);
    const own = new OwnFile();
    own.predictor = await Predictor.load(file, { executionProviders: ["wasm"] });
    own.checkInput(file.name);
    return own;
  }

  checkInput(name) {
    const { shapes, types, layout } = this.predictor;
    const inputs = Object.entries(shapes);
    const [[input, shape]] = inputs;
    this.last = layout !== "channels_first";
    const [height, width, channels] = this.last ? shape : [...shape.slice(1), shape[0]];
    if (inputs.length !== 1 || shape.length !== 3 || ![1, 3].includes(channels)) {
      const taken = inputs.map(([key, sizes]) => `${key} (batch, ${sizes.join(", ")})`).join(", ");
      throw new Error(
        `${name} does not take one picture of one or three channels, but ${taken}. ${ELSEWHERE}`,
      );
    }
    if (!["float32", "uint8"].includes(types[input])) {
      throw new Error(`${name} takes numbers of type ${types[input]}. ${ELSEWHERE}`);
    }
    Object.assign(this, { input, height, width, channels });
  }

  /** What the file says of itself, as pairs of a name and a text. */
  get facts() {
    const { labels, range, types, outputs } = this.predictor;
    const size = [this.width, this.height].map((side) => (side > 0 ? side : "any")).join(" × ");
    const scaled = types[this.input] === "uint8" ? "inside the file" : range.join(" to ");
    return [
      ["Input", `${size} pixels, ${this.channels === 1 ? "grey" : "red, green and blue"}`],
      ["Scaled to", scaled],
      ["Classes", labels ? labels.length : "without names"],
      ["Outputs", outputs.join(", ")],
    ];
  }

  /** Returns the picture as the network gets it, of its size and channels. */
  prepare(picture) {
    const shrink = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
    const side = (fixed, own) => (fixed > 0 ? fixed : Math.max(1, Math.round(own * shrink)));
    const sizes = [side(this.height, picture.height), side(this.width, picture.width)];
    return fitted(picture, [...sizes, this.channels]);
  }

  /** Returns the outputs of a prepared picture by name, as tensors. */
  run(prepared) {
    const { predictor, input } = this;
    return predictor.run({ [input]: filled(predictor.prepare(prepared), predictor.batch ?? 1) });
  }

  /** Returns the first picture of an output of pictures, as `prepare` does. */
  asPicture({ data, dims }) {
    const [height, width, channels] = this.last ? dims.slice(1) : [dims[2], dims[3], dims[1]];
    const values = Array.from(data.slice(0, height * width * channels), Number);
    const shares = values.every((value) => value >= 0 && value <= 1);
    const [low, high] = shares ? [0, 1] : this.predictor.range;
    const pixels = values.map((value) => (255 * (value - low)) / (high - low));
    const order = (_, index) => pixels[this.last ? index : planes(index, width * height, channels)];
    return { data: Uint8ClampedArray.from(pixels, order), width, height, channels };
  }
}
