import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// `POST /oauth/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0 §2.5): the company's identity provider says
/// that somebody's session there has ended. The token in the form is all that proves who says so.
///
/// It takes a place among those that wait for the provider: it may have to wait for the provider's keys, and whoever makes
/// up key ids must hold up neither exchanges nor `/oauth/revoke`, which have places of their own.
struct LogoutRoute: Sendable {
    static let path = "/oauth/backchannel-logout"

    let token: TokenRoute
    /// That of the moment.
    let signIn: @Sendable () -> SignIn

    /// 200 where the sessions have ended, or there were none (§2.8); 400 for a token that is good for nothing; 503 where it
    /// is to be sent again.
    func respond(to request: Request, _ context: BrokerRequestContext) async -> Response {
        do throws(OAuthError) {
            let body = try await token.body(
                of: request, type: "application/x-www-form-urlencoded", for: .provider, context)
            let form = try TokenRoute.parse(body)
            guard let text = form["logout_token"] else {
                throw OAuthError(.invalidRequest, "the parameter logout_token is missing")
            }
            let secret = SecretText(text.string)
            let outcome = try await token.limits.underWay(.provider, context) {
                () async throws(OAuthError) -> RevocationOutcome? in
                do throws(LogoutFailure) {
                    return try await signIn().logOut(by: secret, from: context.client.text, under: context.trace)
                } catch {
                    throw OAuthError(error)
                }
            }
            return RevocationRoutes.answer(outcome)
        } catch {
            return error.response(trace: context.trace)
        }
    }
}

extension OAuthError {
    fileprivate init(_ failure: LogoutFailure) {
        let code: Code = failure == .unavailable ? .temporarilyUnavailable : .invalidRequest
        self.init(code, "the logout token is not acceptable: \(failure.words)")
    }
}
