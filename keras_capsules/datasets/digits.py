"""Loads the small digits that scikit-learn includes, without a download."""

import numpy as np


def digits(
    seed: int = 0,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Loads the 1,797 digits of scikit-learn, 8 x 8, a random fifth of them for tests.

    Args:
        seed: Integer. Seed of the split, in which each class keeps its share.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 arrays
        `(samples, 8, 8, 1)` from 0 to 255, and integer labels `(samples,)`.

    Reference:
        Alpaydin, Kaynak, 1998, UCI Machine Learning Repository, doi 10.24432/C50P49.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype("uint8")
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=seed
    )
    return (train_images, train_labels), (test_images, test_labels)
