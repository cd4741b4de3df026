// Reads picture files as `export.device` does with Pillow.

const LARGEST = 5e7; // Pixels.

/** Returns a picture file's pixels, `{ data, width, height }`, red, green and blue in turn. */
export async function readPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name} is not a picture that this browser can read, or it is damaged.`);
  }
  const { width, height } = bitmap;
  if (width * height > LARGEST) {
    throw new Error(`${file.name} has ${width} × ${height} pixels. Choose a smaller picture.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white"; // What is transparent is put on white.
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: data.filter((_, index) => index % 4 < 3), width, height, channels: 3 };
}

/** Returns a picture with one channel of grey, in the weights of ITU-R 601, as Pillow's mode L. */
export function grey({ data, width, height }) {
  const luma = (_, index) =>
    (19595 * data[3 * index] + 38470 * data[3 * index + 1] + 7471 * data[3 * index + 2] + 32768) >>
    16;
  return { data: Uint8Array.from({ length: width * height }, luma), width, height, channels: 1 };
}

/** Returns a picture of another size: means of pixels, weighted by triangles, as Pillow's. */
export function resize(picture, width, height) {
  return alongColumns(alongRows(picture, width), height);
}

function alongRows({ data, width, height, channels }, size) {
  const resized = new Uint8Array(size * height * channels);
  const weights = triangles(width, size);
  for (let y = 0; y < height; y++) {
    for (const [x, { start, shares }] of weights.entries()) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        shares.forEach((share, index) => {
          sum += share * data[(y * width + start + index) * channels + channel];
        });
        resized[(y * size + x) * channels + channel] = Math.round(sum);
      }
    }
  }
  return { data: resized, width: size, height, channels };
}

function alongColumns(picture, size) {
  const turned = alongRows(transposed(picture), size);
  return transposed(turned);
}

function transposed({ data, width, height, channels }) {
  const turned = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++) {
        turned[(x * height + y) * channels + channel] = data[(y * width + x) * channels + channel];
      }
    }
  }
  return { data: turned, width: height, height: width, channels };
}

/** Returns for each new pixel the first old one that it is made of, and the shares of these. */
function triangles(from, to) {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const start = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(from, Math.floor(centre + reach + 0.5));
    const shares = Array.from({ length: end - start }, (_, offset) =>
      Math.max(0, 1 - Math.abs(start + offset + 0.5 - centre) / reach),
    );
    const sum = shares.reduce((a, b) => a + b, 0);
    return { start, shares: shares.map((share) => share / sum) };
  });
}
