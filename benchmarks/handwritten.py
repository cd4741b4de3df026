"""Contains the ONNX graph of the layer of `benchmarks.export`, written by hand for every routing.

The layer is `CapsuleLayer(10, 16)` on 1152 poses of 8. It has a transpose, one matmul for all
votes, a reshape and a transpose. Then each equation of the routing's docstring follows in the
plainest operations, with sums over children as matmuls. The layout of the weights is prepared, so
no node has to change it.
"""

import onnx
import onnx.inliner
import onnx.parser
from onnx import numpy_helper

VOTES = "votes = local.votes (poses, kernel)"
PARENTS = "row = Constant <value_ints = [2]> () parents = Squeeze (v, row)"

ROUTINGS = {
    "uniform": """
        s = local.mean (votes)
        v = local.squash (s)
    """,
    "dynamic": """
        s1 = local.mean (votes)
        v1 = local.squash (s1)
        b1 = local.agreement (votes, v1)
        c1 = Softmax <axis = 1> (b1)
        s2 = local.combine (c1, votes)
        v2 = local.squash (s2)
        a2 = local.agreement (votes, v2)
        b2 = Add (b1, a2)
        c2 = Softmax <axis = 1> (b2)
        s3 = local.combine (c2, votes)
        v = local.squash (s3)
    """,
    "kmeans": """
        s0 = local.mean (votes)
        o0 = local.direction (s0)
        b1 = local.agreement (votes, o0)
        c1 = Softmax <axis = 1> (b1)
        s1 = local.combine (c1, votes)
        o1 = local.direction (s1)
        b2 = local.agreement (votes, o1)
        c2 = Softmax <axis = 1> (b2)
        s2 = local.combine (c2, votes)
        o2 = local.direction (s2)
        b3 = local.agreement (votes, o2)
        c3 = Softmax <axis = 1> (b3)
        s3 = local.combine (c3, votes)
        v = local.squash (s3)
    """,
    "inverted_dot_product": """
        four = Constant <value_float = 4.0> ()
        s0 = local.mean (votes)
        p0 = local.layer_norm (s0, gamma, beta)
        a1 = local.agreement (votes, p0)
        b1 = Div (a1, four)
        c1 = Softmax <axis = 1> (b1)
        s1 = local.combine (c1, votes)
        p1 = local.layer_norm (s1, gamma, beta)
        a2 = local.agreement (votes, p1)
        b2 = Div (a2, four)
        c2 = Softmax <axis = 1> (b2)
        s2 = local.combine (c2, votes)
        v = local.layer_norm (s2, gamma, beta)
    """,
    "self_attention": """
        children = Constant <value_ints = [2]> ()
        four = Constant <value_float = 4.0> ()
        sum = ReduceSum (votes, children)
        a = local.agreement (votes, sum)
        b = Div (a, four)
        shares = Softmax <axis = 1> (b)
        c = Add (shares, prior)
        s = local.combine (c, votes)
        v = local.exponential_squash (s)
    """,
    "squeeze_excitation": """
        ten = Constant <value_float = 10.0> ()
        axis = Constant <value_ints = [3]> ()
        z = ReduceMean <axes = [3], keepdims = 0> (votes)
        z1 = MatMul (z, reduce_kernel)
        z2 = Add (z1, reduce_bias)
        hidden = Relu (z2)
        z3 = MatMul (hidden, excite_kernel)
        z4 = Add (z3, excite_bias)
        gates = Sigmoid (z4)
        shares = Div (gates, ten)
        c = Unsqueeze (shares, axis)
        s = local.combine (c, votes)
        v = local.squash (s)
    """,
    "self_routing": """
        child = Constant <value_ints = [2]> ()
        all = Constant <value_ints = [1]> ()
        last = Constant <value_ints = [3]> ()
        children = Transpose <perm = [1, 0, 2]> (poses)
        products = MatMul (children, gate_kernel)
        ordered = Transpose <perm = [1, 0, 2]> (products)
        logits = Add (ordered, gate_bias)
        shares = Softmax <axis = -1> (logits)
        c = Transpose <perm = [0, 2, 1]> (shares)
        a = Unsqueeze (activations, all)
        weights = Mul (c, a)
        used = ReduceSum <keepdims = 0> (weights, child)
        total = ReduceSum (activations, all)
        presence = Div (used, total)
        weights4 = Unsqueeze (weights, last)
        s = local.combine (weights4, votes)
        mass = ReduceSum (weights4, child)
        v = Div (s, mass)
    """,
    "em": """
        a, w1 = local.equal_weights (activations)
        lambda1 = Constant <value_float = 0.0005> ()
        lambda2 = Constant <value_float = 0.000975> ()
        lambda3 = Constant <value_float = 0.00142625> ()
        epsilon = Constant <value_float = 0.0001> ()
        m1, squares1, variance1 = local.fit (w1, votes, epsilon)
        z1 = local.merit (w1, variance1, beta_u, beta_a, lambda1)
        w2 = local.expect (a, squares1, variance1, z1)
        m2, squares2, variance2 = local.fit (w2, votes, epsilon)
        z2 = local.merit (w2, variance2, beta_u, beta_a, lambda2)
        w3 = local.expect (a, squares2, variance2, z2)
        v, squares3, variance3 = local.fit (w3, votes, epsilon)
        z3 = local.merit (w3, variance3, beta_u, beta_a, lambda3)
        presence = local.presence (z3)
    """,
    "heinsen": """
        a, w1 = local.equal_weights (activations)
        epsilon = Constant <value_float = 0.00001> ()
        m1, squares1, variance1 = local.fit (w1, votes, epsilon)
        z1 = local.net_use (a, w1, beta_use, beta_ign)
        w2 = local.expect (a, squares1, variance1, z1)
        m2, squares2, variance2 = local.fit (w2, votes, epsilon)
        z2 = local.net_use (a, w2, beta_use, beta_ign)
        w3 = local.expect (a, squares2, variance2, z2)
        v, squares3, variance3 = local.fit (w3, votes, epsilon)
        z3 = local.net_use (a, w3, beta_use, beta_ign)
        presence = local.presence (z3)
    """,
    "variational_bayes": """
        a, w1 = local.equal_weights (activations)
        m1, psi1, kappa1, nu1, pi1, det1 = local.posterior (w1, votes, orders)
        w2 = local.responsibility (a, votes, m1, psi1, kappa1, nu1, pi1, det1)
        m2, psi2, kappa2, nu2, pi2, det2 = local.posterior (w2, votes, orders)
        w3 = local.responsibility (a, votes, m2, psi2, kappa2, nu2, pi2, det2)
        m3, psi3, kappa3, nu3, pi3, det3 = local.posterior (w3, votes, orders)
        entropy0 = Constant <value_float = 22.703016531274763> ()
        half = Constant <value_float = 0.5> ()
        half_det = Mul (det3, half)
        entropy = Sub (entropy0, half_det)
        weight = Exp (pi3)
        weighted = Mul (weight, entropy)
        cost = Add (weighted, beta_u)
        merit = Sub (beta_a, cost)
        centered = Sub (merit, presence_mean)
        z = Div (centered, presence_deviation)
        presence = local.presence (z)
        difference = Sub (m3, pose_mean)
        v = Div (difference, pose_deviation)
    """,
}

