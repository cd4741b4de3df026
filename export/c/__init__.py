"""Makes C99 programs of exported files, and verifies them here and on an emulated chip."""
