"""Traces in OpenTelemetry's form, one from a request over its messages to the store. Nothing where nobody wants them.

The extra `otel` sends them where OTEL_EXPORTER_OTLP_ENDPOINT says; OpenTelemetry's other variables hold too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from core.errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Attribute = str | int | float | bool
T = TypeVar("T")
_tracer: Tracer | None = None


def configure(service: str, *, exporter: SpanExporter | None = None) -> None:
    """From now on spans of this process are sent, if the environment says where, as of this service.

    With an exporter, to it, at once. Raises MissingExtra when spans are wanted and the packages are not there.
    """
    global _tracer
    if exporter is None and not any(os.environ.get(name) for name in WANTED):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ModuleNotFoundError as exc:
        raise MissingExtra("traces need OpenTelemetry: pip install 'quiver[otel]', or unset its endpoint") from exc
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))  # it sends what is left when Python exits
    if exporter is None:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = provider.get_tracer("quiver")


def stop() -> None:
    """Spans are recorded no more."""
    global _tracer
    _tracer = None


@contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[None]:
    """What happens inside is a span; an exception is told in it and goes on. No attribute is what a person wrote."""
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def tell(name: str, **attributes: Attribute) -> None:
    """The present span is called that, and has these attributes: what is known of it at its end alone."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        present = get_current_span()
        present.update_name(name)
        present.set_attributes(attributes)


def past(name: str, began: int, ended: int) -> None:
    """A span, inside the present one, of something that is over; nanoseconds since 1970."""
    if _tracer is not None:
        _tracer.start_span(name, start_time=began).end(ended)


def inject(headers: MutableMapping[str, Any]) -> None:
    """Write the present trace into the headers of a message, as W3C's traceparent."""
    if _tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)


@contextmanager
def continued(headers: Mapping[str, Any], name: str, **attributes: Attribute) -> Iterator[None]:
    """A span of the trace that a message or a request brought in its headers; of a new one when it brought none."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    brought = TraceContextTextMapPropagator().extract(headers)
    with _tracer.start_as_current_span(name, context=brought, attributes=attributes):
        yield


def traced(part: T, name: str) -> T:
    """The part, each call of whose methods is a span; the part itself when no spans are recorded."""
    return cast(T, _Traced(part, name)) if _tracer is not None else part


class _Traced:
    def __init__(self, part: object, name: str) -> None:
        self._part, self._name = part, name

    def __getattr__(self, method: str) -> Any:
        held = getattr(self._part, method)
        if not callable(held):
            return held

        def call(*args: Any, **kwargs: Any) -> Any:
            with span(f"{self._name}.{method}"):
                return held(*args, **kwargs)

        return call
