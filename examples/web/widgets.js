// Makes the parts of the page of which there are several: bars, sliders, choices, samples.

import { colour, paint } from "./paint.js";

/** Adds one bar for each of ten capsules. */
export function makeBars(list) {
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.createElement("li");
    bar.innerHTML = `<span aria-hidden="true"></span>
      <div class="track" role="meter" aria-label="Capsule ${digit}" aria-valuemin="0"
        aria-valuemax="1"><span></span></div>
      <span aria-hidden="true">${digit}</span>`;
    list.append(bar);
  }
}

/** Shows lengths, and the winners among them in their colours. */
export function showBars(list, lengths, winners) {
  for (const [digit, bar] of [...list.children].entries()) {
    const [value, track] = bar.children;
    value.textContent = track.ariaValueNow = lengths[digit].toFixed(2);
    track.style.setProperty("--length", lengths[digit]);
    bar.classList.toggle("winner", winners.includes(digit));
    tint(bar, winners.indexOf(digit));
  }
}

/** Gives an element the colour of the first or second winner, or of none where that is -1. */
export function tint(target, index) {
  target.style.setProperty("--colour", ["var(--first)", "var(--second)"][index] ?? "");
}

/** Adds a slider for each dimension of a pose, which calls `moved` with dimension and value. */
export function makeSliders(box, dimensions, moved) {
  for (let dimension = 0; dimension < dimensions; dimension++) {
    const label = document.createElement("label");
    label.innerHTML = `${dimension + 1} <output></output>
      <input type="range" min="-0.5" max="0.5" step="0.01"
        aria-label="Number ${dimension + 1} of the pose">`;
    label.lastElementChild.addEventListener("input", ({ target }) => {
      moved(dimension, target.valueAsNumber);
    });
    box.append(label);
  }
}

/** Sets the sliders to values, or disables them where there are none. */
export function showSliders(box, values) {
  for (const [dimension, { children }] of [...box.children].entries()) {
    const [output, input] = children;
    input.disabled = !values;
    input.value = values ? values[dimension] : 0;
    const value = input.valueAsNumber;
    output.textContent = (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  }
}

/** Returns one of several choices, a radio button with its text. */
export function makeChoice(name, text, checked, chosen) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name, checked });
  input.addEventListener("change", chosen);
  label.append(input, text);
  return label;
}

/** Returns a button that shows a sample. */
export function makeSample(sample, size, chosen) {
  const button = document.createElement("button");
  const canvas = document.createElement("canvas");
  button.type = "button";
  button.ariaLabel = `Sample: ${sample.digits.join(" and ")}`;
  button.append(canvas);
  paint(canvas, size, { values: sample.values, colour: colour("ink") });
  button.addEventListener("click", () => chosen(button));
  return button;
}
