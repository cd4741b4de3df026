// A slider for each dimension of a pose, between pictures of what its two ends draw.

import { paint } from "./paint.js";

export const END = 0.5; // The largest change of a dimension.

/** Adds the sliders to a box, which call `moved` with dimension and value. */
export function makeSliders(box, dimensions, moved) {
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const label = document.createElement("label");
    label.innerHTML = `<span>${dimension + 1}</span><output></output>
      <canvas width="28" height="28" aria-hidden="true"></canvas>
      <input type="range" min="${-END}" max="${END}" step="0.01"
        aria-label="Number ${dimension + 1} of the pose">
      <canvas width="28" height="28" aria-hidden="true"></canvas>`;
    label.querySelector("input").addEventListener("input", ({ target }) => {
      moved(dimension, target.valueAsNumber);
    });
    label.dataset.dimension = dimension;
    box.append(label);
  }
}

function inOrder(...boxes) {
  const labels = boxes.flatMap((box) => [...box.children]);
  return labels.sort((a, b) => a.dataset.dimension - b.dataset.dimension);
}

/** Sets the sliders of both boxes to values, or disables them where there are none. */
export function showSliders(boxes, values) {
  for (const [dimension, label] of inOrder(...boxes).entries()) {
    const input = label.querySelector("input");
    input.disabled = !values;
    input.value = values?.[dimension] ?? 0;
    const value = input.valueAsNumber;
    label.querySelector("output").textContent =
      (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  }
}

/** Returns the pose with each dimension at its lower end, and then with each at its upper end. */
export function ends(pose) {
  return [-END, END].flatMap((change) =>
    Array.from(pose, (_, moved) =>
      pose.map((value, dimension) => (dimension === moved ? value + change : value)),
    ),
  );
}

/**
 * Shows the pictures of these ends beside the sliders, and moves those whose ends differ most to
 * the first box, as many as it has, in the order of their numbers.
 */
export function showEnds([first, rest], pictures, size, colour) {
  const labels = inOrder(first, rest);
  const count = first.children.length;
  const differences = labels.map((label, dimension) => {
    const pair = [pictures[dimension], pictures[labels.length + dimension]];
    [...label.querySelectorAll("canvas")].forEach((canvas, end) =>
      paint(canvas, [size, size], { values: pair[end], colour }),
    );
    return pair[0].reduce((sum, value, index) => sum + (value - pair[1][index]) ** 2, 0);
  });
  const order = [...labels.keys()].sort((a, b) => differences[b] - differences[a]);
  place(first, order.slice(0, count), labels);
  place(rest, order.slice(count), labels);
}

function place(box, dimensions, labels) {
  const wanted = dimensions.sort((a, b) => a - b).map((dimension) => labels[dimension]);
  if (wanted.some((label, index) => box.children[index] !== label)) {
    box.replaceChildren(...wanted); // Only if they change, since a move takes the focus away.
  }
}
