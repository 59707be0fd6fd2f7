package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pandometrics/pando/querytree"
)

// trace sends the process's traces to the OTLP endpoint, if one is given: those
// of HTTP requests, of requests between tiers, and of the engine's phases. It
// returns what the HTTP handler has to be wrapped in.
func (n *node) trace(f commonFlags, id querytree.Identity) (middleware, error) {
	plain := func(h http.Handler) http.Handler { return h }
	if f.otlpEndpoint == "" {
		return plain, nil
	}
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpoint(f.otlpEndpoint), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, fmt.Errorf("--tracing.endpoint=%s: %w", f.otlpEndpoint, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "pando-"+id.Tier),
			attribute.String("service.instance.id", id.Name()),
			attribute.String("service.version", buildVersion()),
		)),
	)
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	n.closers = append(n.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx) // what cannot be sent now is lost
		return nil
	})
	return plain, nil
}
