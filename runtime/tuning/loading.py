"""What a load takes from tuning: precision and session options that the caller left open."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..artifact import Artifact, canonical_dtype, split_dtype
from ..errors import HeadwayError
from ..providers import OPENVINO_PROVIDER, auto_device, import_onnxruntime
from ..session import SessionOptions
from ..session_cache import should_prepare
from .fingerprint import this_machine
from .setup import Setup
from .store import find_record, has_records

logger = logging.getLogger("headway")


def tuned_load(
    artifact: Artifact, dtype: str | None, file_name: str | None, options: SessionOptions
) -> tuple[str | None, SessionOptions]:
    """The precision and options to load with, from this machine's tuning record where there is one.

    What the caller chose wins: another precision, file, device or provider list leaves the record aside, a number of
    threads replaces the record's.

    Args:
        artifact: what is loaded.
        dtype: the precision asked for; None leaves it open.
        file_name: the file asked for.
        options: the options asked for.
    """
    is_chosen = file_name is not None or options.providers is not None or bool(options.config) or options.cuda_graph
    if is_chosen or not has_records(artifact):
        return dtype, options
    record = find_record(artifact, this_machine())
    if record is None or not _fits(record.setup, artifact, dtype, options):
        return dtype, options
    setup = record.setup
    logger.info("%s runs as tuned for this machine: %s on %s", artifact.folder, setup.dtype, setup.device)
    # As it was measured: with weights in memory of the process, not mapped from the cache, which runs slower.
    tuned = setup.session_options(cache=should_prepare(options.cache) or False)
    if options.num_threads is not None:
        tuned = replace(tuned, num_threads=options.num_threads, runs=())
    return setup.dtype, tuned


def _fits(setup: Setup, artifact: Artifact, dtype: str | None, options: SessionOptions) -> bool:
    """Whether a setup is one of what the caller left open, and all it needs is there."""
    asked = None if canonical_dtype(dtype) is None else "+".join(str(part) for part in split_dtype(dtype))
    if asked is not None and (asked, options.precision) != (setup.dtype, setup.precision):
        return False
    if options.device not in ("auto", setup.device) and not (setup.device == "cpu" and options.device == -1):
        return False
    available = import_onnxruntime().get_available_providers()
    if options.device == "auto" and auto_device(available)[0] != "cpu":
        return False
    is_there = setup.device != "openvino" or OPENVINO_PROVIDER in available
    return is_there and all(_is_whole(artifact, str(part)) for part in split_dtype(setup.dtype))


def _is_whole(artifact: Artifact, dtype: str) -> bool:
    """Whether a precision's files are there: of a hub repository maybe only another one's were fetched."""
    if artifact.manifest is None:
        return dtype in artifact.variants
    if dtype not in artifact.manifest.variants:
        return False
    try:
        for component in artifact.manifest.variants[dtype].components:
            artifact.model_file(component, dtype)
    except HeadwayError as error:
        logger.debug("the tuned precision is not used: %s", error)
        return False
    return True
