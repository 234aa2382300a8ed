"""Experiments: train, evaluate and compare routers, put the winner in front of real requests, and keep the record.

The top floor of the house: it may import all others, none imports it. Only here are MLflow, plotting and
scikit-learn used, and always inside the functions that need them.
"""
