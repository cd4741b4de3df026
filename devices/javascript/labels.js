// What scores say, as `export.device` in Python does.

/**
 * Returns the numbers of the classes that one row of scores stands for: the largest, or those that
 * reach the threshold, or for one score the second of two classes if it does.
 */
export function chosen(scores, { task, threshold, labels }) {
  const limit = scores instanceof Float32Array ? Math.fround(threshold) : threshold;
  if (task === "labels" || (task === "binary" && labels?.length === 1)) {
    return [...scores.keys()].filter((index) => scores[index] >= limit);
  }
  return [task === "binary" ? Number(scores[0] >= limit) : largest(scores)];
}

/** Returns `{ label, score, scores }` for one row of scores. */
export function prediction(scores, facts) {
  const numbers = () => Array.from({ length: Math.max(2, scores.length) }, (_, index) => `${index}`);
  const names = facts.labels?.length ? facts.labels : numbers();
  if (names.length < scores.length) {
    throw new Error(`The file has ${names.length} names for ${scores.length} scores.`);
  }
  const label = chosen(scores, facts)
    .map((index) => names[index])
    .join(", ");
  return { label: label || "none", score: Number(scores[largest(scores)]), scores };
}

/** Returns the place of the first NaN, or of the largest score, as NumPy's argmax. */
function largest(scores) {
  const nan = scores.findIndex(Number.isNaN);
  return nan < 0 ? scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0) : nan;
}
