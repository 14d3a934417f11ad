"""Conversations to ids: ``tokenizer.apply_chat_template``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InputError, InputTypeError, OptionError
from .backend import Backend
from .batch_encoding import BatchEncoding
from .chat import render_chat_with_spans
from .chat_control_tokens import control_tokens, encode_marked, encode_without_added_tokens, mark
from .languages import LanguageEncoder
from .options import LARGEST_REAL_LIMIT
from .settings import TokenizerSettings

Spans = list[tuple[int, int]]


class ChatFormatter(LanguageEncoder):
    """Turns conversations into prompts."""

    def __init__(self, backend: Backend, settings: TokenizerSettings) -> None:
        super().__init__(backend, settings)
        self.chat_template = settings.chat_template
        self.chat_control_tokens: list[str] | None = settings.config.get("chat_control_tokens")

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[dict[str, Any] | Callable[..., Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        sanitize_control_tokens: bool = False,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: dict[str, Any] | None = None,
        **template_kwargs: Any,
    ) -> Any:
        """Render one conversation, or a list of them, with the chat template, and encode the text.

        Args:
            conversation: messages, each with ``role`` and ``content``; or a list of such lists.
            tools: JSON schemas, or functions with type hints and a Google-style docstring.
            documents: dicts with ``title`` and ``text``, for templates that take them.
            chat_template: Jinja source, or the name of one of the tokenizer's templates; its own when None.
            add_generation_prompt: end with the header of an assistant's message.
            continue_final_message: leave the last message open, to be continued by the model.
            tokenize: encode the text; False returns the text itself.
            sanitize_control_tokens: encode control tokens in messages, tools, documents and variables as ordinary
                text, so that only the template's own act as such.
            padding: as in a call.
            truncation: as in a call.
            max_length: as in a call.
            return_tensors: ``"np"`` for arrays (1 or batch, seq).
            return_dict: return a BatchEncoding; False returns its ``input_ids``.
            return_assistant_tokens_mask: add ``assistant_masks``, 1 for tokens inside ``{% generation %}`` blocks.
            tokenizer_kwargs: further options of a call.
            template_kwargs: further variables of the template, such as ``enable_thinking``.

        Raises:
            InputError: no messages, or the template refused them.
            OptionError: options that contradict each other, or no chat template.
        """
        if return_assistant_tokens_mask and not (return_dict and tokenize):
            raise OptionError("return_assistant_tokens_mask=True needs return_dict=True and tokenize=True")
        _check_continuation(continue_final_message, add_generation_prompt, return_assistant_tokens_mask)
        template = self.get_chat_template(chat_template, tools)
        conversations, batched = _as_batch(conversation)
        conversations = [_without_none(messages) for messages in conversations]
        if sanitize_control_tokens:
            _check_sanitizing(tokenize, return_assistant_tokens_mask, tokenizer_kwargs)
            tokens = control_tokens(self.added_tokens_decoder.values(), template, self.chat_control_tokens)
            conversations, tools, documents, template_kwargs = (
                mark(value, tokens) for value in (conversations, tools, documents, template_kwargs)
            )
        rendered = [
            render_chat_with_spans(
                template,
                messages,
                tools=tools,
                documents=documents,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                track_generation=return_assistant_tokens_mask,
                **{**self.special_tokens_map, **template_kwargs},
            )
            for messages in conversations
        ]
        texts = [text for text, _ in rendered]
        if not tokenize:
            return texts if batched else texts[0]
        if sanitize_control_tokens:
            lengths = {"padding": padding, "max_length": max_length, "return_tensors": return_tensors}
            batch = self._encode_marked(texts, batched, truncation, lengths)
            return batch if return_dict else batch["input_ids"]
        batch = self(
            texts if batched else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=False,
            return_tensors=return_tensors,
            tokenizer_kwargs=tokenizer_kwargs,
        )
        if return_assistant_tokens_mask:
            _add_assistant_masks(batch, [spans for _, spans in rendered], batched, return_tensors)
        return batch if return_dict else batch["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """The template that ``apply_chat_template`` uses for these arguments.

        Raises:
            OptionError: the tokenizer has none, or several and none called ``default``.
        """
        own = self.chat_template
        if isinstance(own, dict):
            name = chat_template
            if name is None:
                name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name in own:
                return own[name]
            if chat_template is None:
                raise OptionError(
                    f"this tokenizer has the chat templates {', '.join(sorted(own))} and no default: name one with"
                    " chat_template"
                )
        template = chat_template if chat_template is not None or isinstance(own, dict) else own
        if template is None:
            raise OptionError("this tokenizer has no chat template: pass chat_template, or set tokenizer.chat_template")
        return template

    def encode_message_with_chat_template(
        self, message: dict[str, Any], conversation_history: list[dict[str, Any]] | None = None, **options: Any
    ) -> list[int]:
        """Ids that ``message`` adds after ``conversation_history``."""
        if "add_generation_prompt" in options:
            raise OptionError("encode_message_with_chat_template takes no add_generation_prompt: encode it separately")
        history = conversation_history or []
        ids: list[int] = self.apply_chat_template([*history, message], return_dict=False, **options)
        if not history:
            return ids
        before: list[int] = self.apply_chat_template(history, return_dict=False, **options)
        shared = min(len(before), len(ids))
        start = next((index for index in range(shared) if before[index] != ids[index]), shared)
        return ids[start:]

    def _encode_marked(
        self, texts: list[str], batched: bool, truncation: bool | str, lengths: dict[str, Any]
    ) -> BatchEncoding:
        """Encode texts whose control tokens are marked, and pad them."""
        rust = self._backend.rust
        rows = [
            encode_marked(
                text,
                self.added_tokens_encoder,
                lambda piece: self.encode(piece, add_special_tokens=False, verbose=False),
                lambda piece: encode_without_added_tokens(rust, piece),
            )
            for text in texts
        ]
        max_length = lengths["max_length"]
        if max_length is None and self.model_max_length <= LARGEST_REAL_LIMIT:
            max_length = self.model_max_length
        if truncation not in (False, None, "do_not_truncate") and max_length is not None:
            keep = slice(max_length) if self.truncation_side == "right" else slice(-max_length, None)
            rows = [row[keep] for row in rows]
        is_single = not batched and lengths["return_tensors"] is None
        return self.pad({"input_ids": rows[0] if is_single else rows}, **lengths, verbose=False)


def _check_sanitizing(tokenize: bool, with_mask: bool, tokenizer_kwargs: dict[str, Any] | None) -> None:
    if not tokenize or with_mask or tokenizer_kwargs:
        raise OptionError(
            "sanitize_control_tokens=True needs tokenize=True, and goes with neither return_assistant_tokens_mask nor"
            " tokenizer_kwargs"
        )


def _check_continuation(continue_final: bool | str, add_prompt: bool, with_mask: bool) -> None:
    if continue_final and add_prompt:
        raise OptionError(
            "got continue_final_message and add_generation_prompt: the first continues the last message, the second"
            " starts a new one"
        )
    if continue_final and with_mask:
        raise OptionError("continue_final_message does not go with return_assistant_tokens_mask")


def _as_batch(conversation: Any) -> tuple[list[Any], bool]:
    """Conversations, and whether there were several."""
    if isinstance(conversation, list | tuple):
        if not conversation:
            raise InputError("got an empty conversation: pass at least one message")
        first = conversation[0]
        if isinstance(first, list | tuple) or hasattr(first, "messages"):
            return list(conversation), True
    elif not hasattr(conversation, "messages"):
        raise InputTypeError(
            f"got the conversation {conversation!r:.80}: it is a list of messages, dicts with 'role' and 'content'"
        )
    return [conversation], False


def _without_none(messages: Any) -> Any:
    """Drop keys that hold None: APIs send them, and templates would print ``None``."""
    messages = getattr(messages, "messages", messages)
    return [
        {key: value for key, value in message.items() if value is not None} if isinstance(message, dict) else message
        for message in messages
    ]


def _add_assistant_masks(
    batch: BatchEncoding, spans_of_rows: list[Spans], batched: bool, return_tensors: str | None
) -> None:
    rows = batch["input_ids"] if batched or return_tensors else [batch["input_ids"]]
    masks = [
        _assistant_mask(batch, index, len(row), spans)
        for index, (row, spans) in enumerate(zip(rows, spans_of_rows, strict=True))
    ]
    batch["assistant_masks"] = masks if batched or return_tensors else masks[0]
    batch.convert_to_tensors(return_tensors)


def _assistant_mask(batch: BatchEncoding, row: int, length: int, spans: Spans) -> list[int]:
    """1 for each token inside the spans, 0 for the others."""
    mask = [0] * length
    for start, end in spans:
        first = batch.char_to_token(row, start)
        last = batch.char_to_token(row, end - 1)
        if first is None:  # truncation cut the text before the span
            break
        stop = last + 1 if last else length
        mask[first:stop] = [1] * (stop - first)
    return mask
