// Reads picture files as `export.device` does with Pillow.

import { pictureOf } from "./device/picture.js";

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
  return pictureOf(context.getImageData(0, 0, width, height));
}
