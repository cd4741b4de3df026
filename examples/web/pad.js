// Draws strokes on a canvas, and turns them into a picture for the network.

const PEN = 2.6; // Pixels of the network's input, the thickness of MNIST's strokes.

// The space for the strokes, by the size of the input. MNIST's digits are scaled to
// 20 x 20 in 28 x 28. Two of them, shifted against each other, need more.
const BOXES = { 28: { width: 20, height: 20 }, 36: { width: 28, height: 23 } };

function trace(context, strokes, { scale, left, top }, width, colour) {
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = width;
  context.strokeStyle = colour;
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(stroke[0].x * scale + left, stroke[0].y * scale + top);
    for (const { x, y } of stroke) {
      context.lineTo(x * scale + left, y * scale + top);
    }
    context.stroke();
  }
}

/**
 * Prepares strokes as MNIST prepares digits: scaled into a box with their ratio kept, drawn with
 * smooth edges, and moved so that their centre of mass is that of the image.
 */
export function toPixels(strokes, size) {
  const box = BOXES[size];
  const points = strokes.flat();
  const [left, right] = extent(points.map(({ x }) => x));
  const [top, bottom] = extent(points.map(({ y }) => y));
  const scale = Math.min(
    (box.width - PEN) / (right - left || Number.EPSILON),
    (box.height - PEN) / (bottom - top || Number.EPSILON),
    10 * size, // The pen is never quite still, but a dot must stay a dot.
  );
  const place = {
    scale,
    left: (size - (left + right) * scale) / 2,
    top: (size - (top + bottom) * scale) / 2,
  };
  const centre = centreOfMass(draw(strokes, size, place), size);
  place.left += size / 2 - centre.x;
  place.top += size / 2 - centre.y;
  return draw(strokes, size, place);
}

function extent(values) {
  return [Math.min(...values), Math.max(...values)];
}

function draw(strokes, size, place) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  trace(context, strokes, place, PEN, "black");
  const { data } = context.getImageData(0, 0, size, size);
  return Float32Array.from({ length: size * size }, (_, index) => data[4 * index + 3] / 255);
}

function centreOfMass(pixels, size) {
  let mass = 0;
  let x = 0;
  let y = 0;
  pixels.forEach((value, index) => {
    mass += value;
    x += value * ((index % size) + 0.5);
    y += value * (Math.floor(index / size) + 0.5);
  });
  return { x: x / mass, y: y / mass };
}

/** Listens to mouse, touch and pen, and calls `changed` at each new piece of a stroke. */
export class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => (this.pointer = null));
    }
  }

  clear() {
    this.strokes = [];
    this.pointer = null; // This also ends a stroke that is being drawn.
  }

  begin(event) {
    if (this.pointer !== null || event.button !== 0) {
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.strokes.push([this.point(event)]);
    this.changed();
  }

  go(event) {
    if (event.pointerId !== this.pointer) {
      return;
    }
    const events = event.getCoalescedEvents();
    this.strokes.at(-1).push(...(events.length ? events : [event]).map((e) => this.point(e)));
    this.changed();
  }

  /** Returns where an event is, as a share of the canvas' width. */
  point({ clientX, clientY }) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / width };
  }

  /** Draws the strokes as they are, as sharp as the screen, with a pen as thick as on paper. */
  paint(colour) {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    this.canvas.width = this.canvas.height = side;
    const place = { scale: side, left: 0, top: 0 };
    trace(this.canvas.getContext("2d"), this.strokes, place, (side * PEN) / 28, colour);
  }
}
