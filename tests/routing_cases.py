"""What each routing should give: options, and its float64 reference on inputs and weights."""

from reference import routing as reference

CASES = [
    *[
        ("dynamic", {"iterations": r}, lambda x, w, r=r: reference.dynamic(x["votes"], r))
        for r in (1, 2, 3, 5)
    ],
    ("dynamic", {"stop_gradient": True}, lambda x, w: reference.dynamic(x["votes"])),
    ("dynamic", {"leaky": True}, lambda x, w: reference.dynamic_leaky(x["votes"])),
    *[
        ("em", {"iterations": r}, lambda x, w, r=r: reference.em(**x, **w, iterations=r))
        for r in (1, 3)
    ],
    (
        "em",
        {"final_lambda": 0.5, "epsilon": 1e-3},
        lambda x, w: reference.em(**x, **w, final_lambda=0.5, epsilon=1e-3),
    ),
    *[
        ("heinsen", {"iterations": r}, lambda x, w, r=r: reference.heinsen(**x, **w, iterations=r))
        for r in (1, 3)
    ],
    *[
        (
            "inverted_dot_product",
            {"iterations": r},
            lambda x, w, r=r: reference.inverted_dot_product(**x, **w, iterations=r),
        )
        for r in (1, 2)
    ],
    *[
        ("kmeans", {"iterations": r}, lambda x, w, r=r: reference.kmeans(x["votes"], r))
        for r in (1, 3)
    ],
    ("kmeans", {"squash_output": False}, lambda x, w: reference.kmeans(x["votes"], 3, False)),
    ("self_attention", {}, lambda x, w: reference.self_attention(**x, **w)),
    ("self_routing", {}, lambda x, w: reference.self_routing(**x, **w)),
    (
        "squeeze_excitation",
        {},
        lambda x, w: reference.squeeze_excitation(
            *(x["votes"], w["reduce/kernel"], w["reduce/bias"]),
            *(w["excite/kernel"], w["excite/bias"]),
        ),
    ),
    ("uniform", {}, lambda x, w: reference.uniform(x["votes"])),
    *[
        (
            "variational_bayes",
            {"normalize": False, **options},
            lambda x, w, options=options: reference.variational_bayes(**x, **w, **options),
        )
        for options in ({"iterations": 1}, {}, {"alpha0": 2.0, "kappa0": 0.5, "psi0": 3.0})
    ],
]
