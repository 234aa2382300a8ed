"""The reference rows of every comparison: ridge and kNN on TF-IDF of words and pairs of words, with and without costs.

What a careful person would try first. A router that is not above them has learned nothing that this does not tell.
"""

from __future__ import annotations

from typing import Any, ClassVar

from routers.knn import KNN
from routers.ridge import Ridge


class TfidfRidge(Ridge):
    """:class:`~routers.ridge.Ridge` made for the features ``tfidf``.

    Example:
        >>> TfidfRidge(2, 4).featuriser
        'tfidf'
    """

    name: ClassVar[str] = "tfidf_ridge"
    featuriser: ClassVar[str] = "tfidf"


class TfidfKNN(KNN):
    """:class:`~routers.knn.KNN` made for the features ``tfidf``.

    Example:
        >>> TfidfKNN(2, 4).featuriser
        'tfidf'
    """

    name: ClassVar[str] = "tfidf_knn"
    featuriser: ClassVar[str] = "tfidf"


class TfidfRidgeMeanCost(TfidfRidge):
    """:class:`TfidfRidge` that takes each arm's mean cost for what a query costs.

    Example:
        >>> TfidfRidgeMeanCost(2, 4).settings["predict_cost"]
        False
    """

    name: ClassVar[str] = "tfidf_ridge_mean_cost"

    def __init__(self, n_arms: int, n_features: int, *, predict_cost: bool = False, **settings: Any) -> None:
        super().__init__(n_arms, n_features, predict_cost=predict_cost, **settings)


class TfidfKNNMeanCost(TfidfKNN):
    """:class:`TfidfKNN` that takes each arm's mean cost for what a query costs.

    Example:
        >>> TfidfKNNMeanCost(2, 4).settings["predict_cost"]
        False
    """

    name: ClassVar[str] = "tfidf_knn_mean_cost"

    def __init__(self, n_arms: int, n_features: int, *, predict_cost: bool = False, **settings: Any) -> None:
        super().__init__(n_arms, n_features, predict_cost=predict_cost, **settings)
