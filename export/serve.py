"""`python -m export serve BUNDLE`: images over HTTP, by ONNX Runtime alone.

No TensorFlow and no Keras: Starlette takes the requests, uvicorn serves it, and
`keras_vae.generate` makes the images, the very ones that the command makes.
"""

import asyncio
import concurrent.futures
import dataclasses
import io
import json
import os
import socket
from pathlib import Path

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from export import asked
from export.limits import Gate, Limits, Refused
from export.reader import Bundle, find_bundle, read_bundle
from keras_vae.errors import OutputError, UsageError
from keras_vae.generate import ExportedDecoder
from keras_vae.pictures.grids import columns_of_classes, image_grid, png
from keras_vae.training.signals import noted_signals

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' "
    "'wasm-unsafe-eval'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TYPES = {  # what the machine's own table says differs
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
# times the largest body that are read, and forgotten, so that a client that sends too
# much gets to read the answer
DRAINED = 8
# times the requests that are seen to: those whose bodies are on their way
BODIES = 8
WITHOUT_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A decoder</title>
<h1>A decoder</h1>
<p><a href="images.png?seed=7">images.png?seed=7</a> is a grid of images; POST latents
to <code>/decode</code>.</p>
<p>This bundle has no explorer page. <code>python -m export RUN --format web</code> adds
one.</p>
"""


class Server:
    """Answers requests from one bundle; `app` is what an ASGI server runs.

    Args:
        bundle: A run folder, or its export folder; its files are checked.
        limits: What a request may ask for.

    Attributes:
        app: The `Starlette` application.

    Raises:
        ModelError: If the bundle is damaged, or has no ONNX decoder.

    Example:
        >>> app = Server("saved_models/vae").app  # for any ASGI server
    """

    def __init__(self, bundle: str | Path, limits: Limits | None = None):
        limits = limits or Limits()
        self.bundle = read_bundle(find_bundle(bundle))
        self.decoder = ExportedDecoder(bundle)
        self.decoder.draw(0, 1)  # what is missing is missed now
        self.image_shape = self.bundle.manifest["image_shape"]
        self.limits, self.gate = limits, Gate(limits)
        # more than one address can open within its rate while a body may take: whoever
        # sends slowly keeps nobody from the decoder
        waiting = BODIES * limits.requests
        self.bodies = Gate(dataclasses.replace(limits, requests=waiting))
        self.page = _page(self.bundle)
        self._threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "decode")
        self.app = Starlette(
            routes=[
                Route("/images.png", self.images),
                Route("/decode", self.decode, methods=["POST"]),
                Route("/health", self.health),
                Route("/", self.file),
                Route("/{name:path}", self.file),
            ],
            exception_handlers={
                Refused: _refusal,
                HTTPException: _http_refusal,
                Exception: _failure,
            },
        )

    async def images(self, request: Request) -> Response:
        """A grid of the images of a seed, as PNG."""
        query, most = request.query_params, self.limits.images
        names = ("seed", "num_images", "label", "temperature")
        asked.known(query, names, "parameter")
        seed = asked.seed(query)
        number = asked.whole(query, "num_images", 64, minimum=1, maximum=most)
        self.limits.check(number, self.image_shape)
        label = query.get("label")
        temperature = asked.real(query, "temperature", 1.0, minimum=0, maximum=10)

        def work():
            labels = self.decoder.labels(number, label)
            z = self.decoder.draw(seed, number, temperature)
            columns = columns_of_classes(self.decoder.num_classes)
            images = self.decoder.decode(z, labels)
            return self._picture(images, columns if label is None else None)

        return await self._answer(request, work)

    async def decode(self, request: Request) -> Response:
        """Images of latents, as JSON, PNG or a NumPy file."""
        asked.known(request.query_params, ("label",), "parameter")
        label = request.query_params.get("label")
        wanted = request.headers.get("accept", "")
        as_json = "image/png" not in wanted and asked.NPY not in wanted

        def work(body):
            labels = None
            if body.startswith(b"\x93NUMPY"):
                z = asked.latents_of_npy(body, self.decoder.latent_dim)
            else:
                z, labels = asked.latents(body, self.decoder.latent_dim)
            self.limits.check(len(z), self.image_shape, as_json)
            if labels is not None:
                classes = self.decoder.num_classes
                labels = asked.checked_labels(labels, len(z), classes)
            else:
                labels = self.decoder.labels(len(z), label)
            images = self.decoder.decode(z, labels)
            if as_json:
                text = json.dumps({"images": images.tolist()})
                return Response(text, media_type="application/json")
            if "image/png" in wanted:
                return self._picture(images)
            np.save(file := io.BytesIO(), images)
            return Response(file.getvalue(), media_type=asked.NPY)

        return await self._answer(request, work, with_body=True)

    async def health(self, request: Request) -> Response:
        """Whether the server is up, and what it serves."""
        names = ("latent_dim", "image_shape", "num_classes", "class_names", "prior")
        facts = {name: self.bundle.manifest[name] for name in names}
        return JSONResponse({"status": "ok"} | facts, headers=HEADERS)

    async def file(self, request: Request) -> Response:
        """The explorer page and its files."""
        name = request.path_params.get("name", "index.html")
        if name == "index.html" and not self.page:
            return HTMLResponse(WITHOUT_PAGE, headers=HEADERS)
        if name == "decode":
            raise HTTPException(405, headers={"Allow": "POST"})
        if name not in self.page:
            raise HTTPException(404)
        data, kind, tag = self.page[name]
        headers = HEADERS | {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    async def _answer(self, request, work, with_body=False) -> Response:
        """The response of some work in a thread, within the limits."""
        try:
            self.gate.check_rate(request.client.host if request.client else "")
            given = []
            if with_body:
                with self.bodies:
                    given = [await self._body(request)]
            with self.gate:
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(self._threads, work, *given)
        except UsageError as error:
            raise Refused(422, str(error)) from None
        response.headers.update(HEADERS | {"Cache-Control": "no-store"})
        return response

    async def _body(self, request) -> bytes:
        """The body, refused where it is too large or too slow."""
        parts, size, most = [], 0, self.limits.body
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for part in request.stream():
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    elif size > DRAINED * most:
                        break
        except TimeoutError:
            sentence = f"The body must come within {self.limits.seconds:g} s."
            raise Refused(408, sentence) from None
        except ClientDisconnect:
            raise Refused(400, "The body did not come to its end.") from None
        if size > most:
            raise Refused(413, f"The body must have {most:,} bytes at most.")
        return b"".join(parts)

    def _picture(self, images, columns=None):
        channels = images.shape[3]
        if channels not in (1, 3, 4):
            raise Refused(
                422, f"A PNG has 1, 3 or 4 channels; these images have {channels}."
            )
        return Response(png(image_grid(images, columns)), media_type="image/png")


def _page(bundle: Bundle) -> dict[str, tuple[bytes, str, str]]:
    """From a name to content, type and tag, of the explorer page; empty without one."""
    if "web" not in bundle.manifest["artifacts"]:
        return {}
    bundle.check("web")
    return {
        path.removeprefix("web/"): (
            bundle.read(path),
            TYPES.get(Path(path).suffix, "application/octet-stream"),
            f'"{digest}"',
        )
        for path, digest in bundle.files("web").items()
    }


def _refusal(request, error):
    wait = {} if error.wait is None else {"Retry-After": str(error.wait)}
    # what is left of a body is not read
    headers = (
        HEADERS | wait | ({"Connection": "close"} if request.method == "POST" else {})
    )
    return JSONResponse({"error": str(error)}, error.status, headers)


def _http_refusal(request, error):
    sentence = f"There is no {request.url.path[:80]!r} here; see /health."
    if error.status_code == 405:
        sentence = f"{request.url.path} does not take {request.method}."
    headers = HEADERS | dict(error.headers or {})
    return JSONResponse({"error": sentence}, error.status_code, headers)


def _failure(request, error):
    return JSONResponse({"error": "The decoder failed; see its log."}, 500, HEADERS)


def serve(
    bundle: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    proxy: str | None = None,
) -> None:
    """Serves a bundle until Ctrl-C or SIGTERM.

    Args:
        bundle: A run folder, or its export folder.
        host: Where to listen.
        port: Where to listen; 0 for any that is free.
        limits: What a request may ask for.
        proxy: The address whose X-Forwarded-For is believed.

    Raises:
        ModelError: If the bundle is damaged, or has no ONNX decoder.
        OutputError: If nothing can listen there.

    Example:
        >>> serve("saved_models/vae/export", port=8080)
    """
    server = Server(bundle, limits)
    listening = _listening(host, port)
    config = uvicorn.Config(
        server.app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        timeout_graceful_shutdown=5,
    )
    place = f"[{host}]" if ":" in host else host
    url = f"http://{place}:{listening.getsockname()[1]}"
    print(f"Serving {server.bundle.path} at {url} until Ctrl-C. Next:", flush=True)
    if server.page:
        print(f"  open {url} in a browser", flush=True)
    print(f"  curl -o images.png '{url}/images.png?seed=7'", flush=True)
    with noted_signals(), listening:  # uvicorn sends itself the signal once more
        uvicorn.Server(config).run(sockets=[listening])
    print("Stopped.")


def _listening(host, port):
    """A socket that listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # only of a socket that names its protocol does asyncio turn off Nagle's algorithm,
    # which would hold small replies back for 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise OutputError(
            f"Nothing can listen at {host}, port {port} ({error.strerror}); choose "
            "another --port or --host."
        ) from error
    return listening
