"""Asset keys, check names and groups, as constants: the one place where they are spelled."""

from typing import Final

RAW_FILES: Final = "raw_files"
RAW_DEMAND: Final = "raw_demand"
DEMAND_DATA: Final = "demand_data"
STG_DEMAND: Final = "stg_demand"
DEMAND_CALENDAR: Final = "demand_calendar"
DEMAND_FEATURES: Final = "demand_features"
TRAINING_SET: Final = "training_set"
NAIVE_BASELINE: Final = "naive_baseline"
MEAN_BASELINE: Final = "mean_baseline"
LINEAR_REGRESSION: Final = "linear_regression"
RANDOM_FOREST: Final = "random_forest"
XGBOOST: Final = "xgboost"
PYTORCH_NN: Final = "pytorch_nn"
MODEL_COMPARISON: Final = "model_comparison"
PROMOTED_MODEL: Final = "promoted_model"
SERVING_STATE: Final = "serving_state"
FORECASTS: Final = "forecasts"
LIVE_ACCURACY: Final = "live_accuracy"

BASELINES: Final = (NAIVE_BASELINE, MEAN_BASELINE)
CANDIDATES: Final = (
    NAIVE_BASELINE,
    MEAN_BASELINE,
    LINEAR_REGRESSION,
    RANDOM_FOREST,
    XGBOOST,
    PYTORCH_NN,
)

TRAINING_MEDIAN: Final = "training_median"
SEASONAL_NAIVE: Final = "seasonal_naive"
REFERENCES: Final = (TRAINING_MEDIAN, SEASONAL_NAIVE)
CHAMPION: Final = "champion"

GROUP_INGESTION: Final = "ingestion"
GROUP_FEATURES: Final = "features"
GROUP_TRAINING: Final = "training"
GROUP_SERVING: Final = "serving"
GROUP_MONITORING: Final = "monitoring"
