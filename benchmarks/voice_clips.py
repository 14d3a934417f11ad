"""Real speech: eight clips of Debian's alsa-utils, 48 kHz, about 1.5 seconds each, "Front center" and so on.

They are fetched with the system's own package tools, checked, and kept beside the converted models; never committed.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError

from .real_models import models_folder

PACKAGE = "alsa-utils"
_INSIDE = "usr/share/sounds/alsa"

CLIPS = {
    "Front_Center.wav": "0d61518bcd3f13b0c709a5298e939caf698b80d31d71d50475365ee0e5536cc9",
    "Front_Left.wav": "9f97e8458785da2f0aa0ec60bf9cc81520cbf80a4683e83eca9cb5f2958e9fef",
    "Front_Right.wav": "1fdea4d7003f1f7d3e48d3521aaab0a112c4ac570b02ddf1813abacac3070f6f",
    "Rear_Center.wav": "9343207e3298813fdc4d26b7948e15a38533c37a9f232c3eff809b565398b330",
    "Rear_Left.wav": "1679e0557701864d55b742a0abd3fe5f50d95b1bfcb55ffad4b597dcc7e3c7b8",
    "Rear_Right.wav": "12828d125f692faa75c7445d52125dcc2c36f82c4f7a3ef49b8ae6afd74ada9d",
    "Side_Left.wav": "03dc7c641d7825417d2a261831715e945e95d87343fb037db910e7ce4f87a2a1",
    "Side_Right.wav": "ecdd0329945f355960796a56f8126d5080ed93fdd2437c7eaddbbbd56137d7e9",
}
"""File name → its sha256. What each one says is its name."""


def fetch_voice_clips() -> Path:
    """Folder of the clips, downloaded unless it is there.

    Raises:
        ArtifactNotFoundError: the package could not be downloaded or unpacked.
        CorruptArtifactError: a clip is not the one that was pinned.
    """
    folder = models_folder() / "voice-clips-1"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            _download_into(folder)
    return folder


def _download_into(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".voice-clips-") as name:
        scratch = Path(name)
        _run(["apt-get", "download", PACKAGE], scratch)
        archives = list(scratch.glob(f"{PACKAGE}_*.deb"))
        if not archives:
            raise ArtifactNotFoundError(f"apt-get download {PACKAGE} left no package; run `apt-get update` first.")
        _run(["dpkg-deb", "-x", archives[0].name, "unpacked"], scratch)
        chosen = scratch / "clips"
        chosen.mkdir()
        for clip, sha256 in CLIPS.items():
            source = scratch / "unpacked" / _INSIDE / clip
            _require_same(source, sha256)
            shutil.copyfile(source, chosen / clip)
        chosen.rename(folder)


def _run(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ArtifactNotFoundError(f"{command[0]} is not on this machine; the voice clips need Debian's.") from error
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise ArtifactNotFoundError(f"{' '.join(command)} failed with status {result.returncode}: {last}")


def _require_same(path: Path, sha256: str) -> None:
    got = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if got != sha256:
        raise CorruptArtifactError(f"{path.name} of {PACKAGE} is {got}, expected {sha256}; it is not used.")
