// What the page is of. The manifest may be a stranger's: one that cannot be shown is
// refused as a whole.
function check(facts) {
  const whole = (n) => Number.isInteger(n) && n > 0 && n <= 2 ** 16;
  const list = (values, length, fits) =>
    Array.isArray(values) && values.length === length && values.every(fits);
  const text = (value) => typeof value === "string" && value.length <= 255;
  const { latent_dim, image_shape, num_classes, class_names, prior, importance, range } = facts;
  const names = class_names ?? [];
  const moved = facts.latent_names ?? [];
  const good =
    whole(latent_dim) &&
    list(image_shape, 3, whole) &&
    (num_classes === null || whole(num_classes)) &&
    list(names, names.length && (num_classes ?? names.length), (name) => typeof name === "string") &&
    list(moved, moved.length && latent_dim, (name) => name === null || text(name)) &&
    typeof prior === "string" &&
    list(importance, latent_dim, (share) => Number.isFinite(share) && share >= 0) &&
    list(range, latent_dim, (ends) => list(ends, 2, Number.isFinite) && ends[0] <= ends[1]) &&
    (facts.encoder === undefined || text(facts.encoder?.posterior)) &&
    (facts.score === undefined || text(facts.score?.kl_divergence));
  if (!good) throw new Error("manifest.json is not one of this page");
  return facts;
}

export const readManifest = () =>
  fetch("manifest.json").then((reply) => reply.json()).then(check);
