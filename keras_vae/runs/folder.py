"""The run folder: what it holds, where, and how a new run takes an old one's place.

    RUN/
      config.json  environment.json  history.csv  metrics.json  model.keras
      SHA256SUMS  checkpoints/  samples/  tensorboard/  export/

A run is written straight into its folder, unless the folder holds a run already. Then
the new one grows in a sibling, RUN.partial, and takes the folder's name once it has its
`model.keras`: two renames, with the old run as RUN.replaced in between. So at any
instant, also after a kill, a complete run has one of these names.

Only what a run is known to hold is ever removed.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_vae import files
from keras_vae.config import TrainConfig
from keras_vae.errors import ModelError, OutputError, UsageError, to_type
from keras_vae.files import check_folder, check_path
from keras_vae.run_paths import missing
from keras_vae.runs.contents import known_paths
from keras_vae.runs.facts import wrong_facts


class RunFolder:
    """The names in a run folder.

    Args:
        path: The folder; it need not exist.

    Attributes:
        path: The folder.
        config: The options of the run and, as `data`, facts about its images.
        environment: Versions and hardware.
        history: A row an epoch.
        metrics: The numbers of the test split.
        model: The trained weights, written when the training is over.
        checksums: The SHA-256 of `model`.
        checkpoints: Folder of what a training needs to go on.
        best: The weights of the best epoch.
        samples: Folder of the pictures: of inputs, and each epoch's.
        tensorboard: Folder of the events that TensorBoard shows.
        export: Folder of the exported decoder.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.model = self.path / "model.keras"
        self.checksums = self.path / "SHA256SUMS"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self.samples = self.path / "samples"
        self.tensorboard = self.path / "tensorboard"
        self.export = self.path / "export"

    def __str__(self):
        return str(self.path)

    @property
    def partial(self) -> "RunFolder":
        """Where the run grows that is to replace this one."""
        return self._sibling("partial")

    @property
    def replaced(self) -> "RunFolder":
        """Where this run is while another takes its name."""
        return self._sibling("replaced")

    @property
    def to_finish(self) -> str:
        """The command that finishes the run."""
        return to_type("python -m keras_vae.train --resume --output", self)

    def _sibling(self, kind):
        path = self.path.resolve()
        return RunFolder(path.with_name(f"{path.name}.{kind}"))

    def read(self) -> tuple[TrainConfig, dict]:
        """The options of the run, and the facts about its images.

        Returns:
            The config, and a dict with at least `facts.FACTS`.

        Raises:
            ModelError: If there is no config.json, or it is not one of a run.
        """
        if not self.config.is_file():
            if not self.path.exists():
                raise missing(self.path)
            raise ModelError(
                f"{self} is no run folder: it has no config.json. Give the folder that "
                "keras_vae.train wrote."
            )
        config, data = read_config(self.config)
        if wrong := wrong_facts(data):
            raise ModelError(f"{self.config} {wrong}; train the run again.")
        return config, data

    def check_finished(self) -> None:
        """Refuses a folder that holds no finished run.

        Raises:
            ModelError: If config.json or model.keras is missing.
        """
        if not self.model.is_file():
            self.read()
            raise ModelError(
                f"{self} is not a finished run: it has no model.keras. Finish it with "
                f"`{self.to_finish}`."
            )

    def check_output(self, overwrite: bool, data: Path | None = None) -> None:
        """Refuses a folder that a new run cannot be written to, or must not replace.

        Args:
            overwrite: Whether a run in the folder may be replaced.
            data: The file or folder that the images come from, if there is one.

        Raises:
            UsageError: If the folder holds a run that is not to be replaced, or the
                images.
            OutputError: If it holds anything else, is being written, or cannot be.
        """
        check_folder(self.path)
        check_path(self.replaced.path)  # the longest name it will have
        self._check_data(data)
        if not self._entries():
            return
        self._check_ours()
        if not overwrite:
            kind, finish = "a run", ""
            if not self.model.is_file():
                kind = "an unfinished run"
                finish = f"finish it with `{self.to_finish}`, "
            raise UsageError(
                f"The folder {self} already holds {kind}; {finish}choose another with "
                "--output, or replace it with --overwrite."
            )
        with self._locked():
            self._check_replaceable()

    def _entries(self):
        return list(self.path.iterdir()) if self.path.is_dir() else []

    def _check_data(self, data):
        if data is None:
            return
        run, data = self.path.resolve(), data.resolve()
        inside = data.is_dir() and data in run.parents
        if run == data or run in data.parents or inside:
            raise UsageError(
                f"The output folder {self} and the data set {data} overlap; choose "
                "another folder with --output."
            )

    def _check_ours(self):
        """Refuses a folder that is no run, or holds something else beside."""
        try:
            self.read()
        except ModelError as error:
            raise OutputError(
                f"The output folder {self} holds files that are not a run of this "
                "version; choose another with --output."
            ) from error
        known = set(known_paths(self.path))
        others = (path for path in sorted(self.path.rglob("*")) if path not in known)
        if other := next(others, None):
            raise OutputError(
                f"The output folder {self} holds {other.relative_to(self.path)}, which "
                "is not of a run; move it, or choose another with --output."
            )

    def _check_replaceable(self):
        run, here = self.path.resolve(), Path.cwd()
        if run == here or run in here.parents or os.path.ismount(run):
            raise OutputError(
                f"The folder {self} cannot be replaced while it is the current folder "
                "or a mounted one; choose another with --output."
            )
        left = self.partial if self.partial.model.is_file() else self.replaced
        if left.path.exists():
            raise OutputError(
                f"{left} is left from a training that took the place of {self} and was "
                "cut short, or found files that are not of a run; rename it first."
            )
        if self.partial._entries():  # of a training that was cut short
            self.partial._check_ours()

    @contextlib.contextmanager
    def written(
        self, config: TrainConfig, data: dict, *, apart: bool = False
    ) -> Iterator["RunFolder"]:
        """The folder to write a new run to; afterwards it is this one.

        While the run that was here before is kept, that is another folder. A run that
        fails before its first checkpoint leaves nothing behind.

        Args:
            config: The options of the run; `overwrite` lets it replace another.
            data: Facts about its images, with at least `facts.FACTS`.
            apart: Whether it is another folder in any case, for a run that cannot be
                resumed and so is to be here whole or not at all.

        Yields:
            A run folder with config.json, `checkpoints` and `samples`.

        Raises:
            KerasVAEError: If the folder cannot be written.

        Example:
            >>> with folder.written(config, data) as new:
            ...     vae.save(new.model)
        """
        self.check_output(config.overwrite)
        new = self.partial if apart or self._entries() else self
        if apart:
            self._check_replaceable()
        with new._locked(create=True):
            if new is self:
                self.check_output(overwrite=False)  # nobody was faster
            else:
                new._clear()
            new._begin(config, data)
            try:
                yield new
            except BaseException:
                if not any(new.checkpoints.glob("*.safetensors")):
                    new._remove()
                raise
            if new is not self:
                self._give_way(new)

    def _begin(self, config, data):
        with files.written(self.path):
            for folder in (self.checkpoints, self.samples):
                folder.mkdir(exist_ok=True)
            options = json.loads(config.to_json()) | {"data": data}
            files.write_text(self.config, json.dumps(options, indent=2) + "\n")

    def to_resume(self) -> "RunFolder":
        """The run that can be finished: one that is to replace this one, or this one.

        Raises:
            ModelError: If there is none.
        """
        for run in (self.partial, self):
            if run.config.is_file():
                return run
        raise ModelError(
            f"{self} holds no run that could be resumed; train one with "
            f"`{to_type('python -m keras_vae.train --output', self)}`."
        )

    @contextlib.contextmanager
    def resumed(self, config: TrainConfig, data: dict) -> Iterator["RunFolder"]:
        """The folder of a run that is to be finished; see `to_resume` and `written`."""
        run = self.to_resume()
        with run._locked():
            for path in known_paths(run.path):
                if path.name.startswith(files.PREFIX) and path.is_file():
                    path.unlink()  # of a training that was killed
            run._begin(config, data)
            yield run
            if run is not self:
                self._give_way(run)

    def _give_way(self, new):
        """Lets a finished run take the name of this one, which is then removed."""
        run, replaced = self.path.resolve(), self.replaced
        # a training that was killed here may have moved it already
        there = run.is_dir()
        with self._locked() if there else contextlib.nullcontext():
            try:
                if there:
                    os.rename(run, replaced.path)
                try:
                    os.rename(new.path, run)
                except OSError:
                    os.rename(replaced.path, run)
                    raise
            except OSError as error:
                raise OutputError(
                    f"The trained run {new} cannot take the place of {self} "
                    f"({error.strerror}); rename it."
                ) from error
            if replaced.path.is_dir():
                replaced._remove()

    def _remove(self):
        """Removes what is a run's, and the folder if nothing else is left in it."""
        self._clear()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _clear(self):
        for path in known_paths(self.path):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # it holds something else
                    path.rmdir()
            else:
                path.unlink()

    @contextlib.contextmanager
    def _locked(self, create=False):
        """Keeps other trainings off the folder, to the end of this or of the process.

        The lock goes with the folder where that is renamed.
        """
        with contextlib.ExitStack() as stack:
            try:
                with files.written(self.path):
                    if create:
                        self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(files.locked(self.path))
            except BlockingIOError as error:
                raise OutputError(
                    f"Another training is writing to {self}; wait for it, or choose "
                    "another folder with --output."
                ) from error
            yield


def read_config(path: Path) -> tuple[TrainConfig, Any]:
    """The options that a config.json holds, and what it says of the images.

    Args:
        path: The file.

    Returns:
        The config, and `data` as it stands there, unchecked: see `facts.wrong_facts`.

    Raises:
        ModelError: If it is not a config.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return TrainConfig.from_json(text), json.loads(text).get("data")
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {error}") from error
