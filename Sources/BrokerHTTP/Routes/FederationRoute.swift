import HTTPTypes
import Hummingbird

/// `POST /v1/oauth/token`: the exchange as Anthropic's SDKs and Claude Code call it at their own origin, so that a base URL
/// is all that they need. A refused assertion answers 401, and every answer names its trace id in `request-id` as well.
struct FederationRoute: Sendable {
    static let path = "/v1/oauth/token"

    let token: TokenRoute

    func respond(to request: Request, _ context: BrokerRequestContext) async throws -> Response {
        do throws(OAuthError) {
            let body = try await token.body(of: request, type: "application/json", context)
            let federation = try FederationRequest(
                parsing: body, trace: context.trace, client: context.client.text,
                certificate: token.certificates.certificate(of: context, request.headers))
            return try await token.issue(federation.exchange, as: .jwtBearer, typed: nil, context)
        } catch {
            return error.response(trace: context.trace, invalidGrant: .unauthorized)
        }
    }
}
