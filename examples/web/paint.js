// Paints arrays as pictures.

/** Returns a colour of page.css, which depends on light or dark. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Paints layers on a canvas, each a square of values in [0, 1] that say how dense its colour is. */
export function paint(canvas, size, ...layers) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  for (const { values, colour } of layers) {
    context.drawImage(layer(values, colour), 0, 0, size, size);
  }
}

function layer(values, colour) {
  const side = Math.sqrt(values.length);
  const canvas = new OffscreenCanvas(side, side);
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, side, side);
  const image = context.getImageData(0, 0, side, side);
  values.forEach((value, index) => (image.data[4 * index + 3] = Math.round(255 * value)));
  context.putImageData(image, 0, 0);
  return canvas;
}
