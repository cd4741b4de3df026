"""Makes the canonical ONNX graph: names, order, rewrites, refused operations, metadata."""
