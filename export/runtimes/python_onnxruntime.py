"""Runs a bundle with numpy and onnxruntime alone. Copy this file to where you need it.

python python_onnxruntime.py verify BUNDLE
python python_onnxruntime.py generate BUNDLE --num-images 64 --seed 7 images.npy
python python_onnxruntime.py decode BUNDLE z.npy images.npy [--label 3]
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime

onnxruntime.set_default_logger_severity(4)  # what fails is raised


def load_decoder(path):
    """Returns decode(z[, label]) -> images, NumPy arrays (batch, ...)."""
    session = _session(path)

    def decode(z, label=None):
        feed = {"z": z} if label is None else {"z": z, "label": label}
        return session.run(["images"], feed)[0]

    return decode


def load_generator(path):
    """Returns generate(seed, num_images[, label]) -> images, z, NumPy arrays."""
    session = _session(path)

    def generate(seed, num_images, label=None):
        feed = {"seed": seed, "num_images": num_images}
        feed |= {} if label is None else {"label": label}
        feed = {name: np.array(value, np.int64) for name, value in feed.items()}
        return tuple(session.run(["images", "z"], feed))

    return generate


def load_encoder(path):
    """Returns encode(x[, label]) -> mean, log_var, NumPy arrays (batch, latent_dim)."""
    return _of_images(path, ["mean", "log_var"])


def load_score(path):
    """Returns score(x[, label]) -> elbo_at_mean (batch,), reconstruction, mean, ..."""
    return _of_images(path, ["elbo_at_mean", "reconstruction", "mean", "log_var"])


def _of_images(path, outputs):
    session = _session(path)

    def run(x, label=None):
        feed = {"x": x} if label is None else {"x": x, "label": label}
        return tuple(session.run(outputs, feed))

    return run


def _session(path):
    options = onnxruntime.SessionOptions()
    # Weights in other files are a way to read any file of the machine: look in none.
    folder = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(folder, os.devnull)
    data = Path(path).read_bytes()
    return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])


def verify(bundle):
    """Checks the checksums, then the golden vectors; returns the largest difference."""
    bundle = Path(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    digest = manifest.pop("sha256")
    if hashlib.sha256(json.dumps(manifest).encode()).hexdigest() != digest:
        raise ValueError("manifest.json is damaged.")
    files, artifacts = dict(manifest["files"]), manifest["artifacts"]
    for name in ("decoder.onnx", "generator.onnx"):
        files |= artifacts[name]["files"]
    encoders = {"encoder.onnx": load_encoder, "score.onnx": load_score}
    encoders = {name: load for name, load in encoders.items() if name in artifacts}
    for name in encoders:
        files |= artifacts[name]["files"]
    for name, expected in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name!r} is outside the bundle.")
        if hashlib.sha256((bundle / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} is damaged: its SHA-256 is not the manifest's.")
    golden = np.load(bundle / "golden.npz", allow_pickle=False)
    labels = [golden["label"]] if "label" in golden else []
    images = load_decoder(bundle / "decoder.onnx")(golden["z"], *labels)
    error = np.abs(images - golden["images"]).max()
    call = [golden[name] for name in ("seed", "num_images", "generate_label")]
    call = [int(value) for value in call if value >= 0]
    images, z = load_generator(bundle / "generator.onnx")(*call)
    error = max(error, np.abs(images - golden["generated_images"]).max())
    names = ["elbo_at_mean", "reconstruction", "mean", "log_var"]
    for name, load in encoders.items():
        values = load(bundle / name)(golden["x"], *labels)
        for key, value in zip(names[-len(values) :], values, strict=True):
            axes = tuple(range(1, value.ndim))  # in units of an image's largest value
            scale = np.abs(golden[key]).max(axes, keepdims=True, initial=1)
            error = max(error, (np.abs(value - golden[key]) / scale).max())
    if not (error <= min(manifest["tolerance"], 1e-3)):
        raise ValueError(f"Outputs differ from the golden vectors by {error:.1e}.")
    if (
        not np.array_equal(z, golden["generated_z"])
        and manifest["generator"]["exact_latents"]
    ):
        raise ValueError("Latents differ from the golden vectors.")
    return error


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("verify", "generate", "decode"):
        command = commands.add_parser(name)
        command.add_argument("bundle", type=Path)
        if name == "decode":
            command.add_argument("z", type=Path)
        if name != "verify":
            command.add_argument("--label", type=int)
            command.add_argument("output", type=Path)
        if name == "generate":
            command.add_argument("--num-images", type=int, default=64)
            command.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.command == "verify":
        print(f"verified; largest difference {verify(options.bundle):.1e}")
        return
    label = [] if options.label is None else [options.label]
    if options.command == "generate":
        if not 0 <= options.seed < 2**24:
            sys.exit("The seed must be in [0, 16777216).")
        generate = load_generator(options.bundle / "generator.onnx")
        images, _ = generate(options.seed, options.num_images, *label)
    else:
        z = np.load(options.z, allow_pickle=False).astype(np.float32)
        label = [np.full(len(z), value, np.int64) for value in label]
        images = load_decoder(options.bundle / "decoder.onnx")(z, *label)
    np.save(options.output, images)
    print(f"{images.shape} in {options.output}")


if __name__ == "__main__":
    main()
