"""Every model of the corpus is exported and computes the same, or is refused with a remedy.

`make test` takes one variant of each function, `make test-corpus` takes all.
"""

import pytest
from conftest import once

from export import errors
from tests.export.corpus.comparison import convert_here, largest_difference
from tests.export.corpus.registry import GROUPS, entries

ENTRIES = entries()
SAMPLE = {
    (entry.group, entry.function): entry for entry in reversed(ENTRIES) if not entry.slow
}.values()  # The first variant of each function.

pytestmark = once


PARAMETERS = [
    pytest.param(entry, id=entry.id, marks=() if entry in SAMPLE else pytest.mark.corpus)
    for entry in ENTRIES
]


@pytest.mark.parametrize("entry", PARAMETERS)
def test_model(entry):
    model = entry.build()
    if entry.refusal is None:
        converted, file = convert_here(model)
        assert largest_difference(entry, converted, file) <= entry.tolerance
        return
    with pytest.raises(getattr(errors, entry.refusal.error)) as caught:
        convert_here(model)
    assert [word for word in entry.refusal.words if word not in str(caught.value)] == []


def test_every_group_has_models():
    assert {entry.group for entry in ENTRIES} == set(GROUPS)
    assert len(ENTRIES) >= 120
