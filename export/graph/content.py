"""The bytes of a file, apart from what makes it: that imports more than some processes need."""

import onnx


def serialize(model: onnx.ModelProto) -> bytes:
    """Returns the bytes of the file, the same each time."""
    return model.SerializeToString(deterministic=True)
