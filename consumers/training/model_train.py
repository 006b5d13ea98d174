"""`model.train`: a job makes one version of a model, however often it was interrupted."""

from consumers.runtime.handler import ChildTask, handles_long
from schemas.jobs.model_train import MODEL_TRAIN, ModelTrained, TrainModel


@handles_long(MODEL_TRAIN, slots=1)
def train_model(task: ChildTask[TrainModel]) -> ModelTrained:
    from consumers.training.making import made  # 360 MB of libraries, which the worker itself never needs

    return made(task)
