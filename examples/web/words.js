// Says what the network reads, no surer than `python -m benchmarks.unsure` found that it may be.

/**
 * Returns how much a drawing looks like what was read: the length of the shortest capsule named,
 * times the share of the drawing that the pictures, one redrawn from each capsule, account for.
 */
export function likeness(lengths, drawing, pictures) {
  let wrong = 0;
  let all = 0;
  drawing.forEach((value, index) => {
    const paper = pictures.reduce((rest, picture) => rest * (1 - picture[index]), 1);
    wrong += (value - (1 - paper)) ** 2;
    all += value ** 2;
  });
  return Math.min(...lengths) * (1 - wrong / all);
}

/** Returns the sentence for some digits, by the likeness and the levels of the network. */
export function sentence(digits, found, levels) {
  const names = digits.map(named).join(" and ");
  if (found >= levels.sees) {
    return `It sees ${names}.`;
  }
  if (found >= levels.maybe) {
    return `It may be ${names}.`;
  }
  return digits.length > 1
    ? `It may not be two digits. Most like ${names}.`
    : `It may not be a digit. Most like ${names}.`;
}

function named(digit) {
  return digit === 8 ? "an 8" : `a ${digit}`;
}
