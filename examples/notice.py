"""Writes NOTICE: the sizes, data and licences of the weights, from their cards.

`python -m examples.notice`
"""

from pathlib import Path

from keras_capsules.models import card, list_models, pretrained

NOTICE = Path(__file__).parent.parent / "NOTICE"
HEAD = """keras-capsules

The code is under the Apache License 2.0, see LICENSE.

The package has trained weights, in keras_capsules/models/weights. They were trained on the data
below, by the commands in their cards. Files with examples hold a few test samples of the data.

"""


def text() -> str:
    """Returns what NOTICE should say."""
    found = [(model, weights) for model in list_models() for weights in pretrained.names(model)]
    return HEAD + "\n".join(_entry(model, weights) for model, weights in found)


def _entry(model, weights):
    description = card(model, weights)
    size = sum((pretrained.FOLDER / name).stat().st_size for name in description["files"])
    return (
        f"{model}, {weights}: {size:,} bytes in {len(description['files'])} files\n"
        f"  data: {description['data_licence']}\n"
    )


if __name__ == "__main__":
    NOTICE.write_text(text())
