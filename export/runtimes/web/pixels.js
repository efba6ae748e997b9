// Between a model's numbers in [0, 1] and a canvas.
import { $ } from "./dom.js";

let H, W, C;
export const setShape = (shape) => ([H, W, C] = shape);

function pixels(images, k = 0) {
  const data = new ImageData(W, H); // rounds to the nearest, as every other runtime here
  for (let i = 0; i < H * W; i++) {
    for (let j = 0; j < 3; j++) {
      data.data[4 * i + j] = 255 * images[(k * H * W + i) * C + (C < 3 ? 0 : j)];
    }
    data.data[4 * i + 3] = C === 4 ? 255 * images[(k * H * W + i) * C + 3] : 255;
  }
  return data;
}

export function tile(canvas, images, count, columns) {
  canvas.width = W * columns;
  canvas.height = (H * count) / columns;
  const context = canvas.getContext("2d");
  for (let k = 0; k < count; k++) {
    context.putImageData(pixels(images, k), W * (k % columns), H * Math.floor(k / columns));
  }
}

// A picture at the model's size, as the model takes it: Float32Array (H, W, C) in [0, 1].
// It is brought there as image folders are for training: scaled until it covers that
// size, its middle cut out, laid over white; grey by ITU-R BT.601, as Pillow computes it.
export function modelPixels(bitmap) {
  const canvas = Object.assign(document.createElement("canvas"), { width: W, height: H });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, W, H);
  context.imageSmoothingQuality = "high";
  const scale = Math.min(bitmap.width / W, bitmap.height / H);
  const [width, height] = [W * scale, H * scale];
  const [left, top] = [(bitmap.width - width) / 2, (bitmap.height - height) / 2];
  context.drawImage(bitmap, left, top, width, height, 0, 0, W, H);
  const { data } = context.getImageData(0, 0, W, H);
  const x = new Float32Array(H * W * C);
  for (let i = 0; i < H * W; i++) {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    const grey = (19595 * r + 38470 * g + 7471 * b + 2 ** 15) >> 16;
    for (let j = 0; j < C; j++) x[i * C + j] = (C < 3 ? grey : [r, g, b, 255][j]) / 255;
  }
  return x;
}

export function save(canvas, name, scale) {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width * scale, canvas.height * scale];
  const context = copy.getContext("2d");
  context.imageSmoothingEnabled = $("smooth").checked;
  context.drawImage(canvas, 0, 0, copy.width, copy.height);
  copy.toBlob((blob) => {
    const link = document.createElement("a");
    [link.href, link.download] = [URL.createObjectURL(blob), `${name}.png`];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
