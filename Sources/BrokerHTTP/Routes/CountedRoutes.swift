import Broker
import HTTPTypes
import Hummingbird

/// The public routes, with every answer counted by route and status.
struct CountedRoutes: HTTPResponder {
    typealias Context = BrokerRequestContext

    let routes: PublicRoutes
    let metrics: RequestMetrics

    func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
        let route = RequestMetrics.Route(path: request.uri.path)
        do {
            let response = try await routes.respond(to: request, context: context)
            metrics.responded(route, status: response.status.code)
            return response
        } catch {
            metrics.responded(route, status: (error as? any HTTPResponseError)?.status.code ?? 500)
            throw error
        }
    }
}

extension RequestMetrics.Route {
    /// Never a part of the path itself: whoever calls could make up any number of them.
    init(path: String) {
        self =
            switch path {
            case TokenRoute.path, FederationRoute.path: .token
            case "/oauth/jwks": .keys
            case "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration": .metadata
            case "/healthz": .health
            case RevocationRoutes.revocationPath, RevocationRoutes.introspectionPath, RevocationFeed.path: .revocation
            case SignInRoutes.devicePath: .deviceAuthorization
            case SignInPages.devicePath: .devicePage
            case SignInPages.callbackPath: .callback
            case SignInPages.sessionsPath: .sessionsPage
            case LogoutRoute.path: .logout
            default: VerifyQuestion.isAsked(at: path) ? .verify : .other
            }
    }
}
