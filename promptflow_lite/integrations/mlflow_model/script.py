"""The code of the model: MLflow keeps a copy of this file with it, and runs that to load it."""

from mlflow.models import set_model

from promptflow_lite.integrations.mlflow_model.pyfunc import FlowModel

set_model(FlowModel())
