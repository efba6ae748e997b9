// The way from one seed's first image to another's.
import { $, latest, show, whenValid } from "./dom.js";
import { tile } from "./pixels.js";

const STEPS = 9;

// page: facts, model, label(), decode(points, count), move(values, caption).
// Gives { draw, stop }: draws the strip anew; ends the motion.
export function buildBlend(page) {
  let ends = null, playing = null; // a token of its own for each play

  function between(t) {
    const [a, b] = ends;
    let [wa, wb] = [1 - t, t];
    if (page.facts.prior === "standard_normal") {
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

  const draw = latest(async () => {
    const drawn = [];
    for (const field of [$("from"), $("to")]) {
      drawn.push((await page.model.generate(Number(field.value), 1, page.label())).z);
    }
    ends = drawn;
    const D = ends[0].length, points = new Float32Array(STEPS * D);
    for (let k = 0; k < STEPS; k++) points.set(between(k / (STEPS - 1)), k * D);
    tile($("strip"), await page.decode(points, STEPS), STEPS, STEPS);
  });

  function blend(t) {
    show($("blend"), null, t);
    if (!ends) return;
    const seeds = `seeds ${$("from").value} and ${$("to").value}`;
    return page.move(between(t), `between ${seeds}, ${Math.round(100 * t)} %`);
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

  whenValid($("from"), draw);
  whenValid($("to"), draw);
  $("blend").oninput = () => [stop(), blend(Number($("blend").value))];
  $("play").onclick = play;
  show($("blend"), null, 0);
  return { draw, stop };
}
