"""What config.json says of a run's images, believed only when it can be true."""

from typing import Any

from keras_vae.errors import shown

MOST = 2**16  # pixels in a row or column; classes


def _is_count(value, most=2**63):
    return type(value) is int and 1 <= value <= most


def _is_shape(value):
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(_is_count(size, MOST) for size in value)


def _are_names(value):
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


# fact -> whether its value can be one
FACTS = {
    "name": lambda value: isinstance(value, str),
    "image_shape": _is_shape,
    "num_classes": lambda value: value is None or _is_count(value, MOST),
    "num_images": _is_count,
    "class_names": lambda value: value is None or _are_names(value),
}


def wrong_facts(data: Any) -> str | None:
    """What is wrong with the facts of a config.json.

    Args:
        data: Its `data`, as JSON has it: a dict with at least `FACTS`.

    Returns:
        The rest of a sentence that begins with the file; None if they can be used.

    Example:
        >>> wrong_facts({"name": "digits"})
        "does not say what its data's class_names, image_shape, num_classes, num_images\
 are"
    """
    missing = set(FACTS) - set(data if isinstance(data, dict) else ())
    if missing:
        return f"does not say what its data's {', '.join(sorted(missing))} are"
    for name, can_be in FACTS.items():
        if not can_be(data[name]):
            return f"says that its data's {name} is {shown(data[name])}"
    if data["class_names"] and len(data["class_names"]) != data["num_classes"]:
        return "does not have a name for each class of its data"
    return None
