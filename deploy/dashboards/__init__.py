"""Grafana's dashboards of deploy/grafana, drawn without Grafana: ``python -m deploy.dashboards``.

``reading`` knows the JSON, ``asking`` runs its queries, ``values`` says what a number looks like,
``drawing`` and ``page`` make one page of a dashboard.
"""
