"""Off-policy evaluation: what a policy would have brought, from a log of what another one chose.

``logs`` holds a bandit log, ``target`` the law of the policy that is judged, ``models`` the rewards expected of it,
``estimators`` the estimators, ``overlap`` what the log can support at all, ``intervals`` the intervals, ``evaluation``
all of it in one call, ``learning`` tables to learn from.
"""
