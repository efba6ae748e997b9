// The page: one latent point z, and several ways to move it.
import { load } from "./decoder.js";

const SAMPLES = 24, COLUMNS = 6, STEPS = 9, SEEDS = 2 ** 24;
const $ = (id) => document.getElementById(id);
const stage = document.querySelector(".stage");

function fail(error) {
  $("status").hidden = false;
  $("status").className = "error";
  $("status").textContent = `The model does not run: ${error.message}`;
}
addEventListener("unhandledrejection", (event) => fail(event.reason));

// The manifest may be a stranger's: one that cannot be shown is refused as a whole.
function check(facts) {
  const whole = (n) => Number.isInteger(n) && n > 0 && n <= 2 ** 16;
  const list = (values, length, fits) =>
    Array.isArray(values) && values.length === length && values.every(fits);
  const { latent_dim, image_shape, num_classes, class_names, prior, importance, range } = facts;
  const names = class_names ?? [];
  const moved = facts.latent_names ?? [];
  const good =
    whole(latent_dim) &&
    list(image_shape, 3, whole) &&
    (num_classes === null || whole(num_classes)) &&
    list(names, names.length && (num_classes ?? names.length), (name) => typeof name === "string") &&
    list(moved, moved.length && latent_dim, (name) => name === null || (typeof name === "string" && name.length <= 255)) &&
    typeof prior === "string" &&
    list(importance, latent_dim, (share) => Number.isFinite(share) && share >= 0) &&
    list(range, latent_dim, (ends) => list(ends, 2, Number.isFinite) && ends[0] <= ends[1]);
  if (!good) throw new Error("manifest.json is not one of this page");
  return facts;
}

const [facts, model] = await Promise.all([
  fetch("manifest.json").then((reply) => reply.json()).then(check),
  load(),
]).catch((error) => {
  fail(error);
  throw error;
});
const { latent_dim: D, image_shape: [H, W, C], num_classes: classes, importance, range } = facts;
const order = [...importance.keys()].sort((a, b) => importance[b] - importance[a]);
const conditional = classes !== null;
const moves = (d) => facts.latent_names?.[d] ?? null; // the factor that a latent moves: never HTML

// ---- state: z is kept in full precision; a slider only shows it, rounded ----
let z = new Float32Array(D), label = conditional ? 0 : undefined;
let seed = 0, image = 0, origin = "", samples = new Float32Array(SAMPLES * D);
const rows = new Map(); // latent -> its slider and its number

const decode = (points, count) =>
  model.decode(points, count, conditional ? Array(count).fill(label) : undefined);

// ---- pixels ----
function pixels(images, k = 0) {
  const data = new ImageData(W, H); // rounds to the nearest, as every other runtime here
  for (let i = 0; i < H * W; i++) {
    for (let j = 0; j < 3; j++) {
      data.data[4 * i + j] = 255 * images[(k * H * W + i) * C + (C < 3 ? 0 : j)];
    }
    data.data[4 * i + 3] = 255;
  }
  return data;
}

function tile(canvas, images, count, columns) {
  canvas.width = W * columns;
  canvas.height = (H * count) / columns;
  const context = canvas.getContext("2d");
  for (let k = 0; k < count; k++) {
    context.putImageData(pixels(images, k), W * (k % columns), H * Math.floor(k / columns));
  }
}

// Calls `work` again for as long as there was a newer call meanwhile.
function latest(work) {
  let calls = 0, busy = false;
  return async () => {
    calls++;
    if (busy) return;
    busy = true;
    for (let done = 0; done !== calls; ) {
      done = calls;
      await work();
    }
    busy = false;
  };
}

const paint = latest(async () => {
  tile($("image"), await decode(z.slice(), 1), 1, 1);
  stage.ariaBusy = "false";
});

