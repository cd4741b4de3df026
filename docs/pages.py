"""Collects the pages of the site, and writes one of the reference for each module.

    make docs    # then open build/site/index.html

A page of the reference names what its module has in `__all__`; mkdocstrings shows the docstrings.
"""

import ast
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "build/site_source"
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
# The page of each module with public names, and those that are not in an `__all__`.
MODULES = {
    name: f"keras_capsules.{name}"
    for name in (
        *("layers", "routing", "attention", "losses", "metrics", "callbacks", "initializers"),
        *("ops", "models", "heads", "surgery", "explain", "datasets", "distribution"),
    )
} | {"export": "export", "device": "export.device"}


def main() -> None:
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "reference").mkdir(parents=True)
    for folder in ("assets", "figures"):
        shutil.copytree(ROOT / "docs" / folder, SOURCE / folder)
    for page in (*(ROOT / name for name in TOP), *sorted((ROOT / "docs").glob("*.md"))):
        name = "index.md" if page.name == "README.md" else page.name
        (SOURCE / name).write_text(moved(page.read_text()))
    for name, module in MODULES.items():
        (SOURCE / f"reference/{name}.md").write_text(reference(module))


def moved(text: str) -> str:
    """Returns a page with its links to pages as they lie in the site, all in one folder."""
    text = re.sub(r"\]\((?:docs/|\.\./)(?=[\w/.#-]+\))", "](", text)
    text = text.replace("](README.md", "](index.md")
    return re.sub(r"\[([^]]+)\]\((?:examples|LICENSE)\)", r"\1", text)


def reference(module: str) -> str:
    lines = [f"# {module}", ""]
    for name in public_names(module):
        lines += [f"::: {module}.{name}", ""]
    return "\n".join(lines)


def public_names(module: str) -> list[str]:
    """Returns what a module has in `__all__`, or its public functions and classes."""
    tree = ast.parse(source(module).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    return [name for name in names if not name.startswith("_") and name != "main"]


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


if __name__ == "__main__":
    main()
