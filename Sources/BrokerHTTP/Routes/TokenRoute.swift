import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore

/// `POST /oauth/token` (RFC 6749 §3.2).
struct TokenRoute: Sendable {
    static let path = "/oauth/token"

    /// That of the moment: each request goes through one, from its beginning to its end.
    let exchange: @Sendable () -> TokenExchange
    let limits: ExchangeLimits
    let certificates: PresentedCertificates

    /// - Parameter signIn: nil where nobody signs in at this broker.
    func respond(
        to request: Request, signIn: SignInRoutes? = nil, _ context: BrokerRequestContext
    ) async throws -> Response {
        let trace = context.trace
        do throws(OAuthError) {
            let body = try await body(of: request, type: "application/x-www-form-urlencoded", context)
            let form = try Self.parse(body)
            if let signIn, let grant = SignInRoutes.Grant(form) { return await signIn.issue(form, grant, context) }
            let tokenRequest = try TokenRequest(
                form, trace: trace, client: context.client.text,
                certificate: certificates.certificate(of: context, request.headers))
            return try await issue(
                tokenRequest.exchange, as: tokenRequest.grantType, typed: tokenRequest.issuedTokenType, context)
        } catch {
            return error.response(trace: trace)
        }
    }

    /// The body of a request to any of the token endpoints, when it has the media type that the endpoint reads. Limits are
    /// checked before it is read.
    /// - Parameter isAuthorized: whether a credential was checked already; the limit of the address is not for those.
    func body(
        of request: Request, type expected: String, for work: ExchangeLimits.Work = .exchange,
        isAuthorized: Bool = false,
        _ context: BrokerRequestContext
    ) async throws(OAuthError) -> [UInt8] {
        // A gateway asks for all of its clients.
        if !isAuthorized { try limits.admit(work, context) }
        // RFC 6749 §2.3: whoever sends a credential expects it to be checked.
        guard isAuthorized || request.headers[.authorization] == nil else {
            throw OAuthError(.invalidClient, "clients do not authenticate here: the subject token is the proof")
        }
        let type = request.headers[.contentType].map(Self.mediaType)
        guard let type, type.equalsIgnoringASCIICase(expected) else {
            throw OAuthError(.invalidRequest, "the body has to be \(expected)")
        }
        do {
            var request = request
            let buffer = try await request.collectBody(upTo: FormBody.maximumLength)
            return Array(buffer.readableBytesView)
        } catch is NIOTooManyBytesError {
            limits.refusals.note(.body, context.client)
            throw .bodyTooLong
        } catch is RequestTimeout {
            throw .bodyTooSlow
        } catch {
            throw OAuthError(.invalidRequest, "the body was cut off")
        }
    }

    /// A `Content-Type` without its parameters.
    private static func mediaType(_ header: String) -> ExactString {
        var type = header.utf8.prefix { $0 != UInt8(ascii: ";") }
        while type.last == UInt8(ascii: " ") { type.removeLast() }
        return ExactString(String(Substring(type)))
    }

    static func parse(_ body: [UInt8]) throws(OAuthError) -> FormBody {
        do {
            return try FormBody(parsing: body)
        } catch {
            throw OAuthError(.invalidRequest, error.description)
        }
    }

    /// The answer with the token that the request gets.
    /// - Parameter issuedType: what `issued_token_type` says; nil leaves it out.
    func issue(
        _ request: ExchangeRequest, as grantType: GrantType, typed issuedType: TokenType?,
        _ context: BrokerRequestContext
    ) async throws(OAuthError) -> Response {
        let issued = try await limits.underWay(.exchange, context) { () async throws(OAuthError) -> ExchangeResponse in
            do throws(ExchangeRefusal) {
                return try await exchange().exchange(request)
            } catch {
                throw OAuthError(error, speaking: grantType)
            }
        }
        var json: JSONObject = ["access_token": .string(ExactString(issued.accessToken.reveal()))]
        if let type = issuedType {
            _ = json.append("issued_token_type", .string(ExactString(type.rawValue)))
        }
        _ = json.append("token_type", "Bearer")
        _ = json.append("expires_in", .number(Double(issued.lifetime)))
        _ = json.append("scope", .string(Scope.text(issued.scope)))
        _ = json.append("session_id", .string(issued.sessionID))
        var response = Response.json(.ok, json)
        response.headers[.cacheControl] = "no-store"
        return response
    }
}
