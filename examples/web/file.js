// Downloads files of the page's folder.

/** Returns the response for a file. */
export async function file(name) {
  const response = await fetch(name);
  if (!response.ok) {
    throw new Error(`${name}: ${response.status} ${response.statusText}`);
  }
  return response;
}

/**
 * Returns the contents of files, and calls `progressed` with the bytes that are there and with all
 * of them, which are NaN where a server compresses a file or does not tell its size.
 */
export async function download(names, progressed) {
  const responses = await Promise.all(names.map(file));
  const total = responses.map(size).reduce((a, b) => a + b, 0);
  let loaded = 0;
  const counter = () =>
    new TransformStream({
      transform(chunk, controller) {
        loaded += chunk.length;
        progressed(loaded, total);
        controller.enqueue(chunk);
      },
    });
  return Promise.all(
    responses.map(async ({ body }) => {
      const content = await new Response(body.pipeThrough(counter())).arrayBuffer();
      return new Uint8Array(content);
    }),
  );
}

function size({ headers }) {
  const known = headers.has("content-length") && !headers.has("content-encoding");
  return known ? Number(headers.get("content-length")) : NaN;
}
