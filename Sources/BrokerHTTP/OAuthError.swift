// How every refusal looks on the wire: the one place where a failure becomes `error`, `error_description` and a status.
package import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore

/// An error response of the token endpoint (RFC 6749 §5.2, RFC 8693 §2.2.2).
package struct OAuthError: Error, Sendable {
    package enum Code: String, Sendable {
        case invalidRequest = "invalid_request"
        case invalidGrant = "invalid_grant"
        case invalidClient = "invalid_client"
        case invalidScope = "invalid_scope"
        case invalidTarget = "invalid_target"
        case unsupportedGrantType = "unsupported_grant_type"
        case temporarilyUnavailable = "temporarily_unavailable"
        // RFC 8628 §3.5
        case authorizationPending = "authorization_pending"
        case slowDown = "slow_down"
        case accessDenied = "access_denied"
        case expiredToken = "expired_token"
    }

    package let code: Code
    /// Words of ours; never text of the request.
    package let description: String

    /// The claims of the caller's own token that did not match, where a rule tells them; by their names.
    private let unmatched: [ExactString]?
    /// Where it is not the usual one of the code.
    private let ownStatus: HTTPResponse.Status?
    /// Of the decision that it tells of, where that was made in another request.
    var trace: TraceID?
    /// Whether the rest of the request is not waited for.
    private let closesConnection: Bool

    package init(_ code: Code, _ description: String) {
        self.init(code, description, closes: false)
    }

    init(
        _ code: Code, _ description: String, status: HTTPResponse.Status? = nil, closes: Bool = false,
        unmatched: [ExactString]? = nil
    ) {
        self.unmatched = unmatched
        self.code = code
        self.description = description
        ownStatus = status
        closesConnection = closes
    }

    /// RFC 6749 §5.2, for whoever authenticates by the connection's certificate; again one text for every case.
    static let client = OAuthError(
        .invalidClient, "the client certificate is not acceptable, or no rule grants its subject anything")
    static let noCertificate = OAuthError(
        .invalidClient,
        "the connection has no client certificate of its own; one that a proxy forwards is nobody's identity")
    static let tooManyExchanges = OAuthError(
        .temporarilyUnavailable, "too many exchanges from this address; try again", status: .tooManyRequests)
    static let overloaded = OAuthError(.temporarilyUnavailable, "too many exchanges are under way; try again")

    static let bodyTooLong = OAuthError(
        .invalidRequest, "the body is longer than \(FormBody.maximumLength) bytes", closes: true)
    static let bodyTooSlow = OAuthError(
        .invalidRequest, "the body did not come in time", status: .requestTimeout, closes: true)

    /// What a refusal is called depends on the protocol that the caller speaks.
    package init(_ refusal: ExchangeRefusal, speaking grantType: GrantType) {
        switch refusal {
        case .subjectToken where grantType == .clientCredentials, .client:
            self = .client
        case .certificate:
            self.init(
                grantType == .jwtBearer ? .invalidGrant : .invalidRequest,
                "what is granted is bound to a client certificate, and the request came with none that counts")
        case .subjectToken:
            // One text for every case, so that nobody can probe which check failed or which rule came close.
            let code: Code = grantType == .jwtBearer ? .invalidGrant : .invalidRequest
            self.init(code, "the subject token is not acceptable, or no rule grants its subject anything")
        case .signedIn:
            self.init(
                grantType == .jwtBearer ? .invalidGrant : .invalidRequest,
                "somebody signed in to this session: its refresh token renews it, or a new sign-in (daypass login)")
        case .unmatched(let claims):
            let unexplained = OAuthError(.subjectToken, speaking: grantType)
            self.init(unexplained.code, unexplained.description, unmatched: claims)
        case .scope: self.init(.invalidScope, "the scope exceeds what is granted")
        case .target: self.init(.invalidTarget, "the audience or resource is not one that is granted")
        case .unavailable: self.init(.temporarilyUnavailable, "the broker cannot decide at the moment; try again")
        }
    }

    var status: HTTPResponse.Status {
        if let ownStatus { return ownStatus }
        return switch code {
        case .invalidClient: .unauthorized
        case .temporarilyUnavailable: .serviceUnavailable
        default: .badRequest
        }
    }

    func json(trace: TraceID) -> JSONObject {
        // RFC 6749 §5.2: of a description no quote, no backslash and nothing beyond ASCII.
        let names =
            unmatched.map { "; not matched: \($0.map { HeaderValue.encode($0).string }.joined(separator: ", "))" } ?? ""
        let words = "\(description)\(names.filter { $0 != "\"" && $0 != "\\" }) (trace \(trace))"
        var json: JSONObject = [
            "error": .string(ExactString(code.rawValue)), "error_description": .string(ExactString(words)),
        ]
        if let unmatched { _ = json.append("unmatched", .array(unmatched.map { .string($0) })) }
        return json
    }

    /// - Parameter invalidGrant: the status of `invalid_grant`, for which RFC 6749 §5.2 and Anthropic's SDKs differ.
    func response(trace: TraceID, invalidGrant: HTTPResponse.Status = .badRequest) -> Response {
        answer(trace: self.trace ?? trace, invalidGrant: invalidGrant).response
    }

    /// The same, with all of its body.
    func answer(trace: TraceID, invalidGrant: HTTPResponse.Status = .badRequest) -> ImmediateAnswer {
        var headers: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
        if closesConnection { headers[.connection] = "close" }
        switch code {
        case .temporarilyUnavailable: headers[.retryAfter] = "1"
        case .invalidClient: headers[.wwwAuthenticate] = #"Basic realm="daypass""#
        case .invalidGrant where invalidGrant == .unauthorized:
            // RFC 9110 §15.5.2: no 401 without a challenge.
            headers[.wwwAuthenticate] = #"Bearer realm="daypass""#
        default: break
        }
        return ImmediateAnswer(
            code == .invalidGrant ? invalidGrant : status, headers, ByteBuffer(bytes: json(trace: trace).encoded()))
    }

    /// That of `overloaded`, whose body is not encoded anew: it is made most often when there is least time for it.
    static func overloadedAnswer(trace: TraceID) -> ImmediateAnswer {
        var body = ByteBuffer(bytes: overloadedBody.before)
        body.writeString(trace.description)
        body.writeBytes(overloadedBody.after)
        return ImmediateAnswer(
            .serviceUnavailable, [.contentType: "application/json", .cacheControl: "no-store", .retryAfter: "1"], body)
    }

    /// What stands before and after the trace id.
    private static let overloadedBody: (before: [UInt8], after: [UInt8]) = {
        let trace = TraceID()
        let body = String(decoding: overloaded.json(trace: trace).encoded(), as: UTF8.self)
        let parts = body.split(separator: trace.description, maxSplits: 1).map { Array($0.utf8) }
        return (parts[0], parts[1])
    }()
}

extension Response {
    static func json(_ status: HTTPResponse.Status, _ object: JSONObject) -> Response {
        json(status, encoded: object.encoded())
    }

    /// 405, with the methods that there are (RFC 9110 §15.5.6).
    static func methodNotAllowed(_ allowed: String) -> Response {
        var response = Response.json(.methodNotAllowed, ["error": "method_not_allowed"])
        response.headers[.allow] = allowed
        return response
    }

    static func json(_ status: HTTPResponse.Status, encoded: [UInt8]) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: encoded)))
    }
}
