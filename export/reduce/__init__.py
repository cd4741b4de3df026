"""Makes float16 and int8 files, and judges them."""
