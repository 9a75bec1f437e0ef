"""The log texts of a file that the operator may change."""

import json
from pathlib import Path
from typing import Any


def load_log_messages(file_path: str | Path) -> dict[str, Any]:
    """Return the texts of a JSON file: event key -> text, or event key -> {"en": text, "id": text}.

    Raises ValueError when the file cannot be read or is not of this form.
    """
    try:
        found = json.loads(Path(file_path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file_path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file_path}: is not JSON in UTF-8: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file_path}: must be one object, event key -> text, found a {type(found).__name__}")
    for key, text in found.items():
        texts = text.values() if isinstance(text, dict) else (text,)
        if not all(isinstance(one, str) for one in texts):
            raise ValueError(f'{file_path}: {key}: must be a text, or texts by language, such as {{"en": "..."}}')
    return found


def in_both_languages(messages: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return texts without a language as texts of both."""
    return {key: text if isinstance(text, dict) else {"en": text, "id": text} for key, text in messages.items()}