// ---- moving z ----
function move(values, caption) {
  z = Float32Array.from(values);
  stage.ariaBusy = "true";
  $("origin").textContent = caption;
  for (const [d, row] of rows) show(row.slider, row.number, z[d]);
  place();
  scheduleMap();
  return paint();
}

function show(slider, number, value) {
  slider.value = value;
  if (number) number.value = value.toFixed(2);
  const [low, high] = [Number(slider.min), Number(slider.max)];
  const percent = (x) => `${(100 * (Math.min(Math.max(x, low), high) - low)) / (high - low)}%`;
  slider.style.setProperty("--at", percent(value));
  slider.style.setProperty("--origin", percent(low < 0 && high > 0 ? 0 : low));
}

function edit(changes) {
  stop();
  const values = z.slice();
  for (const [d, value] of changes) values[d] = value;
  return move(values, `${origin}, moved`);
}

// ---- seed and samples ----
async function draw(newSeed, newImage = 0, keep = false) {
  [seed, image] = [newSeed, newImage];
  $("seed").value = seed;
  const asked = [seed, label];
  const drawn = await model.generate(seed, SAMPLES, label);
  if (asked[0] !== seed || asked[1] !== label) return; // a newer one is on its way
  samples = drawn.z;
  [...$("samples").children].forEach((button, k) => {
    tile(button.firstChild, drawn.images.subarray(k * H * W * C), 1, 1);
    button.ariaLabel = `Image ${k} of seed ${seed}`;
  });
  if (!keep) {
    // Already decoded: this is the first image that the page shows.
    tile($("image"), drawn.images.subarray(image * H * W * C), 1, 1);
    pick(image);
  }
}

function pick(k) {
  image = k;
  origin = `seed ${seed}, image ${k}`;
  stop();
  press(k);
  address();
  return move(samples.subarray(k * D, (k + 1) * D), origin);
}

function address() {
  const text = `#seed=${seed}&image=${image}${conditional ? `&label=${label}` : ""}`;
  history.replaceState(null, "", text);
}

function press(k) {
  [...$("samples").children].forEach((button, other) => (button.ariaPressed = String(other === k)));
}

const whenValid = (field, act) =>
  field.addEventListener("change", () => field.reportValidity() && act(Number(field.value)));

// ---- two dimensions at once ----
const axes = () => [Number($("across").value), Number($("up").value)];
let mapSide = 9, mapKey = "", mapWait = 100, mapTimer = null;

function scheduleMap() {
  mapTimer ??= setTimeout(() => {
    mapTimer = null;
    drawMap();
  }, mapWait);
}

const drawMap = latest(async () => {
  const [x, y] = axes(), [n, others] = [mapSide, z.slice()];
  others[x] = others[y] = 0; // the map does not depend on these
  const key = [x, y, label, ...others].join();
  if (key === mapKey) return;
  mapKey = key;
  const points = new Float32Array(n * n * D);
  for (let k = 0; k < n * n; k++) {
    const at = (d, share) => range[d][0] + share * (range[d][1] - range[d][0]);
    points.set(others, k * D);
    points[k * D + x] = at(x, ((k % n) + 0.5) / n);
    points[k * D + y] = at(y, 1 - (Math.floor(k / n) + 0.5) / n);
  }
  const start = performance.now();
  tile($("map"), await decode(points, n * n), n * n, n);
  // A slow decoder gets a rarer and coarser map, so that the page keeps answering.
  const spent = performance.now() - start;
  mapWait = Math.max(100, 3 * spent);
  mapSide = Math.min(n, Math.max(1, Math.floor(n * Math.sqrt(200 / spent))));
});

function place() {
  const [x, y] = axes();
  const share = (d) => Math.min(Math.max((z[d] - range[d][0]) / (range[d][1] - range[d][0]), 0), 1);
  $("dot").style.left = `${100 * share(x)}%`;
  $("dot").style.top = `${100 - 100 * share(y)}%`;
  $("pad").ariaLabel = `Drag pad: z${x} across is ${z[x].toFixed(2)}, z${y} up is ${z[y].toFixed(2)}`;
}

