// Two latents at once: a pad to drag on, over a map of what is there.
import { $, clamp, element, latest } from "./dom.js";
import { tile } from "./pixels.js";

const SIDE = 9; // images in a row of the map, at most

// page: facts, order, range, moves(d), z(), label(), decode(points, count), edit(changes).
// Gives a function that follows z.
export function buildMap(page) {
  const { order, range } = page, D = range.length;
  const axes = () => [Number($("across").value), Number($("up").value)];
  let side = SIDE, key = "", wait = 100, timer = null;

  const draw = latest(async () => {
    const [x, y] = axes(), [n, others] = [side, page.z().slice()];
    others[x] = others[y] = 0; // the map does not depend on these
    const asked = [x, y, page.label(), ...others].join();
    if (asked === key) return;
    key = asked;
    const points = new Float32Array(n * n * D);
    for (let k = 0; k < n * n; k++) {
      const at = (d, share) => range[d][0] + share * (range[d][1] - range[d][0]);
      points.set(others, k * D);
      points[k * D + x] = at(x, ((k % n) + 0.5) / n);
      points[k * D + y] = at(y, 1 - (Math.floor(k / n) + 0.5) / n);
    }
    await page.decode(points.slice(0, D), 1); // after what waits, or is still fetched
    const start = performance.now();
    tile($("map"), await page.decode(points, n * n), n * n, n);
    // A slow decoder gets a rarer and coarser map, so that the page keeps answering.
    const spent = performance.now() - start;
    wait = Math.max(100, 3 * spent);
    side = clamp(Math.floor(n * Math.sqrt(200 / spent)), [1, SIDE]);
  });

  function follow() {
    const [x, y] = axes(), z = page.z();
    const share = (d) => (clamp(z[d], range[d]) - range[d][0]) / (range[d][1] - range[d][0]);
    $("dot").style.left = `${100 * share(x)}%`;
    $("dot").style.top = `${100 - 100 * share(y)}%`;
    $("pad").ariaLabel = `Drag pad: z${x} across is ${z[x].toFixed(2)}, z${y} up is ${z[y].toFixed(2)}`;
    timer ??= setTimeout(() => {
      timer = null;
      draw();
    }, wait);
  }

  function drag(event) {
    const box = $("pad").getBoundingClientRect();
    const share = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
    page.edit(axes().map((d, k) => {
      const [low, high] = range[d];
      return [d, low + clamp(share[k], [0, 1]) * (high - low)];
    }));
  }

  for (const [id, chosen] of [["across", order[0]], ["up", order[1] ?? order[0]]]) {
    const name = (d) => [page.moves(d), `z${d}`].filter((text) => text !== null).join(" ");
    $(id).append(...order.map((d) =>
      element("option", { value: d, textContent: name(d), selected: d === chosen })));
    $(id).onchange = follow;
  }
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
    page.edit(axes().map((d, k) => [d, clamp(page.z()[d] + step * way[k], range[d])]).filter((_, k) => way[k]));
  };
  return follow;
}
