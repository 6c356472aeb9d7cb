/**
 * Spans, metrics and logs to an OpenTelemetry collector, through Effect's own exporter: no OpenTelemetry package is needed.
 *
 * The exporter reads the standard variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_EXPORTER=otlp`; where
 * they are missing it exports nothing. Watch out: provide it last, outside everything whose spans you want. Keys are
 * named by handle and never by secret; what *you* put on a span or into a log is yours to check.
 */
import { ApiKeyService, type IssuedKey } from "@effect-api-keys/core"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"

/** Its own HTTP client, so that what goes to the collector passes none of the vendor's limits or faults. */
export const layer = Otlp.layerFromConfig({ resource: { serviceName: "key-manager" } }).pipe(
  Layer.provide(OtlpSerialization.layerJson),
  Layer.provide(FetchHttpClient.layer)
)

/** `Effect.fn` opens a span of this name; those of the verbs are below it. */
export const replaceKey = Effect.fn("replaceKey")(function* <E, R>(
  old: IssuedKey,
  deliver: (key: IssuedKey) => Effect.Effect<void, E, R>
) {
  const keys = yield* ApiKeyService.can("rotate")
  yield* Effect.annotateCurrentSpan("old", old.handle)
  const { issued, previous } = yield* keys.rotate(old.ref, { deliver })
  yield* Effect.logInfo("replaced", { old: old.handle, new: issued.handle, previous })
  return issued
})
