"""Sizes at which each model of the zoo is small enough to build, train and export in a test."""

SMALL = {
    "capsnet": {"input_shape": (12, 12, 1), "filters": 8, "kernel_size": 3}
    | {"primary_capsules": 2, "primary_kernel_size": 3, "num_classes": 3},
    "cnn_baseline": {
        "input_shape": (12, 12, 1),
        "filters": (4, 4),
        "units": (8,),
        "num_classes": 3,
    },
    "efficient_capsnet": {"input_shape": (12, 12, 1), "filters": (8, 8), "num_classes": 3}
    | {"kernel_sizes": (3, 3), "strides": (1, 2), "primary_capsules": 2},
    "se_resnet50": {"input_shape": (12, 12, 1), "filters": (2, 4), "blocks": (1, 1)}
    | {"num_classes": 3},
}
for depth in (20, 32, 56):
    SMALL[f"se_resnet{depth}"] = {"input_shape": (12, 12, 1), "num_classes": 3}
    SMALL[f"se_resnet{depth}"] |= {"filters": (4, 8), "blocks": 1}
