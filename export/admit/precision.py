"""Changes the precision in which a saved model computes, in its configuration."""

import re
from typing import Any

_POLICY = re.compile(r"(mixed_)?b?float(16|32|64)\b")


def with_precision(config: Any, dtype: str) -> Any:
    """Returns a serialized object in which layers, inputs and casts have another float type.

    Args:
        config: Configuration of a model, or a part of one.
        dtype: `"float32"` or `"float64"`, in place of each float type and each mixed policy.
    """
    if isinstance(config, list | tuple):
        return [with_precision(entry, dtype) for entry in config]
    if not isinstance(config, dict):
        return config
    changed = {key: with_precision(value, dtype) for key, value in config.items()}
    name = "name" if config.get("class_name") == "DTypePolicy" else "dtype"
    holder = changed["config"] if name == "name" else changed
    if isinstance(holder.get(name), str):
        holder[name] = _POLICY.sub(dtype, holder[name])
    return changed


def policies(config: Any) -> set[str]:
    """Returns the names of the policies of the layers in a serialized object."""
    if isinstance(config, dict):
        own = {config["config"]["name"]} if config.get("class_name") == "DTypePolicy" else set()
        return own.union(*map(policies, config.values()))
    return set().union(*map(policies, config)) if isinstance(config, list | tuple) else set()
