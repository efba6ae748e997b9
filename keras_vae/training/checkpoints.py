"""Checkpoints: a training that is killed goes on to the very same bits.

    vae.fit(images, epochs=150, callbacks=[Checkpoint("run")])

Run again, the same lines go on where they were cut, at the end of an epoch or in the
middle of one, and end with the weights, the history and the files of a training in one
go. What is needed for that, and saved in one file each time:

- every variable: weights, slots of the optimizer, noise, metrics;
- where the training is: epochs, and steps of the next one. The order of the images is a
  function of (seed, epoch), so that needs no state;
- what has changed in the other callbacks since `fit` began;
- settings and surroundings, for under others the numbers would be others.

An epoch that was cut is run as one of full length, whose first calls do nothing: the
data leave those steps out. So callbacks see whole epochs.
"""

import contextlib
import re
import time
from pathlib import Path
from typing import Any

import keras

from keras_vae.data.start import Start
from keras_vae.errors import (
    ModelError,
    OutputError,
    Stopped,
    UsageError,
    shown,
    whole_number,
)
from keras_vae.files import PREFIX, locked, written
from keras_vae.training import state
from keras_vae.training.devices import has_workers, is_chief
from keras_vae.training.signals import noted_signals
from keras_vae.training.surroundings import (
    callback_state,
    difference,
    restore_callback,
    versions,
)

