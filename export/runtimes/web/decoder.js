// Runs decoder.onnx and generator.onnx in a browser, with ONNX Runtime Web beside it.
// This file alone is what another page needs:
//     import { load } from "./decoder.js";
//     const { generate, decode } = await load();
//     const { images, z } = await generate(42, 16);     // seed, number of images[, label]
//     const again = await decode(z, 16);                // z, number of images[, labels]
// Images are a Float32Array in [0, 1] of shape (number of images, height, width, channels).
// Where encoder.onnx and score.onnx are there (python -m export RUN --with-encoder):
//     const { mean, log_var } = await encode(x, [1, height, width, channels]);  // [, labels]
//     const { elbo_at_mean, reconstruction } = await score(x, [1, height, width, channels]);
import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more would need a server that sends isolation headers

const int64 = (values, shape) =>
  new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
const open = (name, options) =>
  ort.InferenceSession.create(new URL(name, import.meta.url).href, {
    executionProviders: ["wasm"],
    ...options,
  });

export async function load() {
  const decoder = open("decoder.onnx");
  decoder.catch(() => {}); // the first decode reports it
  // Its many small nodes take longer to optimize than to run.
  const generator = await open("generator.onnx", { graphOptimizationLevel: "disabled" });

  let last = Promise.resolve();
  const run = (session, feed) => {
    // A session takes one call at a time.
    last = last.catch(() => {}).then(async () => (await session).run(feed));
    return last;
  };

  async function generate(seed, count, label) {
    const feed = { seed: int64([seed], []), num_images: int64([count], []) };
    if (label !== undefined) feed.label = int64([label], []);
    const { images, z } = await run(generator, feed);
    return { images: images.data, z: z.data };
  }

  async function decode(z, count, labels) {
    const feed = { z: new ort.Tensor("float32", z, [count, z.length / count]) };
    if (labels !== undefined) feed.label = int64(labels, [count]);
    return (await run(decoder, feed)).images.data;
  }

  // Opened at the first picture: a page that only draws does without their bytes.
  const encoders = new Map();
  async function ofImages(name, x, shape, labels) {
    if (!encoders.has(name)) encoders.set(name, open(name));
    const feed = { x: new ort.Tensor("float32", x, shape) };
    if (labels !== undefined) feed.label = int64(labels, [shape[0]]);
    return run(encoders.get(name), feed);
  }

  async function encode(x, shape, labels) {
    const { mean, log_var } = await ofImages("encoder.onnx", x, shape, labels);
    return { mean: mean.data, log_var: log_var.data };
  }

  // elbo_at_mean: log p(x | z = mean) - KL(q(z|x) || p(z)) of each image, in nats.
  async function score(x, shape, labels) {
    const found = await ofImages("score.onnx", x, shape, labels);
    const names = ["elbo_at_mean", "reconstruction", "mean", "log_var"];
    return Object.fromEntries(names.map((name) => [name, found[name].data]));
  }

  return { generate, decode, encode, score };
}
