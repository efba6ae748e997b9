// A reader's own picture: encoded, reconstructed, and scored where the model can.
import { $, notice } from "./dom.js";
import { modelPixels, tile } from "./pixels.js";

const LARGEST = 64 * 2 ** 20; // bytes of a file

// page: facts, model, label(), decode(points, count), stop(), move(values, caption).
// Gives a function that encodes the picture again, for another label; its argument says
// whether the sliders follow.
export function buildPicture(page) {
  const { facts, model } = page;
  const shape = [1, ...facts.image_shape];
  const meaning = facts.score?.kl_divergence === "closed form" ? "KL" : "(log q(mean|x) − log p(mean))";
  const usual = new Map(); // label -> the score of an image of the model's own
  let taken = null, newest = 0;

  async function read(file) {
    const mine = ++newest;
    notice("");
    if (file.size > LARGEST) return notice(`${file.name} is larger than 64 MB.`);
    try {
      const bitmap = await createImageBitmap(file);
      if (mine !== newest) return;
      taken = modelPixels(bitmap);
      bitmap.close();
    } catch {
      return notice(`${file.name} is no picture that this browser can read.`);
    }
    await encode(true);
  }

  async function encode(moves) {
    if (taken === null) return;
    const x = $("invert").checked ? taken.map((value) => 1 - value) : taken;
    const mine = ++newest;
    $("encoding").ariaBusy = "true";
    const labels = page.label() === undefined ? undefined : [page.label()];
    const found = facts.score
      ? await model.score(x, shape, labels)
      : await model.encode(x, shape, labels);
    const label = labels?.[0];
    if (facts.score && !usual.has(label)) {
      const { images } = await model.generate(0, 1, label);
      usual.set(label, (await model.score(images, shape, labels)).elbo_at_mean[0]);
    }
    if (mine !== newest) return; // a newer one is on its way
    const reconstruction = found.reconstruction ?? (await page.decode(found.mean, 1));
    tile($("picture"), x, 1, 1);
    tile($("reconstruction"), reconstruction, 1, 1);
    $("encoding").hidden = false;
    $("score").hidden = !facts.score;
    if (facts.score) {
      $("nats").textContent = `${found.elbo_at_mean[0].toFixed(1)} nats`;
      $("score-meaning").textContent = `log p(x | z = mean) − ${meaning}, the elbo at the mean: higher is likelier; image 0 of seed 0 has ${usual.get(label).toFixed(1)}.`;
    }
    $("encoding").ariaBusy = "false";
    if (!moves) return;
    page.stop();
    await page.move(found.mean, "your picture");
  }

  $("file").onclick = () => ($("file").value = ""); // the same file again is a change
  $("file").onchange = () => $("file").files[0] && read($("file").files[0]);
  $("invert").onchange = () => encode(true);
  // Anywhere on the page; a browser would else leave the page and show the file.
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    const { files } = event.dataTransfer;
    $("file").files = files; // to show the name
    if (files[0]) read(files[0]);
  });
  $("own").hidden = false;
  return encode;
}
