// Makes the parts of the page of which there are several: bars, choices, samples.

import { colour, paint } from "./paint.js";

/** Adds one bar for each of ten capsules, a button that calls `chosen` with the digit. */
export function makeBars(list, chosen) {
  for (let digit = 0; digit < 10; digit++) {
    const bar = document.createElement("li");
    bar.innerHTML = `<button type="button"><span class="value"></span>
      <span class="track"><span></span></span><span class="digit">${digit}</span></button>`;
    bar.firstElementChild.addEventListener("click", () => chosen(digit));
    list.append(bar);
  }
}

/** Shows lengths, the winners among them in their colours, and which bar is chosen. */
export function showBars(list, lengths, winners, chosen) {
  for (const [digit, bar] of [...list.children].entries()) {
    const [button] = bar.children;
    const [value, track] = button.children;
    value.textContent = lengths ? lengths[digit].toFixed(2) : "–";
    track.style.setProperty("--length", lengths ? lengths[digit] : 0);
    button.ariaLabel = `Capsule ${digit}, length ${value.textContent}`;
    button.ariaPressed = digit === chosen;
    button.disabled = !lengths;
    bar.classList.toggle("winner", winners.includes(digit));
    tint(bar, winners.indexOf(digit));
  }
}

/** Gives an element the colour of the first or second winner, or of none where that is -1. */
export function tint(target, index) {
  target.style.setProperty("--colour", ["var(--first)", "var(--second)"][index] ?? "");
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
  paint(canvas, [size, size], { values: sample.values, colour: colour("ink") });
  button.addEventListener("click", () => chosen(button));
  return button;
}
