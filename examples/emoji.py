"""Makes folders of pictures, one for each class, from the emoji drawings of three vendors.

`python examples/emoji.py` writes `build/emoji/train`, drawn by Google and Twitter, and
`build/emoji/test`, drawn by Microsoft. A network for them must recognise a style that it was never
trained on. The drawings come from npm packages, with these versions and licences:

* emoji-datasource-google: Noto Emoji, Apache-2.0, 64 x 64.
* emoji-datasource-twitter: Twemoji, CC-BY-4.0, 64 x 64.
* @lobehub/fluent-emoji-3d: Fluent Emoji, MIT, 256 x 256. They are made smaller.
"""

import json
import subprocess
import tarfile
from pathlib import Path

from PIL import Image

FOLDER = Path("build/emoji")
PACKAGES = {
    "google": "emoji-datasource-google@16.0.0",
    "twitter": "emoji-datasource-twitter@16.0.0",
    "microsoft": "@lobehub/fluent-emoji-3d@1.1.0",
}
TRAINED = ("google", "twitter")
# Subcategories of the Unicode emoji list, by class.
CLASSES = {
    "animal": ["animal-mammal", "animal-bird", "animal-marine", "animal-bug", "animal-reptile"],
    "building": ["place-building", "place-religious"],
    "clothing": ["clothing"],
    "face": ["face-smiling", "face-affection", "face-concerned", "face-neutral-skeptical"],
    "food": ["food-fruit", "food-vegetable", "food-prepared", "food-sweet"],
    "plant": ["plant-flower", "plant-other"],
    "sport": ["person-sport"],
    "vehicle": ["transport-ground", "transport-water", "transport-air"],
}
SIZE = 64


def main() -> None:
    """Downloads what is missing, and writes the pictures on white ground."""
    names = {entry: name for name, entries in CLASSES.items() for entry in entries}
    packages = {vendor: unpacked(package) for vendor, package in PACKAGES.items()}
    drawings = json.loads((packages["google"] / "emoji.json").read_text())
    for drawing in drawings:
        code = drawing["unified"].lower()
        files = {
            "google": packages["google"] / "img/google/64" / f"{code}.png",
            "twitter": packages["twitter"] / "img/twitter/64" / f"{code}.png",
            "microsoft": packages["microsoft"] / "assets" / f"{code}.webp",
        }
        if drawing["subcategory"] in names and all(file.exists() for file in files.values()):
            for vendor, file in files.items():
                folder = FOLDER / ("train" if vendor in TRAINED else "test")
                target = folder / names[drawing["subcategory"]] / f"{code}_{vendor}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                on_white(Image.open(file)).save(target)
    for part in ("train", "test"):
        print(f"{FOLDER / part}: {len(list((FOLDER / part).rglob('*.png')))} pictures")


def unpacked(package: str) -> Path:
    """Returns the folder with the content of an npm package."""
    folder = FOLDER / "packages" / package.replace("/", "_")
    if not folder.exists():
        folder.mkdir(parents=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
        subprocess.run(command, check=True)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        archive.unlink()
    return folder / "package"


def on_white(picture: Image.Image) -> Image.Image:
    """Returns a drawing without transparency, of the size of all others."""
    drawing = picture.convert("RGBA").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", drawing.size, "white")
    return Image.alpha_composite(ground, drawing).convert("RGB")


if __name__ == "__main__":
    main()
