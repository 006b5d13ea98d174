"""Words and pairs of words, weighted by how rare they are, and a linear model over them."""

from typing import Any

from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from consumers.learning.estimators import Kept, all_classes, kept
from consumers.learning.finetuning.batches import texts_of
from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Fitted, Matrix, Problem, Trainer
from schemas.learning import LearningTask


class TfidfLinearConfig(Config):
    c: float = Field(default=10.0, gt=0, le=1e4)
    """Inverse strength of the regularisation."""
    longest_ngram: int = Field(default=1, ge=1, le=3)
    """In words."""
    max_features: int = Field(default=50_000, ge=10, le=1_000_000)
    """The most frequent words and sequences of words are kept."""


State = Kept[TfidfLinearConfig]


class TfidfLinear(Trainer[TfidfLinearConfig, State]):
    """Logistic regression over the words of a text, weighted by rarity: seconds, and often hard to beat."""

    name = "tfidf-linear"
    config = TfidfLinearConfig
    encoding = Encoding.RAW
    tasks = frozenset({LearningTask.TEXT_CLASSIFICATION})

    def start(self, config: TfidfLinearConfig, problem: Problem) -> State:
        return Kept(config, problem)

    def fit(self, state: State, data: Matrix, target: Array) -> Fitted[State]:
        config = state.config
        model = make_pipeline(
            TfidfVectorizer(
                ngram_range=(1, config.longest_ngram),
                max_features=config.max_features,
                sublinear_tf=True,
            ),
            LogisticRegression(C=config.c, max_iter=1_000, random_state=state.problem.seed),
        )
        with threadpool_limits(state.problem.threads):
            model.fit(texts_of(data.frame), target)
        return Fitted(Kept(config, state.problem, model), 1.0)

    def predict(self, state: State, data: Matrix) -> Array:
        model = state.model
        return all_classes(model.predict_proba(texts_of(data.frame)), model.classes_, state.problem.classes)

    def dump(self, state: State) -> bytes:
        return state.dump()

    def load(self, content: bytes) -> State:
        return kept(content, TfidfLinearConfig)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> TfidfLinearConfig:
        return TfidfLinearConfig(
            c=trial.suggest_float("c", 0.1, 1_000, log=True), longest_ngram=trial.suggest_int("longest_ngram", 1, 2)
        )


TFIDF_LINEAR = TfidfLinear()
