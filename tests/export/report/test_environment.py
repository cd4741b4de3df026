"""The machine and the versions of environment."""

from export import doctor
from export.report import environment


def test_a_package_whose_distribution_has_another_name(monkeypatch):
    def version(name):
        if name != "tensorflow_cpu":
            raise environment.PackageNotFoundError(name)
        return "2.20.0"

    monkeypatch.setattr(environment, "version", version)
    monkeypatch.setattr(
        environment, "packages_distributions", lambda: {"tensorflow": ["other", "tensorflow_cpu"]}
    )
    assert environment.versions(["tensorflow", "torch"]) == {"tensorflow": "2.20.0"}
    assert doctor.installed_versions()["tensorflow"] == "2.20.0"
    assert doctor.installed_versions()["torch"] is None
