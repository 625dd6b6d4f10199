import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// `POST /oauth/device_authorization` (RFC 8628 §3.1), and what its device codes and refresh tokens get at the token
/// endpoint. Clients are public and need not name themselves; parameters that are not known are ignored.
struct SignInRoutes: Sendable {
    static let devicePath = "/oauth/device_authorization"
    /// Where the person types the code.
    static let verificationPath = "/device"

    let token: TokenRoute
    /// The origin that clients use, without a trailing slash.
    let publicURL: String
    /// That of the moment.
    let signIn: @Sendable () -> SignIn

    /// The grants that only exist where people can sign in.
    enum Grant: String, CaseIterable {
        /// RFC 8628 §3.4
        case deviceCode = "urn:ietf:params:oauth:grant-type:device_code"
        /// RFC 6749 §6
        case refreshToken = "refresh_token"

        init?(_ form: FormBody) {
            guard let name = form["grant_type"],
                let grant = Self.allCases.first(where: { ExactString($0.rawValue) == name })
            else { return nil }
            self = grant
        }
    }

    func authorizeDevice(_ request: Request, _ context: BrokerRequestContext) async throws -> Response {
        do throws(OAuthError) {
            let body = try await token.body(of: request, type: "application/x-www-form-urlencoded", context)
            let form = try TokenRoute.parse(body)
            let device = DeviceDescription(
                surface: form["surface"], name: form["device_name"],
                userAgent: request.headers[.userAgent].map { ExactString($0) })
            let beginning: DeviceAuthorizations.Beginning
            do {
                beginning = try signIn().devices.begin(from: context.client.address, asking: device)
            } catch {
                throw OAuthError(.temporarilyUnavailable, "the broker cannot decide at the moment; try again")
            }
            switch beginning {
            case .begun(let begun): return answer(begun)
            case .refused(let retryAfter):
                var response = OAuthError.tooManyDevices.response(trace: context.trace)
                response.headers[.retryAfter] = "\(retryAfter.components.seconds)"
                return response
            }
        } catch {
            return error.response(trace: context.trace)
        }
    }

    private func answer(_ begun: DeviceAuthorizations.Begun) -> Response {
        // No verification_uri_complete: a person who types the code has seen it on his own device (RFC 8628 §5.4).
        var response = Response.json(
            .ok,
            [
                "device_code": .string(ExactString(begun.deviceCode.reveal())),
                "user_code": .string(ExactString(begun.userCode.text)),
                "verification_uri": .string(ExactString(publicURL + Self.verificationPath)),
                "expires_in": .number(Double(begun.lifetime.components.seconds)),
                "interval": .number(Double(begun.interval.components.seconds)),
            ])
        response.headers[.cacheControl] = "no-store"
        return response
    }

    /// The answer of the token endpoint.
    func issue(_ form: FormBody, _ grant: Grant, _ context: BrokerRequestContext) async -> Response {
        do throws(OAuthError) {
            try TokenRequest.refuseCredentials(form)
            let issued = try await token.limits.underWay(grant == .refreshToken ? .provider : .exchange, context) {
                () async throws(OAuthError) -> SignInResponse in
                do throws(SignInRefusal) {
                    return try await answer(form, grant, context)
                } catch {
                    throw OAuthError(error)
                }
            }
            var json: JSONObject = [
                "access_token": .string(ExactString(issued.token.accessToken.reveal())), "token_type": "Bearer",
                "expires_in": .number(Double(issued.token.lifetime)),
                "scope": .string(Scope.text(issued.token.scope)), "session_id": .string(issued.token.sessionID),
            ]
            if let refreshToken = issued.refreshToken {
                _ = json.append("refresh_token", .string(ExactString(refreshToken.reveal())))
            }
            if let email = issued.email { _ = json.append("email", .string(email)) }
            var response = Response.json(.ok, json)
            response.headers[.cacheControl] = "no-store"
            return response
        } catch {
            // Of a refresh token 401 says: sign in again.
            return error.response(
                trace: context.trace, invalidGrant: grant == .refreshToken ? .unauthorized : .badRequest)
        }
    }

    private func answer(
        _ form: FormBody, _ grant: Grant, _ context: BrokerRequestContext
    ) async throws(SignInRefusal) -> SignInResponse {
        switch grant {
        case .deviceCode:
            guard let code = form["device_code"] else { throw .missing("device_code") }
            return try await signIn().redeem(
                SecretText(code.string), from: context.client.text, under: context.trace)
        case .refreshToken:
            guard let presented = form["refresh_token"] else { throw .missing("refresh_token") }
            let scope: [Scope]?
            do {
                scope = try TokenRequest.scope(parsing: form["scope"])
            } catch {
                throw .scope
            }
            return try await signIn().refresh(
                SecretText(presented.string), scope: scope, from: context.client.text, under: context.trace)
        }
    }
}

extension OAuthError {
    static let tooManyDevices = OAuthError(
        .temporarilyUnavailable, "too many devices wait to be signed in; try again later", status: .tooManyRequests)

    fileprivate init(_ refusal: SignInRefusal) {
        switch refusal {
        case .missing(let parameter): self.init(.invalidRequest, "the parameter \(parameter) is missing")
        case .pending: self.init(.authorizationPending, "nobody has approved the device yet")
        case .slowDown: self.init(.slowDown, "asked too soon: leave 5 seconds more from now on")
        case .denied(let denial):
            self.init(
                .accessDenied, denial?.cause.words ?? "nothing is granted to whoever approved it, or not any more")
            trace = denial?.trace
        case .expired:
            self.init(.expiredToken, "the device code is too old, was used before, or is from before a restart")
        case .ended(let end): self.init(.invalidGrant, end.words)
        case .scope: self.init(.invalidScope, "the scope exceeds what is granted")
        case .busy: self.init(.temporarilyUnavailable, "too many ask with this session at once; try again")
        case .unavailable(let outage) where outage.reason == .keysUnavailable:
            self.init(.temporarilyUnavailable, "the identity provider cannot be reached at the moment; try again")
        case .unavailable: self.init(.temporarilyUnavailable, "the broker cannot decide at the moment; try again")
        }
    }
}

extension DeviceDenial.Cause {
    /// For a person.
    fileprivate var words: String {
        switch self {
        case .person: "the device was refused on the page"
        case .provider: "the identity provider, or whoever signed in there, refused"
        case .rules: "no rule grants whoever signed in anything"
        }
    }
}

extension SignInEnd {
    /// For a person.
    fileprivate var words: String {
        switch self {
        case .unknown: "this refresh token is not known here, or not any more"
        case .revoked: "the session was revoked: by an administrator, by its user, or by a logout at the provider"
        case .time: "the session has lasted for as long as it may"
        case .reuse: "a refresh token of the session was used twice: somebody else may have a copy"
        case .provider: "the identity provider renews the session no longer"
        case .person: "the identity provider vouches for somebody else"
        case .rules: "the rules grant nothing any more"
        case .unsaid: "the session has ended"
        }
    }
}