function drag(event) {
  const box = $("pad").getBoundingClientRect();
  const share = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  edit(axes().map((d, k) => {
    const [low, high] = range[d];
    return [d, low + Math.min(Math.max(share[k], 0), 1) * (high - low)];
  }));
}

// ---- between two seeds ----
let ends = null, playing = null; // a token of its own for each play

function between(t) {
  const [a, b] = ends;
  let [wa, wb] = [1 - t, t];
  if (facts.prior === "standard_normal") {
    // On the sphere, so that the middle is as likely as the ends (White 2016).
    const norm = (v) => Math.hypot(...v);
    const cosine = a.reduce((sum, x, d) => sum + x * b[d], 0) / (norm(a) * norm(b));
    const angle = Math.acos(Math.min(Math.max(cosine, -1), 1));
    if (Math.sin(angle) > 1e-6) {
      [wa, wb] = [Math.sin((1 - t) * angle), Math.sin(t * angle)].map((w) => w / Math.sin(angle));
    }
  }
  return Float32Array.from(a, (x, d) => wa * x + wb * b[d]);
}

const drawStrip = latest(async () => {
  const seeds = [Number($("from").value), Number($("to").value)];
  const drawn = [];
  for (const one of seeds) drawn.push((await model.generate(one, 1, label)).z);
  ends = drawn;
  const points = new Float32Array(STEPS * D);
  for (let k = 0; k < STEPS; k++) points.set(between(k / (STEPS - 1)), k * D);
  tile($("strip"), await decode(points, STEPS), STEPS, STEPS);
});

function blend(t) {
  show($("blend"), null, t);
  if (!ends) return;
  origin = `between seeds ${$("from").value} and ${$("to").value}, ${Math.round(100 * t)} %`;
  press(null);
  return move(between(t), origin);
}

function play() {
  if (playing) return stop();
  const [mine, start, first] = [{}, performance.now(), Number($("blend").value)];
  const frame = async (now) => {
    if (playing !== mine) return;
    const t = (first + Math.max(now - start, 0) / 4000) % 2; // there and back
    await blend(t > 1 ? 2 - t : t);
    requestAnimationFrame(frame);
  };
  playing = mine;
  requestAnimationFrame(frame);
  $("play").textContent = "Pause";
}

function stop() {
  playing = null;
  $("play").textContent = "Play";
}

// ---- files ----
function save(canvas, name, scale) {
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
function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function buildSliders() {
  const few = matchMedia("(max-width: 719px)").matches ? 8 : 18;
  const first = D <= few + 2 ? D : few;
  for (const [place, d] of order.entries()) {
    const slider = element("input", { type: "range", id: `z${d}`, step: "any" });
    [slider.min, slider.max] = range[d];
    const number = element("output", { htmlFor: `z${d}` });
    const share = element("span", { className: "share", title: `${(100 * importance[d]).toFixed(1)} %` });
    share.style.setProperty("--share", importance[d] / (importance[order[0]] || 1));
    const label = element("label", { htmlFor: `z${d}` }, `z${d}`);
    if (moves(d) !== null) {
      label.prepend(element("span", { className: "factor", textContent: moves(d), title: moves(d), dir: "auto" }), " ");
    }
    const row = element("div", { className: "latent" }, label, share, slider, number);
    row.classList.toggle("idle", importance[d] < 0.005 * importance[order[0]]);
    row.hidden = place >= first;
    slider.addEventListener("input", () => edit([[d, Number(slider.value)]]));
    slider.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      edit([[d, Math.min(Math.max(z[d] + way * (event.shiftKey ? 0.5 : 0.1), range[d][0]), range[d][1])]]);
    });
    row.addEventListener("dblclick", () => edit([[d, (range[d][0] + range[d][1]) / 2]]));
    rows.set(d, { slider, number });
    $("sliders").append(row);
  }
  if (order.some((d) => moves(d) !== null)) {
    $("sliders").className = "named";
    $("latents-hint").append(" A name is the factor that the slider moves.");
  }
  // Few sliders leave room below them.
  if (D <= 14) document.querySelector(".latents").after(document.querySelector(".blend"));
  $("more").hidden = first === D;
  $("more").textContent = `Show all ${D}`;
  $("more").onclick = () => {
    for (const row of $("sliders").children) row.hidden = false;
    $("more").hidden = true;
  };
}

