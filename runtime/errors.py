"""Every error Headway raises on purpose, in one tree.

HeadwayError
├── ArtifactError
│   ├── ArtifactNotFoundError (FileNotFoundError)   no such folder, file, variant or hub repository
│   ├── NotExportedError      (FileNotFoundError)   a folder with PyTorch weights and no ONNX
│   ├── CorruptArtifactError  (ValueError)          a file is missing bytes, or is not what its name says
│   ├── UnsupportedFormatError (ValueError)         written by a newer Headway
│   ├── UnsafeArtifactError   (ValueError)          external data outside the folder, code, pickles
│   └── HubError              (ConnectionError)     the hub cannot be reached, or refuses an upload
├── TaskError                 (ValueError)          an unknown task, or an artifact made for another head
├── InputError                (ValueError)          a value the caller passed cannot be used
│   ├── InputTypeError        (TypeError)           … because it has the wrong type
│   └── InputTooLongError                           … because it is over the model's limit
├── OptionError               (ValueError)          an unknown or contradictory option (generation, pipeline, load)
├── MissingExtraError         (ImportError)         a package that an extra installs is not there
├── ProviderError             (RuntimeError)        the device asked for cannot be used
├── CacheMemoryError          (MemoryError)         a KV cache that does not fit; says how many bytes it needs
└── ExportError               (RuntimeError)
    ├── CheckpointError       (ValueError)          the checkpoint cannot be read or is not one
    ├── MissingWeightsError   (ValueError)          the head's weights are not in the checkpoint
    ├── VerificationError     (ValueError)          ONNX Runtime and PyTorch disagree
    └── OutputExistsError     (FileExistsError)     the output folder is there and --overwrite is not

Each message says what was got, what is allowed, and what to do. Each class also inherits the builtin it resembles, so
``except ValueError`` written for transformers keeps working.
"""


class HeadwayError(Exception):
    """Base of every error Headway raises on purpose."""


class ArtifactError(HeadwayError):
    """An artifact folder cannot be used."""


class ArtifactNotFoundError(ArtifactError, FileNotFoundError):
    """No such folder, file, variant or hub repository."""


class NotExportedError(ArtifactError, FileNotFoundError):
    """The folder holds PyTorch weights and no ONNX file."""


class CorruptArtifactError(ArtifactError, ValueError):
    """A file of the artifact is truncated, unreadable, or not what its name says."""


class UnsupportedFormatError(ArtifactError, ValueError):
    """The manifest was written by a newer Headway."""


class UnsafeArtifactError(ArtifactError, ValueError):
    """The artifact would read outside its folder, or run code or pickles."""


class HubError(ArtifactError, ConnectionError):
    """The hub cannot be reached, or refuses an upload."""


class TaskError(HeadwayError, ValueError):
    """The task is unknown, or the artifact was made for another head."""


class InputError(HeadwayError, ValueError):
    """A value the caller passed cannot be used."""


class InputTypeError(InputError, TypeError):
    """A value the caller passed has the wrong type."""


class InputTooLongError(InputError):
    """A text or array is over the model's limit."""


class OptionError(HeadwayError, ValueError):
    """An option is unknown, out of range, or contradicts another."""


class MissingExtraError(HeadwayError, ImportError):
    """A package that one of Headway's extras installs is not there."""


class ProviderError(HeadwayError, RuntimeError):
    """The device asked for cannot be used."""


class CacheMemoryError(HeadwayError, MemoryError):
    """A KV cache does not fit in memory."""


class ExportError(HeadwayError, RuntimeError):
    """An export did not succeed; nothing was written."""


class CheckpointError(ExportError, ValueError):
    """The checkpoint cannot be read, or is not one."""


class MissingWeightsError(ExportError, ValueError):
    """Weights that the head needs are not in the checkpoint."""


class VerificationError(ExportError, ValueError):
    """ONNX Runtime and PyTorch disagree by more than the tolerance."""


class OutputExistsError(ExportError, FileExistsError):
    """The output folder exists and may not be replaced."""
