// The page: one latent point z, and several ways to move it.
import { buildBlend } from "./blend.js";
import { load } from "./decoder.js";
import { $, element, latest, notice, whenValid } from "./dom.js";
import { fromHash, toHash } from "./link.js";
import { readManifest } from "./manifest.js";
import { buildMap } from "./map.js";
import { buildPicture } from "./picture.js";
import { save, setShape, tile } from "./pixels.js";
import { buildSliders } from "./sliders.js";

const SAMPLES = 24, COLUMNS = 6, SEEDS = 2 ** 24;
const stage = document.querySelector(".stage");

function fail(error) {
  $("status").hidden = false;
  $("status").className = "error";
  $("status").textContent = `The model does not run: ${error.message}`;
}
addEventListener("unhandledrejection", (event) => fail(event.reason));

const [facts, model] = await Promise.all([readManifest(), load()]).catch((error) => {
  fail(error);
  throw error;
});
const { latent_dim: D, image_shape: [H, W, C], num_classes: classes, importance, range } = facts;
const order = [...importance.keys()].sort((a, b) => importance[b] - importance[a]);
const conditional = classes !== null;
setShape(facts.image_shape);

// ---- state: z is kept in full precision; a slider only shows it, rounded ----
let z = new Float32Array(D), label = conditional ? 0 : undefined;
let seed = 0, image = 0, origin = "", samples = new Float32Array(SAMPLES * D);
let sampled = true; // whether z is the sample that seed and image name
let due = false; // whether z is to become that, once the images are there

// What the parts of the page see of it.
const page = {
  facts, model, order, range,
  z: () => z,
  label: () => label,
  moves: (d) => facts.latent_names?.[d] ?? null, // the factor that a latent moves: never HTML
  decode: (points, count) => model.decode(points, count, conditional ? Array(count).fill(label) : undefined),
  edit(changes) {
    blend.stop();
    const values = z.slice();
    for (const [d, value] of changes) values[d] = value;
    return move(values, `${origin}, moved`);
  },
  stop: () => blend.stop(),
  move(values, caption) {
    origin = caption;
    press(null);
    return move(values, origin);
  },
};

const paint = latest(async () => {
  tile($("image"), await page.decode(z.slice(), 1), 1, 1);
  stage.ariaBusy = "false";
});

function move(values, caption, isSample = false) {
  z = Float32Array.from(values);
  sampled = isSample;
  stage.ariaBusy = "true";
  $("origin").textContent = caption;
  showSliders(z);
  followMap();
  return paint();
}

// ---- seed and samples ----
async function draw(newSeed, newImage = 0, keep = false) {
  [seed, image] = [newSeed, newImage];
  due ||= !keep;
  $("seed").value = seed;
  const asked = [seed, label];
  const drawn = await model.generate(seed, SAMPLES, label);
  if (asked[0] !== seed || asked[1] !== label) return; // a newer one is on its way
  samples = drawn.z;
  [...$("samples").children].forEach((button, k) => {
    tile(button.firstChild, drawn.images.subarray(k * H * W * C), 1, 1);
    button.ariaLabel = `Image ${k} of seed ${seed}`;
  });
  if (due) {
    // Already decoded: this is the first image that the page shows.
    tile($("image"), drawn.images.subarray(image * H * W * C), 1, 1);
    return pick(image);
  }
}

function pick(k) {
  [image, due] = [k, false];
  origin = `seed ${seed}, image ${k}`;
  blend.stop();
  press(k);
  history.replaceState(null, "", toHash({ seed, image, label }));
  return move(samples.subarray(k * D, (k + 1) * D), origin, true);
}

function press(k) {
  [...$("samples").children].forEach((button, other) => (button.ariaPressed = String(other === k)));
}

// ---- links ----
const limits = { seeds: SEEDS, images: SAMPLES, classes, latents: D };

async function fromAddress() {
  const asked = fromHash(location.hash, limits);
  notice(asked.ignored.length ? `Ignored in the link, for it fits no value here: ${asked.ignored.join(", ")}.` : "");
  if (conditional) {
    label = asked.label;
    document.querySelector(`[name=label][value="${label}"]`).checked = true;
  }
  await draw(asked.seed, asked.image);
  if (asked.z) {
    history.replaceState(null, "", toHash({ seed, image, label, z: asked.z }));
    await page.move(asked.z, "the link");
  }
}

async function copyLink() {
  history.replaceState(null, "", toHash({ seed, image, label, z: sampled ? null : z }));
  try {
    await navigator.clipboard.writeText(location.href);
    notice("The link is copied.");
  } catch {
    // Refused, or there is none: browsers have it on https and on this machine alone.
    notice("The link stands in the address bar: copy it from there.");
  }
}

// ---- files ----
const fileName = () => $("origin").textContent.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
const enlarge = Math.ceil(512 / Math.max(H, W));

function saveSamples() {
  const all = document.createElement("canvas");
  [all.width, all.height] = [COLUMNS * W, (SAMPLES / COLUMNS) * H];
  [...$("samples").children].forEach((button, k) =>
    all.getContext("2d").drawImage(button.firstChild, W * (k % COLUMNS), H * Math.floor(k / COLUMNS)),
  );
  save(all, `seed-${seed}-grid`, 1);
}

// ---- the controls ----
function buildLabels() {
  for (let k = 0; k < (classes ?? 0); k++) {
    const radio = element("input", { type: "radio", name: "label", value: k, checked: k === label });
    radio.onchange = () => {
      label = k;
      history.replaceState(null, "", toHash({ seed, image, label, z: sampled ? null : z }));
      draw(seed, image, true);
      const shown = $("origin").textContent;
      const ofPicture = shown === "your picture";
      encodePicture(ofPicture);
      if (!ofPicture) move(z, shown, sampled);
      blend.draw();
    };
    const name = facts.class_names?.[k] ?? String(k); // any text: never HTML
    const text = element("span", { textContent: name, title: name, dir: "auto" });
    $("labels").append(element("label", { className: "chip" }, radio, text));
  }
  $("labels").hidden = !conditional;
  if (conditional) $("link-hint").textContent = "Seed, sliders and class";
}

function build() {
  const color = C < 3 ? "grey" : "color";
  const prior = facts.prior.replaceAll("_", " ");
  $("facts").textContent = `${H} × ${W} ${color} images from ${D} numbers, ${prior} prior`;
  $("save-image").title = `${W} × ${H}`;
  $("save-large").title = `${W * enlarge} × ${H * enlarge}`;
  for (let k = 0; k < SAMPLES; k++) {
    const canvas = element("canvas", { width: W, height: H });
    $("samples").append(element("button", { type: "button", className: "sample", onclick: () => pick(k) }, canvas));
  }
  buildLabels();
  $("smooth").onchange = () => document.body.classList.toggle("smooth", $("smooth").checked);
  $("random").onclick = () => draw(crypto.getRandomValues(new Uint32Array(1))[0] % SEEDS);
  $("seeds").onsubmit = (event) => event.preventDefault();
  whenValid($("seed"), (value) => draw(value));
  $("link").onclick = copyLink;
  $("save-image").onclick = () => save($("image"), fileName(), 1);
  $("save-large").onclick = () => save($("image"), `${fileName()}-large`, enlarge);
  $("save-samples").onclick = saveSamples;
}

build();
const showSliders = buildSliders(page), followMap = buildMap(page), blend = buildBlend(page);
const encodePicture = facts.encoder ? buildPicture(page) : () => {};
document.querySelector("main").hidden = false;
$("status").hidden = true;
await fromAddress();
performance.mark("first image");
addEventListener("hashchange", fromAddress);
await blend.draw();
