// The CLI says that it runs on Node.js 18, but an HTTP client below it takes
// for granted what only Node.js 22 has. Newer versions keep their own.
require("node:zlib").createZstdDecompress ??= () => {
  throw new Error("zstd needs a newer Node.js");
};
require("node:worker_threads").markAsUncloneable ??= () => {};
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};
