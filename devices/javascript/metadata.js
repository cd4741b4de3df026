// Reads what an ONNX file says of itself, which onnxruntime-web does not tell.

const MODEL = { version: 1, graph: 7, metadata: 14 }; // Numbers of the fields of a ModelProto.
const ENTRY = { key: 1, value: 2 }; // And of a StringStringEntryProto.
const VARINT = 0;
const BYTES = 2;
const FIXED = { 1: 8, 5: 4 }; // Sizes of the other wire types.

/** Returns the properties in the bytes of an ONNX file, or throws an Error if it is not one. */
export function metadata(bytes) {
  const found = {};
  const seen = new Set();
  for (const [field, content] of fields(bytes)) {
    seen.add(field);
    if (field === MODEL.metadata) {
      const entry = new Map(fields(content));
      found[text(entry.get(ENTRY.key))] = text(entry.get(ENTRY.value));
    }
  }
  if (!seen.has(MODEL.version) || !seen.has(MODEL.graph)) {
    throw new Error("it is not an ONNX file");
  }
  return found;
}

function text(bytes = new Uint8Array()) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** Yields number and content of each field of a protobuf message, a number or bytes. */
function* fields(bytes) {
  let place = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (place >= bytes.length || factor > 2 ** 63) {
        throw new Error("it is not an ONNX file, or its end is missing");
      }
      const byte = bytes[place++];
      value += (byte % 128) * factor;
      if (byte < 128) {
        return value;
      }
    }
  };
  while (place < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === VARINT) {
      yield [Math.floor(tag / 8), varint()];
      continue;
    }
    const length = kind === BYTES ? varint() : FIXED[kind];
    if (!(place + length <= bytes.length)) {
      throw new Error("it is not an ONNX file, or its end is missing");
    }
    yield [Math.floor(tag / 8), bytes.subarray(place, place + length)];
    place += length;
  }
}
