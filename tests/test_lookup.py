"""What is said of a name that does not exist."""

import pytest

from keras_capsules import CapsuleLayer, create_model
from keras_capsules.attention import get as get_attention
from keras_capsules.models import default_loss


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: create_model("capsnett"), "Unknown model. Did you mean 'capsnet'? Known ones: "),
        (lambda: default_loss("segcap"), "Did you mean 'segcaps'?"),
        (lambda: CapsuleLayer(3, 4, routing="dinamic"), "Did you mean 'dynamic'?"),
        (lambda: get_attention("cbarn"), "Did you mean 'cbam'?"),
        (lambda: create_model("zzz"), r"Unknown model. Known ones: .*Received: model='zzz'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(call, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        call()
