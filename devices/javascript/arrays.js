// Arrays as onnxruntime-web takes them: `{ data, dims }`, with a batch axis and of a file's type.

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** Returns the class of the typed arrays that hold numbers of a type of ONNX. */
export function arrayClass(type) {
  if (!(type in ARRAYS)) {
    throw new Error(`Numbers of type ${type} are not supported here. python -m export.device does.`);
  }
  return ARRAYS[type];
}

/** Returns a typed array of numbers of a type, without their fractions if it has none. */
export function cast(values, type) {
  const Kind = arrayClass(type);
  if (values instanceof Kind && type !== "bool") {
    return values;
  }
  const whole = (value) => BigInt(Math.trunc(Number(value)));
  const converted = type === "bool" ? (value) => Number(value) !== 0 : Number;
  return Kind.from(values, Kind.BYTES_PER_ELEMENT === 8 && type !== "float64" ? whole : converted);
}

/**
 * Returns `{ data, dims }` with a batch axis, if an array fits the shape of a sample.
 *
 * The array is `{ data, dims }` of a batch or of one sample, or a typed array of whole samples of a
 * shape without open axes.
 */
export function batchOf(name, array, shape) {
  const { data, dims: given } = array?.dims ? array : { data: array, dims: guessed(array, shape) };
  if (!ArrayBuffer.isView(data)) {
    throw new Error(`Pass a typed array, or {data, dims} with one, for ${name}.`);
  }
  const dims = given.length === shape.length ? [1, ...given] : [...given];
  const wanted = [dims[0], ...shape]; // An open axis has a name in place of a size.
  const fits = wanted.every((size, index) => typeof size === "string" || size === dims[index]);
  const whole = dims.every(Number.isInteger) && product(dims) === data.length;
  if (dims.length !== wanted.length || !fits || !whole) {
    const taken = ["batch", ...shape].join(", ");
    const received = `${data.length} numbers of dims (${given.join(", ")})`;
    throw new Error(`${name} takes arrays of shape (${taken}). Received: ${received}`);
  }
  return { data, dims };
}

/** Returns a batch of a size, which begins with the given one and repeats it. */
export function filled({ data, dims }, size) {
  const count = (data.length / dims[0]) * size;
  return { data: repeated(data, count), dims: [size, ...dims.slice(1)] };
}

/** Returns `count` values that repeat an array, as NumPy's resize. */
export function repeated(data, count) {
  if (data.length === count) {
    return data;
  }
  return new data.constructor(count).map((_, index) => data[index % data.length]);
}

export function product(dims) {
  return dims.reduce((a, b) => a * b, 1);
}

function guessed(data, shape) {
  const size = product(shape);
  if (!Number.isInteger(size)) {
    throw new Error(`Pass {data, dims}: the sizes (${shape.join(", ")}) are open.`);
  }
  return [(data?.length ?? 0) / size, ...shape];
}
