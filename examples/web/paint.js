// Paints arrays as pictures.

/** Returns a colour of page.css, which depends on light or dark. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Paints layers on a canvas: values in [0, 1], row by row, that say how dense a colour is. */
export function paint(canvas, [width, height], ...layers) {
  Object.assign(canvas, { width, height });
  paintLayers(canvas, layers);
}

function paintLayers(canvas, layers) {
  const { width, height } = canvas;
  for (const { values, colour } of layers) {
    canvas.getContext("2d").drawImage(layer(values, colour, width, height), 0, 0);
  }
}

/** Paints a picture, `{ data, width, height, channels }` from 0 to 255, and layers on it. */
export function paintPicture(canvas, { data, width, height, channels }, ...layers) {
  const image = new ImageData(width, height);
  for (let index = 0; index < width * height; index++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * index + channel] = data[channels * index + (channels === 3 ? channel : 0)];
    }
    image.data[4 * index + 3] = 255;
  }
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  paintLayers(canvas, layers);
}

/** Returns the layers of a map: what speaks for a class, and what speaks against it. */
export function evidence(map, strength = 1) {
  const largest = map.reduce((most, value) => Math.max(most, Math.abs(value)), Number.EPSILON);
  const share = (sign) => map.map((value) => Math.max(0, (sign * strength * value) / largest));
  return [
    { values: share(1), colour: colour("evidence") },
    { values: share(-1), colour: colour("against") },
  ];
}

function layer(values, colour, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  values.forEach((value, index) => (image.data[4 * index + 3] = Math.round(255 * value)));
  context.putImageData(image, 0, 0);
  return canvas;
}
