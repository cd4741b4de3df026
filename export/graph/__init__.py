"""Makes the canonical ONNX graph, with names, order, rewrites, checks and metadata."""
