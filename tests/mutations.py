"""`python -m tests.mutations`: wrong signs and factors in the mathematics, each caught.

In a copy of the code one place after the other is changed as a tired author might have
written it, and the tests of its room run: they must fail. A few minutes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from tests.readme_tables import ROOT

D, M = "keras_vae/distributions", "keras_vae/metrics"
B, T = "keras_vae/objectives", "tests/distributions"
PACKAGES = ("keras_vae", "export", "tests")


class Mutation(NamedTuple):
    """A mistake.

    Args:
        path: The file.
        right: What stands there, once.
        wrong: What stands there instead.
        tests: Of that room, which must fail.
    """

    path: str
    right: str
    wrong: str
    tests: str


MUTATIONS = [
    Mutation(
        f"{D}/divergences.py",
        "0.5 * (ops.square(mean) + ops.exp(log_var) - log_var - 1.0)",
        "0.5 * (ops.square(mean) + ops.exp(log_var) + log_var - 1.0)",
        f"{T}/test_divergences.py",
    ),
    Mutation(
        f"{D}/divergences.py",
        "ops.sum(0.5 * square - ops.log(diagonal)",
        "ops.sum(0.5 * square - 0.5 * ops.log(diagonal)",
        f"{T}/test_divergences.py",
    ),
    Mutation(
        f"{D}/divergences.py",
        "ops.sum(log_diagonals[0] - log_diagonals[1]",
        "ops.sum(log_diagonals[1] - log_diagonals[0]",
        f"{T}/test_divergences.py",
    ),
    Mutation(
        f"{D}/normal.py",
        "-0.5 * (LOG_2PI + log_var + ops.square(noise))",
        "-0.5 * (LOG_2PI - log_var + ops.square(noise))",
        f"{T}/test_normal.py {T}/test_posteriors.py",
    ),
    Mutation(
        f"{D}/sampling.py",
        "mean + ops.exp(0.5 * log_var) * noise",
        "mean + ops.exp(log_var) * noise",
        f"{T}/test_sampling.py",
    ),
    Mutation(
        f"{D}/posteriors.py",
        "(z - mean) * ops.exp(-0.5 * log_var)",
        "(z - mean) * ops.exp(0.5 * log_var)",
        f"{T}/test_posteriors.py",
    ),
    Mutation(
        f"{D}/posteriors.py",
        '"bij,sbj->sbi"',
        '"bji,sbj->sbi"',
        f"{T}/test_posteriors.py",
    ),
    Mutation(
        f"{D}/iaf.py",
        "log_determinant - ops.sum(ops.softplus(-s)",
        "log_determinant - ops.sum(ops.softplus(s)",
        f"{T}/test_iaf.py",
    ),
    Mutation(
        f"{D}/iaf.py",
        "gate * z + (1.0 - gate) * m",
        "(1.0 - gate) * z + (1.0 - gate) * m",
        f"{T}/test_iaf.py",
    ),
    Mutation(
        f"{D}/priors.py",
        "log_weight - 0.5 * (log_scale + square)",
        "log_weight - 0.5 * (square - log_scale)",
        f"{T}/test_priors.py",
    ),
    Mutation(
        f"{D}/flow.py",
        "log_determinant - ops.sum(log_scale, axis=-1)",
        "log_determinant + ops.sum(log_scale, axis=-1)",
        f"{T}/test_flow.py",
    ),
    Mutation(
        f"{D}/flow.py",
        "z * ops.exp(log_scale) + shift",
        "(z + shift) * ops.exp(log_scale)",
        f"{T}/test_flow.py",
    ),
    Mutation(
        f"{D}/levels.py",
        "kl.append(kl_to_standard_normal(mean, log_var))",
        "kl.append(0.5 * kl_to_standard_normal(mean, log_var))",
        f"{T}/test_levels.py",
    ),
    Mutation(
        f"{D}/levels.py",
        "kl[0] = log_posterior[0] - ops.reshape(top, (-1,))",
        "kl[0] = log_posterior[0] + ops.reshape(top, (-1,))",
        f"{T}/test_levels.py",
    ),
    Mutation(
        f"{D}/likelihoods.py",
        "slope * params - softplus",
        "slope * params + softplus",
        f"{T}/test_likelihoods.py",
    ),
    Mutation(
        f"{D}/likelihoods.py",
        "ops.log(magnitude) - ops.log(-ops.expm1(-magnitude))",
        "ops.log(magnitude) + ops.log(-ops.expm1(-magnitude))",
        f"{T}/test_likelihoods.py",
    ),
    Mutation(
        f"{D}/likelihoods.py",
        "-0.5 * _sum_pixels(LOG_2PI + log_var + square)",
        "-0.5 * _sum_pixels(LOG_2PI + 2.0 * log_var + square)",
        f"{T}/test_likelihoods.py",
    ),
    Mutation(
        f"{D}/logistic_mixture.py",
        "ops.log(-ops.expm1(-precision * (2.0 / LEVELS)))",
        "ops.log(-ops.expm1(-precision * (1.0 / LEVELS)))",
        f"{T}/test_logistic_mixture.py",
    ),
    Mutation(
        f"{B}/elbo.py",
        "self.warmup(terms.step) * kl - log_likelihood",
        "self.warmup(terms.step) * kl + log_likelihood",
        "tests/objectives/test_elbo.py",
    ),
    Mutation(
        f"{B}/terms.py",
        "self.log_likelihood + self.log_prior - self.log_posterior",
        "self.log_likelihood - self.log_prior + self.log_posterior",
        "tests/objectives",
    ),
    Mutation(
        f"{B}/importance.py",
        "math.log(log_weight.shape[0]) - ops.logsumexp(log_weight, axis=0)",
        "-ops.logsumexp(log_weight, axis=0)",
        "tests/objectives/test_importance.py",
    ),
    Mutation(
        f"{B}/importance.py",
        "terms.scale_z_gradient(ops.exp(log_weight - log_sum))",
        "terms.scale_z_gradient(ops.exp(2.0 * (log_weight - log_sum)))",
        "tests/objectives/test_importance.py",
    ),
    Mutation(
        f"{B}/aggregate.py",
        "correlation = log_q - log_product",
        "correlation = log_product - log_q",
        "tests/objectives/test_aggregate.py",
    ),
    Mutation(
        f"{B}/aggregate.py",
        "kernel = ops.exp(-square / (2.0 * one.shape[-1]))",
        "kernel = ops.exp(-square / one.shape[-1])",
        "tests/objectives/test_aggregate.py",
    ),
    Mutation(
        f"{M}/log_likelihood.py",
        "math.log(num_samples) - log_sum, log_likelihood",
        "-log_sum, log_likelihood",
        "tests/metrics/test_log_likelihood.py",
    ),
    Mutation(
        f"{M}/distances.py",
        "np.square(b).sum() - 2 * root",
        "np.square(b).sum() - root",
        "tests/metrics/test_distances.py",
    ),
    Mutation(
        "keras_vae/exploring/paths.py",
        "2 * np.arctan2(",
        "np.arctan2(",
        "tests/exploring/test_paths.py",
    ),
]


def survivors(folder: Path) -> list[Mutation]:
    """The mutations of a copy of the code that no test of their rooms catches."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    found = []
    for mutation in tqdm(MUTATIONS, unit="mutation", disable=None):
        path = folder / mutation.path
        text = path.read_text(encoding="utf-8")
        wrong = text.replace(mutation.right, mutation.wrong)
        path.write_text(wrong, encoding="utf-8")
        tests = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0"]
        done = subprocess.run(
            [*tests, *mutation.tests.split()],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        path.write_text(text, encoding="utf-8")
        if done.returncode not in (0, 1):  # neither passed nor failed
            sys.exit(done.stdout + done.stderr)
        if done.returncode == 0:
            found.append(mutation)
    return found


def main() -> int:
    """Prints what survived; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for name in PACKAGES:
            shutil.copytree(ROOT / name, Path(folder) / name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        found = survivors(Path(folder))
    for mutation in found:
        print(f"{mutation.path}: {mutation.right} -> {mutation.wrong}")
    print(f"{len(MUTATIONS) - len(found)} of {len(MUTATIONS)} mutations are caught.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
