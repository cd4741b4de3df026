// Says how far the loading is, in a place of fixed size.

const element = (id) => document.getElementById(id);

/** Begins to show progress. */
export function loading(text) {
  element("answer").textContent = text;
  element("progress").removeAttribute("value");
  element("loaded").textContent = "";
  element("loading").hidden = false;
}

/** Shows how many bytes of how many are there, or without arguments that all is done. */
export function loaded(bytes, total) {
  element("loading").hidden = bytes === undefined || bytes === total;
  if (total > 0) {
    element("progress").value = bytes / total;
  }
  if (bytes) {
    const all = total > 0 ? ` of ${megabytes(total)}` : "";
    element("loaded").textContent = `${megabytes(bytes)}${all} MB`;
  }
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
