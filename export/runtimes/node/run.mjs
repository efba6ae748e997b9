// Runs decoder.onnx or generator.onnx with ONNX Runtime for Node:
//     npm install --ignore-scripts onnxruntime-node
//     node run.mjs generator.onnx '{"seed": 7, "num_images": 64}' images.bin z.bin
//     node run.mjs decoder.onnx '{"z": [[0.5, -1.0]]}' images.bin
//     node run.mjs decoder.onnx - images.bin < inputs.json    (Node fails at long arguments)
// Writes float32 in native byte order, and prints the shapes.
import { readFileSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-node";

const [model, given, ...files] = process.argv.slice(2);
const json = given === "-" ? readFileSync(0, "utf8") : given;
const int64 = (values, shape) =>
  new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), shape);

const feed = {};
for (const [name, value] of Object.entries(JSON.parse(json))) {
  if (name === "z") {
    const shape = [value.length, value[0].length];
    feed.z = new ort.Tensor("float32", Float32Array.from(value.flat()), shape);
  } else {
    feed[name] = Array.isArray(value) ? int64(value, [value.length]) : int64([value], []);
  }
}

const session = await ort.InferenceSession.create(model);
const outputs = await session.run(feed);
const shapes = {};
for (const [k, name] of ["images", "z"].entries()) {
  if (outputs[name] === undefined || files[k] === undefined) continue;
  writeFileSync(files[k], Buffer.from(outputs[name].data.buffer));
  shapes[name] = outputs[name].dims;
}
console.log(JSON.stringify(shapes));
