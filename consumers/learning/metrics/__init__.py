"""Our metrics, and which of them a task is optimised by when nobody says."""

from schemas.learning import LearningTask

DEFAULTS = {
    # Log loss judges probabilities, which is what a model answers with; ROC AUC is blind to how sure it is of them,
    # and accuracy to all but the order of the first two.
    LearningTask.BINARY: "log-loss",
    LearningTask.MULTICLASS: "log-loss",
    LearningTask.TEXT_CLASSIFICATION: "log-loss",
    LearningTask.TOKEN_CLASSIFICATION: "entity-f1",
    LearningTask.REGRESSION: "rmse",
}
