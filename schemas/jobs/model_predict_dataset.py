"""`model.predict-dataset`: a model's predictions for every row of a dataset, as a dataset."""

from schemas.contract import Contract
from schemas.jobs.dataset_ingest import DatasetIngested, DatasetName
from schemas.kinds import JobKind
from schemas.learning import ModelId, ModelVersionId
from schemas.patterns import Id, VersionId


class PredictDataset(Contract, name="model.predict-dataset"):
    """Predict the target for every row of a dataset version: a new version of the dataset `name`."""

    model_id: ModelId
    version: ModelVersionId
    dataset_id: Id
    dataset_version: VersionId
    name: DatasetName


class DatasetPredicted(Contract, name="model.predicted-dataset"):
    """The dataset version that holds the rows with their predictions."""

    model_id: str
    version: str
    rows: int
    predicted: DatasetIngested


MODEL_PREDICT_DATASET = JobKind(PredictDataset, DatasetPredicted, max_attempts=3)
