// Shows the scores of a user's own file, as its task says.

import { chosen } from "./device/labels.js";

const SHOWN = 10; // Classes, those with the largest scores.

/** Returns the answer for scores, a Float32Array, in words. */
export function answer(scores, file) {
  if (file.task === "regression" || file.task === "segmentation") {
    return `The answer is ${[...scores.slice(0, SHOWN)].map(short).join(", ")}.`;
  }
  const names = chosen(scores, file).map((index) => nameOf(index, file.labels));
  if (file.task === "labels" || (file.task === "binary" && file.labels?.length === 1)) {
    return names.length ? `Present: ${names.join(", ")}.` : "None of the labels is present.";
  }
  return `Most like ${names[0]}, with a score of ${short(Math.max(...scores))}.`;
}

/** Lists the largest scores with their classes, and with bars where all lie in [0, 1]. */
export function showScores(list, scores, { labels }) {
  const shares = scores.every((score) => score >= 0 && score <= 1);
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, SHOWN);
  const rows = order.map((index) => {
    const row = document.createElement("li");
    row.innerHTML = `<span class="name"></span><span class="value"></span>
      <span class="track"><span></span></span>`;
    const [name, value, track] = row.children;
    name.textContent = nameOf(index, labels);
    value.textContent = short(scores[index]);
    track.hidden = !shares;
    track.style.setProperty("--length", scores[index]);
    return row;
  });
  list.replaceChildren(...rows);
}

function nameOf(index, labels) {
  return labels?.[index] ?? `class ${index}`;
}

function short(score) {
  return score.toFixed(2);
}
