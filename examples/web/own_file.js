// A user's own file: what it says of itself, and its answers.

import { metadata } from "./metadata.js";
import { grey, resize } from "./picture.js";
import { load, session, tensor } from "./runtime.js";

const LARGEST = 200e6; // Bytes, of which onnxruntime makes copies in a memory of 4 GB.
const LONGEST = 512; // Pixels along an axis that the file leaves open.
const ARRAYS = { float32: Float32Array, uint8: Uint8Array };
const ELSEWHERE = "python -m export.device runs it.";

export class OwnFile {
  /** Opens a file, or throws an Error that says in words why it does not go. */
  static async open(file, progressed) {
    if (file.size > LARGEST) {
      const size = Math.round(file.size / 1e6);
      throw new Error(`${file.name} has ${size} MB, more than the 200 MB here. ${ELSEWHERE}`);
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const own = new OwnFile();
    try {
      own.properties = metadata(bytes);
    } catch (error) {
      throw new Error(`${file.name} cannot be read: ${error.message}.`);
    }
    if (!own.properties.verification || !own.properties.input_range) {
      throw new Error(
        `${file.name} does not say what its input means: keras-capsules did not export it. ` +
          "Export the Keras model with python -m export.to_onnx.",
      );
    }
    own.understand(file.name);
    await load([], progressed);
    try {
      own.session = await session(bytes);
    } catch (error) {
      throw new Error(`${file.name} is damaged, or not for this browser. (${error.message})`);
    }
    own.checkInput(file.name);
    return own;
  }

  /** Reads the properties, which the export wrote as JSON. */
  understand(name) {
    const read = (key, otherwise) => JSON.parse(this.properties[key] || otherwise);
    try {
      this.labels = read("class_names", "null");
      [this.low, this.high] = read("input_range", "[0, 1]").map(Number);
      this.task = { kind: "classes", threshold: 0.5, ...read("task", "{}") };
      this.last = read("preprocessing", "{}").layout !== "channels_first";
      this.labels = this.labels?.map(String);
    } catch (error) {
      throw new Error(`${name} is damaged: what it says of itself cannot be read.`);
    }
    if (!(this.low < this.high)) {
      throw new Error(`${name} is damaged: its input range is ${this.properties.input_range}.`);
    }
  }

  checkInput(name) {
    const inputs = this.session.inputMetadata;
    const [{ name: input, shape, type }] = inputs;
    const [batch, ...sizes] = shape;
    const [height, width, channels] = this.last ? sizes : [...sizes.slice(1), sizes[0]];
    if (inputs.length !== 1 || shape.length !== 4 || ![1, 3].includes(channels)) {
      const taken = inputs.map((value) => `${value.name} (${value.shape.join(", ")})`).join(", ");
      throw new Error(
        `${name} does not take one picture of one or three channels, but ${taken}. ${ELSEWHERE}`,
      );
    }
    if (!(type in ARRAYS)) {
      throw new Error(`${name} takes numbers of type ${type}. ${ELSEWHERE}`);
    }
    Object.assign(this, { input, type, batch, height, width, channels });
  }

  /** What the file says of itself, as pairs of a name and a text. */
  get facts() {
    const size = [this.width, this.height].map((side) => (side > 0 ? side : "any")).join(" × ");
    const outputs = this.session.outputNames.join(", ");
    return [
      ["Input", `${size} pixels, ${this.channels === 1 ? "grey" : "red, green and blue"}`],
      ["Scaled to", this.type === "uint8" ? "inside the file" : `${this.low} to ${this.high}`],
      ["Classes", this.labels ? this.labels.length : "without names"],
      ["Outputs", outputs],
    ];
  }

  /** Returns the picture as the network gets it, of its size and channels. */
  prepare(picture) {
    const shrink = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
    const side = (fixed, own) => (fixed > 0 ? fixed : Math.max(1, Math.round(own * shrink)));
    const size = [side(this.width, picture.width), side(this.height, picture.height)];
    return resize(this.channels === 1 ? grey(picture) : picture, ...size);
  }

  /** Returns the outputs of a prepared picture by name, as tensors. */
  async run({ data, width, height, channels }) {
    const copies = this.batch > 0 ? this.batch : 1;
    const count = data.length;
    const scale = this.type === "uint8" ? 1 : (this.high - this.low) / 255;
    const shift = this.type === "uint8" ? 0 : this.low;
    const values = new ARRAYS[this.type](copies * count);
    for (let index = 0; index < values.length; index++) {
      const place = index % count;
      const pixel = this.last ? place : planes(place, channels, width * height);
      values[index] = shift + scale * data[pixel];
    }
    const sizes = this.last ? [height, width, channels] : [channels, height, width];
    const inputs = { [this.input]: tensor(this.type, values, [copies, ...sizes]) };
    try {
      return await this.session.run(inputs);
    } catch (error) {
      throw new Error(`The network fails on this picture. (${error.message})`);
    }
  }

  /** Returns the first picture of an output of pictures, as `prepare` does. */
  asPicture({ data, dims }) {
    const [height, width, channels] = this.last ? dims.slice(1) : [dims[2], dims[3], dims[1]];
    const values = Array.from(data.slice(0, height * width * channels), Number);
    const shares = values.every((value) => value >= 0 && value <= 1);
    const [low, high] = shares ? [0, 1] : [this.low, this.high];
    const pixels = values.map((value) => (255 * (value - low)) / (high - low));
    const order = (_, index) => pixels[this.last ? index : planes(index, width * height, channels)];
    return { data: Uint8ClampedArray.from(pixels, order), width, height, channels };
  }
}

/** Returns the place of a value in an array of `rows` values in turn, of one of `columns` each. */
function planes(place, rows, columns) {
  return (place % columns) * rows + Math.floor(place / columns);
}
