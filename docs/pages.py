"""Collects the pages of the site, and writes one of the reference for each module.

    make docs    # then open build/site/index.html

A page of the reference names what its module has in `__all__`; mkdocstrings shows the docstrings.
Tutorials and the gallery are scripts. Their pages have output and figures after `make tutorials`.
"""

import ast
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "build/site_source"
RAN = ROOT / "build/tutorials"
SCRIPTS = [*sorted((ROOT / "docs/tutorials").glob("*.py")), ROOT / "docs/gallery.py"]
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
    for script in SCRIPTS:
        write_script(script)


def moved(text: str) -> str:
    """Returns a page with its links to pages as they lie in the site, all in one folder."""
    text = re.sub(r"\]\((?:docs/|\.\./)(?=[\w/.#-]+\))", "](", text)
    text = text.replace("](README.md", "](index.md")
    text = re.sub(r"\]\((tutorials/\w+|gallery)\.py\)", r"](\1.md)", text)
    return re.sub(r"\[([^]]+)\]\((?:examples|LICENSE)\)", r"\1", text)


def reference(module: str) -> str:
    lines = [f"# {module}", ""]
    for name in public_names(module):
        lines += [f"::: {module}.{name}", ""]
    return "\n".join(lines)


def write_script(script: Path) -> None:
    """Writes the page of a script, with the output that `make tutorials` got from this code."""
    import jupytext
    from nbconvert import MarkdownExporter

    notebook, ran = jupytext.read(script), RAN / f"{script.stem}.ipynb"
    how = "runs it, and adds its output and figures to this page"
    now, last = code_of(notebook), code_of(jupytext.read(ran)) if ran.exists() else []
    if [cell.source for cell in now] == [cell.source for cell in last]:
        how = "runs it, and has made what you see"
        for cell, done in zip(now, last, strict=True):
            cell.outputs = done.outputs
    notebook.metadata["language_info"] = {"name": "python"}  # for the colours of the code
    names = {"unique_key": script.stem, "output_files_dir": script.stem}
    text, resources = MarkdownExporter().from_notebook_node(notebook, names)
    page = SOURCE / script.relative_to(ROOT / "docs").with_suffix(".md")
    (page.parent / script.stem).mkdir(parents=True)
    for name, content in resources["outputs"].items():
        (page.parent / name).write_bytes(content)
    where = f"*This page is `{script.relative_to(ROOT)}`. `make tutorials` {how}.*"
    page.write_text(f"{described(text)}\n\n{where}\n")


def code_of(notebook: dict) -> list:
    return [cell for cell in notebook["cells"] if cell.cell_type == "code"]


def described(text: str) -> str:
    """Gives each figure the heading above it as a text for those who cannot see it."""
    lines, heading = text.split("\n"), ""
    for place, line in enumerate(lines):
        if line.startswith("## "):
            heading = line[3:]
        lines[place] = line.replace("![png](", f"![Figure: {heading}](")
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