FUNCTIONS = """
votes (poses, kernel) => (votes) {
    sizes = Constant <value_ints = [1152, -1, 10, 16]> ()
    children = Transpose <perm = [1, 0, 2]> (poses)
    flat = MatMul (children, kernel)
    split = Reshape (flat, sizes)
    votes = Transpose <perm = [1, 2, 0, 3]> (split)
}
mean (votes) => (s) {
    children = Constant <value_ints = [2]> ()
    ten = Constant <value_float = 10.0> ()
    sum = ReduceSum (votes, children)
    s = Div (sum, ten)
}
agreement (votes, v) => (b) {
    column = Transpose <perm = [0, 1, 3, 2]> (v)
    b = MatMul (votes, column)
}
combine (c, votes) => (s) {
    row = Transpose <perm = [0, 1, 3, 2]> (c)
    s = MatMul (row, votes)
}
square (s) => (square) {
    components = Constant <value_ints = [3]> ()
    epsilon = Constant <value_float = 1e-12> ()
    squares = Mul (s, s)
    sum = ReduceSum (squares, components)
    square = Add (sum, epsilon)
}
squash (s) => (v) {
    one = Constant <value_float = 1.0> ()
    square = local.square (s)
    norm = Sqrt (square)
    more = Add (square, one)
    scale = Div (norm, more)
    v = Mul (s, scale)
}
exponential_squash (s) => (v) {
    one = Constant <value_float = 1.0> ()
    square = local.square (s)
    norm = Sqrt (square)
    negative = Neg (norm)
    power = Exp (negative)
    length = Sub (one, power)
    scale = Div (length, norm)
    v = Mul (s, scale)
}
direction (s) => (v) {
    square = local.square (s)
    norm = Sqrt (square)
    v = Div (s, norm)
}
layer_norm (s, gamma, beta) => (p) {
    epsilon = Constant <value_float = 0.00001> ()
    mean = ReduceMean <axes = [3]> (s)
    centered = Sub (s, mean)
    squares = Mul (centered, centered)
    variance = ReduceMean <axes = [3]> (squares)
    more = Add (variance, epsilon)
    deviation = Sqrt (more)
    normal = Div (centered, deviation)
    scaled = Mul (normal, gamma)
    p = Add (scaled, beta)
}
equal_weights (activations) => (a, w) {
    axes = Constant <value_ints = [1, 2]> ()
    ten = Constant <value_float = 10.0> ()
    a = Unsqueeze (activations, axes)
    w = Div (a, ten)
}
fit (w, votes, epsilon) => (mean, squares, variance) {
    children = Constant <value_ints = [3]> ()
    mass = ReduceSum (w, children)
    sum = MatMul (w, votes)
    mean = Div (sum, mass)
    difference = Sub (votes, mean)
    squares = Mul (difference, difference)
    scatter = MatMul (w, squares)
    spread = Div (scatter, mass)
    variance = Add (spread, epsilon)
}
log_deviation (variance) => (sum) {
    components = Constant <value_ints = [3]> ()
    half = Constant <value_float = 0.5> ()
    log = Log (variance)
    logs = ReduceSum (log, components)
    sum = Mul (logs, half)
}
merit (w, variance, beta_u, beta_a, lambda) => (z) {
    children = Constant <value_ints = [3]> ()
    dim = Constant <value_float = 16.0> ()
    mass = ReduceSum (w, children)
    logs = local.log_deviation (variance)
    betas = Mul (dim, beta_u)
    each = Add (betas, logs)
    cost = Mul (each, mass)
    merit = Sub (beta_a, cost)
    z = Mul (merit, lambda)
}
net_use (a, w, beta_use, beta_ign) => (z) {
    children = Constant <value_ints = [3]> ()
    rest = Sub (a, w)
    benefit = Mul (beta_use, w)
    price = Mul (beta_ign, rest)
    net = Sub (benefit, price)
    z = ReduceSum (net, children)
}
expect (a, squares, variance, z) => (w) {
    components = Constant <value_ints = [3]> ()
    half = Constant <value_float = 0.5> ()
    ratios = Div (squares, variance)
    distance = ReduceSum (ratios, components)
    half_distance = Mul (distance, half)
    logs = local.log_deviation (variance)
    away = Add (half_distance, logs)
    absence = Neg (z)
    unlikely = Softplus (absence)
    cost = Add (away, unlikely)
    posterior = Neg (cost)
    w = local.weights (a, posterior)
}
weights (a, logits) => (w) {
    shares = Softmax <axis = 1> (logits)
    row = Transpose <perm = [0, 1, 3, 2]> (shares)
    w = Mul (row, a)
}
presence (z) => (presence) {
    axes = Constant <value_ints = [2, 3]> ()
    probability = Sigmoid (z)
    presence = Squeeze (probability, axes)
}
posterior (w, votes, orders) => (m, psi, kappa, nu, log_pi, log_det) {
    parents = Constant <value_ints = [1]> ()
    children = Constant <value_ints = [3]> ()
    one = Constant <value_float = 1.0> ()
    ten = Constant <value_floats = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]> ()
    shape = Constant <value_ints = [1, 10, 1, 1]> ()
    seventeen = Constant <value_float = 17.0> ()
    two = Constant <value_float = 2.0> ()
    log_two = Constant <value_float = 11.090354888959125> ()
    each = Reshape (ten, shape)
    used = ReduceSum (w, children)
    mass = Mul (used, each)
    alpha = Add (mass, one)
    kappa = Add (mass, one)
    nu = Add (mass, seventeen)
    sum = MatMul (w, votes)
    mean = Div (sum, mass)
    share = Div (mass, kappa)
    m = Mul (share, mean)
    difference = Sub (votes, mean)
    squares = Mul (difference, difference)
    scatter = MatMul (w, squares)
    mean_square = Mul (mean, m)
    psi0 = Add (scatter, mean_square)
    psi = Add (psi0, one)
    all = ReduceSum (alpha, parents)
    own = local.digamma (alpha)
    whole = local.digamma (all)
    log_pi = Sub (own, whole)
    freedom = Sub (nu, orders)
    halves = Div (freedom, two)
    digammas = local.digamma (halves)
    log_psi = Log (psi)
    terms = Sub (digammas, log_psi)
    total = ReduceSum (terms, children)
    log_det = Add (total, log_two)
}
responsibility (a, votes, m, psi, kappa, nu, log_pi, log_det) => (w) {
    components = Constant <value_ints = [3]> ()
    dim = Constant <value_float = 16.0> ()
    half = Constant <value_float = 0.5> ()
    difference = Sub (votes, m)
    squares = Mul (difference, difference)
    ratios = Div (squares, psi)
    sum = ReduceSum (ratios, components)
    distance = Mul (nu, sum)
    spread = Div (dim, kappa)
    known = Sub (log_det, spread)
    density = Sub (known, distance)
    half_density = Mul (density, half)
    logits = Add (log_pi, half_density)
    w = local.weights (a, logits)
}
digamma (x) => (y) {
    one = Constant <value_float = 1.0> ()
    half = Constant <value_float = 0.5> ()
    last = Constant <value_ints = [-1]> ()
    new = Constant <value_ints = [4]> ()
    steps = Constant <value_floats = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]> ()
    six = Constant <value_float = 6.0> ()
    c1 = Constant <value_float = 0.08333333333333333> ()
    c2 = Constant <value_float = 0.008333333333333333> ()
    c3 = Constant <value_float = 0.003968253968253968> ()
    large = Add (x, six)
    log = Log (large)
    inverse = Div (one, large)
    square = Mul (inverse, inverse)
    term3 = Mul (square, c3)
    sum3 = Sub (c2, term3)
    term2 = Mul (square, sum3)
    sum2 = Sub (c1, term2)
    series = Mul (square, sum2)
    first = Mul (inverse, half)
    wide = Unsqueeze (x, new)
    arguments = Add (wide, steps)
    inverses = Div (one, arguments)
    recurrence = ReduceSum <keepdims = 0> (inverses, last)
    y1 = Sub (log, first)
    y2 = Sub (y1, series)
    y = Sub (y2, recurrence)
}
"""


def graph(routing: str, weights: dict) -> onnx.ModelProto:
    """Returns the graph of the layer with this routing.

    Args:
        routing: String. Name of the routing.
        weights: Arrays by their names in the text above, in the layout that this text needs.
    """
    body = ROUTINGS[routing]
    explicit = "activations" in body
    inputs = "float[batch, 1152, 8] poses" + ", float[batch, 1152] activations" * explicit
    outputs = "float[batch, 10, 16] parents" + ", float[batch, 10] presence" * explicit
    functions = FUNCTIONS.replace("\n}\n", "\n}\n" + _FUNCTION).removesuffix(_FUNCTION)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17, "local": 1]> {routing} ({inputs}) => ({outputs}) '
        f"{{ {VOTES} {body} {PARENTS} }} {_FUNCTION} {functions}"
    )
    model = onnx.inliner.inline_local_functions(model)
    model.graph.initializer.extend(numpy_helper.from_array(*pair[::-1]) for pair in weights.items())
    onnx.checker.check_model(model, full_check=True)
    return model


_FUNCTION = '<domain: "local", opset_import: ["": 17, "local": 1]>'
