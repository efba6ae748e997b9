// The little that every part of the page needs.
export const $ = (id) => document.getElementById(id);

export function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children); // a string becomes text, never HTML
  return node;
}

// Calls `work` again for as long as there was a newer call meanwhile.
export function latest(work) {
  let calls = 0, busy = false;
  return async () => {
    calls++;
    if (busy) return;
    busy = true;
    try {
      for (let done = 0; done !== calls; ) {
        done = calls;
        await work();
      }
    } finally {
      busy = false;
    }
  };
}

export const whenValid = (field, act) =>
  field.addEventListener("change", () => field.reportValidity() && act(Number(field.value)));

export const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);

// Puts a slider, and the number beside it, where a value is.
export function show(slider, number, value) {
  slider.value = value;
  if (number) number.value = value.toFixed(2);
  slider.setAttribute("aria-valuetext", value.toFixed(2)); // not all its digits
  const ends = [Number(slider.min), Number(slider.max)];
  const percent = (x) => `${(100 * (clamp(x, ends) - ends[0])) / (ends[1] - ends[0])}%`;
  slider.style.setProperty("--at", percent(value));
  slider.style.setProperty("--origin", percent(ends[0] < 0 && ends[1] > 0 ? 0 : ends[0]));
}

// One line to the reader, which is also read out, for some seconds.
let timer = null;
export function notice(text) {
  clearTimeout(timer);
  $("notice").textContent = text;
  if (text) timer = setTimeout(notice, 10_000, "");
}