FORMAT = 1
UNITS = ("epochs", "steps", "minutes")
INNER = "callbacks/"  # of arrays that are no variables
NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.safetensors")
KEPT = 2  # generations
STOPPING = "Stopping after this step; Ctrl-C again ends at once."


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole state of a training, and goes on from it.

    `fit` with this callback goes on from the newest checkpoint in the folder, if there
    is one; it then ends as it would have without the interruption, bit for bit.
    Ctrl-C and SIGTERM end it after the step, when all is saved.

    Batches of a `tf.data.Dataset` or a generator are read again from the first one, so
    their order must be the same each time; where their number is not known, the
    training goes on at the end of an epoch only.

    Args:
        folder: where to; it is made if need be. It is for one training alone.
        every: (number, unit), how often to save beside the training's end: unit is
            `"epochs"`, `"steps"` or `"minutes"`.
        elsewhere: bool, whether to go on under other versions of libraries or on
            another machine, where the last bits may differ, and files other times.

    Raises:
        UsageError: if `every` is no such pair.
        ModelError: from `fit`, if the checkpoints are damaged, or of another training;
            the setting that differs is named.
        OutputError: from `fit`, if another training has the folder, or it cannot be
            written.
        DivergedError: from `fit`, if a number to be saved is NaN or infinite.

    Example:
        >>> vae.fit(images, epochs=150, callbacks=[Checkpoint("run", (10, "minutes"))])
    """

    def __init__(
        self,
        folder: Path | str,
        every: tuple[int, str] = (1, "epochs"),
        elsewhere: bool = False,
    ):
        super().__init__()
        self.folder = Path(folder)
        number, unit = every
        self.every = whole_number("every", number)
        if unit not in UNITS:
            raise UsageError(f"every must be in {', '.join(UNITS)}; got {unit!r}.")
        self.unit = unit
        self.elsewhere = elsewhere
        self._found: Any = None  # or path, arrays and facts to go on from

    # === Going on ===

    def find(self) -> Start | None:
        """Reads the newest checkpoint; returns where it is, None if there is none.

        Raises:
            ModelError: if there are some, and none can be read.
        """
        self._found = None
        errors = []
        for path in self.generations():
            try:
                arrays, facts = state.read(path)
                found = _checked(path, facts)
            except ModelError as error:
                errors.append(str(error))
                continue
            if errors:
                print(f"{errors[0]} The training goes on from {path.name}.", flush=True)
            self._found = path, arrays, facts
            return found
        if errors:
            raise ModelError(f"{errors[0]} No other is left; start again.")
        return None

    def generations(self) -> list[Path]:
        """The checkpoints in the folder, the newest first."""
        if not self.folder.is_dir():
            return []
        found = {path: NAME.fullmatch(path.name) for path in self.folder.iterdir()}
        places = {p: (int(m[1]), int(m[2])) for p, m in found.items() if m}
        return sorted(places, key=lambda path: places[path], reverse=True)

    @property
    def stopped(self) -> bool:
        """Whether the training that was found had ended itself, before its epochs."""
        return self._found is not None and self._found[2]["stopped"]

    @property
    def steps_per_execution(self) -> int:
        """The steps in a call of the training that was found."""
        return self._found[2]["steps_per_execution"]

    @property
    def order(self) -> int:
        """The order of images in the training that was found."""
        return self._found[2]["order"]

    @contextlib.contextmanager
    def running(self, model, callbacks, settings: dict, start: Start, steps):
        """Around the training: gives the model its state, and takes signals.

        Args:
            model: the compiled `keras.Model`.
            callbacks: all that `fit` has.
            settings: what must be as it was, JSON values.
            start: where `fit` begins.
            steps: int, of an epoch; None where that is not known.
        """
        self._others = [one for one in callbacks if one is not self]
        self._begun = [callback_state(one) for one in self._others]
        replicas = {"replicas": model.strategy.num_replicas_in_sync}
        self._facts = {"settings": settings, "versions": versions() | replicas}
        self._writes = is_chief(model.strategy)
        self._alone = not has_workers(model.strategy)
        self._start, self._steps = start, steps
        if steps is None and self.unit != "epochs":
            raise UsageError(
                f"A training on data of unknown length is saved in epochs; got every="
                f"({self.every}, {self.unit!r}). Pass steps_per_epoch."
            )
        with contextlib.ExitStack() as stack:
            if self._writes:
                stack.enter_context(self._owned_folder())
            self._signal = stack.enter_context(noted_signals(STOPPING))
            if self._found is not None:
                self._check()
                self._restore(model)
            yield
            if self._signal.number:
                self._stop("after the last epoch")

    @contextlib.contextmanager
    def _owned_folder(self):
        with contextlib.ExitStack() as stack:
            try:
                with written(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder))
            except BlockingIOError as error:
                raise OutputError(
                    f"Another training saves to {self.folder}; wait for it, or choose "
                    "another folder."
                ) from error
            for path in self.folder.glob(f"{PREFIX}epoch-*-step-*.safetensors"):
                path.unlink()  # of a training that was killed
            yield

    def _check(self):
        path, _, facts = self._found
        for kind, advice in (
            ("settings", "give it the value it had, or start anew elsewhere"),
            ("versions", "restore that, or allow it, where the last bits may differ"),
        ):
            expected = dict(facts[kind])
            if self.elsewhere:  # files have other times there; memory holds more, less
                if kind == "versions":
                    continue
                expected["data"] = self._facts[kind]["data"]
            name, before, now = difference(expected, self._facts[kind])
            if name == "data":
                advice = "bring its images back, or allow it if they are the same"
            if name:
                raise ModelError(
                    f"{path.parent} holds a training with {name} {before}, not {now}; "
                    f"{advice}."
                )

    def _restore(self, model):
        path, arrays, _ = self._found
        arrays = {name: a for name, a in arrays.items() if not name.startswith(INNER)}
        state.assign(path, arrays, self._variables(model))

    def _variables(self, model):
        return state.by_name(
            [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        )

    # === As Keras calls it: last of all callbacks ===

    def on_train_begin(self, logs=None):
        self._epoch, self._done = self._start.epoch, self._start.step
        self._saved = time.monotonic()
        self._saved_steps = 0
        self._restore_callbacks()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._done = epoch, 0
        if self._start.step and epoch == self._start.epoch:  # it was cut
            self._restore(self.model)
            self._restore_callbacks()
            _skip_calls(self.model, self._start.step)
        else:
            self._found = None  # no more needed

    def on_train_batch_end(self, batch, logs=None):
        if (steps := self._steps) is None:
            return
        before, self._done = self._done, min(batch + 1, steps)
        done = self._done
        if (self._epoch, done) <= self._start[:2]:
            return  # another has done it
        self._saved_steps += done - before
        due = {
            "epochs": False,
            "steps": self._saved_steps >= self.every,
            "minutes": time.monotonic() - self._saved >= 60 * self.every,
        }
        if due[self.unit] or (self._signal.number and self._alone):
            self._save(self._epoch, done)
        if self._signal.number:
            self._stop(f"in epoch {self._epoch + 1}, after {done} of {steps} steps")

    def on_epoch_end(self, epoch, logs=None):
        last = self.model.stop_training or epoch + 1 == self.params["epochs"]
        due = self.unit != "epochs" or (epoch + 1) % self.every == 0
        if due or last or (self._signal.number and self._alone):
            self._save(epoch + 1, 0)
        if self._signal.number:
            self._stop(f"after epoch {epoch + 1}")

    def _save(self, epoch, step):
        arrays = state.arrays_of(self._variables(self.model))
        changed = {}
        for name, callback, begun in self._named():
            now = callback_state(callback, arrays)
            changed[name] = {k: v for k, v in now.items() if begun.get(k) != v}
        facts = self._facts | {
            "format": FORMAT,
            "epoch": epoch,
            "step": step,
            "steps_per_execution": self.model.steps_per_execution,
            "order": self.model._order,
            "stopped": bool(self.model.stop_training),
            "callbacks": changed,
        }
        if self._writes:
            name = f"epoch-{epoch:04d}-step-{step:06d}.safetensors"
            state.write(self.folder / name, arrays, facts)
            for path in self.generations()[KEPT:]:
                path.unlink()
        self._saved, self._saved_steps = time.monotonic(), 0

    def _named(self):
        """Names, callbacks and what they were when `fit` began."""
        count: dict[str, int] = {}
        for callback, begun in zip(self._others, self._begun, strict=True):
            kind = f"{type(callback).__module__}.{type(callback).__qualname__}"
            count[kind] = count.get(kind, -1) + 1
            yield f"{kind}:{count[kind]}", callback, begun

    def _restore_callbacks(self):
        if self._found is None:
            return
        _, arrays, facts = self._found
        for name, callback, _ in self._named():
            restore_callback(callback, facts["callbacks"].get(name, {}), arrays)

    def _stop(self, where):
        number = self._signal.number
        # workers are not at the same step when the signal comes
        saved = "all is saved" if self._alone else "what was saved before is"
        raise Stopped(f"Stopped {where}; {saved} in {self.folder}.", number)


def _checked(path, facts) -> Start:
    """Where a checkpoint is, if its facts can be true."""
    kinds = {
        **dict.fromkeys(("epoch", "step", "steps_per_execution", "order"), int),
        **dict.fromkeys(("settings", "versions", "callbacks"), dict),
        "stopped": bool,
    }
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ModelError(f"{path} is not a checkpoint of this version.")
    facts.setdefault("order", 0)  # which the first files did not have
    for name, kind in kinds.items():
        value: Any = facts.get(name)
        if type(value) is not kind or (kind is int and value < 0):
            raise ModelError(f"{path} is no checkpoint: its {name} is {shown(value)}.")
    place: Any = NAME.fullmatch(path.name)
    if (int(place[1]), int(place[2])) != (facts["epoch"], facts["step"]):
        raise ModelError(f"{path} has another's name: it is of epoch {facts['epoch']}.")
    return Start(facts["epoch"], facts["step"], resumed=True)


def _skip_calls(model, steps):
    """Lets the calls for the first steps of an epoch do nothing."""
    function = model.train_function
    calls = -(-steps // model.steps_per_execution)

    def skip(iterator):
        nonlocal calls
        calls -= 1
        if not calls:
            model.train_function = function
        return model.get_metrics_result()

    model.train_function = skip
