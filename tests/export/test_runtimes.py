"""Which onnxruntime runs which opset."""

from conftest import once

from export import runtimes

pytestmark = once


def test_opsets_of_releases():
    chosen = {m: runtimes.choose_opset(None, m) for m in ("1.6", "1.8", "1.10", "1.11", "1.20")}
    assert chosen == {"1.6": 13, "1.8": 14, "1.10": 15, "1.11": 16, "1.20": 17}
    assert runtimes.choose_opset(None, None) == 17
    assert runtimes.choose_opset(18, "1.14.1") == 18
    assert [runtimes.oldest_for(*pair) for pair in ((13, 7), (17, 8), (18, 8))] == [
        *("1.6", "1.12", "1.14")
    ]
