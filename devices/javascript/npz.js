// Reads .npz files of arrays with one axis, which may be damaged or hostile.

const ARRAYS = {
  "<f4": ["float32", Float32Array],
  "<f8": ["float64", Float64Array],
  "|i1": ["int8", Int8Array],
  "<i2": ["int16", Int16Array],
  "<i4": ["int32", Int32Array],
  "<i8": ["int64", BigInt64Array],
  "|u1": ["uint8", Uint8Array],
  "<u2": ["uint16", Uint16Array],
  "<u4": ["uint32", Uint32Array],
  "<u8": ["uint64", BigUint64Array],
  "|b1": ["bool", Uint8Array],
};
const HEADER = /^\{'descr': '(.{3,4})', 'fortran_order': (?:Fals|Tru)e, 'shape': \((\d+),\), \}\s*$/;
const STORED = 0;
const DEFLATED = 8;

/** Returns arrays `{ dtype, data }` by name, or throws an Error if the bytes are not such a file. */
export async function readNpz(bytes) {
  const entries = directory(bytes);
  const unpacked = entries.reduce((sum, { size }) => sum + size, 0);
  const names = new Set(entries.map(({ name }) => name));
  if (names.size < entries.length || unpacked > bytes.length) {
    throw new Error("it has repeated entries, or unpacks to more than it is");
  }
  const arrays = new Map();
  for (const entry of entries) {
    arrays.set(entry.name, readArray(await content(bytes, entry), entry.name));
  }
  return arrays;
}

/** Returns the entries of the directory at the end of a zip file. */
function directory(bytes) {
  const view = viewOf(bytes);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) {
    end--;
  }
  if (end < 0) {
    throw new Error("it is not a zip file, or its end is missing");
  }
  let place = view.getUint32(end + 16, true);
  return Array.from({ length: view.getUint16(end + 10, true) }, () => {
    const [name, extra, comment] = [28, 30, 32].map((at) => view.getUint16(place + at, true));
    const [crc, packed, size, offset] = [16, 20, 24, 42].map((at) =>
      view.getUint32(place + at, true),
    );
    const method = view.getUint16(place + 10, true);
    const title = ascii(bytes.subarray(place + 46, place + 46 + name)).replace(/\.npy$/, "");
    if (view.getUint32(place, true) !== 0x02014b50 || ![STORED, DEFLATED].includes(method)) {
      throw new Error("its directory is damaged, or its entries are packed in another way");
    }
    place += 46 + name + extra + comment;
    return { name: title, method, crc, packed, size, offset };
  });
}

/** Returns the bytes of an entry, unpacked. */
async function content(bytes, { name, method, crc, packed, size, offset }) {
  const view = viewOf(bytes);
  const header = 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const raw = bytes.subarray(offset + header, offset + header + packed);
  const unpacked = method === STORED ? raw : await inflated(raw, size);
  if (unpacked.length !== size || checksum(unpacked) !== crc) {
    throw new Error(`the bytes of ${JSON.stringify(name)} are damaged`);
  }
  return unpacked;
}

/** Returns `size` bytes that were packed, and throws an Error if they are more. */
async function inflated(bytes, size) {
  const unpacked = new Uint8Array(size);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const reader = stream.getReader();
  let place = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    unpacked.set(step.value, place);
    place += step.value.length;
  }
  return unpacked.subarray(0, place);
}

/** Returns the array of a .npy file. */
function readArray(bytes, name) {
  const length = viewOf(bytes).getUint16(8, true);
  const [, descr, count] = ascii(bytes.subarray(10, 10 + length)).match(HEADER) ?? [];
  if (ascii(bytes.subarray(0, 8)) !== "\x93NUMPY\x01\x00" || !(descr in ARRAYS)) {
    throw new Error(`${JSON.stringify(name)} is not a row of numbers`);
  }
  const [dtype, Kind] = ARRAYS[descr];
  const values = Uint8Array.from(bytes.subarray(10 + length)); // It begins where numbers may.
  if (values.length !== Number(count) * Kind.BYTES_PER_ELEMENT) {
    throw new Error(`${JSON.stringify(name)} has ${values.length} bytes for ${count} numbers`);
  }
  return { dtype, data: new Kind(values.buffer) };
}

/** Returns the CRC-32 of bytes. */
function checksum(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc = CRCS[(crc ^ byte) & 255] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

const CRCS = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return crc;
});

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function ascii(bytes) {
  return String.fromCharCode(...bytes);
}
