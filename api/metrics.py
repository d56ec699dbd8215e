"""Figures for Prometheus: requests as this server answers them, deploys and workers as the database has them."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from api.answers import Text
from api.routing import route
from controllers import system

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

counted = CollectorRegistry()
requests = Counter("windlass_http_requests", "Requests answered.", ("route", "method", "status"), registry=counted)
seconds = Histogram(
    "windlass_http_request_seconds",
    "Time until an answer begins.",
    ("route", "method"),
    registry=counted,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)


def count(rule, method, status, took_s):
    """Count one answered request; `rule` is its route's, `status` three digits, `took_s` seconds."""
    method = method if method in METHODS else "other"
    requests.labels(rule, method, status).inc()
    seconds.labels(rule, method).observe(took_s)


class Database:
    """The figures that the database has, read when they are asked for."""

    def collect(self):
        """Yield the gauges (prometheus_client's interface of a collector)."""
        figures = system.figures()
        deploys = GaugeMetricFamily("windlass_deploys", "Deploys by state.", labels=["state"])
        for state, number in sorted(figures["deploys"].items()):
            deploys.add_metric([state], number)
        yield deploys
        drifted = GaugeMetricFamily(
            "windlass_drifted_hosts",
            "Hosts that differ from how they were deployed.",
            labels=["application", "environment"],
        )
        for names, number in sorted(figures["drifted"].items()):
            drifted.add_metric(names, number)
        yield drifted
        yield GaugeMetricFamily("windlass_workers", "Workers that gave a sign of life lately.", value=figures["workers"])


def written():
    """Return all figures in Prometheus's text format; of all processes of this server when gunicorn runs several."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)
    own = b"" if "PROMETHEUS_MULTIPROC_DIR" in os.environ else generate_latest(counted)
    registry.register(Database())
    return (own + generate_latest(registry)).decode()


@route("GET", "/metrics", summary="Figures for Prometheus", produces="text/plain")
def show_metrics():
    """Requests by route and status, their latencies, deploys by state, workers."""
    return Text(written(), CONTENT_TYPE)
