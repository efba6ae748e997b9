// What the address says: seed, image, label and, once sliders were moved, every latent.
//     #seed=42&image=3&label=7&z=AACAPwAAAL8...    (z: float32, little-endian, base64url)
// A link may be a stranger's. Each value is read as a number within its bounds, or not
// at all.
const LARGEST = 1e6; // of a latent

export function toHash({ seed, image, label, z }) {
  const parts = [`seed=${seed}`, `image=${image}`];
  if (label !== undefined) parts.push(`label=${label}`);
  if (z) parts.push(`z=${encode(z)}`);
  return `#${parts.join("&")}`;
}

// limits: seeds, images, classes (or null), latents.
// Gives { seed, image, label, z, ignored }: z is null where the link has none, `ignored`
// the names of the values that are none.
export function fromHash(hash, limits) {
  const asked = new URLSearchParams(hash.slice(1));
  const ignored = [];
  const whole = (name, limit) => {
    const text = asked.get(name);
    if (text === null) return 0;
    if (/^\d{1,9}$/.test(text) && Number(text) < limit) return Number(text);
    ignored.push(name);
    return 0;
  };
  const found = { seed: whole("seed", limits.seeds), image: whole("image", limits.images) };
  if (limits.classes !== null) found.label = whole("label", limits.classes);
  found.z = asked.has("z") ? decode(asked.get("z"), limits.latents) : null;
  if (asked.has("z") && found.z === null) ignored.push("z");
  return { ...found, ignored };
}

function encode(z) {
  const view = new DataView(new ArrayBuffer(4 * z.length));
  z.forEach((value, d) => view.setFloat32(4 * d, value, true));
  const bytes = Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte));
  return btoa(bytes.join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

function decode(text, length) {
  if (text.length !== Math.ceil((16 * length) / 3) || !/^[\w-]*$/.test(text)) return null;
  const bytes = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  if (bytes.length !== 4 * length) return null;
  const view = new DataView(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)).buffer);
  const z = Float32Array.from({ length }, (_, d) => view.getFloat32(4 * d, true));
  return z.every((value) => Math.abs(value) <= LARGEST) ? z : null; // false for NaN, too
}
