// One slider a latent, the most important first.
import { $, clamp, element, show } from "./dom.js";

const FEW = 18, FEW_ON_A_PHONE = 8;

// page: facts, order, range, moves(d), z(), edit(changes). Gives a function that shows z.
export function buildSliders(page) {
  const { order, range } = page;
  const few = matchMedia("(max-width: 719px)").matches ? FEW_ON_A_PHONE : FEW;
  const first = order.length <= few + 2 ? order.length : few;
  const rows = new Map(); // latent -> its slider and its number
  const add = (latents) => {
    for (const d of latents) {
      const { row, slider, number } = buildRow(page, d);
      rows.set(d, { slider, number });
      $("sliders").append(row);
    }
  };
  const showAll = (z) => rows.forEach((row, d) => show(row.slider, row.number, z[d]));
  add(order.slice(0, first));
  if (order.some((d) => page.moves(d) !== null)) {
    $("sliders").className = "named";
    $("latents-hint").append(" A name is the factor that the slider moves.");
  }
  // Few sliders leave room below them.
  if (order.length <= 14) document.querySelector(".latents").after(document.querySelector(".blend"));
  $("more").hidden = first === order.length;
  $("more").textContent = `Show all ${order.length}`;
  $("more").onclick = () => {
    add(order.slice(first));
    showAll(page.z());
    rows.get(order[first]).slider.focus();
    $("more").hidden = true;
  };
  $("center").onclick = () => page.edit(range.map(([low, high], d) => [d, (low + high) / 2]));
  return showAll;
}

function buildRow(page, d) {
  const { facts: { importance }, order, range } = page;
  const slider = element("input", { type: "range", id: `z${d}`, step: "any" });
  [slider.min, slider.max] = range[d];
  const number = element("output", { htmlFor: `z${d}` });
  number.setAttribute("aria-live", "off"); // the slider says it
  const share = element("span", { className: "share", title: `${(100 * importance[d]).toFixed(1)} %` });
  share.style.setProperty("--share", importance[d] / (importance[order[0]] || 1));
  const label = element("label", { htmlFor: `z${d}` }, `z${d}`);
  const factor = page.moves(d);
  if (factor !== null) {
    label.prepend(element("span", { className: "factor", textContent: factor, title: factor, dir: "auto" }), " ");
  }
  const row = element("div", { className: "latent" }, label, share, slider, number);
  row.classList.toggle("idle", importance[d] < 0.005 * importance[order[0]]);
  slider.addEventListener("input", () => page.edit([[d, Number(slider.value)]]));
  slider.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    page.edit([[d, clamp(page.z()[d] + way * (event.shiftKey ? 0.5 : 0.1), range[d])]]);
  });
  row.addEventListener("dblclick", () => page.edit([[d, (range[d][0] + range[d][1]) / 2]]));
  return { row, slider, number };
}
