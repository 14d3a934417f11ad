"""Tokenizers without transformers: ``AutoTokenizer.from_pretrained`` and the ``Tokenizer`` it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CorruptArtifactError, HeadwayError, OptionError
from ..hub import push_folder, resolve_folder
from .backend import Backend, load_backend, vocabulary_backend
from .chat_formatter import ChatFormatter
from .decode import TextDecoder
from .files import ALLOW_PATTERNS, TokenizerFiles, read_tokenizer_files
from .loading import prepare_backend
from .saving import save_tokenizer_files
from .settings import NAMED_TOKENS, TokenizerSettings, merge_settings
from .templates import has_class_template

# What from_pretrained lets a caller override, beside special tokens: keys of tokenizer_config.json.
_OVERRIDES = {
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "additional_special_tokens",
    "chat_template",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "extra_special_tokens",
    "fix_mistral_regex",
    "model_input_names",
    "model_max_length",
    "padding_side",
    "split_special_tokens",
    "src_lang",
    "strip_accents",
    "tgt_lang",
    "tokenize_chinese_chars",
    "truncation_side",
}
# transformers' arguments that change nothing here: every tokenizer is fast, and no code of a folder ever runs.
_ACCEPTED_AS_IS = {"use_fast": True, "trust_remote_code": None}


class Tokenizer(ChatFormatter, TextDecoder):
    """A tokenizer with transformers' interface, on the tokenizers library.

    Call it on text (see ``__call__``), and ``decode`` ids back. Several threads may share one.

    Example:
        >>> tokenizer = AutoTokenizer.from_pretrained("out/")
        >>> batch = tokenizer(["Hello!", "How are you?"], padding=True, return_tensors="np")
        >>> batch["input_ids"].shape
        (2, 6)
    """

    def __init__(self, backend: Backend, settings: TokenizerSettings, name_or_path: str = "") -> None:
        super().__init__(backend, settings)
        self.name_or_path = name_or_path
        self.init_kwargs = settings.config
        self.class_name = settings.class_name

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **overrides: Any,
    ) -> Tokenizer:
        """Load a tokenizer from a folder or a hub id.

        Args:
            name_or_path: a folder with a tokenizer.json, or with a vocabulary of BERT's or GPT-2's kind; or a hub id.
            subfolder: folder inside it.
            revision: branch, tag or commit of a hub id.
            cache_dir: where hub files are kept.
            local_files_only: take hub files from the cache only.
            token: hub token for private repositories.
            overrides: keys of tokenizer_config.json to change, such as ``padding_side``, ``model_max_length``,
                ``add_prefix_space``, or a special token (``pad_token="<pad>"``).

        Raises:
            ArtifactNotFoundError: no such folder, or no tokenizer.json in it.
            CorruptArtifactError: a file that cannot be read.
            OptionError: an override that is not known.
        """
        overrides = _checked_overrides(overrides)
        folder = resolve_folder(
            name_or_path,
            subfolder=subfolder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=ALLOW_PATTERNS,
        )
        files = read_tokenizer_files(folder)
        try:
            return cls._from_files(files, overrides, str(name_or_path))
        except HeadwayError:
            raise
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            options = f", or the options {', '.join(overrides)}" if overrides else ""
            raise CorruptArtifactError(
                f"the tokenizer files of {folder}{options} hold a value of the wrong kind"
                f" ({type(error).__name__}: {error}): fetch or export them again"
            ) from error

    @classmethod
    def _from_files(cls, files: TokenizerFiles, overrides: dict[str, Any], name_or_path: str) -> Tokenizer:
        file = files.tokenizer_file
        backend = load_backend(file) if files.has_tokenizer_file else vocabulary_backend(file, files.class_name)
        settings = merge_settings(files, backend, overrides)
        prepare_backend(backend, settings, files, overrides)
        tokenizer = cls(backend, settings, name_or_path)
        if {"add_bos_token", "add_eos_token"} & overrides.keys() and not has_class_template(files.class_name):
            tokenizer._add_bos_token = bool(overrides.get("add_bos_token", False))
            tokenizer._add_eos_token = bool(overrides.get("add_eos_token", False))
            tokenizer.update_post_processor()
        tokenizer._use_default_language()
        return tokenizer

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write the tokenizer's files to a folder, for Headway and for transformers, and return their paths."""
        return save_tokenizer_files(self, Path(save_directory))

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the tokenizer's files to a hub repository; options are huggingface_hub's."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, **options)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size},"
            f" model_max_length={self.model_max_length}, padding_side={self.padding_side!r},"
            f" truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )


class AutoTokenizer:
    """The class that transformers' users call to load a tokenizer."""

    def __init__(self) -> None:
        raise OptionError("AutoTokenizer is not made directly: use AutoTokenizer.from_pretrained(folder_or_hub_id)")

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **options: Any) -> Tokenizer:
        """Load a tokenizer from a folder or a hub id; see ``Tokenizer.from_pretrained``."""
        return Tokenizer.from_pretrained(name_or_path, **options)


def _checked_overrides(overrides: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in overrides.items():
        if name in _OVERRIDES or name in NAMED_TOKENS or name.endswith("_token"):
            kept[name] = value
        elif name not in _ACCEPTED_AS_IS:
            allowed = ", ".join(sorted(_OVERRIDES | set(NAMED_TOKENS)))
            raise OptionError(f"unknown option {name}={value!r}: from_pretrained takes {allowed}")
        elif _ACCEPTED_AS_IS[name] is not None and value != _ACCEPTED_AS_IS[name]:
            raise OptionError(f"got {name}={value!r}: every Headway tokenizer is a fast one; leave it out")
    return kept
