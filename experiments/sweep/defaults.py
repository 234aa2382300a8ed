"""What is searched where nobody says: for each router the settings that matter, and from where to where.

Written as ``--space`` is. Ranges are generous, two or three powers of ten about the default. The number of cells in
which rewards are learned, and how long an agent trains, are a matter of time as much as of quality, and are left to
whoever pays for it. A wrapper (``budget``, ``max_cost``, ``quality_floor``, ``affinity``) has no default space: what it
is asked to hold is a decision, not a matter of search.
"""

from __future__ import annotations

_RIDGE = {"alpha": "0.01:10000:log", "predict_cost": "true,false"}
_KNN = {"k": "1:200:log", "tau": "0.1:100:log", "predict_cost": "true,false"}
_PRIOR = {"ridge": "0.1:1000:log"}
_LINUCB = {"alpha": "0.01:10:log", **_PRIOR}
_THOMPSON = {"v": "0.01:5:log", **_PRIOR}
_FORGETS = {"gamma": "0.9:0.9999"}
_AGENT = {"hidden": "16,32,64,128", "learning_rate": "0.0001:0.01:log"}

DEFAULT_SPACES: dict[str, dict[str, str]] = {
    "best_per_task": {"tau": "0.1:1000:log"},
    "ucb1": {"alpha": "0.01:10:log"},
    "epsilon_greedy": {"epsilon": "0:0.5", "decay": "0:0.1", **_PRIOR},
    "squarecb": {"gamma": "0.1:1000:log", "exponent": "0:1", **_PRIOR},
    "beta_thompson": {"clusters": "2:32:log", "prior": "1:20:log"},
    "beta_thompson_task": {"prior": "1:20:log"},
    "bootstrap_thompson": {"replicates": "5,10,20", **_THOMPSON},
    "linucb": _LINUCB,
    "linear_thompson": _THOMPSON,
    "fgts": {"temperature": "0.05:5:log", "feel_good": "0:1", **_THOMPSON},
    "neural_linear": {"hidden": "16,32,64", **_THOMPSON},
    "neural_ucb": {"hidden": "16,32,64", **_LINUCB},
    "sliding_window_linucb": {"window": "100:10000:log", **_LINUCB},
    "watchful_linucb": {"epsilon": "0:0.2", "threshold": "2:50:log", **_FORGETS, **_LINUCB},
    "discounted_linucb": {**_FORGETS, **_LINUCB},
    "discounted_thompson": {**_FORGETS, **_THOMPSON},
    "placebo": _RIDGE,
    "ridge": _RIDGE,
    "knn": _KNN,
    "tfidf_ridge": _RIDGE,
    "tfidf_knn": _KNN,
    "tfidf_ridge_mean_cost": {"alpha": _RIDGE["alpha"]},
    "tfidf_knn_mean_cost": {"k": _KNN["k"], "tau": _KNN["tau"]},
    "logistic": _RIDGE,
    "kernel_ridge": {"landmarks": "100:1500:log", **_RIDGE},
    "factorisation": {"rank": "1:16:log", **_RIDGE},
    "clusters": {"clusters": "2:64:log", "tau": "0.1:100:log", "predict_cost": "true,false"},
    "boosting": {"components": "16,32,64", "depth": "1:6", "rounds": "20:300:log", "learning_rate": "0.01:0.3:log"},
    "task_posterior": {"tau": "0.1:1000:log", "predict_cost": "true,false"},
    "recipe": {"task_weight": "0:1"},
    "auto": {"folds": "3,4,5,8"},
    "ppo": {"ent_coef": "0.0001:0.1:log", "n_epochs": "2,4,8", **_AGENT},
    "a2c": {"ent_coef": "0.0001:0.1:log", **_AGENT},
    "dqn": {"exploration": "0.1:0.9", "gradient_steps": "1,2,4,8", **_AGENT},
    "barp": {"ent_coef": "0.0001:0.1:log", **_AGENT},
}
"""Router -> setting -> what ``--space`` would say of it."""
