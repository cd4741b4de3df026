"""The versions of what is installed."""

from importlib.metadata import PackageNotFoundError, packages_distributions, version


def versions(names) -> dict[str, str]:
    """Returns the version of each package that is installed, whatever its distribution is called.

    `tensorflow` also comes as tensorflow-cpu, and `onnxruntime` as onnxruntime-gpu.
    """
    distributions = packages_distributions()
    found = {}
    for name in names:
        for distribution in (name, *distributions.get(name, ())):
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    return found