function build() {
  const color = C < 3 ? "grey" : "color";
  const prior = facts.prior.replaceAll("_", " ");
  $("facts").textContent = `${H} × ${W} ${color} images from ${D} numbers, ${prior} prior`;
  $("save-image").title = `${W} × ${H}`;
  $("save-large").title = `${W * enlarge} × ${H * enlarge}`;
  buildSliders();
  for (const [id, chosen] of [["across", order[0]], ["up", order[1] ?? order[0]]]) {
    $(id).append(...order.map((d) => element("option", { value: d, textContent: [moves(d), `z${d}`].filter((text) => text !== null).join(" "), selected: d === chosen })));
    $(id).onchange = () => [place(), scheduleMap()];
  }
  for (let k = 0; k < SAMPLES; k++) {
    const canvas = element("canvas", { width: W, height: H });
    $("samples").append(element("button", { type: "button", className: "sample", onclick: () => pick(k) }, canvas));
  }
  for (let k = 0; k < (classes ?? 0); k++) {
    const radio = element("input", { type: "radio", name: "label", value: k, checked: k === label });
    radio.onchange = () => {
      label = k;
      address();
      draw(seed, image, true);
      move(z, $("origin").textContent);
      drawStrip();
    };
    const name = facts.class_names?.[k] ?? String(k); // any text: never HTML
    const text = element("span", { textContent: name, title: name, dir: "auto" });
    $("labels").append(element("label", { className: "chip" }, radio, text));
  }
  $("labels").hidden = !conditional;
  $("smooth").onchange = () => document.body.classList.toggle("smooth", $("smooth").checked);
  $("centre").onclick = () => edit(range.map(([low, high], d) => [d, (low + high) / 2]));
  $("random").onclick = () => draw(crypto.getRandomValues(new Uint32Array(1))[0] % SEEDS);
  $("seeds").onsubmit = (event) => event.preventDefault();
  whenValid($("seed"), (value) => draw(value));
  whenValid($("from"), drawStrip);
  whenValid($("to"), drawStrip);
  $("blend").oninput = () => [stop(), blend(Number($("blend").value))];
  $("play").onclick = play;
  $("save-image").onclick = () => save($("image"), fileName(), 1);
  $("save-large").onclick = () => save($("image"), `${fileName()}-large`, enlarge);
  $("save-samples").onclick = saveSamples;
  $("pad").onpointerdown = (event) => {
    $("pad").setPointerCapture(event.pointerId);
    drag(event);
  };
  $("pad").onpointermove = (event) => event.buttons && drag(event);
  $("pad").onkeydown = (event) => {
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.5 : 0.1;
    edit(axes().map((d, k) => [d, Math.min(Math.max(z[d] + step * way[k], range[d][0]), range[d][1])]).filter((_, k) => way[k]));
  };
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const whole = (name, limit) => {
    const value = Number(asked.get(name) ?? 0);
    return Number.isInteger(value) && value >= 0 && value < limit ? value : 0;
  };
  if (conditional) {
    label = whole("label", classes);
    document.querySelector(`[name=label][value="${label}"]`).checked = true;
  }
  return draw(whole("seed", SEEDS), whole("image", SAMPLES));
}

build();
document.querySelector("main").hidden = false;
$("status").hidden = true;
await fromAddress();
performance.mark("first image");
addEventListener("hashchange", fromAddress);
show($("blend"), null, 0);
await drawStrip();
