"""What clients of OpenAI's API send, as far as it can be done here. The rest is refused where it would change the
answer, and left unread where it would not."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.generation import (
    MAX_MESSAGES,
    MAX_NEW_TOKENS,
    ChatMessage,
    GenerateOptions,
    LanguageModelName,
    PromptText,
    Role,
)
from schemas.texts import DEFAULT_MODEL, EncoderName, Text, Texts


def _in_words(content: Any) -> Any:
    """Parts of a message, which may be texts only."""
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise ValueError("only parts of type `text` are read here")
    return "".join(str(part.get("text", "")) for part in content)


class _Asked(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ChatTurn(_Asked):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[PromptText, BeforeValidator(_in_words)]
    """A text, or parts of type `text`."""

    @property
    def message(self) -> ChatMessage:
        role = Role.SYSTEM if self.role == "developer" else Role(self.role)
        return ChatMessage(role=role, content=self.content)


class StreamOptions(_Asked):
    include_usage: bool = False


class ResponseFormat(_Asked):
    type: Literal["text"]


class CompletionRequest(_Asked):
    """The body of `POST /openai/v1/chat/completions`."""

    model: LanguageModelName
    messages: Annotated[list[ChatTurn], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] | None = None
    """The older name of the same."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Annotated[str, Field(min_length=1, max_length=100)] | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    top_k: Annotated[int, Field(ge=0)] = 0
    """Not of OpenAI: in `extra_body`, as with other servers."""
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Not of OpenAI either."""
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Literal[False] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise ValueError("give `max_completion_tokens` or its older name `max_tokens`, not both")
        return self

    @property
    def options(self) -> GenerateOptions:
        """Raises ValidationError for stop texts that cannot be used."""
        return GenerateOptions(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            seed=self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop or [],
        )


class EmbeddingRequest(_Asked):
    """The body of `POST /openai/v1/embeddings`."""

    model: EncoderName = DEFAULT_MODEL
    input: Text | Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[None, Field(description="Vectors are as long as the model makes them.")] = None

    @property
    def inputs(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input
