"""Runs the models of `web/` in headless Chromium, with its ONNX Runtime Web.

A page asks a server in this process for its next input and sends back what comes out.
It needs Chromium; the variable KERAS_VAE_CHROMIUM can name it.
"""

import functools
import http.server
import json
import math
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

CHROMIUM = next(
    filter(
        shutil.which,
        (os.environ.get("KERAS_VAE_CHROMIUM", ""), "chromium", "chromium-browser"),
    ),
    None,
)
if CHROMIUM is None:
    raise ImportError("Chromium is missing")

TIMEOUT = 60  # seconds for one call
ARGUMENTS = (
    "--headless --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
PAGE = b"""<!doctype html>
<script type="module">
const send = (body) => fetch("result", { method: "POST", body });
try {
  const { load } = await import("./decoder.js");
  const model = await load();
  for (;;) {
    const { z, count, label, seed, x, shape, name } =
      await (await fetch("next")).json();
    if (x) {
      const found = await model[name](Float32Array.from(x), shape, label);
      await send(new Blob(Object.values(found)));
    } else if (z) {
      await send(await model.decode(Float32Array.from(z), count, label));
    } else {
      const { images, z } = await model.generate(seed, count, label);
      await send(new Blob([z, images]));
    }
  }
} catch (error) {
  await send(`error: ${error.message}`);
}
</script>
"""


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    call, shape = _open(path), _facts(path)["image_shape"]

    def decode(z, label=None):
        # A float32 printed as the float64 of the same value comes back bit by bit.
        feed = {"z": z.ravel().tolist(), "count": len(z)}
        feed |= {} if label is None else {"label": label.tolist()}
        return call(feed).reshape(len(z), *shape)

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    call, facts = _open(path), _facts(path)

    def generate(seed, num_images, label=None):
        feed = {"seed": seed, "count": num_images}
        values = call(feed | ({} if label is None else {"label": label}))
        z, images = np.split(values, [num_images * facts["latent_dim"]])
        shape = facts["image_shape"]
        return images.reshape(num_images, *shape), z.reshape(num_images, -1)

    return generate


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    latents = (_facts(Path(path).parent)["latent_dim"],)
    return _of_images(path, "encode", [latents, latents])


def load_score(path):
    """Returns score(x[, label]) -> elbo_at_mean (batch,), reconstruction, mean, ..."""
    facts = _facts(Path(path).parent)
    latents = (facts["latent_dim"],)
    return _of_images(path, "score", [(), facts["image_shape"], latents, latents])


def _of_images(path, name, shapes):
    """Runs a function of `decoder.js`; it gives arrays of these shapes an image."""
    call = _open(Path(path).parent)
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def run(x, label=None):
        feed = {"x": x.ravel().tolist(), "shape": x.shape, "name": name}
        feed |= {} if label is None else {"label": label.tolist()}
        parts = np.split(call(feed), len(x) * ends)
        pairs = zip(parts, shapes, strict=True)
        return tuple(part.reshape(len(x), *shape) for part, shape in pairs)

    return run


def _facts(path):
    return json.loads((Path(path) / "manifest.json").read_text("utf-8"))


def _open(path):
    """Starts a server and Chromium, which end with the function that is returned."""
    inputs, outputs = queue.Queue(), queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path not in ("/call", "/next"):
                return super().do_GET()
            body = PAGE
            if self.path == "/next":
                body = inputs.get()
                if body is None:  # the end
                    return None
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            outputs.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=path)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    profile = tempfile.mkdtemp()
    arguments = [*ARGUMENTS, f"--user-data-dir={profile}"]
    if os.name == "posix" and os.geteuid() == 0:  # its sandbox refuses root
        arguments.append("--no-sandbox")
    address = f"http://127.0.0.1:{server.server_port}/call"
    browser = subprocess.Popen(
        [CHROMIUM, *arguments, address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def call(feed):
        inputs.put(json.dumps(feed).encode())
        try:
            data = outputs.get(timeout=TIMEOUT)
        except queue.Empty:
            raise RuntimeError(f"Chromium did not answer in {TIMEOUT} s.") from None
        if data.startswith(b"error: "):
            raise RuntimeError(f"Chromium: {data.decode()}")
        return np.frombuffer(data, np.float32)

    def close():
        inputs.put(None)
        browser.terminate()
        browser.wait()
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(profile, ignore_errors=True)

    weakref.finalize(call, close)
    return call
