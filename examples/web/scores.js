// Shows the scores of a user's own file, as its task says.

const SHOWN = 10; // Classes, those with the largest scores.

/** Returns the answer for scores in words. */
export function answer(scores, { labels, task }) {
  const names = labels ?? scores.map((_, index) => nameOf(index));
  if (task.kind === "regression" || task.kind === "segmentation") {
    return `The answer is ${scores.slice(0, SHOWN).map(short).join(", ")}.`;
  }
  if (task.kind === "binary" && names.length > 1) {
    const name = names[Number(scores[0] >= task.threshold)];
    return `Most like ${name}, with a score of ${short(scores[0])}.`;
  }
  if (task.kind === "labels" || task.kind === "binary") {
    const present = names.filter((_, index) => scores[index] >= task.threshold);
    return present.length ? `Present: ${present.join(", ")}.` : "None of the labels is present.";
  }
  const best = scores.indexOf(Math.max(...scores));
  return `Most like ${nameOf(best, labels)}, with a score of ${short(scores[best])}.`;
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
