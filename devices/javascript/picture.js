// Makes of a picture what a network takes, as `export.device` does with Pillow.
//
// A picture is `{ data, width, height, channels }`, bytes of one channel or three, row by row.

/** Whether something is a picture, an ImageData or a canvas, not an array. */
export function isPicture(image) {
  return Boolean(image?.getContext || (image?.data && image.width && image.height));
}

/** Returns the picture in a canvas or an ImageData, put on white where it is transparent. */
export function pictureOf(image) {
  if (image.channels) {
    return image;
  }
  const { width, height } = image;
  const whole = [0, 0, width, height];
  const { data } = image.getContext ? image.getContext("2d").getImageData(...whole) : image;
  const pixels = new Uint8Array(3 * width * height);
  for (let index = 0; index < pixels.length; index++) {
    const pixel = 4 * Math.floor(index / 3);
    const share = data[pixel + 3] / 255;
    pixels[index] = Math.round(share * data[pixel + (index % 3)] + (1 - share) * 255);
  }
  return { data: pixels, width, height, channels: 3 };
}

/** Returns a picture of other sizes; those that are open, and have names, stay as they are. */
export function fitted(picture, [height, width, channels]) {
  const converted = channels < picture.channels ? grey(picture) : picture;
  const sides = [
    [width, picture.width],
    [height, picture.height],
  ].map(([wanted, own]) => (Number.isInteger(wanted) ? wanted : own));
  return resize(converted, ...sides);
}

/** Returns the array of a picture, with its channels last or first. */
export function arrayOf({ data, width, height, channels }, last) {
  if (last) {
    return { data, dims: [height, width, channels] };
  }
  const turned = data.map((_, index) => data[planes(index, channels, width * height)]);
  return { data: turned, dims: [channels, height, width] };
}

/** Returns the place of a value in an array of `rows` values in turn, of one of `columns` each. */
export function planes(place, rows, columns) {
  return (place % columns) * rows + Math.floor(place / columns);
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
