import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// What orchestrators and operators ask: is the process alive, can it do its work, and how is it doing.
struct TelemetryRoutes: HTTPResponder {
    typealias Context = BrokerRequestContext

    let readiness: Readiness
    let metrics: BrokerMetrics

    func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
        var response = await route(request)
        response.headers[.daypassTraceID] = context.trace.description
        response.headers[.cacheControl] = "no-store"
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func route(_ request: Request) async -> Response {
        switch (request.uri.path, request.method) {
        case ("/healthz", .get), ("/healthz", .head): return .json(.ok, ["status": "ok"])
        case ("/readyz", .get), ("/readyz", .head):
            let report = await readiness.report()
            var response = Response.json(report.isReady ? .ok : .serviceUnavailable, report.json)
            if !report.isReady { response.headers[.retryAfter] = "1" }
            return response
        // It asks nobody but this process: a scrape is answered while the store is not.
        case ("/metrics", .get), ("/metrics", .head):
            return Response(
                status: .ok, headers: [.contentType: MetricText.contentType],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: metrics.text())))
        case ("/healthz", _), ("/readyz", _), ("/metrics", _): return .methodNotAllowed("GET, HEAD")
        default: return .json(.notFound, ["error": "not_found"])
        }
    }
}
