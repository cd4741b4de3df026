"""Makes blocks of code of the examples in docstrings, for the pages of the reference."""

import re

from griffe import Extension

# Lines from `>>>` to the next empty line.
EXAMPLE = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.S | re.M)


class Examples(Extension):
    """Fences examples, which Markdown would take for quotations."""

    def on_instance(self, *, obj, **kwargs) -> None:
        if obj.docstring:
            value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            obj.docstring.value = re.sub(r"^(Example|Reference):$", r"**\1:**", value, flags=re.M)
