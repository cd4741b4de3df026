"""The equations once more, in float64 NumPy, written from the papers and not from the layers."""
