import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// What orchestrators and operators ask: is the process alive, and can it do its work.
struct TelemetryRoutes: HTTPResponder {
    typealias Context = BrokerRequestContext

    let issuers: [TrustedIssuer]
    /// Why the store does not record, if it does not.
    let storeFailure: @Sendable () async -> String?

    func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
        var response = await route(request)
        response.headers[.daypassTraceID] = context.trace.description
        response.headers[.cacheControl] = "no-store"
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func route(_ request: Request) async -> Response {
        switch (request.uri.path, request.method) {
        case ("/healthz", .get), ("/healthz", .head): return .json(.ok, ["status": "ok"])
        case ("/readyz", .get), ("/readyz", .head): return await readiness()
        case ("/healthz", _), ("/readyz", _):
            var response = Response.json(.methodNotAllowed, ["error": "method_not_allowed"])
            response.headers[.allow] = "GET, HEAD"
            return response
        default: return .json(.notFound, ["error": "not_found"])
        }
    }

    /// Ready while the store records and tokens of at least one issuer can be verified: one issuer that is down must not
    /// take the node away from everybody else. Each issuer's own state is in the body.
    private func readiness() async -> Response {
        let failure = await storeFailure()
        let states = issuers.map { ($0.configuration.name, $0.keys.status) }
        let isReady = failure == nil && states.contains { $0.1.isUsable }
        var store: JSONObject = ["ready": .bool(failure == nil)]
        if let failure { _ = store.append("error", .string(ExactString(failure))) }
        let issuerStates = states.map { name, status in
            var state: JSONObject = ["ready": .bool(status.isUsable), "keys": .number(Double(status.keyCount))]
            if let age = status.age { _ = state.append("age_seconds", .number(age.seconds.rounded(.down))) }
            if let error = status.lastError { _ = state.append("last_error", .string(ExactString(error))) }
            return (name.text, JSONValue.object(state))
        }
        return .json(
            isReady ? .ok : .serviceUnavailable,
            [
                "ready": .bool(isReady), "store": .object(store),
                "issuers": .object(JSONObject(uniqueMembers: issuerStates)),
            ])
    }
}
