"""A real server on a free port, and what it answers."""

import contextlib
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from export import export_decoder
from export.__main__ import main
from export.limits import Limits
from export.reader import read_bundle
from keras_vae.generate import generate
from keras_vae.generate import main as generate_main

serve = pytest.importorskip("export.serve", reason="needs '.[serve]'")
uvicorn = pytest.importorskip("uvicorn")


@contextlib.contextmanager
def running(bundle, **limits):
    """A server in a thread; gives `ask(method, path, body, headers)`."""
    app = serve.Server(bundle, Limits(**{"rate": None} | limits)).app
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def ask(path, body=None, method=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(connection):
            connection.request(
                method or ("GET" if body is None else "POST"), path, body, headers
            )
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()

    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def plain(tiny_vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "export"
    export_decoder(tiny_vae(), folder, ["onnx"])
    return folder


@pytest.fixture(scope="module")
def conditional(tiny_vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditional") / "export"
    vae = tiny_vae(num_classes=4, prior="mixture")
    export_decoder(vae, folder, ["onnx"])
    return folder


@pytest.fixture(scope="module")
def ask(plain):
    with running(plain, images=100, body=10_000, values=2_940) as ask:
        yield ask


@pytest.fixture(scope="module")
def ask_conditional(conditional):
    with running(conditional) as ask:
        yield ask


def refused(reply, status):
    """The one sentence of a reply that is a refusal."""
    found, headers, body = reply
    assert found == status, body
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    (sentence,) = json.loads(body).values()
    assert "\n" not in sentence and sentence.endswith((".", "?", "/health."))
    return sentence


def test_the_picture_is_that_of_the_command(ask, plain, tmp_path):
    output = tmp_path / "x.png"
    arguments = ["--seed", "7", "--num-images", "9", "--temperature", "0.5"]
    assert generate_main([str(plain), *arguments, "--output", str(output)]) == 0
    status, headers, body = ask("/images.png?seed=7&num_images=9&temperature=0.5")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert body == output.read_bytes()
    assert ask("/images.png")[2] == ask("/images.png?seed=0&num_images=64")[2] != body


@pytest.mark.parametrize("label", [None, 2])
def test_a_label_chooses_the_class(ask_conditional, conditional, label, tmp_path):
    output = tmp_path / "x.png"
    chosen = [] if label is None else ["--label", str(label)]
    assert generate_main([str(conditional), *chosen, "--output", str(output)]) == 0
    query = "" if label is None else f"?label={label}"
    assert ask_conditional(f"/images.png{query}")[2] == output.read_bytes()


def test_latents_are_decoded_as_json_as_a_file_and_as_a_picture(ask, plain):
    decoder = serve.ExportedDecoder(plain)
    z = decoder.draw(3, 5)
    expected = generate(plain, 5, seed=3)
    json_body = json.dumps({"z": z.tolist()})
    np.save(file := io.BytesIO(), z)
    for body in (json_body, file.getvalue()):
        status, _, found = ask("/decode", body)
        images = np.array(json.loads(found)["images"], np.float32)
        assert status == 200
        np.testing.assert_array_equal(images, expected)
    status, headers, found = ask("/decode", json_body, accept="application/x-npy")
    assert headers["Content-Type"] == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(found)), expected)
    status, headers, found = ask("/decode", json_body, accept="image/png")
    assert headers["Content-Type"] == "image/png"
    assert found == ask("/images.png?seed=3&num_images=5")[2]
    assert Image.open(io.BytesIO(found)).mode == "L"


def test_latents_are_decoded_as_classes(ask_conditional, conditional):
    z = serve.ExportedDecoder(conditional).draw(3, 3)

    def images(path, **more):
        status, _, found = ask_conditional(path, json.dumps({"z": z.tolist()} | more))
        assert status == 200
        return np.array(json.loads(found)["images"], np.float32)

    for label in range(4):
        expected = generate(conditional, 3, seed=3, label=label)
        np.testing.assert_array_equal(images(f"/decode?label={label}"), expected)
        found = images("/decode", label=3 * [label])
        np.testing.assert_array_equal(found, expected)
    in_turn = generate(conditional, 3, seed=3)
    np.testing.assert_array_equal(images("/decode"), in_turn)
    reply = ask_conditional("/decode", json.dumps({"z": z.tolist(), "label": [9]}))
    assert "3 numbers in [0, 4)" in refused(reply, 422)
    for label in ("4", "four"):
        sentence = refused(ask_conditional(f"/images.png?label={label}"), 422)
        assert f"a class from 0 to 3; got '{label}'" in sentence


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/images.png?sed=1", 422, "Did you mean 'seed'?"),
        ("/images.png?seed=one", 400, "seed must be a whole number; got 'one'"),
        ("/images.png?num_images=0", 422, "num_images must be a whole number >= 1"),
        ("/images.png?num_images=101", 422, "<= 100"),
        ("/images.png?label=1", 422, "takes no label"),
        ("/images.png?temperature=11", 422, "temperature must be a number <= 10"),
        ("/images.png?temperature=hot", 400, "temperature must be a number; got 'hot'"),
        ("/nowhere", 404, "There is no '/nowhere' here"),
        ("/../manifest.json", 404, "There is no"),
        ("/%2e%2e/manifest.json", 404, "There is no"),
        ("/decode", 405, "does not take GET"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(ask, path, status, sentence):
    assert sentence in refused(ask(path), status)


def test_too_much_is_refused(ask):
    assert "10,000 bytes" in refused(ask("/decode", 30_000 * b" "), 413)
    assert "10,000 bytes" in refused(ask("/decode", 80_000 * b" "), 413)
    many = json.dumps({"z": 101 * [[0, 0, 0]]})
    assert "24 images as JSON at most; got 101" in refused(ask("/decode", many), 413)
    reply = ask("/decode", many, accept="image/png")
    assert "98 images at most; got 101" in refused(reply, 413)
    assert "98 images at most; got 99" in refused(ask("/images.png?num_images=99"), 413)
    assert "must be JSON" in refused(ask("/decode", b"{"), 400)
    assert "does not take POST" in refused(ask("/images.png", b""), 405)


def test_too_often_is_refused(plain):
    with running(plain, rate=0.01, burst=2) as ask:
        for _ in range(2):
            assert ask("/images.png?num_images=1")[0] == 200
        reply = ask("/images.png?num_images=1")
        assert "0.01 requests a second from one address" in refused(reply, 429)
        assert 90 <= int(reply[1]["Retry-After"]) <= 100
        assert ask("/health")[0] == 200


def test_too_slow_is_refused_and_keeps_nobody_waiting(plain):
    with running(plain, requests=1, seconds=0.5) as ask:

        def slow():  # announces more than it sends
            headers = {"content-length": "100"}
            replies.append(ask("/decode", io.BytesIO(b"{"), **headers))

        replies = []
        threads = [threading.Thread(target=slow) for _ in range(serve.BODIES)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert ask("/images.png")[0] == 200
        slow()  # one more than are waited for
        for thread in threads:
            thread.join()
        assert "8 requests at the same time" in refused(replies[0], 503)
        assert replies[0][1]["Retry-After"] == "1"
        for reply in replies[1:]:
            assert "within 0.5 s" in refused(reply, 408)
        assert ask("/images.png")[0] == 200


def test_too_many_are_refused(plain, monkeypatch):
    entered, release = threading.Event(), threading.Event()

    def slow(*arguments):
        entered.set()
        assert release.wait(20)
        return decode(*arguments)

    decode = serve.ExportedDecoder.decode
    monkeypatch.setattr(serve.ExportedDecoder, "decode", slow)
    with running(plain, requests=1) as ask:
        replies = []
        first = threading.Thread(target=lambda: replies.append(ask("/images.png")))
        first.start()
        assert entered.wait(20)
        assert "1 requests at the same time" in refused(ask("/images.png"), 503)
        release.set()
        first.join()
        assert replies[0][0] == 200


def test_a_failure_says_nothing_of_the_machine(plain, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(serve.ExportedDecoder, "decode", broken)
    with running(plain) as ask:
        assert refused(ask("/images.png"), 500) == "The decoder failed; see its log."


def test_health_and_the_page_without_an_explorer(ask, plain):
    status, headers, body = ask("/health")
    assert status == 200
    assert json.loads(body)["image_shape"] == [6, 5, 1]
    status, headers, body = ask("/")
    assert status == 200 and b"--format web" in body
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


def test_the_explorer_is_served(tiny_vae, tmp_path):
    folder = tmp_path / "export"
    try:
        export_decoder(tiny_vae(), folder, ["onnx", "web"])
    except ImportError as error:
        pytest.skip(str(error))
    with running(folder) as ask:
        status, headers, page = ask("/")
        assert status == 200 and headers["Content-Type"].startswith("text/html")
        assert page == (folder / "web" / "index.html").read_bytes()
        for name in read_bundle(folder).files("web"):
            path = name.removeprefix("web")
            status, headers, body = ask(path)
            assert (status, body) == (200, (folder / name).read_bytes())
            again = ask(path, **{"if-none-match": headers["ETag"]})
            assert (again[0], again[2]) == (304, b"")
            if path.endswith((".js", ".mjs")):
                assert headers["Content-Type"].startswith("text/javascript")
            if path.endswith(".wasm"):
                assert headers["Content-Type"] == "application/wasm"
    (folder / "web" / "index.html").write_text("damaged")
    assert main(["serve", str(folder)]) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_without_tensorflow(plain, number):
    code = (
        "import signal, sys; from export.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'matplotlib'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    command = [sys.executable, "-c", code, "serve", str(plain), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.stdout.readline()
        host, port = re.search(r"http://([\d.]+):(\d+) until Ctrl-C", said).groups()
        assert host == "127.0.0.1"
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", "/images.png?num_images=4")
            reply = connection.getresponse()
            assert reply.read().startswith(b"\x89PNG") and "server" not in reply.headers
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")


def test_small_replies_are_not_held_back():
    """asyncio turns Nagle's algorithm off for sockets of this protocol alone."""
    with serve._listening("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_what_cannot_be_served_is_one_line(plain, tmp_path, capsys, monkeypatch):
    assert main(["serve", str(tmp_path)]) == 4
    assert main(["serve", str(plain), "--port", "70000"]) == 2
    assert main(["serve", str(plain), "--max-images", "0"]) == 2
    assert main(["serve", str(plain), "--host", "192.0.2.1"]) == 5  # not ours
    assert main(["serve", str(plain), "--proxy", "nginx"]) == 2
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "export.serve")
    assert main(["serve", str(plain)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 6
    assert "address or a network, as 172.17.0.1 or 172.17.0.0/16; got 'nginx'" in error
    assert "pip install '.[serve]'" in error.splitlines()[-1]
