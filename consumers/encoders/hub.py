"""Models from the Hugging Face hub: data files only, never code or pickles."""

from pathlib import Path

from consumers.encoders.refusals import not_allowed, not_found
from consumers.runtime.verdicts import RetryLater

_FILES = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "*/config.json",
    "modules.json",
    "*sentence_bert_config.json",
    "*tokenizer.json",
    "*tokenizer_config.json",
    "*special_tokens_map.json",
    "*vocab.txt",
]
_LEFT_OUT = ["onnx/*", "openvino/*", "coreml/*"]


def download(name: str, timeout_s: float) -> Path:
    """The directory of `name` in the hub's cache, filled or brought up to date.

    Raises Reject for what the hub does not have or does not give us, RetryLater for trouble on the way.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, ignore_patterns=_LEFT_OUT, etag_timeout=timeout_s))
    except GatedRepoError as error:
        raise not_allowed(name, "is gated on the hub; accept its terms and give the worker a token") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise not_found(
            name, "is neither a directory below the models folder nor a public model of the hub"
        ) from error
    except (HfHubHTTPError, OSError) as error:  # LocalEntryNotFoundError, no network and no copy, is an OSError
        raise RetryLater(f"the hub did not deliver {name!r}: {error}") from error
